"""What-if: the answer is where a run of its own with the new settings first differs, whatever the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from toys import PROMPT, a_toy, drawn

from tinychat.engine.engine import Engine
from tinychat.engine.jobs.what_if import answer
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk, Reply
from tinychat.engine.runner import Runner
from tinychat.engine.speculate import Speculation
from tinychat.errors import UsageError

COUNT = 80
OLD = SamplingParams(temperature=0.8, seed=20)

NEW: dict[str, dict[str, Any]] = {
    "hotter": {"temperature": 0.82},
    "greedy": {"temperature": 0.0},
    "top-p": {"top_p": 0.99},
    "the same": {},
    "repetition": {"repetition_penalty": 1.02},
    "frequency": {"frequency_penalty": 0.02},
    "ngram": {"no_repeat_ngram": 4},
    "xtc": {"xtc_probability": 0.1, "xtc_threshold": 0.1},
    "dry": {"dry_multiplier": 0.3},
    "mirostat": {"mirostat": "v2", "mirostat_tau": 5.0},
    "adaptive": {"adaptive_target": 0.3},
    "dynamic": {"temperature_mode": "dynamic", "dynatemp_range": 0.02},
    "guidance": {"guidance_scale": 1.01},
    "dola": {"dola": "low"},
    "llama.cpp order": {"order": "llama.cpp", "top_k": 20},
    "another seed": {"seed": 6},
}


def told(reply: list[int], params: SamplingParams, **more: Any) -> dict[str, Any]:
    return {"ids": [*PROMPT, *reply], "prompt_len": len(PROMPT), "params": params.to_dict(), **more}


def asked(engine: Engine, values: Mapping[str, Any]) -> list[Reply]:
    return list(answer(Desk(engine=engine, params=OLD), values))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(a_toy())


@pytest.fixture(scope="module")
def reply(engine: Engine) -> list[int]:
    engine.set_context(PROMPT)
    return drawn(engine, COUNT, OLD)


def fresh(params: SamplingParams, count: int = COUNT, **where: int) -> list[int]:
    run = Engine(a_toy())
    run.set_context(PROMPT)
    return drawn(run, count, params, **where)


def first_difference(old: list[int], new: list[int]) -> int | None:
    return next((at for at, (a, b) in enumerate(zip(old, new, strict=True)) if a != b), None)


@pytest.mark.parametrize("name", NEW)
def test_it_differs_where_a_run_of_its_own_does(engine: Engine, reply: list[int], name: str) -> None:
    params = OLD.with_(**NEW[name])
    expected = fresh(params)
    at = first_difference(reply, expected)
    last = asked(engine, told(reply, params))[-1].values
    if at is None:
        assert last == {"same": COUNT}
    else:
        assert last["position"] == len(PROMPT) + at
        assert (last["was"], last["token"]) == (reply[at], expected[at])


def test_the_settings_here_do_make_differences_late_and_early(reply: list[int]) -> None:
    places = {name: first_difference(reply, fresh(OLD.with_(**change))) for name, change in NEW.items()}
    assert places["the same"] is None
    assert len({place for place in places.values() if place is not None and place > 2}) > 3


def test_a_stateful_chain_brings_the_records_of_its_run(engine: Engine, reply: list[int]) -> None:
    params = OLD.with_(**NEW["mirostat"])
    run = Engine(a_toy())
    run.set_context(PROMPT)
    steps = [step for part in asked(engine, told(reply, params)) for step in part.steps]
    assert steps
    for step in steps:
        expected = run.step(params)
        assert (step.token, step.odds, step.state) == (expected.token, expected.odds, expected.state)


def test_forced_tokens_stay_forced(engine: Engine) -> None:
    params = OLD.with_(temperature=0.85)
    run = Engine(a_toy())

    def play(params: SamplingParams) -> list[int]:
        run.set_context(PROMPT)
        return [run.force(7, params).token if at == 1 else run.step(params).token for at in range(COUNT)]

    old, new = play(OLD), play(params)
    at = first_difference(old, new)
    assert at is not None
    for each in (params, params.with_(guidance_scale=1.0001)):  # by logits, and token by token
        last = asked(engine, told(old, each, forced=[len(PROMPT) + 1]))[-1].values
        assert last["position"] == len(PROMPT) + at


def test_each_token_keeps_the_lane_of_its_dart(engine: Engine) -> None:
    old = fresh(OLD, draw_lane=3)
    assert asked(engine, told(old, OLD, lanes=[3] * COUNT))[-1].values == {"same": COUNT}
    assert asked(engine, told(old, OLD))[-1].values["position"] < len(PROMPT) + COUNT


def test_settings_that_leave_nothing_say_where(engine: Engine, reply: list[int]) -> None:
    params = OLD.with_(allowed_ids=[reply[0]], no_repeat_ngram=1)
    last = asked(engine, told(reply, params))[-1].values
    assert last["token"] is None
    assert last["position"] == len(PROMPT) + 1


def test_a_second_question_costs_no_pass(reply: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(a_toy())
    asked(engine, told(reply, OLD))
    passes: list[object] = []
    feed, run = Runner.feed, Runner.run

    def counted_feed(self: Runner, *given: Any) -> Any:
        passes.append(given)
        return feed(self, *given)

    def counted_run(self: Runner, *given: Any, **more: Any) -> Any:
        passes.append(given)
        return run(self, *given, **more)

    monkeypatch.setattr(Runner, "feed", counted_feed)
    monkeypatch.setattr(Runner, "run", counted_run)
    assert asked(engine, told(reply, OLD.with_(top_p=0.97)))
    assert not passes
    other = fresh(OLD.with_(seed=9))
    assert asked(engine, told(other, OLD.with_(seed=9)))[-1].values == {"same": COUNT}
    assert passes


def test_the_lane_of_the_run_stays(reply: list[int]) -> None:
    engine = Engine(a_toy())
    engine.set_context([*PROMPT, *reply[:10]])
    odds = engine.peek(OLD)
    asked(engine, told(reply, OLD.with_(temperature=2.0)))
    asked(engine, told(reply, OLD.with_(mirostat="v2")))
    assert engine.tokens() == [*PROMPT, *reply[:10]]
    assert engine.peek(OLD) == odds


def test_it_comes_in_short_parts(engine: Engine, reply: list[int]) -> None:
    parts: Iterator[Reply] = answer(Desk(engine=engine, params=OLD), told(reply, OLD))
    assert next(parts).values == {"done": 0}


def test_draws_that_hang_on_drafts_are_refused(reply: list[int]) -> None:
    engine = Engine(a_toy())
    engine.speculation = Speculation(kind="exit", verify="typical")
    with pytest.raises(UsageError, match="drafts"):
        asked(engine, told(reply, OLD))
