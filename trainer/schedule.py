"""The learning rate of every step: named shapes, pure functions of the step.

All shapes warm up in a straight line. The first update already has a rate above zero and the last one has the
floor: update i of N counts as time i + 1. Nothing here knows clocks or optimizers, so a resumed run has the same rates.

    constant            peak for ever
    linear              straight down from the end of the warm-up to the floor at `decay_end`
    cosine              half a cosine over the same stretch (Loshchilov & Hutter 2016)
    warmup_hold_cosine  peak until `hold_until`, then half a cosine to the floor at `decay_end`
    wsd                 peak until `hold_until`, then straight down (warm-up, stable, decay; Hu et al. 2024)

After `decay_end` the rate stays at the floor. A lecture's "warm-up 0.05, fix 0.9" is `cosine` with decay_end = 0.9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Shape = Literal["cosine", "warmup_hold_cosine", "wsd", "linear", "constant"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
HOLDING: tuple[Shape, ...] = ("warmup_hold_cosine", "wsd")


def in_steps(value: float, steps: int) -> float:
    """A point in time in steps: up to 1 it is a share of the run, above 1 it is a number of steps."""
    return value * steps if value <= 1 else min(value, float(steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """rate(step) for `steps` updates; warmup, hold_until, decay_end are shares of the run, or steps when above 1."""

    shape: Shape
    steps: int
    peak: float
    floor: float
    warmup: float = 0.05
    hold_until: float = 0.5
    decay_end: float = 1.0

    def rate(self, step: int) -> float:
        """The rate of update `step`, counted from 0."""
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}")
        now = step + 1.0
        warm = in_steps(self.warmup, self.steps)
        if now < warm:
            return self.peak * now / warm
        if self.shape == "constant":
            return self.peak
        start = max(warm, in_steps(self.hold_until, self.steps)) if self.shape in HOLDING else warm
        end = max(start, in_steps(self.decay_end, self.steps))
        if now >= end:
            return self.floor
        if now <= start:
            return self.peak
        done = (now - start) / (end - start)
        left = 1 - done if self.shape in ("linear", "wsd") else 0.5 * (1 + math.cos(math.pi * done))
        return self.floor + (self.peak - self.floor) * left

    def planned(self, count: int = 33) -> tuple[float, ...]:
        """The rates at `count` even distances over the run, first and last update included."""
        last = max(0, self.steps - 1)
        return tuple(self.rate(round(place * last / (count - 1))) for place in range(count))
