"""The worker's promises in a thread: opening, running, contexts."""

from __future__ import annotations

import time

import pytest
import torch
from workers import MODEL, PROMPT, WARM, Room, expected, settled

from tinychat.engine import service
from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.wire import (
    Force,
    Open,
    Pause,
    Peek,
    Run,
    SetContext,
    SetParams,
    SetRate,
    StepOnce,
)


def test_opening_says_loading_then_ready_with_facts(room: Room) -> None:
    client = room.client()
    client.do(Open("tiny", end_ids=()))
    assert [frame.state for frame in client.frames] == ["loading", "ready"]
    facts = client.frames[-1].facts
    assert facts is not None
    assert facts["parameters"] == MODEL.config.n_parameters()
    assert facts["device"] == "cpu"
    assert facts["load_s"] >= 0


def test_a_file_that_cannot_be_opened_is_said_and_stays_the_reason(room: Room) -> None:
    client = room.client()
    frame = client.do(Open("bad", end_ids=()), SetContext(PROMPT), Run())
    assert frame.state == "failed"
    assert frame.error == ("bad: this is no checkpoint.", "Name another.")
    assert client.do(SetParams(WARM)).error == frame.error
    assert client.do(Open("tiny", end_ids=())).state == "ready"


def test_commands_before_a_model_are_an_error_not_an_end(room: Room) -> None:
    client = room.client()
    seq = client.send(SetContext(PROMPT))
    frame = client.wait(lambda frame: frame.seq == seq)
    assert frame.error is not None
    assert frame.error[0] == "No model is open."
    client.do(Open("tiny", end_ids=()))
    frame = client.do(Run())
    assert frame.error is not None
    assert "context" in frame.error[1]


def test_a_run_draws_what_the_engine_draws(room: Room) -> None:
    client = room.ready()
    frame = client.do(Run(limit=60))
    assert (frame.state, frame.stop, frame.length) == ("paused", "limit", 65)
    assert client.tokens == expected(60)
    assert [step.position for step in client.steps] == list(range(5, 65))
    assert frame.odds is not None
    assert frame.odds.position == 65
    assert frame.tokens_per_s > 0


def test_a_context_gives_odds_without_a_run(room: Room) -> None:
    client = room.client()
    frame = client.do(Open("tiny", end_ids=()), SetContext(PROMPT))
    engine = Engine(MODEL)
    engine.set_context(PROMPT)
    odds = engine.peek(SamplingParams())
    assert (frame.state, frame.stop, frame.length) == ("paused", None, 5)
    assert frame.odds is not None
    assert [c.token for c in frame.odds.candidates] == [c.token for c in odds.candidates]
    assert frame.prefill_s > 0


def test_frames_echo_the_last_command_and_never_go_back(room: Room) -> None:
    client = room.ready()
    last = 0
    for command in (SetParams(WARM), StepOnce(), Peek(3), Run(30), SetRate(50.0), Pause(), SetContext(PROMPT)):
        last = client.send(command)
        assert client.wait(lambda frame, last=last: frame.seq >= last).seq == last  # type: ignore[misc]
    seqs = [frame.seq for frame in client.frames]
    assert seqs == sorted(seqs)
    assert seqs[-1] == last


def test_settings_while_paused_give_new_odds_without_a_pass(room: Room) -> None:
    client = room.ready()
    assert room.engine is not None
    before = room.engine.runner.forwards
    for temperature in (0.0, 0.5, 2.0):
        frame = client.do(SetParams(WARM.with_(temperature=temperature)))
        assert frame.odds is not None
        assert frame.odds.temperature == temperature
        assert frame.params_at == ((5, WARM.with_(temperature=temperature)),)
    assert room.engine.runner.forwards == before


def test_settings_while_running_draw_the_very_next_token_and_say_which(room: Room) -> None:
    client = room.ready()
    client.send(Run(rate=300.0))
    changes = [WARM.with_(temperature=0.2 + 0.2 * index) for index in range(5)]
    for params in changes:
        client.wait(lambda frame: bool(frame.steps))
        seq = client.send(SetParams(params))
        frame = client.wait(lambda frame, seq=seq: frame.seq >= seq and bool(frame.params_at))  # type: ignore[misc]
        assert frame.steps[-1].odds.temperature == params.temperature
    client.do(Pause())
    schedule = {position: params for frame in client.frames for position, params in frame.params_at}
    assert list(schedule.values()) == changes
    engine, params = Engine(MODEL), WARM
    engine.set_context(PROMPT)
    for step in client.steps:
        params = schedule.get(step.position, params)
        assert step.odds.temperature == params.temperature
        assert engine.step(params).token == step.token


def test_many_turns_between_two_tokens_count_once(room: Room) -> None:
    client = room.ready()
    turns = [SetParams(WARM.with_(temperature=0.1 * index)) for index in range(1, 10)]
    client.do(*turns, StepOnce())
    seen = [entry for frame in client.frames for entry in frame.params_at]
    assert seen[-1] == (5, turns[-1].params)
    assert client.steps[0].odds.temperature == turns[-1].params.temperature


def test_pause_stops_and_nothing_more_comes(room: Room) -> None:
    client = room.ready()
    client.send(Run(rate=500.0))
    client.wait(lambda frame: len(client.steps) + len(frame.steps) > 5)
    frame = client.do(Pause())
    assert frame.stop == "paused"
    assert frame.length == 5 + len(client.steps)
    time.sleep(0.1)
    assert client.worker.read() == []
    count = len(client.steps)
    client.do(Run(limit=10))
    assert client.tokens == expected(count + 10)


def test_steps_are_drawn_one_by_one(room: Room) -> None:
    client = room.ready()
    frame = client.do(StepOnce())
    assert (frame.state, frame.stop, len(frame.steps), frame.length) == ("paused", "paused", 1, 6)
    client.do(StepOnce(4))
    assert client.tokens == expected(5)
    client.do(StepOnce(10), StepOnce(10))  # a key that is pressed twice
    assert client.tokens == expected(25)
    client.do(Run(limit=None), StepOnce())
    count = len(client.tokens)
    assert client.frames[-1].state == "paused"  # of a run that has no end only one more
    time.sleep(0.1)
    assert client.worker.read() == []
    assert client.tokens == expected(count)


def test_a_step_is_drawn_with_the_settings_before_it_not_those_after(room: Room) -> None:
    client = room.ready()
    client.do(StepOnce(), SetParams(WARM.with_(temperature=0.1)), StepOnce())
    assert [step.odds.temperature for step in client.steps] == [0.9, 0.1]


def test_a_forced_token_stands_and_the_run_goes_on_from_it(room: Room) -> None:
    client = room.ready()
    frame = client.do(Force(9))
    assert [(step.token, step.forced) for step in frame.steps] == [(9, True)]
    assert frame.odds is not None
    assert frame.odds.position == 6
    client.do(Run(limit=10))
    assert client.tokens == [9, *expected(10, prompt=(*PROMPT, 9))]


def test_a_forced_token_right_after_a_long_context_is_not_lost(room: Room) -> None:
    client = room.ready()
    prompt = tuple((5 * i) % 64 for i in range(600))
    frame = client.do(SetContext(prompt), Force(9), StepOnce())
    assert frame.length == 602
    assert client.tokens[0] == 9
    assert room.engine is not None
    assert room.engine.tokens()[:601] == [*prompt, 9]


def test_a_peek_answers_about_a_token_paused_or_running(room: Room) -> None:
    client = room.ready(record=4)
    frame = client.do(Peek(40))
    assert frame.odds is not None
    assert frame.odds.candidates[-1].token == 40
    assert frame.odds.stages[0].chosen is not None
    client.send(Run(rate=100.0))
    seq = client.send(Peek(41))
    frame = client.wait(lambda frame: frame.seq == seq)
    assert frame.state == "running"
    assert frame.odds is not None
    assert 41 in {candidate.token for candidate in frame.odds.candidates}


def test_rewinding_gives_the_same_tokens_again(room: Room) -> None:
    client = room.ready()
    client.do(Run(limit=40))
    first = client.tokens
    client.frames.clear()
    frame = client.do(SetContext((*PROMPT, *first[:10]), prompt_len=5))
    assert (frame.length, frame.stop) == (15, None)
    client.do(Run(limit=30))
    assert client.tokens == first[10:]


def test_a_new_context_while_running_brings_no_steps_of_the_old(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FRAME_S", 1000.0)
    client = room.ready()
    assert room.engine is not None
    client.send(Run())
    assert settled(room.engine) > 100  # drawn, and not yet sent
    seq = client.send(SetContext((9, 8)))
    client.wait(lambda frame: frame.seq == seq)
    client.do(Run(limit=5))
    late = [step for frame in client.frames if frame.seq >= seq for step in frame.steps]
    assert [step.position for step in late] == [2, 3, 4, 5, 6]
    assert [step.token for step in late] == expected(5, prompt=(9, 8))


def test_the_last_of_many_contexts_wins_however_long_they_are(room: Room) -> None:
    client = room.ready()
    long = [tuple((k * i) % 64 for i in range(1500)) for k in (3, 5, 7)]
    frame = client.do(*(SetContext(ids) for ids in long), SetParams(WARM.with_(seed=8)), Run(limit=3))
    assert frame.length == 1503
    assert client.tokens == expected(3, WARM.with_(seed=8), long[-1])
    assert [entry[0] for frame in client.frames for entry in frame.params_at] == [1500]


def test_a_long_context_gives_way_to_the_next_one(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    client = room.ready()
    assert room.engine is not None
    feed, widths = room.engine.runner.feed, []

    def slow_feed(rows: dict[int, list[int]]) -> dict[int, torch.Tensor]:
        widths.append(max(map(len, rows.values())))
        time.sleep(0.05)
        return feed(rows)

    monkeypatch.setattr(room.engine.runner, "feed", slow_feed)
    client.send(SetContext(tuple((3 * i) % 64 for i in range(1500))))
    while not widths:
        time.sleep(0.001)
    frame = client.do(SetContext((9, 8)))
    assert frame.length == 2
    assert sum(widths) < 1000  # of 1,500
    assert frame.odds is not None
