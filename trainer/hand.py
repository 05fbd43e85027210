"""The person at the terminal of a run: keys, Ctrl-Z and fg, and the moment when the shell has put the run behind it.

The screen is left before the process sleeps and taken again when it is in front. Nothing here draws or trains.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from trainer.controls import Controls
from trainer.keyboard import Keyboard
from trainer.signals import StopFlag
from trainer.view import View


class Hand:
    """Keys become wishes by `controls`; `stop` tells when the process slept."""

    def __init__(self, keyboard: Keyboard, controls: Controls, stop: StopFlag) -> None:
        self._keyboard, self._controls, self._stop = keyboard, controls, stop
        self._wakes = 0
        self._handlers: dict[signal.Signals, Any] = {}
        self._leave: Callable[[], None] = lambda: None
        self.wants_sleep = False  # Ctrl-Z was pressed

    def begin(self, leave: Callable[[], None]) -> None:
        """Listen to Ctrl-Z and Ctrl-\\; `leave` gives the screen back."""
        self._leave = leave
        if self._keyboard.usable:
            for number, handler in ((signal.SIGTSTP, self._asks_for_sleep), (signal.SIGQUIT, self._quit)):
                if signal.getsignal(number) == signal.SIG_DFL:
                    self._handlers[number] = signal.signal(number, handler)

    def end(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    @property
    def is_away(self) -> bool:
        """Whether the shell is in front: the screen is its own."""
        return self._keyboard.usable and not self._keyboard.foreground

    def take_keys(self) -> bool:
        """Whether there are any keys."""
        self._keyboard.open()
        return self._keyboard.usable

    def release_keys(self) -> None:
        self._keyboard.close()

    def act(self, view: View) -> bool:
        """Do what the keys say; whether there were any."""
        if self._stop.wakes != self._wakes:  # a shell may have set a mode of its own meanwhile
            self._wakes = self._stop.wakes
            self._keyboard.again()
        keys = self._keyboard.read()
        for key in keys:
            self._controls.press(key, view)
        self._controls.tick(view)
        return bool(keys)

    def sleep(self) -> None:
        """Stand still until the shell wakes the process."""
        self.wants_sleep = False
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._asks_for_sleep)

    def _asks_for_sleep(self, number: int, frame: FrameType | None) -> None:
        self.wants_sleep = True  # not at once: a frame may be half drawn

    def _quit(self, number: int, frame: FrameType | None) -> None:
        self._leave()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
