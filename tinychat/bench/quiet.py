"""Was the machine ours while we measured? What everybody else computed meanwhile, from the kernel's own counters.

Time stolen by a hypervisor counts as somebody else's. Without /proc/stat nothing is known, and None says so.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

LIMIT = 0.15  # cores that others may use while a measurement counts
_TICKS = 2  # the counter moves in ticks: both readings may be off by one

STAT = Path("/proc/stat")


def busy_ticks(text: str) -> int | None:
    """Ticks that all cores have worked, of the first line of /proc/stat; None where that line is missing.

    user, nice, system, irq, softirq and steal; the guests' time is part of user and nice.
    """
    for line in text.splitlines():
        name, *fields = line.split()
        if name == "cpu" and len(fields) >= 4 and all(field.isdecimal() for field in fields):
            user, nice, system, _, _, irq, softirq, steal = [*map(int, fields), 0, 0, 0, 0][:8]
            return user + nice + system + irq + softirq + steal
    return None


def busy_s() -> float | None:
    """Seconds that all cores together have worked since the machine started."""
    try:
        ticks = busy_ticks(STAT.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        return None
    return None if ticks is None else ticks / os.sysconf("SC_CLK_TCK")


class Watch:
    """From its making to `rest`: the cores that other processes kept busy, on average."""

    def __init__(self) -> None:
        self._busy, self._own, self._clock = busy_s(), time.process_time(), time.perf_counter()

    def rest(self) -> tuple[float | None, float]:
        """Cores that others used (None when nobody knows), and the seconds watched."""
        wall, own, busy = time.perf_counter() - self._clock, time.process_time() - self._own, busy_s()
        if busy is None or self._busy is None or wall <= 0:
            return None, wall
        return max(0.0, busy - self._busy - own) / wall, wall


def is_quiet(rest_cores: float | None, wall_s: float, *, tick_s: float = 0.01) -> bool:
    """Whether others used less than LIMIT cores, as far as the counter's ticks can tell; True when nobody knows."""
    return rest_cores is None or rest_cores < LIMIT + _TICKS * tick_s / wall_s
