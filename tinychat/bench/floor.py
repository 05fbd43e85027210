"""What the machine itself can do at best: bytes a second out of memory, and seconds to start a kernel.

On the CPU the best of three ways to go through a buffer that no cache can hold: a sum, a matrix times a vector (what a
step does), and a copy (which counts both directions). On CUDA a copy on the device, and the time between kernels
that do nothing, started one by one and inside a CUDA graph.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tinychat.bench.plan import Job
from tinychat.engine.runner import choose_device

CACHES = 4  # the buffer is so many times the last-level cache
LEAST = 1 << 28  # bytes, where the caches are small or unknown
_COLUMNS = 4096
_ON_DEVICE = 1 << 30  # bytes: far more than any cache of a GPU
_KERNELS = 1000
_COPIES = 20


class Floor:
    """The buffers, and how to go through them. `measure` is one round: the best of three passes each."""

    def __init__(self, job: Job) -> None:
        self.device = choose_device(job.device)
        size = _ON_DEVICE if self.device.type == "cuda" else max(LEAST, CACHES * last_level_cache())
        rows = size // 4 // _COLUMNS
        self.source = torch.ones(rows, _COLUMNS, device=self.device)
        self.target = torch.zeros_like(self.source)
        self.vector = torch.ones(_COLUMNS, device=self.device)

    def facts(self) -> dict[str, Any]:
        return {
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "buffer_bytes": self.source.nbytes,
            "last_level_cache_bytes": last_level_cache() if self.device.type == "cpu" else None,
        }

    def measure(self, size: int) -> dict[str, Any]:
        """Bytes a second by way of going; on the CPU also for a buffer of `size` bytes, read again and again."""
        if self.device.type == "cuda":
            return {"bytes_per_s": {"copy": self._copied_on_device()}, **self._launches()}
        whole = self.source.nbytes
        found = {
            "sum": whole / _best(lambda: self.source.sum()),
            "matrix x vector": whole / _best(lambda: torch.mv(self.source, self.vector)),
            "copy": 2 * whole / _best(lambda: self.target.copy_(self.source)),
        }
        return {"bytes_per_s": found, "cached_bytes_per_s": self._cached(size)}

    def _cached(self, size: int) -> float:
        """Reading what a step reads and nothing else: out of the caches, where it fits."""
        rows = min(max(1, size // 4 // _COLUMNS), self.source.shape[0])
        part = self.source[:rows]
        times = max(3, (1 << 28) // part.nbytes)
        return part.nbytes / min(_best(lambda: part.sum(), times), _best(lambda: torch.mv(part, self.vector), times))

    def _copied_on_device(self) -> float:
        def run() -> None:
            for _ in range(_COPIES):  # so many that the wait at the end weighs nothing
                self.target.copy_(self.source)
            torch.cuda.synchronize(self.device)

        run()
        return 2 * _COPIES * self.source.nbytes / _best(run)

    def _launches(self) -> dict[str, float]:
        """Seconds from kernel to kernel: from the host, and inside a graph."""
        tiny = torch.zeros(1, device=self.device)

        def run() -> None:
            for _ in range(_KERNELS):
                tiny.add_(1.0)

        def timed(action: Callable[[], object]) -> float:
            action()
            torch.cuda.synchronize(self.device)
            started = time.perf_counter()
            action()
            torch.cuda.synchronize(self.device)
            return (time.perf_counter() - started) / _KERNELS

        launch = min(timed(run) for _ in range(3))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return {"launch_s": launch, "graph_launch_s": min(timed(graph.replay) for _ in range(3))}


def last_level_cache() -> int:
    """Bytes of the largest cache of the first core; 0 where the kernel does not say."""
    largest = 0
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        try:
            largest = max(largest, cache_size(file.read_text(encoding="ascii")))
        except (OSError, UnicodeDecodeError, ValueError):
            continue
    return largest


def cache_size(text: str) -> int:
    """`32768K` or `36M` in bytes; ValueError for anything else."""
    number, unit = text.strip()[:-1], text.strip()[-1:]
    return int(number) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(unit.upper(), 0) or int(text)


def _best(action: Callable[[], object], times: int = 3) -> float:
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - started)
    return best
