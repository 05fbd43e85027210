"""The C++ step against torch's, against a slow twin in numpy, and against itself on other threads and lanes."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from twin import Array, logits_after, variant

from tinychat.engine import native
from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.engine.quantise import quantised, to_int8
from tinychat.engine.runner import Runner
from tinychat.errors import NumbersError

pytestmark = pytest.mark.usefixtures("native")

VARIANTS: list[dict[str, Any]] = [
    {},
    {"kv_heads": 2, "tie": False},
    {"kv_heads": 1, "position": "learned", "width": 36, "heads": 3},
    {"norm": "layer", "position": "learned", "activation": "gelu_tanh", "bias": True},
    {"norm": "layer", "activation": "gelu", "hidden": 50},
    {"activation": "relu2", "bias": True, "tie": False, "width": 20, "heads": 1},
    {"width": 288, "heads": 6, "hidden": 768, "layers": 1},
]
SHALLOW = [changes | {"layers": 1} for changes in VARIANTS]
IDS = [3, 1, 4, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26, 43, 3, 1, 1, 50]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def one_by_one(runner: Runner, ids: list[int], lane: int = 0) -> Tensor:
    """Logits (T, V) after each id."""
    return torch.stack([runner.feed({lane: [token]})[lane] for token in ids])


def close(found: Tensor, wanted: Tensor | Array, tolerance: float) -> None:
    """Equal to within a share of the largest number."""
    wanted = torch.as_tensor(np.asarray(wanted), dtype=torch.float64)
    assert (found.double() - wanted).abs().max() <= tolerance * wanted.abs().max()


def closest(found: Tensor, wanted: Array) -> float:
    """The best line's distance: a number at an edge rounds up in one and down in the other, and where none does, they
    are the same.
    """
    return float((found.double() - torch.from_numpy(wanted)).abs().amax(1).min() / np.abs(wanted).max())


@pytest.mark.parametrize("changes", VARIANTS)
def test_every_kind_of_network_gives_torchs_logits_at_any_position_of_any_lane(changes: dict[str, Any]) -> None:
    model = variant(**changes)
    fast, slow = Runner(model, lanes=4, step="native"), Runner(model, lanes=4)
    prompts = {0: [1, 2, 3], 1: [4], 3: IDS * 2}  # lane 2 is empty
    for runner in (fast, slow):
        runner.feed(prompts)
    for turn in range(12):
        rows = {lane: [(17 * turn + lane) % 101] for lane in range(4) if (turn + lane) % 3}
        found, wanted = fast.feed(rows), slow.feed(rows)
        assert list(found) == list(wanted)
        for lane in rows:
            close(found[lane], wanted[lane], 2e-5)
    assert fast.cache.lengths == slow.cache.lengths
    for ours, theirs in zip(fast.cache.memory, slow.cache.memory, strict=True):
        for lane, length in enumerate(slow.cache.lengths):
            close(ours[:, lane, :, :length], theirs[:, lane, :, :length], 2e-5)


@pytest.mark.parametrize("changes", VARIANTS)
def test_float32_is_the_twin(changes: dict[str, Any]) -> None:
    model = variant(**changes)
    close(one_by_one(Runner(model, step="native"), IDS), logits_after(model, IDS), 1e-5)


@pytest.mark.parametrize("changes", SHALLOW)
def test_int8_is_the_twin_that_rounds_where_it_rounds(changes: dict[str, Any]) -> None:
    model = to_int8(variant(**changes))
    runner = Runner(model, step="native")
    assert runner.step_state == "native int8"
    found, wanted = one_by_one(runner, IDS), logits_after(model, IDS, small=True)
    assert closest(found, wanted) < 2e-6
    close(found, wanted, 1e-3)
    close(found, logits_after(model, IDS), 1e-3)  # up to sixteen bits between the matrices: eight are off by 1e-2


@pytest.mark.parametrize("changes", SHALLOW)
def test_bfloat16_is_the_twin_that_remembers_as_it_does(changes: dict[str, Any]) -> None:
    model = variant(**changes).bfloat16()
    runner = Runner(model, step="native")
    assert runner.step_state == "native bfloat16"
    found, wanted = one_by_one(runner, IDS), logits_after(model, IDS, coarse=True)
    assert closest(found, wanted) < 2e-6
    close(found, wanted, 5e-2)  # a key at an edge rounds the other way, by 1 in 256


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
def test_threads_and_neighbours_do_not_change_a_bit(kind: str) -> None:
    model = variant(kv_heads=2, tie=False)
    model = to_int8(model) if kind == "int8" else model.to(getattr(torch, kind))
    alone = {}
    for threads in (1, 2, 3):
        alone[threads] = one_by_one(Runner(model, step="native", threads=threads), IDS)
    assert torch.equal(alone[1], alone[2])
    assert torch.equal(alone[1], alone[3])
    beside = Runner(model, lanes=6, step="native")
    for turn, token in enumerate(IDS):
        crowd = {lane: [token + lane] for lane in range(turn % 6)} | {5: [token]}
        assert torch.equal(beside.feed(crowd)[5], alone[1][turn])


@pytest.mark.parametrize("params", [PRESETS["greedy"], SamplingParams(seed=3)])
def test_the_same_256_tokens_as_torch(params: SamplingParams) -> None:
    model = variant(context=300, width=64)
    replies = []
    for step in ("native", "eager"):
        engine = Engine(model, step=step)
        engine.set_context(IDS)
        replies.append([engine.step(params).token for _ in range(256)])
    assert replies[0] == replies[1]


def test_cut_copy_and_more_lanes_work_on_what_the_step_has_written() -> None:
    model = variant()
    runners = fast, _ = Runner(model, lanes=2, step="native"), Runner(model, lanes=2)
    seen: list[list[Tensor]] = [[], []]
    for runner, lines in zip(runners, seen, strict=True):
        lines += one_by_one(runner, IDS)
        runner.cache.copy(0, 1)
        runner.cache.cut(0, 5)
        lines += runner.feed({0: [7]}).values()
        runner.cache.resize(3)
        lines += runner.feed({0: [9], 1: [9], 2: [9]}).values()
        runner.cache.cut(1, 4)
        lines += one_by_one(runner, IDS[4:], lane=1)
    for found, wanted in zip(*seen, strict=True):
        close(found, wanted, 2e-5)
    assert torch.equal(seen[0][-1], seen[0][len(IDS) - 1])  # rewound and played again: the same bits
    assert fast.cache.lengths == (7, 18, 1)


def test_a_full_lane_is_refused_and_nothing_changes() -> None:
    runner = Runner(variant(), lanes=2, length=2, step="native")
    runner.feed({0: [1]})
    runner.feed({0: [1]})
    with pytest.raises(ValueError, match="no room: lane 0 holds 2 of 2"):
        runner.feed({1: [1], 0: [1]})
    assert runner.cache.lengths == (2, 0)


@pytest.mark.parametrize("int8", [False, True])
def test_broken_numbers_are_seen(int8: bool) -> None:
    model = variant()
    model = to_int8(model) if int8 else model
    model.norm.weight[3] = torch.nan  # type: ignore[index,operator]  # nn.Module says Tensor or Module
    engine = Engine(model, step="native")
    with pytest.raises(NumbersError):
        engine.set_context([1])


@pytest.mark.parametrize("step", ["native", "eager"])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_the_lanes_that_broke_are_named(step: str, poison: float) -> None:
    model = variant(tie=False, bias=True)
    model.embedding.weight[5, 0] = poison  # whoever feeds token 5 breaks, nobody else
    runner = Runner(model, lanes=3, step=step)
    runner.feed({0: [1], 1: [5], 2: [3]})
    assert runner.broken == {1}
    runner.feed({2: [5]})
    assert runner.broken == {2}
    runner.feed({0: [7]})
    assert not runner.broken
    assert model.head is not None
    model.head.weight[2, 3] = poison  # a single logit
    runner.feed({0: [4]})
    assert runner.broken == {0}


def test_one_step_serves_all_caches_of_a_network_and_ends_with_them() -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    def comes_to(count: int) -> bool:
        """A thread that was joined is in the list for a moment more."""
        until = time.monotonic() + 20
        while threads() != count and time.monotonic() < until:
            time.sleep(0.01)
        return threads() == count

    model = variant()
    torch.set_num_threads(3)
    gc.collect()
    before = threads()
    one, other = Runner(model, step="native"), Runner(model, lanes=3, step="native")
    assert torch.equal(one.feed({0: [5]})[0], other.feed({2: [5]})[2])
    assert threads() == before + 2
    torch.set_num_threads(1)
    one.feed({0: [5]})
    assert comes_to(before)
    del one, other
    gc.collect()
    assert not native._steps
    assert comes_to(before)


def test_a_forked_process_leaves_the_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = variant()
    torch.set_num_threads(2)
    runner, slow = Runner(model, step="native"), Runner(model)
    close(runner.feed({0: [5]})[0], slow.feed({0: [5]})[0], 2e-5)
    parent = os.getpid()
    monkeypatch.setattr(native.os, "getpid", lambda: parent + 1)
    assert not native.native_step(model).ready
    close(runner.feed({0: [6]})[0], slow.feed({0: [6]})[0], 2e-5)


def test_int8_weights_are_the_nearest_and_rounding_twice_is_rounding_once() -> None:
    weight = torch.randn(50, 33, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 50)[:, None]
    weight[7] = 0.0
    whole, scale = quantised(weight)
    assert whole.dtype == torch.int8
    assert whole.abs().amax(1).tolist() == [0 if row == 7 else 127 for row in range(50)]
    assert bool(((whole * scale[:, None] - weight).abs() <= scale[:, None] * 0.50001).all())
    again, same = quantised(whole * scale[:, None])
    assert torch.equal(again, whole)
    torch.testing.assert_close(same, scale)
    model = to_int8(variant())
    before = [parameter.clone() for parameter in model.parameters()]
    close(torch.cat([p.flatten() for p in to_int8(model).parameters()]), torch.cat([p.flatten() for p in before]), 1e-6)


def test_torch_has_the_threads_of_a_pass_in_passes_alone() -> None:
    model, seen = variant(), []
    model.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    runner = Runner(model, threads=3)
    assert torch.get_num_threads() == 1
    runner.feed({0: [1, 2]})
    assert (seen, torch.get_num_threads(), runner.threads) == ([3], 1, 3)
    torch.set_num_threads(2)
    left_alone = Runner(model)
    left_alone.feed({0: [1, 2]})
    assert (seen, left_alone.threads) == ([3, 2], 2)
