"""Walking over branches: versions, the list, names, and what is hidden."""

from __future__ import annotations

import random

import pytest

from tinychat.session.transcript import pieces
from tinychat.session.tree import DRAWN
from tinychat.tui.widgets.tree import TreeView


async def three_branches(play) -> list[list[int]]:
    """A reply of 12, and two that part from it at its tokens 9 and 10; the ids of each."""
    await play.run_some()
    await play.press("space")
    paths = [list(play.player.session.tree.path.ids)]
    for lefts, digit in ((3, "3"), (1, "2")):
        await play.press(*["left"] * lefts, digit)
        paths.append(list(play.player.session.tree.path.ids))
        await play.press("full_stop")
    return paths


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_list_shows_every_branch_and_enter_goes_to_one(start, size) -> None:
    async with start(size=size) as play:
        await three_branches(play)
        tree = play.player.session.tree
        await play.press("t")
        assert "6 " in play.text()
        assert "*2" in play.text()
        here = tree.current
        await play.press("up", "up", "up", "enter")
        assert tree.current == 0
        assert play.screen.stream.count == len(tree)
        assert play.decoder.ids == list(tree.path.ids)
        await play.press("u")
        assert tree.current == here


async def test_brackets_walk_the_versions_at_the_cursor(start) -> None:
    async with start() as play:
        await three_branches(play)
        tree = play.player.session.tree
        assert tree.current == 2
        await play.press("left_square_bracket")
        assert "version 1 of 2" in play.text()
        assert tree.current == 1
        await play.press("right_square_bracket")
        assert tree.current == 2
        play.screen.stream.cursor = tree.branches[1].fork
        await play.press("right_square_bracket")
        assert tree.current == 0
        assert play.screen.position == tree.branches[1].fork, "the same key walks on over the same versions"
        await play.press("right_square_bracket")
        assert tree.current == 2, "where we were in that version"


async def test_a_text_without_other_versions_says_so(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "right_square_bracket")
        assert "one version only" in play.text()


async def test_a_branch_gets_a_name_and_can_be_hidden_without_being_deleted(start) -> None:
    async with start() as play:
        await three_branches(play)
        tree = play.player.session.tree
        play.screen._perform("label warm")
        assert tree.branch.label == "warm"
        await play.press("t", "up", "H")
        assert not tree.hidden(), "the text in hand grows from it"
        await play.press("up", "enter", "down", "H")
        assert tree.hidden() == {1, 2}
        assert "warm" not in play.text()
        play.screen._perform("unhide")
        await play.settle()
        assert not tree.hidden()
        assert "warm" in play.text()


async def test_a_click_goes_to_a_branch_and_folding_keeps_it(start) -> None:
    async with start() as play:
        await three_branches(play)
        tree = play.player.session.tree
        await play.press("t")
        play.screen.tree_view.post_message(TreeView.Chosen(play.screen.tree_view, 0))
        await play.settle()
        assert tree.current == 0
        await play.press("z")
        assert "+2" in play.text()
        await play.press("z")
        assert "+2" not in play.text()


async def test_a_regenerated_reply_in_the_middle_of_a_chat_keeps_what_followed(start, tokenizer) -> None:
    end = tokenizer.specials["<|end|>"]
    async with start(prompt="", chat=True, answers=[40, 41, end, 50, 51, end, 60, 61, end]) as play:
        for text in ("hi", "ho"):
            play.screen.prompt_box.load_text(text)
            await play.press("enter")
            await play.draw(3)
        session = play.player.session
        old = list(session.tree.path.ids)
        first = next(turn for turn in session.turns() if turn.role == "assistant")
        await play.press("escape")
        play.screen.stream.cursor = first.body + 2
        await play.press("left")
        assert "Token 2 of 3" in play.text(), "any token of an old turn opens"
        assert session.tree.step(first.body + 1).token == 41
        await play.press("ctrl+r")
        await play.draw(3)
        assert list(session.tree.path.ids) == [*old[: first.body], 60, 61, end]
        await play.press("left_square_bracket")
        assert list(session.tree.path.ids) == old


async def test_a_small_screen_says_that_the_list_has_no_room(start) -> None:
    async with start(size=(60, 20)) as play:
        await play.run_some(3)
        await play.press("space", "t")
        assert "needs 80 x 24" in play.text()
        assert play.screen.tab != "tree"
        await play.press("E")
        assert "words about a token need 80 x 24" in play.text()
        assert play.screen.tab != "why"


async def test_undo_takes_a_message_back(start, tokenizer) -> None:
    end = tokenizer.specials["<|end|>"]
    async with start(prompt="", chat=True, answers=[40, end, 50, end]) as play:
        for text in ("hi", "ho"):
            play.screen.prompt_box.load_text(text)
            await play.press("enter")
            await play.draw(2)
        session = play.player.session
        play.screen.prompt_box.load_text("/undo")
        await play.press("enter")
        assert [turn.role for turn in session.turns()] == ["user", "assistant"]
        assert play.decoder.ids == list(session.tree.path.ids)


async def test_the_stream_shows_the_path_whatever_moves_were_made(start) -> None:
    dice = random.Random(6)
    async with start() as play:
        await play.run_some(12)
        play.player.pause()
        await play.settle()
        session, stream = play.player.session, play.screen.stream
        for _ in range(60):
            for _ in range(dice.randint(1, 3)):  # several moves may come between two paints
                move = dice.choice(["rewind", "undo", "redo", "sibling", "append"])
                if move == "rewind":
                    session.rewind(dice.randint(0, len(session.tree)))
                elif move == "append":
                    for token in dice.choices(range(6, 290), k=dice.randint(1, 5)):
                        session.tree.append(token, kind=DRAWN, setting=0)
                elif move == "sibling":
                    session.tree.sibling(dice.choice([-1, 1]))
                else:
                    getattr(session.tree, move)()
            play.screen.paint_stream()
            assert [stream.token(i).text for i in range(stream.count)] == pieces(session)


async def test_the_status_counts_what_the_list_shows(start) -> None:
    async with start(size=(200, 60)) as play:
        await three_branches(play)
        for keys, count in (
            (("t",), 3),
            (("left", "left", "backspace"), 4),
            (("u",), 3),
            (("t", "t"), 3),
            (("up", "up", "enter"), 3),
            (("t", "t", "down", "down", "H"), 2),
        ):
            await play.press(*keys)
            text = play.text()
            assert f"branch {play.player.session.tree.current}, {count} in all" in text, keys
            assert f"parts ({count})" in text or f"token ({count})" in text, keys


async def test_a_text_that_has_ended_says_so_whenever_one_comes_back_to_it(start, tokenizer) -> None:
    async with start(answers=[40, 41, *tokenizer.end_ids, 42, 43]) as play:
        await play.run_some(3)
        await play.press("space", "left", "left", "backspace")
        assert "ENDED" not in play.text()
        await play.press("u")
        assert "ENDED" in play.text()
