"""What all stages share: how a token is cut, and sums over those that are not.

B any leading axes, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CUT = -math.inf
LOWEST = torch.finfo(torch.float32).min
HIGHEST = torch.finfo(torch.float32).max
EPSILON = torch.finfo(torch.float32).eps


def as_cut(changed: Tensor, before: Tensor) -> Tensor:
    """Changed logits that cut exactly what was cut before: an overflow stays a number, a cut token stays cut."""
    return changed.clamp(LOWEST, HIGHEST).float().masked_fill(before == CUT, CUT)


def at_least(logits: Tensor, largest: Tensor, floor: Tensor) -> Tensor:
    """Cuts what is below the floor, both in float64 (..., 1).

    Logits that meet the rule exactly on paper miss it by a rounding of float32 each, and that much is granted; a floor
    at the largest itself keeps exactly its ties.
    """
    rounding = EPSILON * torch.maximum(largest.abs(), floor.abs())
    return logits.masked_fill(logits < torch.where(floor < largest, floor - rounding, floor), CUT)


def probabilities(logits: Tensor) -> Tensor:
    """Softmax in float64; zeros where all is cut."""
    return logits.double().softmax(-1).nan_to_num(0.0)
