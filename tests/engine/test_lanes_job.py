"""Lanes and the fan as questions: each lane is the run it would be alone, tokens and records."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
from toys import PROMPT, a_toy

from tinychat.engine.engine import Engine
from tinychat.engine.jobs import fan, lanes
from tinychat.engine.packing import pack_step, unpack_step
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk, Reply
from tinychat.engine.runner import Runner
from tinychat.engine.search import search
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import Done
from tinychat.engine.speculate import Speculation
from tinychat.engine.trace import FRESH, Step
from tinychat.errors import UsageError

COUNT = 20
COLD = SamplingParams(temperature=0.7, seed=11)
HOT = COLD.with_(temperature=1.4, top_p=0.9)
STEERED = COLD.with_(mirostat="v2", mirostat_tau=4.0)
GUIDED = COLD.with_(guidance_scale=1.3)
CHOOSY = COLD.with_(xtc_probability=0.5, xtc_threshold=0.05)


@pytest.fixture
def engine() -> Engine:
    return Engine(a_toy())


def a_lane(params: SamplingParams, ids: list[int] = PROMPT, count: int = COUNT, **more: Any) -> dict[str, Any]:
    return {"ids": ids, "prompt_len": len(PROMPT), "params": params.to_dict(), "count": count, **more}


def asked(engine: Engine, *each: dict[str, Any]) -> list[Reply]:
    return list(lanes.answer(Desk(engine=engine, params=COLD), {"lanes": list(each)}))


def steps_of(parts: list[Reply], lane: int) -> list[Step]:
    """What one lane drew, without the times."""
    found = []
    for part in parts:
        start = 0
        for size, whose in zip(part.values.get("sizes", []), part.values.get("lanes", []), strict=True):
            step = unpack_step(part.blob[start : start + size])
            start += size
            found += [replace(step, time_s=0.0)] if whose == lane else []
        assert start == len(part.blob)
    return found


def as_told(step: Step) -> Step:
    """A step as it comes over the wire, without its time."""
    return unpack_step(pack_step(replace(step, time_s=0.0)))


def alone(params: SamplingParams, count: int = COUNT, ids: list[int] = PROMPT, **more: Any) -> list[Step]:
    engine = Engine(a_toy(), **more)
    engine.set_context(ids, prompt_len=len(PROMPT))
    return [as_told(engine.step(params)) for _ in range(count)]


def test_every_lane_is_the_run_it_would_be_alone(engine: Engine) -> None:
    parts = asked(engine, *(a_lane(params) for params in (COLD, HOT, GUIDED, CHOOSY)))
    for index, params in enumerate((COLD, HOT, GUIDED, CHOOSY)):
        assert steps_of(parts, index) == alone(params)


def test_going_on_is_asking_again_with_other_settings(engine: Engine) -> None:
    first = steps_of(asked(engine, a_lane(STEERED), a_lane(HOT)), 0)
    ids = [*PROMPT, *(step.token for step in first)]
    state = asdict(first[-1].state)
    assert first[-1].state != FRESH
    more = STEERED.with_(temperature=1.1)
    parts = asked(engine, a_lane(more, ids, state=state), a_lane(HOT, count=0))
    run = Engine(a_toy())
    run.set_context(PROMPT)
    expected = [as_told(run.step(params)) for params in [STEERED] * COUNT + [more] * COUNT]
    assert first + steps_of(parts, 0) == expected
    assert steps_of(parts, 1) == []


def test_a_lane_that_is_behind_catches_up_first(engine: Engine) -> None:
    ahead = [*PROMPT, *(step.token for step in alone(COLD, 6))]
    parts = asked(engine, a_lane(COLD, ahead, 4), a_lane(HOT, count=10))
    order = [whose for part in parts for whose in part.values.get("lanes", [])]
    assert order == [1] * 6 + [0, 1] * 4
    assert steps_of(parts, 1) == alone(HOT, 10)


def test_lanes_of_one_length_share_their_passes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    feed = Runner.feed

    def counted(self: Runner, given: Any) -> Any:
        rows.append(len(given))
        return feed(self, given)

    monkeypatch.setattr(Runner, "feed", counted)
    asked(engine, *(a_lane(COLD.with_(seed=seed)) for seed in range(4)))
    assert rows.count(4) == COUNT - 1


def test_ends_are_told_and_the_others_go_on() -> None:
    end = alone(COLD)[4].token
    engine = Engine(a_toy(), end_ids=[end])
    dead = COLD.with_(allowed_ids=[1], no_repeat_ngram=1)
    parts = asked(engine, a_lane(COLD), a_lane(dead), a_lane(COLD.with_(contrastive="difference")))
    stops = {lane: why for part in parts for lane, why in part.values.get("stops", {}).items()}
    assert stops == {"0": "end", "1": "no_legal_token", "2": "trouble"}
    trouble = [part.values["trouble"]["2"] for part in parts if part.values.get("trouble")]
    assert "amateur" in trouble[0]
    assert len(steps_of(parts, 0)) == next(i for i, step in enumerate(alone(COLD), 1) if step.token == end)


def test_the_lane_of_the_run_stays(engine: Engine) -> None:
    engine.set_context(PROMPT)
    odds = engine.peek(COLD)
    asked(engine, a_lane(HOT), a_lane(COLD))
    assert engine.peek(COLD) == odds
    assert engine.tokens() == PROMPT


def test_too_many_lanes_and_drafted_draws_are_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="1 to 4"):
        asked(engine, *[a_lane(COLD)] * 5)
    engine.speculation = Speculation(kind="exit", verify="typical")
    with pytest.raises(UsageError, match="drafts"):
        asked(engine, a_lane(COLD))


def fanned(engine: Engine, darts: list[int]) -> list[Reply]:
    values = {"ids": PROMPT, "prompt_len": len(PROMPT), "params": HOT.to_dict(), "darts": darts, "count": COUNT}
    return list(fan.answer(Desk(engine=engine, params=COLD), values))


def test_a_fan_throws_the_darts_of_its_lanes(engine: Engine) -> None:
    parts = fanned(engine, [0, 3, 5])
    for index, dart in enumerate([0, 3, 5]):
        run = Engine(a_toy())
        run.set_context(PROMPT)
        assert steps_of(parts, index) == [as_told(run.step(HOT, draw_lane=dart)) for _ in range(COUNT)]
        assert {step.lane for step in steps_of(parts, index)} == {dart}


def test_a_fan_is_the_samples_of_best_of(engine: Engine) -> None:
    engine.set_context(PROMPT)
    spec = SearchParams(method="best-of", paths=4, max_tokens=COUNT)
    events = list(search(engine, HOT, spec))
    done = events[-1]
    assert isinstance(done, Done)
    expected = {tuple(each.ids) for each in done.hypotheses}
    parts = fanned(engine, [0, 1, 2, 3])
    assert {tuple(step.token for step in steps_of(parts, lane)) for lane in range(4)} == expected


def test_the_same_lane_twice_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="different lanes"):
        fanned(engine, [1, 1])
