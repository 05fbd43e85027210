"""torch.compile around the forward pass of training, where it works; else the plain pass and one line that says so.

Nothing here knows models or data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Forward = Callable[..., Tensor]


class Compiled:
    """`forward`, compiled at the first call. `told` says why it is not, once that is known."""

    def __init__(self, forward: Forward) -> None:
        self._plain = forward
        self._fast: Forward | None = None
        self.told = ""

    def __call__(self, *args: Any, **keywords: Any) -> Tensor:
        if self.told:
            return self._plain(*args, **keywords)
        if self._fast is not None:
            return self._fast(*args, **keywords)
        why = ""
        try:
            fast: Forward = compiling(self._plain)
            found = fast(*args, **keywords)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a compiler and its compilers may raise
            why = _first_line(error)
        else:
            self._fast = fast
            return found
        self.told = f"torch.compile does not work here, training goes on without it: {why}"
        return self._plain(*args, **keywords)


def compiling(forward: Forward) -> Forward:
    """torch's compiler, for shapes that stay."""
    made: Forward = torch.compile(forward, dynamic=False)
    return made


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
