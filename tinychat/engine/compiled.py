"""A function of fixed shapes through torch's compiler: fewer kernels, tuned ones, and a way back where that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_SHAPES = 4096  # of one function: spans times rows times sets of stages; torch gives up after eight


class Compiled:
    """Calls the compiled function, or the plain one after the compiler has failed: `trouble` says why.

    No CUDA graphs of torch's own: theirs look their inputs over at every call, which costs more than a small step.
    """

    def __init__(self, function: Callable[..., Any], *, tuned: bool) -> None:
        """`tuned` tries kernels out, at seconds each; without it the compiler's first choice stands."""
        self._plain = function
        mode = "max-autotune-no-cudagraphs" if tuned else "default"
        self._fast = torch.compile(function, fullgraph=True, dynamic=False, mode=mode)
        self.trouble = ""

    def __call__(self, *args: Any) -> Any:
        if self.trouble:
            return self._plain(*args)
        import torch._dynamo.config as dynamo  # takes a second, and only who compiles shall wait for it

        try:
            with dynamo.patch(recompile_limit=_SHAPES, accumulated_recompile_limit=_SHAPES):
                return self._fast(*args)
        except Exception as error:  # a compiler of many parts, and none of them is needed
            self.trouble = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            return self._plain(*args)
