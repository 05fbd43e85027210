"""The forward step: ids of some lanes in, raw logits of their next positions out.

Also what it runs on: device, number type and threads. Nothing here knows sampling, records or why a token is fed.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine.native import choose_step, native_step
from tinychat.errors import UsageError
from tinychat.model.cache import KVCache
from tinychat.model.transformer import Transformer

ONE_THREAD_BELOW = 3_000_000  # parameters: below, the barriers of a team cost more than the sums they share
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass says about one lane; float32 on the CPU. With `every` all tensors have T in front, one per id."""

    logits: Tensor  # (V,) after the last id; (T, V) with `every`
    exits: Tensor | None = None  # (J, V) after early layers, through the final norm and the head; (T, J, V)
    hidden: Tensor | None = None  # (T, D) after the last block and the final norm, which the head reads; always all T


class Runner:
    """A model and the cache of its lanes, one row each. `forwards` counts the whole passes, `broken` are the lanes of
    the last `feed` whose logits are not all finite.

    `step` is what decodes. On the CPU: eager is torch; native is compiled C++ and waits for it, UsageError where there
    can be none; auto goes from the first to the second as soon as it is there. On CUDA, where the engine decodes ahead
    (ahead.py): auto in CUDA graphs, compiled in those of torch's compiler, and eager not at all.

    `threads` are for passes alone: between them torch is left with one, because a team that is called together for the
    exponentials of a vocabulary costs more than it saves, and on a busy machine milliseconds. None leaves torch alone.
    """

    def __init__(
        self,
        model: Transformer,
        *,
        lanes: int = 1,
        length: int | None = None,
        step: str = "eager",
        threads: int | None = None,
    ) -> None:
        self.model = model.eval()
        weight = next(model.parameters())
        self.cache = KVCache(model.config, lanes=lanes, length=length, dtype=weight.dtype, device=weight.device)
        self.forwards = 0
        self.broken: frozenset[int] = frozenset()
        self._threads = threads
        if threads is not None:
            torch.set_num_threads(1)
        step = choose_step(step)
        if step == "compiled" and weight.device.type != "cuda":
            raise UsageError("The compiled step is for CUDA.", "On the CPU use --step native.")
        self._native = None if step == "eager" or weight.device.type != "cpu" else native_step(model)
        if step == "native" and not self.await_step():
            reason = "on the CPU only" if self._native is None else self._native.state
            raise UsageError(f"There is no native step: {reason}.", "Use --step auto or --step eager.")

    def await_step(self) -> bool:
        """Wait until the native step is built or cannot be, where one is wished for; whether it decodes."""
        return self._native is not None and self._native.wait()

    @property
    def threads(self) -> int:
        """What a pass computes with on the CPU."""
        return torch.get_num_threads() if self._threads is None else self._threads

    @property
    def step_state(self) -> str:
        """What decodes: native and its number type, or eager and why."""
        return "eager" if self._native is None else self._native.state

    @property
    def library(self) -> ctypes.CDLL | None:
        """The C++ library, where it is there and decodes."""
        return None if self._native is None else self._native.library

    @property
    def device(self) -> torch.device:
        return self.cache.device

    def held(self, lane: int) -> int:
        """Tokens of the lane that are in the cache."""
        return self.cache.held(lane)

    def feed(self, rows: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        """Append each row's ids to its lane, in one pass; per lane the logits (V,) after its last id, float32, CPU.

        Lanes that are not named stay as they are, but take part in torch's pass as padding.
        """
        if self._native is not None and all(len(ids) == 1 for ids in rows.values()):
            found = self._native.step(self.cache, {lane: ids[0] for lane, ids in rows.items()}, self.threads)
            if found is not None:
                self.forwards += 1
                logits_of, self.broken = found
                return logits_of
        ids, counts = self._table(rows)
        with torch.inference_mode(), self._team():
            logits = self.model(ids, self.cache, counts=counts, last_only=True)[:, 0].float().cpu()  # (B, V)
        self.forwards += 1
        good = finite(logits.numpy()).tolist()
        self.broken = frozenset(lane for lane in rows if not good[lane])
        return {lane: logits[lane] for lane in rows}

    def run(
        self,
        rows: Mapping[int, Sequence[int]],
        *,
        every: bool = False,
        exits: Sequence[int] = (),
        hidden: bool = False,
        layers: int | None = None,
    ) -> dict[int, Pass]:
        """As `feed`, with whatever is asked for: `every` position, `exits` after so many blocks (0 is the embedding),
        `hidden` states, or the first `layers` blocks alone, which is an early exit: cut the cache before a whole pass.

        The plain path of the model: a step that needs none of this is `feed`'s.
        """
        most = self.model.config.layers
        depth = most if layers is None else layers
        if not 1 <= depth <= most or not all(0 <= layer < depth for layer in exits):
            raise ValueError(f"layers must be from 1 to {most} and exits below them, got {layers} and {tuple(exits)}")
        ids, counts = self._table(rows)
        taps: dict[int, list[Tensor]] = {layer: [] for layer in exits}
        model, last_only = self.model, not (every or hidden)
        with torch.inference_mode(), self._team():
            x = model.norm(model.stream(ids, self.cache, counts=counts, last_only=last_only, layers=layers, taps=taps))
            spans = {lane: slice(0, 1 if last_only else counts[lane]) for lane in rows}
            wanted = {lane: span if every else slice(span.stop - 1, span.stop) for lane, span in spans.items()}
            depths = [x, *(model.norm(tap) for layer in exits for tap in taps[layer])]  # 1 + J of (B, T or 1, D)
            asked = torch.stack([torch.cat([at[lane, wanted[lane]] for lane in rows]) for at in depths], 1)
            logits = model.logits(asked).float().cpu()  # (all that is asked for, 1 + J, V): the head is read once
        self.forwards += layers is None
        found, start = {}, 0
        for lane, span in spans.items():
            lines = logits[start : (start := start + wanted[lane].stop - wanted[lane].start)]
            lines = lines if every else lines[0]  # (T, 1 + J, V) or (1 + J, V)
            found[lane] = Pass(
                lines[..., 0, :],
                lines[..., 1:, :] if exits else None,
                x[lane, span].float().cpu() if hidden else None,
            )
        return found

    @contextmanager
    def _team(self) -> Iterator[None]:
        """The threads of a pass."""
        if self._threads is None:
            yield
            return
        torch.set_num_threads(self._threads)
        try:
            yield
        finally:
            torch.set_num_threads(1)

    def _table(self, rows: Mapping[int, Sequence[int]]) -> tuple[Tensor, list[int]]:
        """Ids (B, T) of all lanes, right-padded, and how many of each are real."""
        widest = max(len(ids) for ids in rows.values())
        table = [[*rows.get(lane, ()), *[0] * (widest - len(rows.get(lane, ())))] for lane in range(self.cache.lanes)]
        counts = [len(rows.get(lane, ())) for lane in range(self.cache.lanes)]
        return torch.tensor(table, device=self.device), counts


def finite(lines: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the numbers of each line (..., V) are finite: NaN reaches both ends, and they cost a twentieth."""
    good: NDArray[np.bool_] = np.isfinite(lines.max(-1)) & np.isfinite(lines.min(-1))
    return good


def choose_device(wanted: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Raises UsageError for what is not here."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", wanted):
        raise UsageError(f"There is no device {wanted!r}.", "Use auto, cpu, cuda or cuda:0.")
    if wanted != "cpu":
        if not torch.cuda.is_available():
            raise UsageError("There is no CUDA device here.", "Take cpu:  --device cpu, in a config train.device.")
        if int(wanted.partition(":")[2] or 0) >= torch.cuda.device_count():
            raise UsageError(f"There is no {wanted}: {torch.cuda.device_count()} CUDA devices are here.")
    return torch.device(wanted)


def choose_dtype(wanted: str | None) -> torch.dtype | None:
    """The number type of that name that weights are loaded in; None leaves the choice to the checkpoint.

    int8 weights are rounded from float32 numbers (quantise.py).
    """
    if wanted == INT8:
        return torch.float32
    if wanted is not None and wanted not in DTYPES:
        raise UsageError(f"There is no number type {wanted!r}.", f"Use one of {', '.join((*DTYPES, INT8))}.")
    return None if wanted is None else DTYPES[wanted]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failed allocation is behind this, on whichever device: torch has a class of its own for some of them.

    The driver's own refusal, that of a library (cuBLAS) and that of a compiler that tried something come as others.
    """
    text = str(error)
    known = ("can't allocate memory", "out of memory", "_ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in text for words in known)


def default_threads(n_parameters: int | None = None, *, spare: int = 0) -> int:
    """How many threads torch should compute with.

    OMP_NUM_THREADS holds if it is set. A model below ONE_THREAD_BELOW parameters gets one. Any other gets the physical
    cores this process may use (affinity mask, cgroup quota), less `spare` ones for somebody else, but at least one.
    """
    wished = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wished.isdecimal() and int(wished) > 0:
        return int(wished)
    if n_parameters is not None and n_parameters < ONE_THREAD_BELOW:
        return 1
    return max(1, usable_cores() - spare)


def usable_cores() -> int:
    """Physical cores in this process's affinity mask, and no more than its cgroup may use at a time."""
    if not hasattr(os, "sched_getaffinity"):  # macOS
        return os.cpu_count() or 1
    cpus = os.sched_getaffinity(0)
    topology = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    # two threads of one core share its arithmetic units: a second one only waits at the barriers
    cores = {_line(topology.format(cpu)) or str(cpu) for cpu in cpus}
    quota = _quota()
    return max(1, len(cores) if quota is None else min(len(cores), int(quota)))


def _quota() -> float | None:
    """CPUs' worth of time this container may use, of cgroup v2 or v1; None without a limit."""
    limit, _, period = _line("/sys/fs/cgroup/cpu.max").partition(" ")
    if not limit:
        limit = _line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        period = _line("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    return int(limit) / int(period) if limit.isdecimal() and period.isdecimal() and int(period) else None


def _line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
