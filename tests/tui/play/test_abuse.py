"""What must not hurt: dead engines, hostile text, values out of range, keys quicker than the screen."""

from __future__ import annotations

import asyncio

import pytest
from textual import events

from tinychat.engine.wire import Answer, Ask, Run, SetContext
from tinychat.tui.views.score import ScoreView


async def test_an_engine_that_failed_is_told_and_the_screen_stays(start) -> None:
    async with start() as play:
        play.decoder.state = "failed"
        play.decoder.frame(error=("The engine died.", "Open it again."))
        await play.settle()
        assert "The engine died." in play.text()
        await play.press("i", "x")
        assert "x" in play.screen.prompt_box.text


@pytest.mark.parametrize(("keys", "kept"), [(["space"], True), (["full_stop"], True), (["i", "enter"], False)])
async def test_a_dead_engine_is_started_again_and_goes_on(start, tokenizer, scripted, keys, kept) -> None:
    born = []

    def restart():
        born.append(scripted(tokenizer))
        return born[-1]

    async with start(restart=restart) as play:
        await play.run_some(5)
        await play.press("space")
        path = play.player.session.tree.path
        text = list(path.ids) if kept else list(path.ids[: play.player.session.reply_start])  # Enter begins anew
        play.decoder.alive, play.decoder.state = False, "failed"
        play.decoder.frame(error=("The engine died.", ""))
        await play.settle()
        assert "Space starts the engine again" in play.text()
        await play.press(*keys)
        (decoder,) = born
        decoder.draw(1)
        await play.settle()
        assert play.decoder.closed
        assert "FAILED" not in play.text()
        assert list(play.player.session.tree.path.ids) == decoder.ids
        assert decoder.ids[:-1] == text
        assert decoder.params == play.player.session.params


async def test_a_model_that_could_not_be_opened_is_opened_again_by_the_same_engine(start) -> None:
    async with start() as play:
        play.decoder.state = "failed"
        play.decoder.frame(error=("No such file.", ""))
        await play.settle()
        await play.press("enter")
        await play.draw(3)
        assert play.player.session.reply_length == 3


HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202eevil [bold]x[/bold] \x9b2J \u200b"


async def test_hostile_text_reaches_no_cell_raw(start, tokenizer) -> None:
    answers = tokenizer.encode(HOSTILE)
    async with start(prompt=HOSTILE, answers=answers, size=(200, 60)) as play:
        await play.press("enter")
        await play.draw(len(answers))
        await play.press("space", "left", "left")
        text = play.text()
        assert "[bold]x[/bold]" in text
        stream = play.screen.stream
        shown = text + "".join(stream.token(i).text for i in range(stream.count))
        # the prompt box is Textual's own: it draws no control characters either
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u200b"} & set(shown)


@pytest.mark.parametrize(
    ("line", "answer"),
    [("rate nan", "at least 0"), ("rate -1", "at least 0"), ("bias 999999=1", "token id from 0 to"),
     ("max 0", "at least 1"), ("seed -1", "2**64"), ("order x", "order must be"), ("t", "must be a number"),
     ("preset x", "no preset 'x'")],
)  # fmt: skip
async def test_a_value_out_of_range_is_told_and_changes_nothing(start, line, answer) -> None:
    async with start(editing=False) as play:
        before, rate = play.player.session.params, play.player.rate
        play.screen._perform(line)
        await play.settle()
        assert answer in play.text()
        assert (play.player.session.params, play.player.rate) == (before, rate)


async def test_a_text_longer_than_the_context_is_never_run(start) -> None:
    async with start(prompt="the cat " * 200) as play:
        await play.press("enter")
        assert "TOO LONG" in play.text()
        assert "RUNNING" not in play.text()
        await play.press("space", "full_stop")
        assert not any(isinstance(command, Run) for command in play.decoder.sent)
        assert not any(isinstance(c, SetContext) and len(c.ids) > 256 for c in play.decoder.sent)
        await play.press("ctrl+n")
        assert "TOO LONG" not in play.text()


async def test_keys_that_come_in_one_bunch_reach_the_box_that_the_first_one_opened(start) -> None:
    async with start(prompt="", editing=False) as play:
        for key in ("colon", "t", "space", "2", "enter"):
            play.app.post_message(events.Key(key, {"colon": ":", "space": " ", "enter": "\r"}.get(key, key)))
        await play.settle()
        assert play.player.session.params.temperature == 2
        assert "T 2.00, from the next token on" in play.text()
        for character in "imom":
            play.app.post_message(events.Key(character, character))
        await play.settle()
        assert play.screen.prompt_box.text == "mom"


@pytest.mark.parametrize(("key", "kind"), [("N", "fan"), ("slash", "survey"), ("p", "score"), ("b", "search")])
async def test_a_view_that_is_left_hears_nothing_more(start, key: str, kind: str) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", key)
        view = play.app.screen
        if kind == "search":
            await play.press("enter")
        assert view is not play.screen
        asked = [seq for seq, each in enumerate(play.decoder.sent, 1) if isinstance(each, Ask) and each.kind == kind]
        view.dismiss(None)
        view.dismiss(None)  # what else came in that burst of keys
        for _ in range(50):
            play.decoder.frame(answers=tuple(Answer(kind=kind, seq=seq, values={"stops": {}}) for seq in asked))
            play.screen.tick()
            await asyncio.sleep(0)
        await play.settle()
        assert play.app.screen is play.screen
        assert asked


async def test_a_view_that_is_left_asks_nothing_more(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "p")
        view = play.app.screen
        assert isinstance(view, ScoreView)
        view.dismiss(None)
        sent = len(play.decoder.sent)
        view.action_home()
        view.action_end()
        assert not [each for each in play.decoder.sent[sent:] if isinstance(each, Ask)]
        await play.settle()
