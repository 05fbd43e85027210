"""What many timings say together. Plain arithmetic: no clock, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SETTLED = 0.02  # two successive medians of a warm-up may differ by this share


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The middle and the spread of some measurements."""

    median: float
    low: float
    high: float
    iqr: float  # between the quartiles
    values: tuple[float, ...]  # in the order measured

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        if not values:
            raise ValueError("a summary needs at least one value")
        return cls(
            median=quantile(values, 0.5),
            low=min(values),
            high=max(values),
            iqr=quantile(values, 0.75) - quantile(values, 0.25),
            values=tuple(values),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "median": self.median, "min": self.low, "max": self.high, "iqr": self.iqr, "values": list(self.values),
        }  # fmt: skip


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie, between neighbours by a straight line (Hyndman and Fan's type 7)."""
    if not values:
        raise ValueError("a quantile needs at least one value")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def is_settled(medians: Sequence[float]) -> bool:
    """Whether the last two differ by less than SETTLED of the smaller one."""
    if len(medians) < 2:
        return False
    one, other = medians[-2:]
    return abs(one - other) < SETTLED * min(one, other)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours over theirs, round by round: what slowed both in one round is not in the ratio."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]
