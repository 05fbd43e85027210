"""Guessing ahead, switched while an engine is open: the same tokens, in fewer passes, and a refusal changes nothing."""

from __future__ import annotations

import pytest
from toys import PROMPT, a_toy, drawn

from tinychat.engine.engine import Engine
from tinychat.engine.jobs.speculate import answer
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk
from tinychat.errors import UsageError

GREEDY = SamplingParams(temperature=0.0)


def test_it_is_switched_on_and_off_between_two_tokens() -> None:
    plain, engine = Engine(a_toy()), Engine(a_toy())
    plain.set_context(PROMPT * 4)
    engine.set_context(PROMPT * 4)
    desk = Desk(engine=engine, params=GREEDY)
    tokens = drawn(engine, 5, GREEDY)
    assert [reply.values for reply in answer(desk, {"plan": {"kind": "lookup"}})] == [{"plan": {"kind": "lookup"}}]
    tokens += drawn(engine, 30, GREEDY)
    assert engine.accepted > 0
    list(answer(desk, {"plan": None}))
    assert engine.speculation is None
    tokens += drawn(engine, 5, GREEDY)
    assert tokens == drawn(plain, 40, GREEDY)


def test_what_cannot_be_leaves_the_old_plan() -> None:
    engine = Engine(a_toy())
    desk = Desk(engine=engine, params=GREEDY)
    list(answer(desk, {"plan": {"kind": "lookup"}}))
    with pytest.raises(UsageError, match="draft model"):
        list(answer(desk, {"plan": {"kind": "draft"}}))
    with pytest.raises(ValueError, match="length"):
        list(answer(desk, {"plan": {"kind": "lookup", "length": 0}}))
    assert engine.speculation is not None
    assert engine.speculation.kind == "lookup"
