"""The settings in force: new ones hold as soon as the engine could use them, else the last before them that it can.

Whether settings can be used shows only when they are (a grammar is compiled, a helper model is looked for), so each use
is an attempt. Nothing here imports torch before an engine has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tinychat.engine.params import SamplingParams
from tinychat.errors import NumbersError, OutOfMemoryError_, TinychatError

Found = TypeVar("Found")


class Trial:
    """`params` are those in force."""

    def __init__(self) -> None:
        self.params = SamplingParams()
        self._older: list[SamplingParams] = []  # before them, since the last that the engine could use

    def take(self, params: SamplingParams) -> None:
        """Use these from now on."""
        self._older.append(self.params)
        self.params = params

    def attempt(self, action: Callable[[], Found]) -> tuple[Found, Exception | None]:
        """Do it with the settings in force; its result, and why newer settings gave way to those, if they did.

        Raises what `action` raises where no settings help; then `params` stay.
        """
        asked, reason = self.params, None
        while True:
            try:
                found = action()
            except (TinychatError, ValueError) as error:
                if not self._older or not _is_refusal(error):
                    self.params = asked
                    raise
                reason = reason or error
                self.params = self._older.pop()
                continue
            self._older.clear()
            return found, reason


def is_no_token(error: Exception) -> bool:
    """Whether the settings work, but leave nothing: that is an answer, not a mistake."""
    from tinychat.engine.engine import NoLegalToken  # here: by now torch is loaded anyway

    return isinstance(error, NoLegalToken)


def _is_refusal(error: Exception) -> bool:
    """Whether other settings might do: broken numbers and a lack of memory are not their doing."""
    return not (is_no_token(error) or isinstance(error, (NumbersError, OutOfMemoryError_)))
