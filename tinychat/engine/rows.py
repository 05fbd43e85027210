"""A row of logits as a distribution: what is left after one stage, its sums, and what one token has of it.

The sums are kept by one tally that goes from stage to stage: most stages change a few logits or only cut, and then the
exponentials of all others stay as they are. A row itself remembers its logits and three numbers.

V vocabulary, A the entries of a row, S rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine.cuts import CUT, softmax, total_of, weigh
from tinychat.engine.exponential import exp
from tinychat.engine.stages import After

_BITS = math.log2(math.e)  # bits in a nat
_FEW = 8  # a row in which more than one in so many logits changed is computed afresh,
_DRIFT = 30.0  # or one whose largest logit is now this far from what the exponentials are relative to; nats


@dataclass(frozen=True, slots=True)
class Row:
    """The distribution after one stage, over all tokens or, once few are left, over these alone.

    The probability of a logit l is e^(l - reference) / total.
    """

    name: str
    ids: NDArray[np.int64] | None  # (A,) rising; None for all
    logits: NDArray[np.float32]  # (A,) -inf where cut
    reference: float  # a logit: the largest, or one near it
    total: float
    kept: int  # tokens not cut
    mass: float  # of the probability that came in, the share these tokens had
    entropy: float  # bits

    def find(self, token: int) -> int | None:
        """Where the token stands in this row; None when it is cut."""
        index = token
        if self.ids is not None:
            index = int(self.ids.searchsorted(token))
            if index == self.ids.size or self.ids[index] != token:
                return None
        return index if self.logits[index] != CUT else None

    def logit(self, token: int) -> float:
        """-inf when it is cut."""
        index = self.find(token)
        return CUT if index is None else float(self.logits[index])

    def surprisal(self, token: int) -> float:
        """Bits; infinite when the token is cut. Finite where the probability itself rounds to 0."""
        return max(0.0, math.log(self.total) - (self.logit(token) - self.reference)) * _BITS

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
        return self.spread(self.logits.astype(np.float64) - self.reference - math.log(self.total), size, CUT)


def probs_of(rows: Sequence[Row], token: int) -> list[float]:
    """The token's probability in each row (S,); 0 where it is cut."""
    below = np.array([row.logit(token) - row.reference for row in rows])
    found: list[float] = (exp(below) / np.array([row.total for row in rows])).tolist()
    return found


class Tally:
    """The sums of the row that a walk stands at; `row` is that row."""

    def __init__(self, name: str, logits: Tensor) -> None:
        values = logits.numpy()
        kept = int(np.count_nonzero(values != CUT))
        self._reference, self._total, self._spent = 0.0, 1.0, 0.0
        self._below = self._weights = np.zeros(0)  # (A,) as cuts.Softmax has them; _spent is what their products sum to
        if kept:
            self._afresh(logits)
        self.row = self._row(name, None, values, kept, 1.0)

    @property
    def probs(self) -> NDArray[np.float64]:
        """(A,) sums to 1; all 0 where nothing is left."""
        return self._weights / self._total if self.row.kept else np.zeros(self.row.logits.size)

    @property
    def varentropy(self) -> float:
        """Bits squared: how much the surprisal varies around the entropy."""
        if not self.row.kept:
            return 0.0
        apart = self._below - self._spent / self._total
        np.square(apart, out=apart)
        apart *= self._weights
        return total_of(apart) / self._total * _BITS**2

    def follow(self, after: After) -> Row:
        """The row after the next stage of the walk."""
        values = after.logits.numpy()
        mass = 1.0 if after.kept else 0.0
        if after.kept:
            if after.kept < self.row.kept:
                mass = self._share(values, after.places)
            self._update(after.logits, values, after.places)
        self.row = self._row(after.name, after.ids, values, after.kept, mass)
        return self.row

    def _share(self, values: NDArray[np.float32], places: NDArray[np.int64] | None) -> float:
        """Of the probability, what stands where these logits are not cut."""
        if places is None:
            return total_of(self._weights * (values != CUT)) / self._total
        return total_of(self._weights[places]) / self._total

    def _update(self, logits: Tensor, values: NDArray[np.float32], places: NDArray[np.int64] | None) -> None:
        old = self.row.logits
        if places is not None:
            old, self._below, self._weights = old[places], self._below[places], self._weights[places]
        changed = np.flatnonzero(values != old)
        if changed.size * _FEW > values.size or abs(float(values.max()) - self._reference) > _DRIFT:
            self._afresh(logits)
            return
        lost, lost_spent = self._sums_at(changed)
        self._below[changed], self._weights[changed] = weigh(values[changed], self._reference)
        if places is not None or lost > self._total / 2:
            self._sum_up()
        elif changed.size:
            # by what changed: at a sixteenth of the cost, and as exact while most of the total stays
            won, won_spent = self._sums_at(changed)
            self._total = self._total - lost + won
            self._spent = self._spent - lost_spent + won_spent

    def _sums_at(self, places: NDArray[np.int64]) -> tuple[float, float]:
        weights = self._weights[places]
        return total_of(weights), total_of(weights * self._below[places])

    def _afresh(self, logits: Tensor) -> None:
        found = softmax(logits)
        self._reference, self._below, self._weights = found.largest, found.below, found.weights
        self._sum_up()

    def _sum_up(self) -> None:
        self._total, self._spent = total_of(self._weights), total_of(self._weights * self._below)

    def _row(
        self, name: str, ids: NDArray[np.int64] | None, values: NDArray[np.float32], kept: int, mass: float
    ) -> Row:
        if not kept:
            return Row(name, ids, values, 0.0, 1.0, 0, mass, 0.0)
        entropy = math.log(self._total) - self._spent / self._total
        return Row(name, ids, values, self._reference, self._total, kept, mass, max(0.0, entropy) * _BITS)
