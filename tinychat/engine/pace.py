"""How fast tokens may come, and how fast they came."""

from __future__ import annotations

import math
from collections import deque

WINDOW_S = 1.0  # what tokens_per_s looks back on


class Pace:
    """The pace of a run. `due` is when the next token may be drawn, in seconds of any one clock."""

    def __init__(self) -> None:
        self.due = 0.0
        self._rate: float | None = None
        self._times: deque[float] = deque()

    def set(self, rate: float | None) -> None:
        """At most this many tokens a second; None is as fast as it goes. ValueError for what is no rate."""
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"rate must be a number of tokens a second above 0, got {rate}")
        self._rate = rate

    def start(self) -> None:
        """A run begins: its first token may come at once."""
        self.due = 0.0
        self._times.clear()

    def hurry(self, now: float) -> None:
        """After a change of the rate: the next token waits no longer than the new one says."""
        self.due = 0.0 if self._rate is None else min(self.due, now + 1 / self._rate)

    def drew(self, now: float) -> None:
        """A token was drawn."""
        self._times.append(now)
        while now - self._times[0] > WINDOW_S:
            self._times.popleft()
        if self._rate is not None:
            # from the time it was due, for an even pace, but never a burst to catch up
            self.due = max(self.due + 1 / self._rate, now)

    @property
    def tokens_per_s(self) -> float:
        """Over the last WINDOW_S of the run; 0 before there were two tokens."""
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)
