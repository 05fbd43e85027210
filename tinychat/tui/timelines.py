"""Numbers of a reply token by token, for drawing over time: what the columns of a tree hold, and what records say.

Records are read when they come into sight, and what they say is kept for a while. Nothing here draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args, overload

from tinychat.engine.packing import Share, share_in, varentropy_in
from tinychat.engine.trace import Odds
from tinychat.errors import StorageError
from tinychat.session.tree import Tree

Chart = Literal["entropy", "surprisal", "varentropy"]
CHARTS: tuple[Chart, ...] = get_args(Chart)
UNITS: dict[Chart, str] = {"entropy": "bit", "surprisal": "bit", "varentropy": "bit²"}
UNKNOWN = Share(None, None)
MOST_KNOWN = 4096  # values of records that are kept: many screens full

T = TypeVar("T")


class Records(Sequence[T], Generic[T]):
    """What `read` says of the records of a path from `start` on; `missing` where there is none."""

    def __init__(self, packed: Sequence[bytes | None], start: int, read: Callable[[bytes], T], missing: T) -> None:
        self._packed, self._start, self._read, self._missing = packed, start, read, missing
        self._known: dict[int, T] = {}

    def __len__(self) -> int:
        return max(len(self._packed) - self._start, 0)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._at(each) for each in range(*index.indices(len(self)))]
        return self._at(range(len(self))[index])

    def _at(self, index: int) -> T:
        found = self._known.get(index)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            try:
                packed = self._packed[self._start + index]
            except StorageError:  # the screen says so where the token is looked at
                packed = None
            found = self._known[index] = self._missing if packed is None else self._read(packed)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One chart: raw values of all tokens of the reply, and the final ones where there are any."""

    chart: Chart
    raw: Sequence[float]
    final: Sequence[float] = ()

    @property
    def unit(self) -> str:
        return UNITS[self.chart]


class Timelines:
    """The lines of the reply that a tree stands on."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._varentropy: Records[float] | None = None
        self._shares: dict[int, Records[Share]] = {}

    def line(self, tree: Tree, start: int, chart: Chart) -> Line:
        """The values of a chart from position `start` on."""
        path = tree.path
        if chart == "entropy":
            return Line(chart=chart, raw=path.entropy[start:], final=path.final_entropy[start:])
        if chart == "surprisal":
            return Line(chart=chart, raw=path.surprisal[start:], final=Surprisal(path.prob[start:]))
        self._stand_on(tree, start)
        if self._varentropy is None:
            self._varentropy = Records(path.packed, start, varentropy_in, 0.0)
        return Line(chart=chart, raw=self._varentropy)

    def shares(self, tree: Tree, start: int, token: int) -> Sequence[Share]:
        """The probabilities of a token at every position from `start` on."""
        self._stand_on(tree, start)
        if token not in self._shares:
            self._shares[token] = Records(tree.path.packed, start, lambda data: share_in(data, token), UNKNOWN)
        return self._shares[token]

    def _stand_on(self, tree: Tree, start: int) -> None:
        # a path only grows until the tree moves
        key = (id(tree), tree.moves, start)
        if key != self._key:
            self._key, self._varentropy = key, None
            self._shares.clear()


class Surprisal(Sequence[float]):
    """-log2 of probabilities, worked out where it is looked at; a token that the settings had cut has none: NaN."""

    def __init__(self, probs: Sequence[float]) -> None:
        self._probs = probs

    def __len__(self) -> int:
        return len(self._probs)

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> list[float]: ...
    def __getitem__(self, index: int | slice) -> float | list[float]:
        if isinstance(index, slice):
            return [_bits(prob) for prob in self._probs[index]]
        return _bits(self._probs[index])


def _bits(prob: float) -> float:
    return math.nan if prob <= 0 else -math.log2(prob) if prob < 1 else 0.0


def share_of(odds: Odds, token: int) -> Share:
    """As `share_in`, of odds that are not packed."""
    for each in odds.candidates:
        if each.token == token:
            return Share(each.raw, each.final)
    alone = sum(each.final > 0 for each in odds.candidates) == odds.kept
    return Share(None, 0.0 if alone else None, min((each.raw for each in odds.candidates), default=1.0))
