"""What stages share: how a token is cut, and sums over those that are not. Rows live on the CPU.

Sums are float64 and numpy's own, never a product of vectors: those of torch and of linear algebra add in an order that
depends on the machine and its threads, and the library (cpp/doubles.h) adds in numpy's. So the last digit is the same.

B any leading axes, V the entries of a row, K some of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.exponential import exp
from tinychat.engine.params import SamplingParams

CUT = -math.inf
LOWEST = torch.finfo(torch.float32).min
HIGHEST = torch.finfo(torch.float32).max
EPSILON = torch.finfo(torch.float32).eps

_HEADS = (256, 4096)  # how many of the largest are tried before everything is sorted

Apply = Callable[[Tensor, SamplingParams, Context], Tensor]


def by_row(stage: Apply) -> Apply:
    """A stage that is written for one row (V,) with something left, for logits (B..., V)."""

    @functools.wraps(stage)
    def apply(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
        if logits.ndim == 1:
            return stage(logits, params, context) if logits.numpy().max() > CUT else logits
        rows = [apply(row, params, context) for row in logits.reshape(-1, logits.shape[-1])]
        return torch.stack(rows).reshape(logits.shape)

    return apply


def as_cut(changed: Tensor, before: Tensor) -> Tensor:
    """Changed logits that cut exactly what was cut before: an overflow stays a number, a cut token stays cut."""
    row = changed.clamp(LOWEST, HIGHEST).float()
    if not before.numel() or float(before.min()) > CUT:  # a masked fill costs more than all the rest
        return row
    return row.masked_fill(before == CUT, CUT)


def change(
    logits: Tensor, ids: NDArray[np.int64], by: Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
) -> Tensor:
    """The logits (B..., V) with those of some ids changed by a rule; cut is what was cut, and what the rule cuts.

    Anything else stays a number.
    """
    if not ids.size:
        return logits
    values = logits.numpy()
    before = values[..., ids]
    after = by(before)
    changed = values.copy()
    changed[..., ids] = np.where((before == CUT) | (after == CUT), CUT, np.clip(after, LOWEST, HIGHEST))
    return torch.from_numpy(changed)


# ---- one row (V,) with something left -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Softmax:
    """The weights of a row: probabilities are `weights / total`, their logarithms `below - log_total`."""

    largest: float  # logit
    below: NDArray[np.float64]  # (V,) logits less `largest`; 0 where cut
    weights: NDArray[np.float64]  # (V,) the exponentials; 0 where cut
    total: float

    @property
    def log_total(self) -> float:
        """Nats."""
        return math.log(self.total)

    @property
    def entropy(self) -> float:
        """Nats."""
        return max(0.0, self.log_total - total_of(self.weights * self.below) / self.total)

    def logit_of(self, log_prob: float) -> float:
        """The logit of a probability, given in nats."""
        return self.largest + self.log_total + log_prob


def softmax(row: Tensor) -> Softmax:
    """In float64."""
    values = row.numpy()
    largest = float(values.max())
    below, weights = weigh(values, largest)
    return Softmax(largest, below, weights, total_of(weights))


def total_of(terms: NDArray[np.float64]) -> float:
    """Their sum (A,), in numpy's order for what lies side by side: blocks of at most 128, eight sums in each."""
    return float(np.add.reduce(terms))


def weigh(values: NDArray[np.float32], reference: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logits less a reference, and their exponentials; both 0 where cut."""
    below = values.astype(np.float64)
    below -= reference
    if not values.size or values.min() > CUT:
        return below, exp(below)
    cut = values == CUT
    below[cut] = 0.0
    weights = exp(below)
    weights[cut] = 0.0
    return below, weights


def granted(floor: float, largest: float) -> np.float32:
    """The least logit that counts as reaching a floor.

    Logits that meet the rule exactly on paper miss it by a rounding of float32 each, and that much is granted; a floor
    at the largest logit, or above it, keeps exactly the ties of the largest.
    """
    if floor >= largest:
        return np.float32(largest)
    floor -= EPSILON * max(abs(largest), abs(floor))
    least = np.float32(max(floor, LOWEST))
    return least if float(least) >= floor else np.nextafter(least, np.float32(np.inf))


def cut_below(row: Tensor, least: np.float32) -> Tensor:
    """Cuts the logits below this one."""
    if least <= LOWEST:
        return row
    # a masked fill, but ten times as fast; it cuts its threshold too
    below = np.nextafter(least, np.float32(CUT))
    return torch.nn.functional.threshold(row, float(below), CUT)


def falling_heads(row: Tensor) -> Iterator[NDArray[np.float32]]:
    """The largest logits (K,), falling: first a few, then more, at last all that are not cut."""
    values = row.numpy()
    for count in _HEADS:
        if count < values.size:
            head = np.partition(values, values.size - count)[values.size - count :]
            head.sort()
            if head[0] == CUT:
                break
            yield head[::-1]
    everything = np.sort(values)[::-1]
    yield everything[: int(np.count_nonzero(values != CUT))]


def keep_first(row: Tensor, falling: NDArray[np.float32], count: int) -> Tensor:
    """Keeps the first `count` of the falling logits; of those equal to the last, the lowest ids."""
    last = falling[count - 1]
    kept = cut_below(row, last)
    equal = np.flatnonzero(row.numpy() == last)
    extra = equal[count - int(np.count_nonzero(falling[:count] > last)) :]
    return kept.index_fill(0, torch.from_numpy(extra), CUT) if extra.size else kept


def nearest_heads(distance: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    """Places of the smallest distances (K,), rising, ties by place: first a few, then more, at last all finite.

    Whoever is as far as the last one of a head is in it.
    """
    for count in (*_HEADS, distance.size):
        if count < distance.size:
            furthest = np.partition(distance, count - 1)[count - 1]
            if furthest == math.inf:
                continue
            places = np.flatnonzero(distance <= furthest)
        else:
            places = np.flatnonzero(distance < math.inf)
        yield places[np.argsort(distance[places], kind="stable")]


def keep_only(row: Tensor, ids: NDArray[np.int64]) -> Tensor:
    """Cuts all tokens but these."""
    values = row.numpy()
    kept = np.full_like(values, CUT)
    kept[ids] = values[ids]
    return torch.from_numpy(kept)
