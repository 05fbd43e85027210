"""A search as lines: the best way straight on, what leaves it beneath it, ways that say the same drawn once."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from tinychat.engine.search_tree import SearchEvent, Tree
from tinychat.engine.trace import Step
from tinychat.tui.searchoptions import Options
from tinychat.tui.searchtree import Growth, step_over


class Grower:
    """A tree and what a screen makes of it."""

    def __init__(self, step: Step) -> None:
        self.tree, self.growth, self.base = Tree(), Growth(), step

    def grow(self, parent: int, token: int, score: float, *, lane: int = 0) -> int:
        event = self.tree.grow(parent, replace(self.base, token=token, lane=lane), score=score, logprob=score)
        self.growth.take([event])
        return event.node.id

    def tell(self, *events: SearchEvent) -> None:
        self.growth.take(events)

    def drawn(self, *, pruned: bool = True) -> list[tuple[list[int], int, tuple[bool, ...]]]:
        """Tokens, place and branches of each line."""
        nodes = self.growth.nodes
        return [([nodes[n].step.token for n in line.nodes], line.place, line.branches)
                for line in self.growth.lines(pruned=pruned)]  # fmt: skip


@pytest.fixture
def grower(moon: Any) -> Grower:
    return Grower(moon.step)


def test_the_best_way_goes_straight_on(grower: Grower) -> None:
    a = grower.grow(0, 10, -1.0)
    b = grower.grow(a, 11, -2.0)
    c = grower.grow(a, 12, -1.5)
    d = grower.grow(c, 13, -3.0)
    e = grower.grow(c, 14, -2.5)
    f = grower.grow(0, 15, -9.0)
    grower.tell(grower.tree.prune(f))
    assert grower.drawn() == [
        ([10, 11], 1, ()), ([12, 14], 2, (False,)), ([13], 3, (False, False)), ([15], 1, ()),
    ]  # fmt: skip
    grower.tell(grower.tree.prune(b), grower.tree.finish(e, "end"))
    assert grower.drawn() == [([10, 12, 14], 1, ()), ([13], 3, (True,)), ([11], 2, (False,)), ([15], 1, ())]
    assert grower.drawn(pruned=False) == [([10, 12, 14], 1, ()), ([13], 3, (False,))]
    assert grower.growth.best == e
    lines = grower.growth.lines(pruned=True)
    assert step_over(lines, c, 1) == d
    assert step_over(lines, d, -1) == e
    assert step_over(lines, e, -5) == e


def test_ways_that_say_the_same_are_one(grower: Grower) -> None:
    first = [grower.grow(0, 10, -1.0, lane=lane) for lane in range(3)]
    second = [grower.grow(first[lane], token, -2.0, lane=lane) for lane, token in enumerate((20, 20, 21))]
    assert grower.drawn() == [([10, 20], 1, ()), ([21], 2, (False,))]
    done = grower.tree.done
    grower.tell(*(grower.tree.finish(each, "end") for each in second))
    grower.tell(done("complete", calls=1, passes=1, best=second[1]))
    growth = grower.growth
    assert growth.best == second[0]
    assert growth.member(second[0]) == second[1]
    assert [step.lane for step in growth.steps(second[0])] == [1, 1]  # of one way, the one that is answered with
    assert growth.times(second[0]) == 2
    assert growth.count("finished") == 3


def test_one_that_lives_is_seen_where_its_like_was_given_up(grower: Grower) -> None:
    a, b = grower.grow(0, 10, -1.0), grower.grow(0, 10, -1.0)
    grower.tell(grower.tree.prune(a))
    assert grower.growth.nodes[a].state == "live"
    grower.tell(grower.tree.prune(b))
    assert grower.growth.nodes[a].state == "pruned"


def test_stopping_makes_what_lives_compete(grower: Grower) -> None:
    a = grower.grow(0, 10, -1.0)
    b = grower.grow(0, 11, -0.5)
    grower.growth.stop()
    assert grower.growth.best == b
    assert {grower.growth.nodes[each].reason for each in (a, b)} == {"stopped"}
    assert grower.growth.over


def test_every_leaf_has_one_line_and_every_node_is_in_one(grower: Grower) -> None:
    dice = random.Random(4)
    for token in range(3000):
        grower.grow(dice.randint(max(0, token - 40), token), token, -token / 10)
    lines = grower.growth.lines(pruned=True)
    assert sorted(number for line in lines for number in line.nodes) == sorted(grower.growth.nodes)
    assert len(lines) == len(grower.growth.leaves("live"))


def test_options_turn_within_what_can_be() -> None:
    options = Options()
    while options.method != "diverse":
        options.turn_method(1)
    assert options.picked == "width"
    options.nudge(1)
    assert options.spec.width == 6  # two groups share it evenly: 5 is passed over
    options.read("length-rule power")
    assert "length_alpha" in options.names
    options.read("sum")
    assert "length_alpha" not in options.names
    options.read("best-first")
    with pytest.raises(ValueError, match="does not read groups"):
        options.read("groups 3")
    with pytest.raises(ValueError, match="whole number"):
        options.read("width 0.5")
    options.read("12")
    assert options.spec.width == 12
    options.reset()
    assert options.spec.width == 4
    for _ in range(40):
        options.nudge(-1, coarse=True)
    assert options.spec.width == 1
