"""Sums over scored tokens. No torch: screens add them up too."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

# what a question for scores is answered with beside the sums: columns one after the other, each with an entry a token
COLUMNS = (("surprisal", "<f8"), ("prob", "<f4"), ("entropy", "<f4"), ("rank", "<u4"), ("seen", "<u4"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Sums over scored tokens; two of them add up. What is said per token is None where there is none."""

    tokens: int = 0
    bits: float = 0.0
    entropy_bits: float = 0.0  # what the model expected `bits` to be
    ranks: int = 0  # sum
    top_1: int = 0
    top_5: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    def per_token(self, total: float) -> float | None:
        """A sum as a mean."""
        return total / self.tokens if self.tokens else None

    @property
    def perplexity(self) -> float | None:
        """Per token; infinite where it is beyond all numbers."""
        mean = self.per_token(self.bits)
        return None if mean is None else 2.0**mean if mean < 1024 else math.inf

    def bits_per_byte(self, count: int) -> float | None:
        """Over the bytes of the text, which compares models with different tokenizers."""
        return self.bits / count if count else None
