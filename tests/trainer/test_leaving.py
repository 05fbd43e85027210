"""Who leaves the other processes leaves at once, whatever still holds the model or is under way."""

from __future__ import annotations

import os
import signal
import weakref
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
import torch.distributed.nn.functional
from torch import nn

from trainer import distributed
from trainer.distributed import Ranks, leave
from trainer.sharding import Spread

from .ports import free_port


@pytest.fixture
def group() -> Iterator[weakref.ref[dist.ProcessGroup]]:
    """A group of this process alone. What its import would bind is imported before, as joined() does."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield weakref.ref(dist.group.WORLD)
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.parametrize("patience_s", [None, 60.0])
def test_the_group_is_closed_although_an_error_still_holds_the_model(
    group: weakref.ref[dist.ProcessGroup], patience_s: float | None
) -> None:
    ranks = Ranks(0, world=2)

    def fail() -> None:
        spread = Spread(nn.Linear(3, 3), ranks, shard="copies", blocks=[])
        spread.forward(torch.ones(2, 3)).sum().backward()
        raise ArithmeticError("a loss that is no number")

    with pytest.raises(ArithmeticError) as kept:
        fail()
    ranks.let_go()
    leave(patience_s)
    assert kept.traceback[-1].frame.f_locals["spread"].model.weight.grad is not None
    assert group() is None


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another process, which takes part in one sum and then waits; this one is its second."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANK", "1")
    child = os.fork()
    if not child:
        try:
            os.environ["RANK"] = "0"
            with distributed.joined("cpu") as ranks:
                ranks.sum([1.0])
                signal.pause()
        finally:
            os._exit(1)
    yield
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_an_exchange_that_will_never_end_does_not_hold_up_an_error(
    other: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "LAST_S", 0.2)

    def fail() -> None:
        with distributed.joined("cpu") as ranks:
            assert ranks.sum([1.0]) == [2.0]
            dist.all_reduce(torch.ones(1), async_op=True)  # the other one never takes part
            raise ArithmeticError("here")

    with pytest.raises(ArithmeticError):
        fail()
    assert not dist.is_initialized()
