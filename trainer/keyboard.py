"""Single keys from the terminal of a run, without waiting for them; and leaving the terminal as it was found.

The terminal is in cbreak mode only between open() and close(), and only while this process is in its foreground.
Ctrl-C, Ctrl-Z and Ctrl-\\ stay signals. Nothing here knows what the keys mean.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import termios
import tty
from typing import Any, Self

PASTED = 4  # letters that come at once: nobody pressed them
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.|.)?", re.DOTALL)  # arrows, function keys, Alt with a letter


class Keyboard:
    """Keys of a terminal; silent where stdin is none. Close it however the run ends."""

    def __init__(self, descriptor: int | None = None) -> None:
        """`descriptor` of a terminal; default: stdin."""
        self._fd = _stdin() if descriptor is None else descriptor
        self._before: list[Any] | None = None

    @property
    def usable(self) -> bool:
        """Whether there is a terminal to press keys on."""
        return self._fd is not None and os.isatty(self._fd)

    def open(self) -> Self:
        """Take the terminal, where this process may."""
        if self._before is None and self._fd is not None and self.foreground:
            try:
                self._before = termios.tcgetattr(self._fd)
                tty.setcbreak(self._fd, termios.TCSANOW)
            except (termios.error, OSError):
                self._before = None
        return self

    def again(self) -> None:
        """Set the mode once more: a shell that stopped and woke this process has set its own."""
        if self._before is not None and self._fd is not None and self.foreground:
            with contextlib.suppress(termios.error, OSError):
                tty.setcbreak(self._fd, termios.TCSANOW)

    def close(self) -> None:
        """Give the terminal back as it was; keys that nobody read go with it, so that no shell obeys them."""
        before, self._before = self._before, None
        if before is None or self._fd is None or not self.foreground:
            return  # a shell in front has set its own mode
        try:
            termios.tcflush(self._fd, termios.TCIFLUSH)
            termios.tcsetattr(self._fd, termios.TCSANOW, before)
        except (termios.error, OSError):
            return

    @property
    def foreground(self) -> bool:
        """Whether the terminal listens to this process: the shell may have put it into the background."""
        if not self.usable or self._fd is None:
            return False
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return True  # a terminal without job control has no background

    def read(self) -> list[str]:
        """Keys pressed since the last call; what was pasted is none."""
        if self._before is None or self._fd is None or not self.foreground:
            return []
        try:
            if not select.select([self._fd], [], [], 0)[0]:
                return []
            typed = os.read(self._fd, 4096).decode("utf-8", "replace")
        except OSError:
            return []
        keys = [key for key in _SEQUENCE.sub("", typed) if key.isprintable() or key == "\t"]
        return keys if len(keys) < PASTED else []


def _stdin() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # none, or something else in its place
        return None
