"""A row of logits as a distribution: what is left after one stage, its sums, and what one token has of it.

V vocabulary, A the entries of the row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine.cuts import CUT, LOWEST, Softmax, exp, softmax

_BITS = math.log2(math.e)  # bits in a nat
_FEW = 8  # a row in which more than one in so many logits changed is computed afresh,
_DRIFT = 30.0  # or one whose largest logit is now this far from what the exponentials are relative to; nats


@dataclass(frozen=True, slots=True)
class Row:
    """The distribution after one stage, over all tokens or, once few are left, over these alone."""

    name: str
    ids: NDArray[np.int64] | None  # (A,) rising; None for all
    logits: NDArray[np.float32]  # (A,) -inf where cut
    share: Softmax  # of these
    kept: int  # tokens not cut
    mass: float  # of the probability that came in, the share these tokens had

    @property
    def probs(self) -> NDArray[np.float64]:
        """(A,) sums to 1; empty or all 0 where nothing is left."""
        return self.share.weights / self.share.total if self.kept else self.share.weights

    @property
    def entropy(self) -> float:
        """Bits."""
        return self.share.entropy * _BITS if self.kept else 0.0

    @property
    def varentropy(self) -> float:
        """Bits squared: how much the surprisal varies around the entropy."""
        if not self.kept:
            return 0.0
        weights, total = self.share.weights, self.share.total
        apart = self.share.below - float(weights @ self.share.below) / total
        return float(weights @ np.square(apart)) / total * _BITS**2

    def find(self, token: int) -> int | None:
        """Where the token stands in this row; None when it is cut."""
        index = token
        if self.ids is not None:
            index = int(self.ids.searchsorted(token))
            if index == self.ids.size or self.ids[index] != token:
                return None
        return index if self.logits[index] != CUT else None

    def prob(self, token: int) -> float:
        """Probability of the token; 0 when it is cut."""
        index = self.find(token)
        return 0.0 if index is None else float(self.share.weights[index]) / self.share.total

    def surprisal(self, token: int) -> float:
        """Bits; infinite when the token is cut. Finite where the probability itself rounds to 0."""
        index = self.find(token)
        return math.inf if index is None else max(0.0, self.share.log_total - float(self.share.below[index])) * _BITS

    def inside(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these tokens are not cut."""
        found = np.zeros(tokens.size, dtype=bool)
        if self.ids is None:
            np.not_equal(self.logits[tokens], CUT, out=found)
        elif self.ids.size:
            places = np.minimum(self.ids.searchsorted(tokens), self.ids.size - 1)
            np.logical_and(self.ids[places] == tokens, self.logits[places] != CUT, out=found)
        return found

    def spread(self, values: NDArray[np.float64], size: int, empty: float) -> NDArray[np.float64]:
        """Values of this row's tokens (A,) at the places of all tokens (V,)."""
        if self.ids is None:
            return values
        whole = np.full(size, empty)
        whole[self.ids] = values
        return whole

    def log_probs(self, size: int) -> NDArray[np.float64]:
        """Logarithms (V,) of the probabilities, nats; -inf where cut."""
        found = self.share.below - self.share.log_total if self.kept else np.full(self.logits.size, CUT)
        found[self.logits == CUT] = CUT
        return self.spread(found, size, CUT)


def first_row(name: str, logits: Tensor) -> Row:
    """The row of all tokens, before any stage."""
    values = logits.numpy()
    kept = int(np.count_nonzero(values != CUT))
    if not kept:
        return replace(_nothing(name, None, values), mass=1.0)
    return Row(name, None, values, softmax(logits), kept, 1.0)


def next_row(
    came: Row, name: str, logits: Tensor, ids: NDArray[np.int64] | None, places: NDArray[np.int64] | None, kept: int
) -> Row:
    """The row after a stage; `places` are where its entries stood in the row that came in, None for all of them.

    Most stages change a few logits, or only cut. Then the exponentials of the others are taken over, relative to the
    same logit as before, which by now need not be the largest.
    """
    values = logits.numpy()
    if not kept:
        return _nothing(name, ids, values)
    mass = 1.0
    if kept < came.kept:
        if places is None:
            alive = came.share.weights @ (values != CUT).astype(np.float64)
        else:
            alive = came.share.weights[places].sum()
        mass = float(alive) / came.share.total
    before = came.share
    old, below, weights = came.logits, before.below, before.weights
    if places is not None:
        old, below, weights = old[places], below[places], weights[places]
    changed = np.flatnonzero(values != old)
    if changed.size * _FEW > values.size or abs(float(values.max()) - before.largest) > _DRIFT:
        return Row(name, ids, values, softmax(logits), kept, mass)
    if changed.size:
        if places is None:
            below, weights = below.copy(), weights.copy()
        below[changed] = np.maximum(values[changed].astype(np.float64) - before.largest, LOWEST)
        weights[changed] = exp(below[changed])
    elif places is None:
        return Row(name, ids, values, before, kept, mass)
    return Row(name, ids, values, Softmax(before.largest, below, weights, float(weights.sum())), kept, mass)


def _nothing(name: str, ids: NDArray[np.int64] | None, values: NDArray[np.float32]) -> Row:
    empty = np.zeros(values.size)
    return Row(name, ids, values, Softmax(CUT, empty, empty, 1.0), 0, 0.0)
