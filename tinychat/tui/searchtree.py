"""A growing search as lines to draw: shared beginnings once, the better way straight on, the others as branches of it.

A line is the best way on from where it parts from another; what leaves it hangs beneath it. Pure records, no widget.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tinychat.engine.search_tree import Done, Finished, Grown, Node, Pruned, SearchEvent
from tinychat.engine.trace import Step

ROOT = 0
CUT_OFF = ("stopped", "interrupted")  # reasons of ways that the person ended


@dataclass(frozen=True, slots=True)
class Line:
    """A part of a way, to be drawn in one row."""

    nodes: tuple[int, ...]
    place: int  # of its first token among those of its way, from 1
    branches: tuple[bool, ...]  # per level of the tree: whether more lines of that level follow


class Growth:
    """The nodes as the events leave them; ways that say the same are one, under the number of the first of them."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.children: dict[int, list[int]] = {ROOT: []}
        self.done: Done | None = None
        self.stopped = False  # by the person: nothing more comes
        self._told: dict[int, Node] = {}  # as the search has them
        self._shown_as: dict[int, int] = {ROOT: ROOT}
        self._alike: dict[int, list[int]] = {}

    def take(self, events: Iterable[SearchEvent]) -> None:
        """What happened next."""
        for event in events:
            match event:
                case Grown(node):
                    self._grow(node)
                case Pruned(node=number, reason=reason):
                    self._change(number, replace(self._told[number], state="pruned", reason=reason))
                case Finished(node=number, reason=reason, score=score):
                    self._change(number, replace(self._told[number], state="finished", reason=reason, score=score))
                case Done():
                    self.done = event

    def _grow(self, node: Node) -> None:
        parent = self._shown_as[node.parent]
        for each in self.children[parent]:
            if self.nodes[each].step.token == node.step.token:
                self._alike[each].append(node.id)
                break
        else:
            each = node.id
            self.children[parent].append(each)
            self.children[each], self._alike[each] = [], [each]
        self._shown_as[node.id] = each
        self._change(node.id, node)

    def _change(self, number: int, node: Node) -> None:
        """Of ways that are one the best is shown: a complete one before a live one, that before a pruned one."""
        self._told[number] = node
        shown = self._shown_as[number]
        best = self._told[self.member(shown)]
        self.nodes[shown] = replace(best, id=shown, parent=self._shown_as[best.parent])

    def member(self, shown: int) -> int:
        """The search's own number of the way to this node."""
        answer = None if self.done is None else self.done.best
        if answer in self._alike[shown]:
            return answer
        state = {"finished": 0, "live": 1, "pruned": 2}
        return min(self._alike[shown], key=lambda each: (state[self._told[each].state], -self._told[each].score))

    def times(self, shown: int) -> int:
        """How many ways end here, complete and alike."""
        return sum(self._told[each].state == "finished" for each in self._alike[shown])

    def steps(self, shown: int) -> list[Step]:
        """The records of one way to this node."""
        found, number = [], self.member(shown)
        while number != ROOT:
            found.append(self._told[number].step)
            number = self._told[number].parent
        return found[::-1]

    def stop(self) -> None:
        """The person has seen enough: what lives competes as it is."""
        self.stopped = True
        for number in self.leaves("live"):
            for each in self._alike[number]:
                if self._told[each].state == "live":
                    self._change(each, replace(self._told[each], state="finished", reason="stopped"))

    @property
    def over(self) -> bool:
        return self.done is not None or self.stopped

    def leaves(self, state: str) -> list[int]:
        """The last tokens of the ways in this state."""
        return [number for number, node in self.nodes.items() if node.state == state and not self.children[number]]

    def count(self, state: str) -> int:
        """How many ways are in this state, or were cut off; one that is complete may have another beyond it."""
        if state in ("finished", "cut off"):
            ends = [node for node in self._told.values() if node.state == "finished"]
            return sum((node.reason in CUT_OFF) == (state == "cut off") for node in ends)
        return len(self.leaves(state))

    @property
    def best(self) -> int | None:
        """The way to answer with; while it grows the best so far, complete ones first."""
        if self.done is not None:
            return None if self.done.best is None else self._shown_as[self.done.best]
        ways = [number for number, node in self.nodes.items() if node.state == "finished"] or self.leaves("live")
        return max(ways, key=lambda number: self.nodes[number].score, default=None)

    def path(self, number: int) -> list[int]:
        """The nodes from the first token to this one."""
        found = []
        while number != ROOT:
            found.append(number)
            number = self.nodes[number].parent
        return found[::-1]

    def lines(self, *, pruned: bool) -> list[Line]:
        """The rows of the tree, from the top; without `pruned`, what was given up is left out."""
        worth = self._worths()
        best = self.best

        def further(number: int) -> list[int]:
            """The ways on from here, the best first."""
            ways = [each for each in self.children[number] if pruned or worth[each][0] > 0]
            return sorted(ways, key=lambda each: (worth[each], -each), reverse=True)

        if best is not None:
            for number in self.path(best):
                worth[number] = (3, 0.0)
        found: list[Line] = []
        waiting: list[tuple[int, int, tuple[bool, ...]]] = [(first, 1, ()) for first in reversed(further(ROOT))]
        while waiting:
            first, place, branches = waiting.pop()
            nodes, beside = [first], list[tuple[int, int]]()
            while ways := further(nodes[-1]):
                beside += [(each, place + len(nodes)) for each in ways[1:]]
                nodes.append(ways[0])
            found.append(Line(tuple(nodes), place, branches))
            beside.sort(key=lambda each: (worth[each[0]], -each[1]))
            waiting += [(each, at, (*branches, index > 0)) for index, (each, at) in enumerate(beside)]
        return found

    def _worths(self) -> dict[int, tuple[int, float]]:
        """Per node how good the best way through it is: complete or live before given up, then by score."""
        worth: dict[int, tuple[int, float]] = {}
        for number in reversed(self.nodes):  # children come after their parents
            node = self.nodes[number]
            own = (0 if node.state == "pruned" else 1, node.score)
            below = [worth[each] for each in self.children[number]]
            worth[number] = max(below if below and node.state == "live" else [own, *below])
        return worth


def step_over(lines: list[Line], number: int, delta: int) -> int:
    """The last token of the line above or below the one that holds this node."""
    at = next((index for index, line in enumerate(lines) if number in line.nodes), 0)
    return lines[min(max(at + delta, 0), len(lines) - 1)].nodes[-1] if lines else number


def ways_on(growth: Growth, lines: list[Line], number: int) -> Iterator[int]:
    """The token after this one on its own line, if there is one."""
    for line in lines:
        if number in line.nodes[:-1]:
            yield line.nodes[line.nodes.index(number) + 1]
