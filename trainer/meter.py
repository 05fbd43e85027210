"""What a step took and what is left: clock, speed, time to go, running means.

Durations come from the monotonic clock; time asleep (Ctrl-Z) counts for nothing. Nothing here knows torch or files.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

from trainer.checkpoints import Progressed
from trainer.evaluate import bits_per_byte
from trainer.learner import Taken
from trainer.signals import StopFlag

SMOOTHING = 0.9  # of the running means
RECENT = 50  # steps the speed is measured over


class Meter:
    """The time of one sitting, continuing that of the sittings before."""

    def __init__(self, before_s: float, stop: StopFlag) -> None:
        self._stop = stop
        self._last = time.monotonic()
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._text: deque[float] = deque(maxlen=RECENT)
        self._steps, self._other_s = 0, 0.0
        self.elapsed_s = before_s

    def begin(self) -> None:
        """The steps come now: what was before them will not come again, so no forecast counts it."""
        self._passed()

    def tick(self) -> float:
        """Seconds since the last tick that were no step: evaluation, samples, saving."""
        passed = self._passed()
        self._other_s += passed
        return passed

    def step(self, text_s: float = 0.0) -> float:
        """Seconds since the last tick, which were a step; `text_s` of them were waiting for its rows of text."""
        passed = self._passed()
        self._recent.append(passed)
        self._text.append(text_s)
        self._steps += 1
        return passed

    def _passed(self) -> float:
        now = time.monotonic()
        passed = 0.0 if self._stop.take_suspended() else now - self._last
        self._last = now
        self.elapsed_s += passed
        return passed

    @property
    def step_s(self) -> float:
        """Seconds of a step, recently."""
        return sum(self._recent) / len(self._recent) if self._recent else 0.0

    @property
    def text_share(self) -> float:
        """Share of the time of recent steps that went into rows of text."""
        total = sum(self._recent)
        return min(1.0, sum(self._text) / total) if total else 0.0

    def eta_s(self, steps: int) -> float:
        """Seconds that `steps` more will take, with the share that is no step."""
        return steps * (self.step_s + (self._other_s / self._steps if self._steps else 0.0))


def counted(now: Progressed, taken: Taken, elapsed_s: float) -> Progressed:
    """`now`, one step further."""
    bits = bits_per_byte(taken.nats, taken.text_bytes)
    return replace(
        now,
        step=now.step + 1,
        tokens=now.tokens + taken.seen,
        elapsed_s=elapsed_s,
        smooth_loss=SMOOTHING * now.smooth_loss + (1 - SMOOTHING) * taken.loss,
        smooth_bits=SMOOTHING * now.smooth_bits + (1 - SMOOTHING) * bits,
        smooth_weight=SMOOTHING * now.smooth_weight + (1 - SMOOTHING),
    )
