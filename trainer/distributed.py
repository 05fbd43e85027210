"""Several processes that train one model: `torchrun --nproc-per-node N -m tinychat train --config FILE`.

Every process runs the same loop on its own share of each step's rows. Whatever decides what comes next (a stop wish,
the clock, a loss that is not finite) is agreed on first, or one would wait for the others for ever. The first process
alone prepares the text, writes the run folder and shows the run; all must see that folder.

Nothing here knows what is trained, or what is summed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from tinychat.errors import UsageError
from trainer.events import Event
from trainer.launch import Left, launched
from trainer.signals import EXIT_CODES, StopFlag

PATIENCE = timedelta(minutes=30)  # with one exchange; the first process may sample or save meanwhile
POLL_S = 0.05
LAST_S = 10.0  # an exchange that others do not take part in any more holds up an error by no more than this

Result = TypeVar("Result")


class Ranks:
    """This process among `world` that train together, `rank` from 0. Alone, nothing here communicates.

    All collectives must be called by every process in the same order; Left is raised when one has gone.
    """

    def __init__(self, rank: int = 0, world: int = 1, store: Store | None = None) -> None:
        self.rank, self.world = rank, world
        self._store = store
        self._turns = 0
        self._bound: list[Callable[[], None]] = []

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.world == 1

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sums over the processes, in float64."""
        return list(values) if self.alone else self._reduced(values, dist.ReduceOp.SUM)

    def max(self, values: Sequence[float]) -> list[float]:
        """The greatest of each value."""
        return list(values) if self.alone else self._reduced(values, dist.ReduceOp.MAX)

    def tell(self, value: Any) -> Any:
        """The first process's `value`, which JSON can hold, on all."""
        if self.alone:
            return value
        said = json.dumps(value).encode() if self.first else b""
        size = int(self.sum([len(said)])[0])
        letters = torch.zeros(size, dtype=torch.uint8)
        if self.first:
            letters.copy_(torch.frombuffer(bytearray(said), dtype=torch.uint8))
        with peers():
            dist.broadcast(letters, 0)
        return json.loads(bytes(letters.numpy()))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What fails inside on one process fails on all: it keeps its error, the others raise Left."""
        try:
            yield
        except BaseException:
            if not self.alone:
                with contextlib.suppress(Left):
                    self.max([1.0])
            raise
        if not self.alone and self.max([0.0])[0]:
            raise Left("Another process of this run has failed; its message says why.")

    def led(
        self, work: Callable[[], Generator[Event, None, Result]], own: StopFlag
    ) -> Generator[Event, None, Result | None]:
        """`work` on the first process, however long it takes; None on the others, which wait.

        A signal to one that waits reaches the first one's flag.
        """
        self._turns += 1
        if self.alone or self._store is None:
            return (yield from work())
        done, wish = f"tinychat/done/{self._turns}", f"tinychat/stop/{self._turns}"
        if not self.first:
            self._wait(done, wish, own)
            return None
        outcome = "failed"
        try:
            running = work()
            while True:
                if own.reason is None and self._store.check([wish]):
                    own.request(self._store.get(wish).decode())
                try:
                    yield next(running)
                except StopIteration as end:
                    outcome = "done"
                    found: Result = end.value
                    return found
        finally:
            self._store.set(done, outcome)

    def at_end(self, let_go: Callable[[], None]) -> None:
        """`let_go` is called before this process leaves the others: drop there what keeps their group open."""
        self._bound.append(let_go)

    def let_go(self) -> None:
        """Drop what at_end() was told of. An error keeps its frames, and so the model, alive beyond joined()."""
        while self._bound:
            self._bound.pop()()

    def _wait(self, done: str, wish: str, own: StopFlag) -> None:
        assert self._store is not None, "there are others to wait for"
        told = False
        with peers():
            while not self._store.check([done]):
                if own.reason is not None and not told:
                    self._store.set(wish, own.reason)
                    told = True
                time.sleep(POLL_S)
            if self._store.get(done) != b"done":
                raise Left("The first process of this run has failed; its message says why.")

    def _reduced(self, values: Sequence[float], how: Any) -> list[float]:
        # on the host, also where gradients are exchanged between GPUs: those would have to finish their work first
        tensor = torch.tensor(list(values), dtype=torch.float64)
        with peers():
            dist.all_reduce(tensor, op=how)
        return [float(value) for value in tensor.tolist()]


class Agreed:
    """The stop wish that all processes act on: alone its own, at once; else what the last settle() found."""

    def __init__(self, own: StopFlag, ranks: Ranks) -> None:
        self.own = own
        self._ranks = ranks
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        return self.own.reason if self._ranks.alone else self._reason

    def settle(self, *flags: bool) -> list[bool]:
        """Take over anybody's wish; and which of `flags` anybody has set. All processes call this together."""
        if self._ranks.alone:
            return list(flags)
        names = [None, *EXIT_CODES]
        code = names.index(self.own.reason) if self.own.reason in EXIT_CODES else 1 if self.own.reason else 0
        found = self._ranks.max([code, *map(float, flags)])
        self._reason = self._reason or names[int(found[0])]
        return [bool(flag) for flag in found[1:]]


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The processes that torchrun started, or this one alone. `device` as in the config.

    Raises UsageError when there are more processes than devices, or their settings are broken.
    """
    world = launched("WORLD_SIZE", 1)
    if world == 1:
        yield Ranks()
        return
    rank, local = launched("RANK", 0), launched("LOCAL_RANK", 0)
    on_cuda = device != "cpu" and torch.cuda.is_available()
    here = launched("LOCAL_WORLD_SIZE", 1)
    if on_cuda and here > torch.cuda.device_count():
        raise UsageError(
            f"There are {torch.cuda.device_count()} CUDA devices for {here} processes.",
            "Start as many processes as there are devices, or train on the CPU:  --set train.device=cpu",
        )
    if on_cuda:
        torch.cuda.set_device(local)
    # torch imports it with the first copy of a model, and its default arguments would hold our group open for ever
    importlib.import_module("torch.distributed.nn.functional")
    try:
        store, rank, world = next(rendezvous("env://", timeout=PATIENCE))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_cuda else "gloo", store=store, rank=rank, world_size=world, timeout=PATIENCE
        )
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"The {world} processes do not find each other: {error}.",
            "Start them with  torchrun --nproc-per-node N -m tinychat train ...",
        ) from None
    ranks = Ranks(rank, world, store)
    try:
        yield ranks
    except BaseException:
        ranks.let_go()
        leave(LAST_S)
        raise
    ranks.let_go()
    leave(None)


def leave(patience_s: float | None) -> None:
    """Close the connections, which tells the others; after `patience_s` seconds whether that has worked or not.

    Closing waits for exchanges under way: after an error, for some that may never end.
    """

    def close() -> None:
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()

    if patience_s is None:
        close()
        return
    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(patience_s)


@contextlib.contextmanager
def peers() -> Iterator[None]:
    """Around a collective: a peer that has gone is Left."""
    try:
        yield
    except dist.DistError as error:
        raise Left("Another process of this run has gone.") from error
    except RuntimeError as error:
        if "closed by peer" in str(error).lower() or "connection" in str(error).lower() or "gloo" in str(error).lower():
            raise Left("Another process of this run has gone.") from error
        raise
