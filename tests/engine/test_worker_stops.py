"""Why a worker stops, what it refuses, and what then still holds."""

from __future__ import annotations

import math

import pytest
import torch
from workers import PROMPT, WARM, Room, a_model, expected

from tinychat.engine import service
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import SamplerState, Step
from tinychat.engine.wire import (
    Command,
    Force,
    Open,
    Peek,
    Run,
    SetContext,
    SetParams,
    SetRate,
    StepOnce,
)


def test_an_end_id_stops_the_run_and_running_again_goes_past_it(room: Room) -> None:
    tokens = expected(40)
    end = tokens[12]
    first = tokens.index(end)
    client = room.ready(end_ids=(end,))
    frame = client.do(Run())
    assert (frame.stop, frame.length) == ("end", 5 + first + 1)
    assert client.tokens == tokens[: first + 1]
    client.do(StepOnce())
    assert client.tokens == tokens[: first + 2]


def test_a_full_context_stops_the_run(room: Room) -> None:
    client = room.ready(context=20)
    frame = client.do(Run())
    assert (frame.state, frame.stop, frame.length) == ("paused", "context", 20)
    assert client.do(Run()).stop == "context"
    assert client.do(StepOnce()).stop == "context"
    frame = client.do(Force(3))
    assert frame.error is not None
    assert "full" in frame.error[0]
    assert client.do(SetContext(PROMPT)).length == 5


def test_no_legal_token_stops_the_run_and_shows_why(room: Room) -> None:
    client = room.ready()
    nothing = WARM.with_(logit_bias=dict.fromkeys(range(64), -math.inf))
    frame = client.do(SetParams(nothing), Run())
    assert (frame.stop, frame.length) == ("no_legal_token", 5)
    assert frame.error is not None
    assert "cut every token" in frame.error[0]
    assert frame.odds is not None
    assert frame.odds.kept == 0
    client.do(SetParams(WARM), Run(limit=3))
    assert client.tokens == expected(3)


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (Force(64), "between 0 and 63"),
        (Peek(99), "99"),
        (Run(limit=0), "limit"),
        (Run(rate=0.0), "rate"),
        (SetRate(math.nan), "rate"),
        (StepOnce(0), "count"),
        (SetParams(WARM.with_(logit_bias={99: 1.0})), "99"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_command_that_cannot_be_is_an_error_and_changes_nothing(room: Room, command: Command, word: str) -> None:
    client = room.ready()
    frame = client.do(command)
    assert frame.error is not None
    assert word in frame.error[0]
    assert (frame.state, frame.length) == ("paused", 5)
    client.do(SetParams(WARM), Run(limit=5))
    assert client.tokens == expected(5)


@pytest.mark.parametrize(
    ("ids", "word"), [((1,) * 2001, "2001 tokens"), ((), "at least one"), ((64,), "between 0 and 63")]
)
def test_after_a_refused_context_nothing_is_drawn_from_the_old_one(room: Room, ids: tuple[int, ...], word: str) -> None:
    client = room.ready()
    seq = client.send(SetContext(ids), Run(limit=5), StepOnce(), Force(3), Peek(3))
    client.wait(lambda frame: frame.seq >= seq and frame.state == "paused")
    frame = client.do(Run(limit=5))
    assert client.steps == []
    assert all(frame.odds is None for frame in client.frames), "they would be about another text"
    assert frame.error is not None
    assert word in frame.error[0], "the reason stays in sight"
    client.do(SetContext(PROMPT), Run(limit=5))
    assert client.tokens == expected(5)


def test_settings_that_the_engine_cannot_use_leave_the_old_ones_in_force(room: Room) -> None:
    client = room.ready()
    frame = client.do(SetParams(WARM.with_(contrastive="difference")))
    assert frame.in_force == WARM
    assert frame.error is not None
    assert "amateur" in frame.error[0]
    assert frame.error[1] == service.STAYS
    assert frame.odds is not None
    client.do(Run(limit=5))
    assert client.tokens == expected(5)


def test_a_run_goes_on_with_the_old_settings(room: Room) -> None:
    client = room.ready()
    client.send(Run(limit=60, rate=60.0))
    client.wait(lambda frame: bool(frame.steps))
    client.send(SetParams(WARM.with_(regex="(")))
    frame = client.wait(lambda frame: frame.in_force is not None)
    assert frame.in_force == WARM
    assert frame.error is not None
    assert frame.error[0].startswith("regex ")
    client.wait(lambda frame: frame.state == "paused")
    assert client.tokens == expected(60)


def test_of_many_settings_before_the_first_odds_the_last_that_can_be_used_holds(room: Room) -> None:
    client = room.client()
    bad = WARM.with_(contrastive="difference")
    client.do(Open("tiny", end_ids=()))
    client.frames.clear()
    client.do(SetParams(WARM), SetParams(bad), SetParams(bad.with_(top_k=9)), SetContext(PROMPT), Run(limit=5))
    assert [frame.in_force for frame in client.frames if frame.in_force is not None] == [WARM]
    assert client.tokens == expected(5)


def test_the_samplers_state_comes_with_the_context(room: Room) -> None:
    params = WARM.with_(mirostat="v2")
    client = room.ready()
    client.do(SetParams(params), Run(limit=12))
    steps = client.steps
    client.frames.clear()
    ids = (*PROMPT, *(step.token for step in steps[:6]))
    client.do(SetContext(PROMPT), SetContext(ids, len(PROMPT), steps[5].state), Run(limit=6))
    assert client.tokens == [step.token for step in steps[6:]]
    mus = [step.state.mirostat for step in client.steps]
    assert mus == pytest.approx([step.state.mirostat for step in steps[6:]], abs=1e-4)
    client.frames.clear()
    client.do(SetContext(ids, len(PROMPT), SamplerState(mirostat=3.0)), Run(limit=1))
    found = client.steps[0].state.mirostat
    assert found is not None
    assert found < 5.0, "another state goes another way"


def test_numbers_that_broke_end_the_run_with_a_message(room: Room) -> None:
    model = a_model()
    client = room.ready(model=model)
    client.send(Run(rate=200.0))
    client.wait(lambda frame: bool(frame.steps))
    with torch.no_grad():
        model.norm.weight[0] = math.nan
    frame = client.wait(lambda frame: frame.state == "paused")
    assert frame.error is not None
    assert "NaN" in frame.error[0]
    assert client.do(SetParams(WARM)).error == frame.error  # as long as it is so
    with torch.no_grad():
        model.norm.weight[0] = 1.0
    assert client.do(SetParams(WARM)).error is None


def test_a_mistake_of_ours_is_told_and_its_story_is_in_the_log(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    client = room.ready()
    assert room.engine is not None

    def fall(params: SamplingParams) -> Step:
        raise RuntimeError("the cable is loose")

    monkeypatch.setattr(room.engine, "step", fall)
    frame = client.do(Run())
    assert frame.state == "paused"
    assert frame.error is not None
    assert "RuntimeError: the cable is loose" in frame.error[0]
    assert str(client.worker.log) in frame.error[1]
    assert "in fall" in client.worker.log.read_text()
    monkeypatch.undo()
    client.do(Run(limit=3))
    assert client.tokens == expected(3)
