"""A byte budget for slow lines: counts what goes to the terminal, and says when a tick should not paint.

Over SSH nothing else holds back: the kernel and the network queue seconds of frames, and every key waits behind
them. Keys always paint; only the regular tick asks.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.driver import Driver

REMOTE_BYTES_PER_S = 100_000
_BURST_S = 0.25  # how much of a second may be saved up while nothing is drawn


class ByteBudget:
    """A token bucket over the bytes written. `rate` None: no limit."""

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self.total = 0
        self.held_back = 0  # ticks that did not paint
        self._level = 0.0
        self._paid_at = 0.0

    def write(self, count: int) -> None:
        """Count bytes that were sent."""
        self.total += count
        self._level -= count

    def allows(self, now: float) -> bool:
        """Whether a tick may paint at this time (seconds of a monotonic clock)."""
        if self.rate is None:
            return True
        self._level = min(self._level + (now - self._paid_at) * self.rate, self.rate * _BURST_S)
        self._paid_at = now
        if self._level < 0:
            self.held_back += 1
            return False
        return True


def remote_rate(environ: Mapping[str, str]) -> float | None:
    """The budget these environment variables ask for: 100 kB/s over SSH or mosh, none otherwise."""
    remote = any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "MOSH_CONNECTION"))
    return REMOTE_BYTES_PER_S if remote else None


def counting(driver: type[Driver], budget: ByteBudget) -> type[Driver]:
    """The driver class with every write counted."""

    class CountingDriver(driver):  # type: ignore[misc, valid-type]  # a class made at run time from the platform's
        def write(self, data: str) -> None:
            budget.write(len(data))
            super().write(data)

    return CountingDriver
