"""Breakpoints, watched tokens, charts and scores, by keys on the play screen."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinychat.engine.breaks import Condition, Met
from tinychat.engine.packing import pack_odds
from tinychat.engine.totals import COLUMNS, Score
from tinychat.engine.wire import Answer, Ask, Drop, Run, SetBreaks, SetContext, SetWatch
from tinychat.errors import StorageError
from tinychat.session.records import Store
from tinychat.text.terminal import clean
from tinychat.tui import inspecting
from tinychat.tui.palette import Look
from tinychat.tui.views.breaks import BreaksScreen
from tinychat.tui.views.score import ScoreView
from tinychat.tui.widgets.prompt import PromptBox

SIZES = [(80, 24), (120, 40), (200, 60)]


def last(play: Any, kind: type) -> Any:
    return [command for command in play.decoder.sent if isinstance(command, kind)][-1]


async def type_line(play: Any, line: str) -> None:
    """A line behind the colon, pasted: keys take their time."""
    await play.pilot.press("colon")
    play.screen.command_box.value = line
    await play.press("enter")


async def meet(play: Any) -> None:
    """The decoder stops at a breakpoint behind two more tokens."""
    decoder = play.decoder
    steps = tuple(decoder.chosen(decoder.next_token()) for _ in range(2))
    decoder.state, decoder.stop = "paused", "break"
    decoder.frame(steps=steps, met=(Met(Condition("entropy", 2.5), steps[-1].position, 3.0),))
    await play.settle()


@pytest.mark.parametrize("size", SIZES)
async def test_a_breakpoint_is_switched_on_met_and_left(start, size) -> None:
    async with start(size=size) as play:
        await play.run_some(4)
        await play.press("B")
        assert isinstance(play.app.screen, BreaksScreen)
        await play.press("enter", *"2.5", "enter", "down", "space", "escape")
        assert last(play, SetBreaks).conditions == (Condition("entropy", 2.5), Condition("prob", 0.01))
        assert play.player.running  # looking at the list stops nothing
        await meet(play)
        assert play.screen.stream.cursor == len(play.player.session.tree) - 1
        assert "stopped: entropy 3.00 > 2.5 bit" in play.text()
        await play.press("space")
        assert play.player.met == ()
        assert isinstance(play.decoder.sent[-1], Run)
        assert play.screen.stream.cursor is None


async def test_breakpoints_are_typed_too_and_shown_in_the_title(start) -> None:
    async with start(editing=False) as play:
        await type_line(play, "break p<1%")
        await type_line(play, 'break text "moon"')
        assert last(play, SetBreaks).conditions == (Condition("prob", 0.01), Condition("text", text="moon"))
        assert 'B break p<1%, "moon"' in play.text()
        await type_line(play, "break moon>1")
        assert "there is no breakpoint" in play.text()
        await type_line(play, "break off")
        assert last(play, SetBreaks).conditions == ()


async def test_a_value_that_cannot_be_is_told_and_changes_nothing(start) -> None:
    async with start(editing=False) as play:
        await play.press("B", "down", "enter", *"200", "enter")
        assert "at most 1" in play.text()
        assert not [command for command in play.decoder.sent if isinstance(command, SetBreaks)]
        await play.press("enter", "escape")  # out of the value, not out of the list
        assert isinstance(play.app.screen, BreaksScreen)


@pytest.mark.parametrize("size", SIZES)
async def test_a_candidate_is_watched_and_watched_no_more(start, size) -> None:
    async with start(size=size, look=Look("ascii", "none")) as play:
        await play.run_some(6)
        await play.press("space", "left", "down", "W")
        token = last(play, SetWatch).ids[0]
        step = play.screen.step_here()
        assert token == step.odds.candidates[play.screen.selected_row(step)].token
        assert "final" in play.text()
        assert "7 Entropy" in play.text()
        await play.press("W")
        assert last(play, SetWatch).ids == ()


async def test_a_text_is_watched_by_its_first_token(start) -> None:
    async with start(editing=False) as play:
        await type_line(play, "watch <|endoftext|>")
        tokenizer = play.player.session.tokenizer
        assert last(play, SetWatch).ids == (tokenizer.end_of_text,)
        await type_line(play, "watch zzz")
        assert last(play, SetWatch).ids == (tokenizer.end_of_text, tokenizer.encode("zzz")[0])
        assert "the first of them" in play.text()


async def test_what_is_set_holds_in_an_engine_that_starts_again(start, scripted, tokenizer) -> None:
    async with start(editing=False) as play:
        await type_line(play, "break rank>1")
        await type_line(play, "watch a")
        again = scripted(tokenizer)
        play.player.reopen(again)
        kinds = [type(command) for command in again.sent]
        assert SetBreaks in kinds
        assert SetWatch in kinds


@pytest.mark.parametrize("size", SIZES)
async def test_the_chart_changes_by_key_and_by_name(start, size) -> None:
    async with start(size=size) as play:
        await play.run_some(6)
        await play.press("space", "left", "d")
        if size == (80, 24):  # the first press brings the panel into sight
            assert play.screen.tab == "entropy"
        assert "7 Surprisal, bit  raw 1.30 > final 1.18" in play.text()
        await type_line(play, "chart varentropy")
        assert "raw 1.00" in play.text()
        await type_line(play, "chart moon")
        assert "chart is one of" in play.text()


def scored(ids: list[int], *, first: int = 1, stop: int | None = None, seq: int) -> Answer:
    size = (stop or len(ids)) - first
    places = np.arange(first, first + size)
    values = {
        "surprisal": places % 7 + 0.5, "prob": np.full(size, 0.2), "entropy": np.full(size, 2.0),
        "rank": np.arange(size) + 1, "seen": places,
    }  # fmt: skip
    blob = b"".join(values[name].astype(kind).tobytes() for name, kind in COLUMNS)
    bits = float(values["surprisal"].sum())
    sums = Score(tokens=size, bits=bits, entropy_bits=2.0 * size, ranks=size, top_1=1, top_5=2)
    return Answer(kind="score", seq=seq, values={"first": first, "sums": asdict(sums)}, blob=blob)


async def answer_all(play: Any) -> list[int]:
    """Score the text that was asked for, and give the odds at the cursor; the ids."""
    decoder = play.decoder
    at = next(i for i in range(len(decoder.sent) - 1, -1, -1) if getattr(decoder.sent[i], "kind", "") == "score")
    ids = decoder.sent[at].values["ids"]
    seq = at + 1
    decoder.frame(answers=(scored(ids, stop=len(ids) // 2, seq=seq),))
    decoder.frame(answers=(scored(ids, first=len(ids) // 2, seq=seq), Answer(kind="score", seq=seq, done=True)))
    await play.settle()
    await answer_odds(play)
    return list(ids)


async def answer_odds(play: Any) -> None:
    decoder = play.decoder
    blob = pack_odds(decoder.odds())
    decoder.frame(answers=(Answer(kind="odds", seq=len(decoder.sent), blob=blob),))
    await play.settle()


@pytest.mark.parametrize("size", SIZES)
async def test_a_reply_is_scored_in_place_and_left(start, size) -> None:
    async with start(size=size) as play:
        await play.run_some(12)
        await play.press("p")
        assert isinstance(play.app.screen, ScoreView)
        ids = await answer_all(play)
        assert ids == list(play.player.session.tree.path.ids)
        bits = sum(at % 7 + 0.5 for at in range(1, len(ids)))
        n_bytes = sum(len(play.player.session.tokenizer.token_bytes(token)) for token in ids)
        text = play.text()
        assert f"{len(ids) - 1} tokens  ppl {2 ** (bits / (len(ids) - 1)):.3f}" in text
        assert f"{bits / n_bytes:.3f} bit/byte" in text
        assert f"1 of {len(ids) - 1}: 1.50 bit, rank 1" in text
        await play.press("n")
        assert "6.50 bit" in play.text()
        assert "surprise 1" in play.text()
        await play.press("n", "N")
        assert "surprise 1" in play.text()
        await play.press("escape")
        assert not isinstance(play.app.screen, ScoreView)
        assert last(play, Drop).kind in ("score", "odds")


async def test_a_text_that_the_model_ended_can_be_edited(start) -> None:
    async with start(size=(80, 24)) as play:
        await play.run_some(3)
        session = play.player.session
        ids = list(session.tree.path.ids)
        play.player.take(len(session.tree), session.tokenizer.end_ids[0])
        await play.settle()
        await play.press("p", "i")
        view = play.app.screen
        assert view.query_one(PromptBox).text == clean(session.tokenizer.decode(ids))
        await play.press("escape")
        assert play.text().rstrip().splitlines()[-1].split()[-1] == "back"  # the next key has no room for its word


async def test_from_a_place_of_the_text_decoding_goes_on(start) -> None:
    async with start() as play:
        await play.run_some(12)
        await play.press("p")
        ids = await answer_all(play)
        await play.press("right", "right", "b")
        assert last(play, SetContext).ids == tuple(ids[:3])
        assert last(play, SetContext).prompt_len == 3
        assert play.player.running
        await play.press("space", "u")
        assert list(play.player.session.tree.path.ids) == ids  # nothing is lost


async def test_a_candidate_chosen_in_the_score_comes_first(start) -> None:
    async with start() as play:
        await play.run_some(12)
        await play.press("p")
        await answer_all(play)
        await play.press("right", "right")
        await answer_odds(play)
        odds = play.decoder.odds()
        await play.press("down", "enter")
        tree = play.player.session.tree
        assert len(tree) == 4
        assert tree.path.ids[3] in [each.token for each in odds.candidates]
        assert tree.step(3).forced


async def test_a_text_from_elsewhere_is_pasted_and_shown_without_its_controls(start) -> None:
    async with start(prompt="", editing=False) as play:
        await play.press("p")
        await play.press(*"cat", "ctrl+j", *"sat", "enter")
        ids = await answer_all(play)
        assert ids == play.player.session.tokenizer.encode_document("cat\nsat")
        await play.press("escape")
        play.screen.score_text("a\x1b[31m\u202eb", "it")
        await play.settle()
        await answer_all(play)
        assert "\u202e" not in play.text()
        assert "\x1b" not in play.text()
        assert "<U+202E>" in play.text()


async def test_what_the_engine_cannot_score_is_told(start) -> None:
    async with start() as play:
        await play.run_some(3)
        await play.press("p")
        seq = next(i for i, c in enumerate(play.decoder.sent, 1) if isinstance(c, Ask) and c.kind == "score")
        play.decoder.frame(answers=(Answer(kind="score", seq=seq, done=True, error=("No.", "Ask another.")),))
        await play.settle()
        assert "No. Ask another." in play.text()


async def test_a_recording_stops_nowhere_but_can_be_watched(start) -> None:
    async with start() as play:
        await play.run_some(6)
        play.player.recorded = True
        await play.press("space", "B")
        assert not isinstance(play.app.screen, BreaksScreen)
        assert "recording" in play.text()
        await play.press("left", "W")
        assert "final" in play.text()


@pytest.mark.parametrize("size", [(40, 8), (60, 20), (79, 23)])
async def test_small_windows_break_nothing(start, size) -> None:
    async with start(size=size) as play:
        await play.run_some(6)
        await play.press("space", "d", "d", "W", "E", "E")
        await play.press("B", "down", "space", "escape")
        assert last(play, SetBreaks).conditions == (Condition("prob", 0.01),)
        await play.press("p")
        await answer_all(play)
        await play.press("n", "down", "end", "escape")
        assert not isinstance(play.app.screen, ScoreView)


async def test_the_numbers_on_the_border_follow_in_time_and_are_right_at_the_stop(start, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(inspecting, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async with start() as play:
        panel = play.screen.query_one("#entropy")
        told: list[str] = []
        monkeypatch.setattr(play.screen, "_values_here", lambda line, odds: f"value {len(line.raw)}")
        await play.run_some(3)
        for later in (0.1, 0.1, 0.1):
            now[0] += later
            await play.draw(1)
            told.append(str(panel.border_title).split()[-1])
        await play.press("space")
        told.append(str(panel.border_title).split()[-1])
    assert told == ["bit", "bit", "6", "6"], "there was no number yet when it began"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_record_that_is_not_given_back_is_said_and_all_else_goes_on(start, size, monkeypatch) -> None:
    def lost(store: Store, number: int) -> bytes:
        raise StorageError("A token's record cannot be read back.", "Check the disk.")

    async with start(size=size) as play:
        await play.run_some()
        await play.press("space")
        with monkeypatch.context() as patch:
            patch.setattr(Store, "get", lost)
            await play.press("left", "left", "d", "d", "E")
            assert "cannot be read back" in play.text()
        await play.press("E", "left")
        assert "cannot be read back" not in play.text()
        assert play.screen.step_here() is not None
