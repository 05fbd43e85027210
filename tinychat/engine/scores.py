"""What a hypothesis is worth: its log-probability, made comparable across lengths.

n counts generated tokens, the end token included (as transformers does; vLLM counts the prompt and leaves the end out).
Log-probabilities are in nats and never above 0. Nothing here touches a tensor or a search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LengthRule = Literal["sum", "mean", "power", "gnmt"]
LENGTH_RULES: tuple[LengthRule, ...] = ("sum", "mean", "power", "gnmt")
FLOOR = 1e-6  # the least attention a prompt token counts with: one never attended would make every score -inf


@dataclass(frozen=True, slots=True)
class LengthScore:
    """sum: S; mean: S / n; power: S / n^alpha; gnmt: S / ((5 + n) / 6)^alpha (Wu et al. 2016, arXiv 1609.08144)."""

    rule: LengthRule = "sum"
    alpha: float = 1.0  # of power and gnmt

    def divisor(self, n: int) -> float:
        """What a log-probability of n tokens is divided by; 1 for no tokens."""
        if self.rule == "sum" or n == 0:
            return 1.0
        if self.rule == "mean":
            return float(n)
        return float((n if self.rule == "power" else (5 + n) / 6) ** self.alpha)

    def score(self, logprob: float, n: int) -> float:
        """The score of n tokens with this log-probability."""
        return logprob / self.divisor(n)

    def bound(self, logprob: float, n: int, longest: int) -> float:
        """No continuation of n tokens up to `longest` scores more: its log-probability can only fall."""
        return max(self.score(logprob, n), self.score(logprob, longest))  # the divisor is monotone in n


def coverage(attention: Sequence[Sequence[float]], beta: float) -> float:
    """GNMT's coverage penalty beta * sum_i ln min(sum_j a_ij, 1), at most 0 (arXiv 1609.08144, equation 14).

    `attention[j][i]` is the share of attention that output step j pays to source token i. The paper means
    cross-attention of an encoder-decoder. For a decoder-only model the attention of generated tokens on prompt tokens
    is an analogy, not the method: part of every row goes to the output itself. A token with no attention at all counts
    as FLOOR.
    """
    if not attention:
        return 0.0
    totals = [math.fsum(column) for column in zip(*attention, strict=True)]
    return beta * math.fsum(math.log(min(max(total, FLOOR), 1.0)) for total in totals)
