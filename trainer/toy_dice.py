"""Weighted choice that counts the bits it spends, and tables written as short text.

SplitMix64 on whole numbers is all the chance there is, so a draw is the same on every machine and Python version.
Nothing here knows grammar or words.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


class Dice:
    """SplitMix64 (Steele, Lea, Flood 2014) over 64-bit integers: the same on every machine and Python version.

    `bits` is the sum of -log2(probability) of all choices made so far.
    """

    __slots__ = ("_state", "bits")

    def __init__(self, seed: int, index: int = 0) -> None:
        self._state = _scramble(_scramble(seed & _MASK) ^ (index & _MASK))
        self.bits = 0.0

    def below(self, total: int) -> int:
        """A whole number in [0, total); no bits are counted here."""
        self._state = (self._state + _GOLDEN) & _MASK
        return (_scramble(self._state) * total) >> 64


def _scramble(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


class Weighted(Generic[T]):
    """Values with whole-number weights."""

    __slots__ = ("_bits", "_edges", "_total", "values", "weights")

    def __init__(self, values: Sequence[T], weights: Sequence[int]) -> None:
        if not values or len(values) != len(weights) or min(weights) < 1:
            raise ValueError(f"a table needs as many positive weights as values, got {values!r} and {weights!r}")
        self.values = tuple(values)
        self.weights = tuple(weights)
        self._edges = tuple(accumulate(weights))
        self._total = self._edges[-1]
        self._bits = tuple(math.log2(self._total / weight) for weight in weights)

    def draw(self, dice: Dice) -> T:
        if len(self.values) == 1:
            return self.values[0]
        chosen = bisect_right(self._edges, dice.below(self._total))
        dice.bits += self._bits[chosen]
        return self.values[chosen]

    def without(self, cut: Iterable[T]) -> Weighted[T]:
        """The table less some values; ValueError when none is left."""
        gone = set(cut)
        kept = [i for i, value in enumerate(self.values) if value not in gone]
        return Weighted([self.values[i] for i in kept], [self.weights[i] for i in kept])


def words(text: str) -> Weighted[str]:
    """A table from "honey*9, berries, nuts": a weight after the star, else falling with the rank like Zipf's law."""
    values, weights = [], []
    for rank, entry in enumerate(part.strip() for part in text.split(",")):
        value, _, weight = entry.partition("*")
        values.append(value)
        weights.append(int(weight) if weight else max(1, round(60 / (rank + 2))))
    return Weighted(values, weights)


def rows(text: str) -> dict[str, Weighted[str]]:
    """Tables by key from lines "fox: in a den*3, under a hedge"; after a comma the next line goes on."""
    keyed = {}
    for line in re.sub(r",\s*\n\s*", ", ", text).strip().splitlines():
        key, _, entries = line.partition(":")
        keyed[key.strip()] = words(entries)
    return keyed
