"""The list of branches: order, folding, and numbers that are worked out once."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tinychat.engine.trace import Step
from tinychat.session.branches import FOLD_FROM, Branches
from tinychat.session.tree import DRAWN, FORCED, PROMPT, Tree


def grown(*tokens: int) -> Tree:
    tree = Tree()
    for token in tokens:
        tree.append(token, kind=DRAWN)
    return tree


def leave(tree: Tree, at: int, *tokens: int) -> int:
    """A branch that parts there."""
    tree.rewind(at)
    for token in tokens:
        tree.append(token, kind=DRAWN)
    return tree.current


def shown(branches: Branches) -> list[tuple[int, int, int]]:
    branches.refresh()
    return [(place.number, place.depth, place.below) for place in branches.places]


def test_a_branch_stands_under_the_one_it_left_and_siblings_in_order_of_age() -> None:
    tree = grown(1, 2, 3, 4)
    leave(tree, 2, 5, 6)
    leave(tree, 3, 7)
    leave(tree, 1, 8)
    branches = Branches(tree)
    assert shown(branches) == [(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 1, 0)]
    assert [place.last for place in branches.places] == [True, False, True, True]
    assert branches.line == {0, 3}


def test_a_fold_hides_what_grew_and_counts_it() -> None:
    tree = grown(1, 2, 3, 4)
    leave(tree, 2, 5, 6)
    leave(tree, 3, 7)
    leave(tree, 1, 8)
    branches = Branches(tree)
    assert branches.fold(1)
    assert shown(branches) == [(0, 0, 0), (1, 1, 1), (3, 1, 0)]
    assert branches.row_of(2) == 1, "folded into its parent"
    assert branches.fold(1)
    assert len(shown(branches)) == 4
    assert not branches.fold(3)


def test_a_branch_that_goes_on_where_its_parent_ends_stands_on_the_same_level() -> None:
    tree = grown(1, 2, 3)
    leave(tree, 1, 4)
    tree.part()
    tree.append(5, kind=DRAWN)
    tree.part()
    tree.append(6, kind=DRAWN)
    branches = Branches(tree)
    assert shown(branches) == [(0, 0, 0), (1, 1, 0), (2, 1, 0), (3, 1, 0)]
    assert [place.goes_on for place in branches.places] == [False, False, True, True]
    leave(tree, 3, 9)  # another one where the first two end
    assert shown(branches)[-3:] == [(2, 1, 0), (3, 2, 0), (4, 2, 0)]


def test_hidden_and_empty_branches_are_no_rows_unless_we_stand_on_them() -> None:
    tree = grown(1, 2, 3)
    one = leave(tree, 1, 5)
    two = leave(tree, 1, 6)
    tree.branches[one].hidden = True
    tree.rewind(1)
    empty = tree.current
    branches = Branches(tree)
    assert [number for number, *_ in shown(branches)] == [0, two, empty]
    tree.go(0)
    assert [number for number, *_ in shown(branches)] == [0, two]
    tree.go(one)
    assert [number for number, *_ in shown(branches)] == [0, one, two]


def test_of_very_many_only_the_way_to_where_we_stand_is_open() -> None:
    tree = grown(1, 2, 3, 4)
    for _ in range(FOLD_FROM):
        tree.go(0)
        leave(tree, 1, 5, 6)
        leave(tree, 2, 7)
    branches = Branches(tree)
    rows = shown(branches)
    assert len(rows) == FOLD_FROM + 2, "every branch of the first level, and the open one's own"
    assert {below for number, _, below in rows if number not in branches.line} == {1}


def test_perplexity_is_of_the_tokens_drawn_on_the_branch_and_follows_them(make_step: Callable[..., Step]) -> None:
    tree = Tree()
    tree.append(0, kind=PROMPT)
    for bits in (1.0, 3.0):
        tree.append(5, kind=DRAWN, step=make_step(5, len(tree), surprisal=bits))
    tree.append(6, kind=FORCED, step=make_step(6, len(tree), surprisal=50.0))
    branches = Branches(tree)
    sums = branches.sums(0)
    assert (sums.tokens, sums.drawn) == (3, 2)
    assert sums.perplexity == pytest.approx(math.exp(2.0 * math.log(2)))
    tree.append(5, kind=DRAWN, step=make_step(5, len(tree), surprisal=8.0))
    assert branches.sums(0).perplexity == pytest.approx(2 ** (12 / 3))
    leave(tree, 2)
    assert branches.sums(tree.current).perplexity is None


def test_a_place_is_counted_from_the_beginning_of_its_reply() -> None:
    tree = Tree()
    for kind in (PROMPT, PROMPT, DRAWN, DRAWN, PROMPT, DRAWN, DRAWN, DRAWN):
        tree.append(5, kind=kind)
    branches = Branches(tree)
    leave(tree, 7, 9)
    assert branches.place_in_reply(tree.branch) == 3
    leave(tree, 3, 9)
    assert branches.place_in_reply(tree.branch) == 2


def test_a_deep_chain_is_listed_without_growing_with_its_depth() -> None:
    tree = grown(1, 2)
    for _ in range(1100):  # deeper than Python calls itself
        leave(tree, len(tree) - 1, 4, 5)
    branches = Branches(tree)
    shown(branches)
    assert branches.places[-1].depth == len(tree.branches) - 1
    assert max(len(place.rails) for place in branches.places) < 10


def test_the_count_is_of_the_rows_with_those_that_are_folded() -> None:
    tree = grown(1, 2, 3)
    outer = leave(tree, 1, 5, 6)
    inner = leave(tree, 2, 7)
    tree.go(0)
    tree.rewind(1)  # an empty branch, on which we stand
    branches = Branches(tree)
    assert len(shown(branches)) == branches.total == len(tree.listed()) == 4
    branches.fold(outer)
    assert (len(shown(branches)), branches.total) == (3, 4)
    tree.branches[inner].hidden = True
    branches.changed()
    assert (len(shown(branches)), branches.total) == (3, 3)
