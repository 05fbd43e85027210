"""CUDA graphs made by hand: a function of fixed buffers, recorded once, replayed with one launch.

What is recorded must not look at a number, must not allocate on the host, and must find its tensors where they were.
Warm-up and capture run on one stream of our own, so that libraries make their handles and workspaces for it before the
capture, and all graphs share one memory pool: their intermediates die with each replay, replays are in order on one
stream, and results are copied into buffers that live outside. Capture watches this thread only, so that whatever other
threads do with CUDA meanwhile (a profiler, pinned memory) does not spoil it. Nothing here knows what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_WARM_UP = 2  # runs: libraries choose and compile at the first, the second sees what they chose


class Captures:
    """Graphs on one device that share a stream and a pool."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own lack
        self._pool = torch.cuda.graph_pool_handle()

    def capture(self, action: Callable[[], None], state: Sequence[Tensor]) -> Callable[[], None]:
        """The replay of `action`. `state` are the buffers it writes: they are as before afterwards."""
        with torch.cuda.device(self._device), torch.inference_mode():
            kept = [buffer.clone() for buffer in state]
            here = torch.cuda.current_stream()
            self._stream.wait_stream(here)
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.stream(self._stream):
                    for _ in range(_WARM_UP):
                        action()
                here.wait_stream(self._stream)
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                    action()
            finally:  # also where it failed: the slow way goes on from here
                torch.cuda.set_stream(here)  # torch.cuda.graph leaves its own current where a capture cannot be ended
                here.wait_stream(self._stream)
                for buffer, before in zip(state, kept, strict=True):
                    buffer.copy_(before)
        replay: Callable[[], None] = graph.replay
        return replay
