"""torch.compile around what training computes, where it works; else the plain form and one line that says so.

Nothing here knows models or data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tinychat.engine.runner import is_out_of_memory

Work = Callable[..., Any]


class Compiled:
    """`work`, compiled at the first call. `told` says why it is not, once that is known."""

    def __init__(self, work: Work) -> None:
        self._plain = work
        self._fast: Work | None = None
        self.told = ""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if self.told:
            return self._plain(*args, **keywords)
        if self._fast is not None:
            return self._fast(*args, **keywords)
        why = ""
        try:
            fast = compiling(self._plain)
            found = fast(*args, **keywords)
        except Exception as error:  # whatever a compiler and its compilers may raise
            if is_out_of_memory(error):  # with fewer rows it may compile
                raise
            why = _first_line(error)
        else:
            self._fast = fast
            return found
        self._give_up(why)
        return self._plain(*args, **keywords)

    def failed_later(self, error: Exception) -> bool:
        """Whether `error` is the compiler's, which makes the way back only when it is first gone; then the plain form
        is used from now on.
        """
        if self._fast is None or is_out_of_memory(error):
            return False
        from torch._dynamo.exc import TorchDynamoException  # here: seconds to import, and now it is there

        if not isinstance(error, TorchDynamoException):
            return False
        self._give_up(_first_line(error))
        return True

    def _give_up(self, why: str) -> None:
        self.told = f"torch.compile does not work here, training goes on without it: {why}"


def compiling(work: Work) -> Work:
    """torch's compiler, for shapes that stay."""
    made: Work = torch.compile(work, dynamic=False)
    return made


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
