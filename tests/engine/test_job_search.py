"""The search job tells, in parts, exactly the events of the search, and leaves the lane of the run as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from toys import PROMPT, VOCAB, a_toy

from tinychat.engine.engine import Engine
from tinychat.engine.jobs.search import answer
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk
from tinychat.engine.search import search
from tinychat.engine.search_events import from_plain
from tinychat.engine.search_params import METHODS, SearchParams
from tinychat.engine.search_tree import Done, SearchEvent
from tinychat.model.vocabulary import Vocabulary

WORDS = Vocabulary(tuple(b"%d" % (token % 10) for token in range(VOCAB)), (7,))
PARAMS = SamplingParams(temperature=0.9, repetition_penalty=1.2, mirostat="v2", seed=5)
SMALL: dict[str, dict[str, Any]] = {
    "exhaustive": {"max_tokens": 2},
    "constrained": {"max_tokens": 6, "phrases": ("1",)},
}


def an_engine() -> Engine:
    engine = Engine(a_toy(), end_ids=[7], vocabulary=WORDS, record=4)
    engine.set_context(PROMPT)
    return engine


def told(engine: Engine, spec: SearchParams, ids: list[int], prompt_len: int) -> list[SearchEvent]:
    values = {"spec": spec.to_dict(), "ids": ids, "prompt_len": prompt_len, "state": None}
    events: list[SearchEvent] = []
    for reply in answer(Desk(engine=engine, params=PARAMS), json.loads(json.dumps(values))):
        events += from_plain(json.loads(json.dumps(reply.values)), reply.steps)
    return events


def timeless(events: list[SearchEvent]) -> str:
    """Without the times that steps took."""
    return " ".join(part for part in repr(events).split() if not part.startswith("time_s="))


@pytest.mark.parametrize("method", METHODS)
def test_all_events_are_told_and_the_lane_stays(method: str) -> None:
    spec = SearchParams(method=method, **SMALL.get(method, {"max_tokens": 6}))
    engine = an_engine()
    drawn = [engine.step(PARAMS).token for _ in range(3)]
    before = engine.tokens()
    came = told(engine, spec, [*PROMPT, *drawn[:2]], len(PROMPT))
    assert engine.tokens() == before
    assert engine.step(PARAMS).token == fourth()

    twin = an_engine()
    twin.set_context([*PROMPT, *drawn[:2]], prompt_len=len(PROMPT))
    assert timeless(came) == timeless(list(search(twin, PARAMS, spec)))


def fourth() -> int:
    engine = an_engine()
    return [engine.step(PARAMS).token for _ in range(4)][3]


def test_a_long_prompt_is_read_in_parts() -> None:
    engine = Engine(a_toy(context=400), end_ids=[7], record=4)
    ids = [1 + n % 40 for n in range(300)]
    spec = SearchParams(max_tokens=2)
    values = {"spec": spec.to_dict(), "ids": ids, "prompt_len": 300, "state": None}
    read = [reply.values["read"] for reply in answer(Desk(engine=engine, params=SamplingParams()), values)
            if "read" in reply.values]  # fmt: skip
    assert read == [128, 256, 299]
    assert engine.length() == 0


def test_what_contradicts_itself_is_refused() -> None:
    values = {"spec": SearchParams(method="best-of").to_dict(), "ids": PROMPT, "prompt_len": 5, "state": None}
    with pytest.raises(ValueError, match="best-of compares samples"):
        next(answer(Desk(engine=an_engine(), params=SamplingParams(temperature=0.0)), values))


def test_asked_to_finish_it_weighs_what_is_there() -> None:
    desk = Desk(engine=an_engine(), params=PARAMS)
    spec = SearchParams(method="cot", paths=3, max_tokens=50)
    values = {"spec": spec.to_dict(), "ids": PROMPT, "prompt_len": len(PROMPT), "state": None}
    events: list[SearchEvent] = []
    for reply in answer(desk, values):
        events += from_plain(reply.values, reply.steps)
        desk.patience.is_over = True
    done = events[-1]
    assert isinstance(done, Done)
    assert done.stop == "interrupted"
    assert len(done.hypotheses) == 3
