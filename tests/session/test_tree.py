"""The token tree: no choice destroys another."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tinychat.engine.trace import Step
from tinychat.session.tree import DRAWN, PROMPT, Tree


def grown(*tokens: int) -> Tree:
    tree = Tree()
    for token in tokens:
        tree.append(token, kind=DRAWN)
    return tree


def test_rewinding_keeps_the_old_tail_as_a_branch() -> None:
    tree = grown(1, 2, 3, 4)
    assert tree.rewind(2)
    tree.append(9, kind=DRAWN)
    assert list(tree.path.ids) == [1, 2, 9]
    assert tree.neighbour(-1)
    assert list(tree.path.ids) == [1, 2, 3, 4]


def test_undo_and_redo_are_moves_and_lose_nothing() -> None:
    tree = grown(1, 2, 3)
    tree.rewind(1)
    tree.append(7, kind=DRAWN)
    assert tree.undo()
    assert list(tree.path.ids) == [1, 2, 3]
    assert tree.redo()
    assert list(tree.path.ids) == [1, 7]
    assert not tree.redo()


def test_a_branch_of_a_branch_rewound_before_its_fork_hangs_on_the_right_parent() -> None:
    tree = grown(1, 2, 3, 4, 5)
    tree.rewind(4)
    tree.append(6, kind=DRAWN)
    tree.rewind(2)
    tree.append(8, kind=DRAWN)
    assert list(tree.path.ids) == [1, 2, 8]
    assert tree.branch.parent == 0
    assert tree.branch.fork == 2


def test_an_empty_branch_is_moved_and_not_left_behind() -> None:
    tree = grown(1, 2, 3, 4)
    tree.rewind(3)
    tree.rewind(1)
    assert len(tree.branches) == 2
    assert list(tree.path.ids) == [1]


def test_a_new_prompt_shares_what_it_has_in_common_with_the_old_one() -> None:
    tree = Tree()
    tree.give([0, 5, 6])
    tree.append(1, kind=DRAWN)
    tree.give([0, 5, 7])
    assert list(tree.path.ids) == [0, 5, 7]
    assert tree.branch.fork == 2
    assert tree.reply_start == 3
    tree.undo()
    assert list(tree.path.ids) == [0, 5, 6, 1]


def test_a_drawn_token_that_equals_the_prompt_is_not_mistaken_for_it() -> None:
    tree = Tree()
    tree.give([0, 5])
    tree.append(6, kind=DRAWN)
    tree.give([0, 5, 6])
    assert tree.path.kinds[2] == PROMPT


def test_the_record_of_a_step_comes_back_whole(make_step: Callable[..., Step]) -> None:
    tree = Tree()
    tree.append(3, kind=DRAWN, step=make_step(3, 0))
    step = tree.step(0)
    assert step is not None
    assert (step.token, step.u, step.low, step.high, step.odds.kept) == (3, 0.5, 0.25, 0.75, 280)


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 3)),
        st.tuples(st.just("rewind"), st.floats(0, 1)),
        st.tuples(st.just("give"), st.lists(st.integers(0, 3), max_size=5)),
        st.tuples(st.just("neighbour"), st.sampled_from([-1, 1])),
        st.tuples(st.sampled_from(["undo", "redo"]), st.none()),
    ),
    max_size=40,
)


@given(MOVES)
def test_whatever_was_on_the_path_can_be_reached_again(moves: list[tuple[str, object]]) -> None:
    tree, seen, model = Tree(), set(), []
    for name, value in moves:
        if name == "append":
            tree.append(value, kind=DRAWN)  # type: ignore[arg-type]
            model.append(value)
        elif name == "rewind":
            length = int(value * len(tree))  # type: ignore[operator]
            tree.rewind(length)
            model = model[:length]
        elif name == "give":
            tree.give(value)  # type: ignore[arg-type]
            model = list(value)  # type: ignore[call-overload]
        else:
            getattr(tree, name)(*([value] if name == "neighbour" else []))
            model = tree.ids_of(tree.current)
        assert list(tree.path.ids) == model == tree.ids_of(tree.current)
        columns = tree.path
        assert len(columns.kinds) == len(columns.prob) == len(columns.packed) == len(columns.setting) == len(tree)
        seen.add(tuple(model))
    reachable = {tuple(tree.ids_of(branch.number)) for branch in tree.branches}
    prefixes = {path[:n] for path in reachable for n in range(len(path) + 1)}
    assert seen <= prefixes
    for branch in tree.branches:
        if branch.parent is not None:
            assert branch.fork <= tree.branches[branch.parent].length


@given(MOVES)
def test_undoing_every_move_leads_back_to_the_first_branch(moves: list[tuple[str, object]]) -> None:
    tree = Tree()
    for name, value in moves:
        if name == "append":
            tree.append(value, kind=DRAWN)  # type: ignore[arg-type]
        elif name == "rewind":
            tree.rewind(int(value * len(tree)))  # type: ignore[operator]
    while tree.undo():
        pass
    assert tree.current == 0
