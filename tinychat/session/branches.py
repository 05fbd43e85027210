"""The tree as a list: which branch stands under which, what is folded, and a few numbers of each.

The order is worked out once for every change of branches; what a row says is worked out when the row is seen, so that
thousands of branches cost a screen no more than the dozen it shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tinychat.session.tree import DRAWN, PROMPT, Branch, Tree

FOLD_FROM = 200  # branches: of more than that, those off the path are folded until a person opens them
LEVELS = 5  # that are drawn above a branch
LN2 = math.log(2)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a branch stands in the list.

    `rails` says for the last few levels above it, the first one first, whether a later sibling follows there.
    """

    number: int
    depth: int
    rails: tuple[bool, ...]
    last: bool  # of its siblings
    below: int  # branches folded away under it
    goes_on: bool = False  # where its parent ends, and nothing else does: it stands on the parent's level


@dataclass(slots=True)
class Sums:
    """Of a branch's own tokens."""

    seen: int = 0
    tokens: int = 0  # drawn or forced
    drawn: int = 0
    bits: float = 0.0  # surprisal of the drawn ones

    @property
    def perplexity(self) -> float | None:
        """exp of the mean raw surprisal in nats of the drawn tokens; None of none."""
        return math.exp(min(self.bits * LN2 / self.drawn, 60.0)) if self.drawn else None


class Branches:
    """The list of one tree. Rows are those of `places`."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.places: list[Place] = []
        self.total = 0  # with those that are folded away
        self.line: set[int] = set()  # the branches that the path goes through
        self._index: dict[int, int] = {}
        self._folded: dict[int, bool] = {}  # as a person said
        self._sums: dict[int, Sums] = {}
        self._key: tuple[int, int, int] | None = None
        self._changes = 0

    def refresh(self) -> None:
        """Bring the order up to date, if a branch came or went or another one is stood on."""
        tree = self.tree
        key = (tree.moves, len(tree.branches), self._changes)
        if key == self._key:
            return
        self._key = key
        self.line = tree.line()
        children: dict[int, list[int]] = {}
        listed = tree.listed()
        self.total = len(listed)
        for number in listed:
            if (parent := tree.branches[number].parent) is not None:
                children.setdefault(parent, []).append(number)
        self.places, todo = [], [Place(0, 0, (), True, 0)]
        while todo:
            place = todo.pop()
            below = children.get(place.number, [])
            if below and self.is_folded(place.number):
                place = replace(place, below=self._count(place.number, children))
                below = []
            self.places.append(place)
            if len(below) == 1 and tree.branches[below[0]].fork == tree.branches[place.number].length:
                todo.append(replace(place, number=below[0], goes_on=True))
                continue
            rails = (*place.rails, not place.last)[-LEVELS:] if place.depth else ()
            todo += [Place(each, place.depth + 1, rails, each == below[-1], 0) for each in reversed(below)]
        self._index = {place.number: row for row, place in enumerate(self.places)}

    def row_of(self, number: int) -> int:
        """The row of a branch, or of the one it is folded into."""
        at: int | None = number
        while at is not None:
            if at in self._index:
                return self._index[at]
            at = self.tree.branches[at].parent
        return 0

    def is_folded(self, number: int) -> bool:
        """Whether what grew from the branch is left out of the list."""
        far = len(self.tree.branches) > FOLD_FROM and number not in self.line
        return self._folded.get(number, far)

    def fold(self, number: int) -> bool:
        """Fold or unfold; False where nothing grew from the branch."""
        if not any(branch.parent == number for branch in self.tree.branches):
            return False
        self._folded[number] = not self.is_folded(number)
        self._changes += 1
        return True

    def changed(self) -> None:
        """Something was hidden or shown again."""
        self._changes += 1

    def sums(self, number: int) -> Sums:
        """Sums over the branch's own tokens; only what came since the last call is added."""
        own, sums = self.tree.branches[number].own, self._sums.setdefault(number, Sums())
        for at in range(sums.seen, len(own)):
            if own.kinds[at] != PROMPT:
                sums.tokens += 1
            if own.kinds[at] == DRAWN:
                sums.drawn += 1
                sums.bits += own.surprisal[at]
        sums.seen = len(own)
        return sums

    def place_in_reply(self, branch: Branch) -> int:
        """Where the branch leaves its parent: the token of the reply, from 1."""
        stop, at = branch.fork, branch.parent
        while at is not None:
            parent = self.tree.branches[at]
            given = parent.own.kinds.rfind(PROMPT, 0, stop - parent.fork)
            if given >= 0:
                return branch.fork - (parent.fork + given)
            stop, at = parent.fork, parent.parent
        return branch.fork + 1

    def _count(self, number: int, children: dict[int, list[int]]) -> int:
        todo, count = list(children.get(number, [])), 0
        while todo:
            count += 1
            todo += children.get(todo.pop(), [])
        return count
