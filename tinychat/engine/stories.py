"""What went wrong in the engine, in the two lines a person sees; a mistake of ours is written to a log.

Nothing here knows what the service was doing.
"""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path

from tinychat.errors import TinychatError

Story = tuple[str, str]  # what went wrong, and what to do about it
LONGEST = 300  # characters of an error that nobody foresaw


class Stories:
    """`log` is where a person finds the traceback of an internal error."""

    def __init__(self, log: Path | None) -> None:
        self._log = log

    def of_command(self, error: Exception) -> Story:
        """Of something the client asked for."""
        if isinstance(error, TinychatError):
            return error.what, error.hint
        if isinstance(error, ValueError):
            return f"The engine refused a command: {error}.", ""
        self._write("".join(traceback.format_exception(error)))
        what = f"The engine failed: {type(error).__name__}: {error}".splitlines()[0][:LONGEST]
        return what, f"The whole story is in {self._log}." if self._log is not None else ""

    def of_question(self, error: Exception) -> Story:
        """Said as it is, for who asked sees what was asked."""
        if isinstance(error, ValueError):
            words = str(error)
            return f"{words[:1].upper()}{words[1:]}.", ""
        return self.of_command(error)

    def _write(self, story: str) -> None:
        if self._log is None:
            return
        with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as file:  # stderr may be a screen
            file.write(story)
