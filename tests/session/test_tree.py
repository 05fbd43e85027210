"""The token tree: no choice destroys another."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tinychat.engine.trace import Step
from tinychat.session.tree import DRAWN, PROMPT, Tree, Versions


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
    assert tree.sibling(-1)
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
        st.tuples(st.just("sibling"), st.sampled_from([-1, 1])),
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
            getattr(tree, name)(*([value] if name == "sibling" else []))
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


def test_versions_are_the_siblings_of_the_nearest_fork_and_the_way_back_is_kept() -> None:
    tree = grown(1, 2, 3, 4, 5)  # branch 0
    tree.rewind(1)
    for token in (7, 8, 9):
        tree.append(token, kind=DRAWN)  # 1 | 7 8 9
    tree.rewind(3)
    tree.append(6, kind=DRAWN)  # 1 | 7 8 | 6
    assert tree.versions() == Versions(fork=3, numbers=(1, 2), at=1)
    assert tree.versions(2) == Versions(fork=1, numbers=(0, 1), at=1)
    assert tree.versions(0) == Versions(fork=1, numbers=(0, 1), at=1), "none before it: the next one"
    assert tree.sibling(1) == Versions(fork=3, numbers=(1, 2), at=0)
    assert list(tree.path.ids) == [1, 7, 8, 9]
    tree.sibling(1)
    tree.sibling(1, 2)
    assert list(tree.path.ids) == [1, 2, 3, 4, 5]
    tree.sibling(1, 2)
    assert list(tree.path.ids) == [1, 7, 8, 6], "where we last were in that version"


def test_a_path_without_a_fork_has_no_versions_and_hidden_ones_are_passed_over() -> None:
    tree = grown(1, 2, 3)
    assert tree.versions() is None
    assert tree.sibling(1) is None
    for token in (7, 8):
        tree.rewind(1)
        tree.append(token, kind=DRAWN)
    assert tree.versions() == Versions(fork=1, numbers=(0, 1, 2), at=2)
    tree.branches[1].hidden = True
    assert tree.versions() == Versions(fork=1, numbers=(0, 2), at=1)
    tree.branches[2].hidden = True
    assert tree.versions() == Versions(fork=1, numbers=(0, 2), at=1), "where we stand is never passed over"


def test_what_grew_from_a_hidden_branch_is_hidden_with_it() -> None:
    tree = grown(1, 2, 3)
    tree.rewind(1)
    tree.append(4, kind=DRAWN)
    tree.append(5, kind=DRAWN)
    tree.rewind(2)
    tree.append(6, kind=DRAWN)
    tree.branches[1].hidden = True
    assert tree.hidden() == {1, 2}


def test_a_branch_that_goes_on_has_not_ended() -> None:
    tree = grown(1)
    tree.branch.stop = "limit"
    tree.append(2, kind=DRAWN)
    assert tree.branch.stop == ""


@given(MOVES, st.integers(0, 12))
def test_going_round_the_versions_comes_back_to_where_it_began(moves: list[tuple[str, object]], position: int) -> None:
    tree = Tree()
    for name, value in moves:
        if name == "append":
            tree.append(value, kind=DRAWN)  # type: ignore[arg-type]
        elif name == "rewind":
            tree.rewind(int(value * len(tree)))  # type: ignore[operator]
        elif name != "give":
            getattr(tree, name)(*([value] if name == "sibling" else []))
    versions = tree.versions(position)
    if versions is None or not len(tree.branch.own):
        return
    began, ids = tree.current, list(tree.path.ids)
    seen = set()
    for _ in versions.numbers:
        found = tree.sibling(1, versions.fork)
        assert found is not None
        assert list(tree.path.ids[: versions.fork]) == ids[: versions.fork]
        seen.add(tree.current)
    assert len(seen) == len(versions.numbers)
    assert tree.current == began


@given(st.lists(MOVES, min_size=1, max_size=6))
def test_what_the_path_shares_with_an_earlier_one_is_known(stages: list[list[tuple[str, object]]]) -> None:
    tree = Tree()
    seen = [(tree.moves, list(tree.path.ids))]
    for moves in stages:
        for name, value in moves:
            if name == "append":
                tree.append(value, kind=DRAWN)  # type: ignore[arg-type]
            elif name == "rewind":
                tree.rewind(int(value * len(tree)))  # type: ignore[operator]
            else:
                getattr(tree, name)(*([value] if name in ("sibling", "give") else []))
        for since, ids in seen:
            shared = tree.shared_since(since)
            if since == tree.moves:
                assert shared == len(tree)
            else:
                both = min(shared, len(ids))  # it may have grown before it was left
                assert list(tree.path.ids[:both]) == ids[:both]
        seen.append((tree.moves, list(tree.path.ids)))


def test_a_rewind_and_its_undo_share_all_up_to_the_fork() -> None:
    tree = grown(*range(50))
    tree.rewind(40)
    tree.append(99, kind=DRAWN)
    assert tree.shared_since(tree.moves - 1) == 40
    tree.undo()
    assert tree.shared_since(tree.moves - 1) == 40
    assert tree.shared_since(tree.moves - 2) == 40
    assert tree.shared_since(-1) == 0
    tree.moves += 5  # a screen was told to take it for another one
    assert tree.shared_since(tree.moves - 6) == 0
