"""What the keys of the dashboard mean: wishes of the run, or another look at it. The answer stands in the footer.

    space  pause, go on      s  save now        t  sample now     - +  halve the rate, double it again
    tab    the next curve    q  twice: stop

Nothing here reads a terminal.
"""

from __future__ import annotations

import time

from trainer.signals import ASKED, StopFlag
from trainer.view import SHOWN, View
from trainer.wishes import LOWEST_SCALE, Wishes, scaled

ANSWER_S = 5.0  # an answer stands this long, and so long a second q stops


class Controls:
    """Keys to `wishes` and `stop`. `can_sample`: there is a prompt to sample after."""

    def __init__(self, wishes: Wishes, stop: StopFlag, *, can_sample: bool = True) -> None:
        self._wishes, self._stop, self._can_sample = wishes, stop, can_sample
        self._until = 0.0  # when the answer goes
        self._leaving_until = 0.0

    def press(self, key: str, view: View) -> None:
        """Do what one key says."""
        now, wishes = time.monotonic(), self._wishes
        if key == "q":
            if now < self._leaving_until:
                self._stop.request(ASKED)
                self._answer(view, "stopping after this step")
            else:
                self._leaving_until = now + ANSWER_S
                self._answer(view, "q again stops; everything is saved first")
        elif view.started is None:
            return  # the others need a run
        elif key == " ":
            wishes.paused = not wishes.paused
            self._answer(view, "pausing after this step" if wishes.paused else "")
        elif key == "s":
            wishes.save = True
            self._answer(view, "saving after this step")
        elif key == "t":
            wishes.sample = self._can_sample
            self._answer(view, "sampling after this step" if self._can_sample else "no prompts: set sample.prompts")
        elif key in "-+":
            self._rate(view, 0.5 if key == "-" else 2.0)
        elif key == "\t":
            view.shown = SHOWN[(SHOWN.index(view.shown) + 1) % len(SHOWN)]

    def tick(self, view: View) -> None:
        """Take away an answer that has been read or done."""
        if view.note and (time.monotonic() >= self._until or (view.paused and view.note.startswith("pausing"))):
            view.note = ""

    def _rate(self, view: View, times: float) -> None:
        before = scaled(view.scale, self._wishes.rate)
        after = scaled(before, times)
        self._wishes.rate = after / view.scale
        if after != before:
            what = "the schedule's" if after == 1 else f"the schedule's x 1/{round(1 / after)}"
            self._answer(view, f"rate: {what}, from the next step on")
        elif before == LOWEST_SCALE:
            self._answer(view, "the rate is as low as it gets")
        else:
            self._answer(view, "the rate is the schedule's already")

    def _answer(self, view: View, text: str) -> None:
        view.note, self._until = text, time.monotonic() + ANSWER_S
