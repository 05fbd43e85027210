"""Which source a row comes from, when sources are mixed by weights.

Row n and the rows before it always hold each source's share, to within one row a source, and in no random order: the
number of rows of the first source among the first N is N times its share, rounded; what is left goes to the others
by the same rule. So the row is a pure function of its number, and a resumed run goes on with the very row it lost.
Nothing here knows tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


class Mixture:
    """Weights, in any unit, as an endless sequence of sources. ValueError where one is not above 0."""

    def __init__(self, weights: Sequence[float]) -> None:
        exact = [Fraction(str(weight)) for weight in weights]
        if not exact or min(exact) <= 0:
            raise ValueError(f"weights must be above 0, got {list(weights)}")
        self.shares = [float(weight / sum(exact)) for weight in exact]
        # of the rows that earlier sources have left
        self._of_rest = [weight / sum(exact[number:]) for number, weight in enumerate(exact[:-1])]

    def place(self, row: int) -> tuple[int, int]:
        """(source, how many rows of that source come before this one)."""
        for source, share in enumerate(self._of_rest):
            before, after = _rounded(row * share), _rounded((row + 1) * share)
            if after > before:
                return source, before
            row -= before
        return len(self._of_rest), row


def _rounded(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
