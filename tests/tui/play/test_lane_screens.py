"""What-if, lanes and the fan on the screen, with a scripted engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tinychat.engine.packing import pack_step
from tinychat.engine.trace import Step
from tinychat.engine.wire import Answer, Ask, Drop, Run, SetContext, SetParams
from tinychat.session.replay import command
from tinychat.session.tree import DRAWN
from tinychat.tui.palette import Look
from tinychat.tui.views.compare import CompareView
from tinychat.tui.views.fan import FanView

PLAIN = Look("ascii", "none")


def asked(play: Any, kind: str) -> list[Ask]:
    return [each for each in play.decoder.sent if isinstance(each, Ask) and each.kind == kind]


async def tell(play: Any, kind: str, values: dict[str, Any], *steps: Step, done: bool = True, **more: Any) -> None:
    """Answer the last question of a kind; lanes and the fan have their steps packed."""
    if "lanes" in values:
        packed = [pack_step(step) for step in steps]
        values, steps = values | {"sizes": [len(each) for each in packed]}, ()
        more["blob"] = b"".join(packed)
    seq = max(at for at, each in enumerate(play.decoder.sent, 1) if isinstance(each, Ask) and each.kind == kind)
    parts = [Answer(kind=kind, seq=seq, values=values, steps=steps, **more)]
    play.decoder.frame(answers=(*parts, *([Answer(kind=kind, seq=seq, done=True)] if done else [])))
    await play.settle()


def a_step(play: Any, position: int, token: int, *, lane: int = 0) -> Step:
    """As the scripted engine would record it."""
    here, play.decoder.ids = play.decoder.ids, [6] * position
    step: Step = play.decoder.chosen(token)
    play.decoder.ids = here
    return replace(step, lane=lane)


@pytest.fixture(params=[(120, 40), (80, 24)], ids=["120x40", "80x24"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    found: tuple[int, int] = request.param
    return found


async def test_a_knob_turned_while_it_stands_still_says_where_the_text_would_differ(start: Any, size: Any) -> None:
    async with start(size=size, look=PLAIN) as play:
        await play.run_some(12)
        assert not asked(play, "what_if")
        await play.press("T", "equals_sign")
        assert not asked(play, "what_if"), "it runs: the next token answers"
        await play.press("space", "equals_sign")
        session = play.player.session
        question = asked(play, "what_if")[-1]
        assert question.values["ids"] == list(session.tree.path.ids)
        assert question.values["prompt_len"] == session.reply_start
        assert question.values["params"]["temperature"] == session.params.temperature
        start_at = session.reply_start
        was = session.tree.path.ids[start_at + 4]
        told = {"position": start_at + 4, "was": was, "token": 287, "prob": 0.5, "was_prob": 0.1}
        await tell(play, "what_if", told, a_step(play, start_at + 4, 287))
        assert "token 5" in play.text()
        assert "what-if" in play.text()
        turned = session.params
        await play.press("w")
        assert len(session.tree) == start_at + 4
        assert isinstance(play.decoder.sent[-1], Run)
        await play.draw(3)
        assert session.reply_settings()[1][-1] == (4, turned)
        assert "--at 4:temperature=" in command(session)
        assert "what-if T" not in play.text()


async def test_a_stateful_chain_is_branched_with_the_records_of_its_own(start: Any) -> None:
    async with start() as play:
        await play.run_some(6)
        await play.press("space", "T", "equals_sign")
        session = play.player.session
        begin = session.reply_start
        steps = [a_step(play, begin + at, session.tree.path.ids[begin + at]) for at in range(2)]
        steps.append(a_step(play, begin + 2, 280))
        told = {"position": begin + 2, "was": session.tree.path.ids[begin + 2], "token": 280}
        await tell(play, "what_if", told, *steps)
        await play.press("w")
        assert session.reply_length == 3
        assert session.reply_settings() == (session.params, [])
        assert session.tree.branch.fork == begin


async def test_what_if_says_the_same_text_and_no_token_and_what_went_wrong(start: Any) -> None:
    async with start() as play:
        await play.run_some(6)
        await play.press("space", "T", "equals_sign")
        await tell(play, "what_if", {"done": 3}, done=False)
        assert "3 tokens alike" in play.text()
        await tell(play, "what_if", {"same": 6})
        assert "same text" in play.text()
        await play.press("w")
        assert "would be the same" in play.text()
        await play.press("equals_sign")
        await tell(play, "what_if", {"position": play.player.session.reply_start, "was": 5, "token": None})
        assert "no token is left" in play.text()
        await play.press("w")
        assert not isinstance(play.decoder.sent[-1], Run)
        await play.press("equals_sign")
        await tell(play, "what_if", {}, error=("It cannot be.", "Try less."))
        assert "It cannot be." in play.text()


async def test_a_path_that_is_left_takes_its_what_if_along(start: Any) -> None:
    async with start() as play:
        await play.run_some(6)
        await play.press("space", "T", "equals_sign")
        await tell(play, "what_if", {"same": 6}, done=False)
        await play.press("greater_than_sign")
        assert "same text" not in play.text()
        assert any(isinstance(each, Drop) and each.kind == "what_if" for each in play.decoder.sent)


async def test_settings_of_the_reply_itself_ask_nothing(start: Any) -> None:
    async with start() as play:
        await play.run_some(6)
        await play.press("space", "T", "equals_sign", "minus")
        assert not asked(play, "what_if"), "back at the settings it was drawn with, before it stood still"
        await play.press("equals_sign", "minus")
        assert len(asked(play, "what_if")) == 1
        assert "what-if" not in play.text()


def lanes_asked(play: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(play, "lanes")[-1].values["lanes"]
    return found


async def in_lanes(play: Any) -> CompareView:
    await play.press("v")
    view = play.app.screen
    assert isinstance(view, CompareView)
    return view


async def test_lanes_show_where_they_part_and_one_becomes_a_branch(start: Any, size: Any) -> None:
    async with start(size=size, look=PLAIN) as play:
        await play.run_some(6)
        await play.press("space", "home", *["right"] * 20, "end")
        session, text = play.player.session, list(play.player.session.tree.path.ids)
        begin = session.reply_start
        view = await in_lanes(play)
        await play.press("T", "equals_sign", "space")
        view.tick()
        waits, told = lanes_asked(play)
        assert (waits["count"], waits["ids"]) == (0, text)
        assert told["count"] > 0
        assert told["ids"] == text[:begin], "lane B begins where the reply does, and A waits for it"
        assert told["params"]["temperature"] > session.params.temperature
        steps = [a_step(play, begin, text[begin]), a_step(play, begin + 1, 285)]
        await tell(play, "lanes", {"lanes": [1, 1], "stops": {"1": "end"}, "trouble": {}}, *steps)
        view.paint()
        await play.pilot.pause()
        assert "token 2 differs" in play.text()
        assert play.text().count("differs>") == 2
        await play.press("d")
        assert [stream.cursor for stream in view._streams[:2]] == [begin + 1] * 2
        assert "JS divergence at token 2" in play.text()
        await play.press("enter")
        assert play.app.screen is play.screen
        assert list(session.tree.path.ids) == [*text[: begin + 1], 285]
        assert session.tree.branch.fork == begin
        assert f"--temperature {told['params']['temperature']}" in command(session)
        held = [each for each in play.decoder.sent if isinstance(each, SetContext)][-1]
        assert list(held.ids) == list(session.tree.path.ids)


async def test_the_clock_of_the_lanes_rests_while_nothing_runs(start: Any) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("space")
        view = await in_lanes(play)
        assert not view._ticking
        await play.press("space")
        assert view._ticking
        await tell(play, "lanes", {"lanes": [], "stops": {}, "trouble": {}}, error=("No.", "Because."))
        view.tick()
        assert not view._ticking, "an error is painted once"
        await play.pilot.pause()
        assert "No. Because." in play.text()
        await play.press("space")
        assert view._ticking
        await play.press("space")
        view.tick()
        assert not view._ticking


async def test_a_turned_knob_takes_back_what_was_asked_with_the_old_one(start: Any) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("space")
        view = await in_lanes(play)
        await play.press("space")
        view.tick()
        first = lanes_asked(play)
        await play.press("T", "equals_sign")
        second = lanes_asked(play)
        assert len(asked(play, "lanes")) == 2
        assert first[1]["ids"] == second[1]["ids"]
        assert first[1]["params"] != second[1]["params"]
        assert first[0]["params"] == second[0]["params"]


async def test_lanes_come_go_and_swap(start: Any) -> None:
    async with start(size=(160, 50)) as play:
        await play.run_some(4)
        await play.press("space")
        view = await in_lanes(play)
        a, b = view.race.lanes
        await play.press("v", "v", "v")
        assert len(view.race.lanes) == 4
        assert "4 lanes already" in play.text()
        await play.press("x", "x", "V")
        assert view.race.lanes == [b, a]
        await play.press("x", "x")
        assert play.app.screen is play.screen
        assert list(play.player.session.tree.path.ids) == a.ids, "nothing was taken"


async def test_a_line_in_lanes_turns_a_setting_and_a_model_that_is_not_there_is_said(start: Any) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("space")
        view = await in_lanes(play)
        await play.press("colon", *"t 0.3", "enter")
        assert view.race.lanes[1].params.temperature == 0.3
        assert view.race.lanes[0].params.temperature != 0.3
        await play.press("P", "0", "colon", *"model /nowhere", "enter")
        for _ in range(50):
            await play.pilot.pause()
            if "no such file" in play.text():
                break
        assert "/nowhere: no such file" in play.text()
        await play.press("escape")
        assert play.app.screen is play.screen


async def test_a_fan_groups_what_parts_and_a_lane_becomes_a_branch(start: Any, size: Any) -> None:
    async with start(size=size, look=PLAIN) as play:
        await play.run_some(6)
        await play.press("space", "home")
        session = play.player.session
        begin = session.reply_start
        await play.press("N")
        view = play.app.screen
        assert isinstance(view, FanView)
        (question,) = asked(play, "fan")
        assert question.values["darts"] == list(range(8))
        assert len(question.values["ids"]) == begin
        steps = [a_step(play, begin, 280 if dart in (1, 4) else 270, lane=dart) for dart in range(8)]
        await tell(play, "fan", {"lanes": list(range(8)), "stops": {}, "trouble": {}}, *steps)
        assert "6 of 8 agree on the next token" in play.text()
        assert [view._order.index(dart) for dart in (0, 2, 3, 5, 6, 7, 1, 4)] == list(range(8))
        await play.press("down", "down", "enter")
        assert play.app.screen is play.screen
        assert list(session.tree.path.ids[begin:]) == [270]
        assert session.tree.path.kinds[begin] == DRAWN
        assert session.lanes() == [(0, 3)]
        assert "--lane 0:3" in command(session)


async def test_a_fan_grows_longer_wider_and_to_other_draws(start: Any) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("space", "colon", *"fan 3", "enter")
        await tell(play, "fan", {"lanes": [], "stops": {}, "trouble": {}})
        await play.press("space")
        first, second = asked(play, "fan")
        assert first.values["darts"] == second.values["darts"] == [0, 1, 2]
        assert second.values["count"] > first.values["count"]
        await tell(play, "fan", {"lanes": [], "stops": {}, "trouble": {}})
        await play.press("r")
        assert asked(play, "fan")[-1].values["darts"] == [3, 4, 5]
        await play.press("equals_sign")
        assert len(asked(play, "fan")[-1].values["darts"]) > 3
        await play.press("escape")
        assert any(isinstance(each, Drop) and each.kind == "fan" for each in play.decoder.sent)


async def test_a_fan_behind_the_end_of_a_text_says_why_nothing_comes(start: Any, size: Any, tokenizer: Any) -> None:
    async with start(size=size, answers=[40, 41, *tokenizer.end_ids, 42, 43]) as play:
        await play.run_some(3)
        await play.press("space", "N")
        assert play.player.session.tree.path.ids[-1] in tokenizer.end_ids
        assert "the text has ended here" in play.text()
        assert not asked(play, "fan")
        await play.press("left", "N")
        await tell(play, "fan", {"lanes": [], "stops": {"0": "no_legal_token"}, "trouble": {}})
        assert "No token: no token left" in play.text()


async def test_counts_of_lanes_are_told_even_when_no_token_follows(start: Any) -> None:
    async with start(size=(120, 40)) as play:
        await play.run_some(6)
        await play.press("space")
        view = await in_lanes(play)
        await play.press("space")
        view.tick()
        lane = view.race.lanes[1]
        lane.take(pack_step(a_step(play, lane.length, 270)))
        view.tick()
        await play.settle()
        assert view.race.running
        assert "1 tok" not in str(view.query_one("#lane-1").border_subtitle), "counts that run cannot be read"
        view._told_at -= 1
        view.tick()
        assert "1 tok" in str(view.query_one("#lane-1").border_subtitle)
        lane.stop = "end"
        view._told_at -= 1
        view.tick()
        assert "ended" in str(view.query_one("#lane-1").border_subtitle)


async def test_what_if_keeps_the_seed_of_the_reply(start: Any) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("space", "colon", *"seed 99", "enter")
        assert not asked(play, "what_if"), "another seed is other draws, not a what-if"
        await play.press("T", "equals_sign")
        assert asked(play, "what_if")[-1].values["params"]["seed"] == 7
        assert any(isinstance(each, SetParams) and each.params.seed == 99 for each in play.decoder.sent)


async def test_a_lane_of_another_model_is_no_branch(start: Any) -> None:
    async with start() as play:
        await play.run_some(4)
        await play.press("space")
        view = await in_lanes(play)
        view.lane.host.is_main = False
        await play.press("enter")
        assert play.app.screen is view
        assert "this lane is of another" in play.text()
