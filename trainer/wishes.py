"""What a person asks of a running run by keys: noted here, done by the loop between two steps.

Nothing here knows keys, terminals or torch.
"""

from __future__ import annotations

from dataclasses import dataclass

LOWEST_SCALE = 1 / 1024


@dataclass(slots=True)
class Wishes:
    """`paused` lasts until it is taken back; the others are done once."""

    paused: bool = False
    save: bool = False
    sample: bool = False
    rate: float = 1.0  # what the rate is to be multiplied by, from the next step on


def scaled(scale: float, times: float) -> float:
    """The new scale of the rate: never above the schedule, and not below LOWEST_SCALE."""
    return min(1.0, max(LOWEST_SCALE, scale * times))
