"""The survey of a vocabulary is the recorded odds, token by token, and takes the run's own computation over."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from toys import PROMPT, VOCAB, a_toy, drawn

from tinychat.engine.engine import Engine
from tinychat.engine.jobs import fate, survey
from tinychat.engine.jobs.survey import NOBODY, PARTS
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk, Reply
from tinychat.engine.trace import Step

PARAMS = SamplingParams(
    temperature=0.8, top_k=30, top_p=0.9, min_p=0.02, repetition_penalty=1.3, mirostat="v2", mirostat_tau=4.0, seed=11
)


def asked(engine: Engine, ids: list[int], step: Step | None = None, **more: Any) -> Reply:
    state = None if step is None else asdict(step.state)
    values = {"ids": ids, "prompt_len": len(PROMPT), "params": PARAMS.to_dict(), "state": state, **more}
    *_, last = (fate if "tokens" in more else survey).answer(Desk(engine=engine, params=SamplingParams()), values)
    return last


def columns(reply: Reply) -> list[Any]:
    found, at = [], 0
    for kind in PARTS:
        size = np.dtype(kind).itemsize * VOCAB
        found.append(np.frombuffer(reply.blob[at : at + size], kind))
        at += size
    assert at == len(reply.blob)
    return found


@pytest.fixture
def run() -> tuple[Engine, list[Step]]:
    engine = Engine(a_toy(), record=VOCAB)
    engine.set_context(PROMPT)
    return engine, [engine.step(PARAMS) for _ in range(12)]


@pytest.mark.parametrize("place", [0, 5, 11])
def test_it_is_what_the_step_recorded(run: tuple[Engine, list[Step]], place: int) -> None:
    engine, steps = run
    before = engine.tokens()
    step = steps[place]
    reply = asked(engine, before[: step.position], steps[place - 1] if place else None)
    logits, final, cut, by_raw, by_final, ranks = columns(reply)
    stages, total = reply.values["stages"], reply.values["log_total"]
    assert stages == [view.name for view in step.odds.stages]
    assert reply.values["kept"] == [view.kept for view in step.odds.stages]
    for candidate in step.odds.candidates:
        token = candidate.token
        assert logits[token] == np.float32(candidate.logit)
        assert math.isclose(math.exp(float(logits[token]) - total), candidate.raw, rel_tol=1e-12)
        assert final[token] == np.float32(candidate.final)
        assert (None if cut[token] == NOBODY else stages[cut[token]]) == candidate.cut_by
        assert by_raw[candidate.rank - 1] == token
        assert ranks[token] == candidate.rank
    assert by_final.tolist() == sorted(by_raw.tolist(), key=lambda token: -final[token])
    assert by_final[step.final_rank - 1] == step.token
    assert engine.tokens() == before


def test_the_fate_of_a_token_is_its_probability_and_rank_after_every_stage(run: tuple[Engine, list[Step]]) -> None:
    engine, steps = run
    step = steps[8]
    others = [candidate for candidate in step.odds.candidates if candidate.cut_by == "top_k"]
    tokens = [step.token, others[0].token]
    reply = asked(engine, engine.tokens()[: step.position], steps[7], tokens=tokens)
    (probs, ranks), (cut_probs, cut_ranks) = reply.values["fates"]
    assert probs == pytest.approx([view.chosen for view in step.odds.stages], rel=1e-12)
    assert (ranks[0], ranks[-1]) == (step.raw_rank, step.final_rank)
    assert (cut_probs[0], cut_ranks[0]) == (pytest.approx(others[0].raw), others[0].rank)
    at = reply.values["stages"].index("top_k")
    assert cut_probs[at:] == [0.0] * len(cut_probs[at:])
    assert cut_ranks[at:] == [0] * len(cut_ranks[at:])
    assert all(rank > 0 for rank in cut_ranks[:at])


def test_nothing_that_the_run_has_computed_is_computed_again(run: tuple[Engine, list[Step]]) -> None:
    engine, _ = run
    ids = engine.tokens()
    asked(engine, ids[:-1])
    from tinychat.engine import beside

    twin = beside._TWINS[engine]
    once = twin.runner.forwards
    assert once == 1  # the last token's own pass
    asked(engine, ids[:-1])
    assert twin.runner.forwards == once


def test_a_text_that_no_lane_holds_is_read(run: tuple[Engine, list[Step]]) -> None:
    engine, _ = run
    other = [9, 8, 7, 6]
    reply = asked(engine, other, prompt_len=4)
    fresh = Engine(a_toy(), record=VOCAB)
    fresh.set_context(other)
    odds = fresh.peek(PARAMS)
    logits = columns(reply)[0]
    assert [logits[c.token] for c in odds.candidates] == pytest.approx([c.logit for c in odds.candidates], abs=1e-6)
    assert drawn(engine, 1, PARAMS)
