"""Somebody who stays awake when a step does not end: a device, a disk or another process that hangs.

A thread of its own says so on the screen and in the log. It also hears Ctrl-C while the main thread is deep inside a
call that never returns: the second one ends the process then, which the last checkpoint survives. Nothing here trains.
"""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from tinychat.errors import EXIT_INTERRUPTED
from trainer import figures
from trainer.events import Eased, Event, TrainStep, Warned, as_record

ABOUT = "hanging"
GRACE_S = 10.0  # after the second Ctrl-C, for an end in good order
ANSWER_S = 3.0  # after the first, for any sign of life


class Watchdog:
    """Told of every event by beat(); `tell` gets its warnings, in another thread, and `end` ends the process.

    `log` gets them as lines too, unless another process writes it.
    `silence_s` without an event is a hang; 0 watches nothing but Ctrl-C. `asleep` counts how often the process was
    suspended: that time is no silence.
    """

    def __init__(
        self,
        silence_s: float,
        log: Path | None,
        tell: Callable[[Event], None],
        *,
        asleep: Callable[[], int] = lambda: 0,
        end: Callable[[], None],
    ) -> None:
        self._silence_s, self._log, self._tell, self._asleep, self._end = silence_s, log, tell, asleep, end
        self._step = 0
        self._beats = 0
        self._hanging = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._before = -1

    def __enter__(self) -> Self:
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._before)
        os.close(self._write)  # ends the thread; a disk that hangs may hold it, and shall not hold us
        self._thread.join(timeout=1.0)

    def beat(self, event: Event) -> None:
        """Something has happened; after a hang that is told too."""
        self._beats += 1
        if isinstance(event, TrainStep):
            self._step = event.step
        if self._hanging:
            self._hanging = False
            self._say(Eased(step=self._step, about=ABOUT))

    def _watch(self) -> None:
        seen = (self._beats, self._asleep())
        since, presses, pressed_at, beats_then = time.monotonic(), 0, 0.0, 0
        every = min(1.0, self._silence_s / 4) if self._silence_s else 1.0
        while True:
            ready, _, _ = select.select([self._read], [], [], every)
            now = time.monotonic()
            if ready:
                numbers = os.read(self._read, 64)
                if not numbers:
                    os.close(self._read)
                    return
                if more := numbers.count(signal.SIGINT):
                    presses, pressed_at, beats_then = presses + more, now, self._beats
            if (self._beats, self._asleep()) != seen:
                seen, since = (self._beats, self._asleep()), now
            elif self._silence_s and now - since >= self._silence_s and not self._hanging:
                self._hanging = True
                self._say(self._hang(now - since))
            if presses == 1 and pressed_at and now - pressed_at >= ANSWER_S:
                pressed_at = 0.0
                if self._beats == beats_then:
                    warning = self._warning("it stops when this step ends; Ctrl-C again ends it now")
                    self._apart(partial(self._tell, warning))
            if presses > 1 and now - pressed_at >= GRACE_S:
                self._end()
                return

    def _hang(self, seconds: float) -> Warned:
        return self._warning(
            f"nothing for {figures.duration(seconds)}: does a device, disk or process hang? Ctrl-C twice ends it"
        )

    def _warning(self, message: str) -> Warned:
        return Warned(step=self._step, message=message, about=ABOUT)

    def _say(self, event: Event) -> None:
        """On the screen and in the log, side by side: either may be what hangs."""
        self._apart(partial(self._tell, event))
        self._apart(partial(self._note, event))

    def _apart(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def _note(self, event: Event) -> None:
        if self._log is None or not self._log.exists():  # the run makes it
            return
        try:
            with open(self._log, "a", encoding="utf-8") as file:
                file.write(json.dumps(as_record(event)) + "\n")
        except OSError:
            return  # it was on the screen


def end_now(give_back: Callable[[], None], last_words: str) -> NoReturn:
    """End the process from any thread, with the terminal given back if that can be done: the main thread is stuck."""
    giving = threading.Thread(target=give_back, daemon=True)
    giving.start()
    giving.join(timeout=2.0)
    os.write(2, f"{last_words}\n".encode())
    os._exit(EXIT_INTERRUPTED)
