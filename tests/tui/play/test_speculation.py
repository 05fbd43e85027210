"""Guessing ahead, switched inside play: what is in force, what the stream and the status say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tinychat.engine.params import SamplingParams
from tinychat.engine.wire import Answer, Ask
from tinychat.tui.commands import Speculate, parse
from tinychat.tui.palette import Look


@pytest.mark.parametrize(
    ("line", "plan"),
    [
        ("speculate lookup", {"kind": "lookup"}),
        ("speculate exit exit-layer=2 verify=residual", {"kind": "exit", "layer": 2, "verify": "residual"}),
        ("speculate lookup draft-length=9 ngram=2", {"kind": "lookup", "length": 9, "ngram": 2}),
        ("speculate off", None),
    ],
)
def test_a_line_is_a_plan(line: str, plan: dict[str, Any] | None) -> None:
    assert parse(line, SamplingParams(), vocab_size=290) == Speculate(plan)


@pytest.mark.parametrize("line", ["speculate", "speculate fast", "speculate lookup layers=2", "speculate off ngram=2"])
def test_another_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="speculate"):
        parse(line, SamplingParams(), vocab_size=290)


async def say(play: Any, line: str) -> int:
    """The number of the question that the line made."""
    await play.press("colon", *("space" if letter == " " else letter for letter in line), "enter")
    return max(i for i, each in enumerate(play.decoder.sent) if isinstance(each, Ask)) + 1


async def tell(play: Any, seq: int, plan: dict[str, Any] | None = None, **more: Any) -> None:
    answers = [] if more else [Answer(kind="speculate", seq=seq, values={"plan": plan})]
    play.decoder.frame(answers=(*answers, Answer(kind="speculate", seq=seq, done=True, **more)))
    await play.settle()


async def test_what_is_in_force_is_in_the_command(start: Any) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("space")
        seq = await say(play, "speculate lookup")
        assert play.player.session.machine.speculation is None  # not before the engine says so
        await tell(play, seq, {"kind": "lookup"})
        assert play.player.session.machine.flags() == ["--speculate", "lookup"]
        assert "guesses by lookup" in play.text()
        seq = await say(play, "speculate off")
        await tell(play, seq, None)
        assert play.player.session.machine.flags() == []


async def test_a_plan_that_the_engine_refuses_changes_nothing(start: Any) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("space")
        seq = await say(play, "speculate exit")
        await tell(play, seq, error=("The model has 1 layers.", "Take another kind of draft."))
        assert "Take another kind of draft." in play.text()
        assert play.player.session.machine.speculation is None
        asked = len(play.decoder.sent)
        await play.press("colon", *("space" if letter == " " else letter for letter in "speculate draft"), "enter")
        assert "no draft model is open" in play.text()
        assert len(play.decoder.sent) == asked


async def test_guesses_are_marked_and_counted(start: Any) -> None:
    async with start(look=Look("ascii", "none")) as play:
        await play.run_some(0)
        steps = [play.decoder.chosen(40 + i) for i in range(6)]
        fates = (None, "accepted", "accepted", "rejected", None, "accepted")
        steps = [replace(step, drafted=fate) for step, fate in zip(steps, fates, strict=True)]
        play.decoder.frame(steps=tuple(steps))
        await play.settle()
        tally = play.player.session.tally()
        assert (tally.guessed, tally.accepted) == (4, 3)
        await play.press("space")
        while play.screen.stream.mode != "speculation":
            await play.press("c")
        rows = play.text().splitlines()
        marks = next(row for row in rows if row.count("=") >= 3 and "x" in row)
        assert "".join(sign for sign in marks if sign in "=x")[:4] == "==x="
        assert "guessed right 3/4, 0.50 passes/token" in play.text()
