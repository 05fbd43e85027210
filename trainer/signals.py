"""Stopping on request: a flag that signals set and that everything long-running looks at.

The handlers only take note; the loop decides, so a save under way is finished. Nothing here knows training.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from tinychat.errors import EXIT_HANGUP, EXIT_INTERRUPTED, EXIT_TERMINATED

EXIT_CODES = {
    "SIGINT": EXIT_INTERRUPTED,
    "SIGTERM": EXIT_TERMINATED,
    "SIGHUP": EXIT_HANGUP,
    "SIGUSR1": 128 + signal.SIGUSR1,  # how queues of clusters tell that the time is nearly up
}

ASKED = "asked"  # the reason of a stop by a key: as wished, so no failure


class StopFlag:
    """`reason` is None until somebody wants the run to end; `suspended` tells that the process slept (Ctrl-Z).

    `wakes` counts how often it slept.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.suspended = False
        self.wakes = 0

    def request(self, reason: str) -> None:
        self.reason = self.reason or reason

    def take_suspended(self) -> bool:
        """Whether the process slept since this was last asked: clocks must not count that time."""
        slept, self.suspended = self.suspended, False
        return slept


@contextlib.contextmanager
def caught_signals(flag: StopFlag) -> Iterator[None]:
    """SIGINT, SIGTERM, SIGHUP and SIGUSR1 set the flag while this is open; the old handlers come back afterwards.

    A second Ctrl-C raises KeyboardInterrupt, wherever the program is: the atomic writer keeps files whole.
    """

    def note(number: int, frame: FrameType | None) -> None:
        if flag.reason is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        flag.request(signal.Signals(number).name)

    def woke(number: int, frame: FrameType | None) -> None:
        flag.suspended = True
        flag.wakes += 1

    handlers = {getattr(signal, name): note for name in EXIT_CODES} | {signal.SIGCONT: woke}
    # nohup and background jobs start with these ignored, and mean it
    handlers = {number: handler for number, handler in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
