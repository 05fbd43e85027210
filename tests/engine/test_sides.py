"""Side passes: what they say, what they cost, and that they follow the lane wherever it goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import PROMPT, VOCAB, a_toy, drawn, logits_of

from tinychat.engine.context import Context, Sides
from tinychat.engine.engine import Engine
from tinychat.engine.guidance import early_layers
from tinychat.engine.observe import observe
from tinychat.engine.params import SamplingParams
from tinychat.engine.passes import ContextFull
from tinychat.engine.runner import Runner
from tinychat.engine.trace import Odds
from tinychat.errors import NumbersError, UsageError
from tinychat.model.transformer import Transformer

MODEL, AMATEUR = a_toy(3, layers=4), a_toy(4, layers=1)
GUIDED = SamplingParams(guidance_scale=1.7, temperature=0.9, seed=5)
NEGATIVE = GUIDED.with_(negative_ids=[9, 8, 7])
KL = SamplingParams(temperature_mode="kl", kl_half_life=0.5, seed=5)
CONTRAST = SamplingParams(contrastive="difference", contrastive_alpha=0.01, seed=5)
DOLA = SamplingParams(dola="high", contrastive_alpha=0.01, seed=5)
ALL = NEGATIVE.with_(temperature_mode="kl", contrastive="scaled", dola="low", contrastive_alpha=0.001)
EACH = {"guided": GUIDED, "negative": NEGATIVE, "kl": KL, "contrast": CONTRAST, "dola": DOLA, "all": ALL}
PLAIN = SamplingParams(seed=5)


def an_engine(model: Transformer = MODEL, **options: object) -> Engine:
    return Engine(model, **{"amateur": AMATEUR, "record": VOCAB} | options)  # type: ignore[arg-type]


def from_scratch(params: SamplingParams, ids: list[int], prompt_len: int) -> Odds:
    """Every pass by itself, over whole texts, without a cache."""
    reply = ids[prompt_len:]
    bare = logits_of(MODEL, [*PROMPT[prompt_len - 1 : prompt_len], *reply])
    without = logits_of(MODEL, [*params.negative_ids, *reply]) if params.negative_ids else bare
    layers = early_layers(4, tie=True, half="high" if params.dola == "high" else "low")
    early = Runner(MODEL).run({0: ids}, exits=layers)[0].exits  # against the model itself in test_runner
    sides = Sides(without=without, unprompted=bare, amateur=logits_of(AMATEUR, ids), early=early)
    return observe(logits_of(MODEL, ids), params, Context(ids, prompt_len, sides=sides), n=VOCAB).odds


def final(odds: Odds) -> Tensor:
    law = torch.zeros(VOCAB, dtype=torch.float64)
    for candidate in odds.candidates:
        law[candidate.token] = candidate.final
    return law


def agree(a: Odds, b: Odds) -> None:
    np.testing.assert_allclose(final(a), final(b), atol=1e-5)
    assert a.position == b.position
    assert a.temperature == pytest.approx(b.temperature, abs=1e-4)


# ---- what they say ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EACH)
def test_sides_equal_separate_runs_of_the_model(name: str) -> None:
    params, engine = EACH[name], an_engine()
    engine.set_context(PROMPT)
    plain = engine.peek(PLAIN)
    for _ in range(12):
        found = engine.peek(params)
        agree(found, from_scratch(params, engine.tokens(), 5))
        engine.step(params)
    engine.cut(5)
    assert not np.allclose(final(engine.peek(params)), final(plain), atol=1e-2)  # and they matter


@pytest.mark.parametrize("name", EACH)
def test_sides_follow_rewinds_edits_and_new_prompts(name: str) -> None:
    params, engine = EACH[name], an_engine()
    engine.set_context(PROMPT)
    first = drawn(engine, 15, params)
    engine.cut(9)
    assert drawn(engine, 11, params) == first[4:]
    engine.set_context([*PROMPT, *first[:6], 40, 41], prompt_len=5)  # an edit
    agree(engine.peek(params), from_scratch(params, engine.tokens(), 5))
    engine.set_context([*PROMPT, *first[:6]], prompt_len=3)  # some of the prompt was the reply's
    agree(engine.peek(params), from_scratch(params, engine.tokens(), 3))
    engine.force(11, PLAIN)  # without sides, then with them again
    agree(engine.peek(params), from_scratch(params, engine.tokens(), 3))


def test_a_negative_prompt_may_be_changed_between_two_tokens() -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    drawn(engine, 5, NEGATIVE)
    for ids in ([9, 8], [1], [], [30, 31, 32, 33]):
        params = NEGATIVE.with_(negative_ids=ids)
        agree(engine.peek(params), from_scratch(params, engine.tokens(), 5))
        engine.step(params)


def test_without_a_prompt_there_is_nothing_to_leave_out() -> None:
    engine = an_engine()
    engine.set_context(PROMPT, prompt_len=0)
    np.testing.assert_allclose(final(engine.peek(GUIDED.with_(temperature=1.0))), final(engine.peek(PLAIN)), atol=1e-6)


# ---- what they cost --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rows"), [("guided", 2), ("negative", 2), ("kl", 2), ("dola", 1), ("all", 3)])
def test_sides_share_the_pass_of_their_lane(name: str, rows: int) -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    engine.step(EACH[name])
    before = engine.runner.forwards
    drawn(engine, 10, EACH[name])
    assert engine.runner.forwards == before + 10
    assert engine.runner.cache.lanes == rows


def test_guidance_and_kl_share_one_side() -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    drawn(engine, 3, GUIDED.with_(temperature_mode="kl"))
    assert engine.runner.cache.lanes == 2


def test_what_is_not_asked_for_costs_nothing() -> None:
    engine, plain = an_engine(), Engine(MODEL, record=VOCAB)
    for each in (engine, plain):
        each.set_context(PROMPT)
    engine.peek(GUIDED)
    engine.peek(ALL)
    assert engine.runner.cache.lanes == 3
    before = engine.runner.forwards
    tokens = drawn(engine, 10, PLAIN)
    assert engine.runner.cache.lanes == 1  # the first token drawn without gave the rows back
    assert engine.runner.forwards == before + 9
    assert tokens == drawn(plain, 10, PLAIN)


def test_a_turned_knob_costs_a_side_pass_once() -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    drawn(engine, 6, PLAIN)
    engine.peek(PLAIN)
    before = engine.runner.forwards
    engine.peek(GUIDED)
    assert engine.runner.forwards == before + 2  # the reply so far, and its last token
    for scale in (0.0, 0.5, 3.0, 1.0):
        engine.peek(GUIDED.with_(guidance_scale=scale))
    assert engine.runner.forwards == before + 2


def test_lanes_in_step_share_passes_with_all_their_sides_and_are_like_single_engines() -> None:
    lanes = an_engine(lanes=3)
    prompts = [PROMPT, [9, 8, 7], [20] * 12]
    for lane, prompt in enumerate(prompts):
        lanes.set_context(prompt, lane=lane)
    found = [[lanes.step(GUIDED, lane=lane).token for lane in range(3)]]
    before = lanes.runner.forwards
    found += [[lanes.step(GUIDED, lane=lane).token for lane in range(3)] for _ in range(10)]
    assert lanes.runner.forwards == before + 10
    assert lanes.runner.cache.lanes == 6
    for lane, prompt in enumerate(prompts):
        single = an_engine()
        single.set_context(prompt)
        assert drawn(single, 11, GUIDED, draw_lane=lane) == [row[lane] for row in found]


@pytest.mark.parametrize("name", EACH)
def test_a_fork_takes_its_sides_along(name: str) -> None:
    params, engine = EACH[name], an_engine(lanes=2)
    engine.set_context(PROMPT)
    engine.set_context([7, 7, 7], lane=1)
    engine.step(NEGATIVE, lane=1)  # sides that the source does not have
    drawn(engine, 5, params)
    engine.peek(params)
    before = engine.runner.forwards
    engine.fork(0, 1)
    assert engine.peek(params, lane=1, draw_lane=0) == engine.peek(params)
    assert engine.runner.forwards == before
    assert drawn(engine, 6, params, lane=1, draw_lane=0) == drawn(engine, 6, params)


# ---- what cannot be --------------------------------------------------------------------------------------------------


def test_contrastive_decoding_without_an_amateur_says_how_to_get_one() -> None:
    engine = Engine(MODEL)
    engine.set_context(PROMPT)
    for act in (engine.peek, engine.step):
        with pytest.raises(UsageError, match="--amateur"):
            act(CONTRAST)
    assert engine.tokens() == PROMPT


def test_helpers_need_the_same_vocabulary() -> None:
    with pytest.raises(UsageError, match="amateur model has 40 tokens"):
        Engine(MODEL, amateur=a_toy(1, vocab=40))
    with pytest.raises(UsageError, match="draft model has 40 tokens"):
        Engine(MODEL, draft=a_toy(1, vocab=40))


def test_sides_that_do_not_fit_are_an_error_and_change_nothing() -> None:
    engine = an_engine(context=12, amateur=a_toy(1, context=6))
    engine.set_context(PROMPT)
    drawn(engine, 2, PLAIN)
    with pytest.raises(ContextFull, match="negative prompt"):
        engine.step(GUIDED.with_(negative_ids=[1] * 11))
    with pytest.raises(ContextFull, match="amateur"):
        engine.step(CONTRAST)
    assert engine.step(GUIDED).position == 7


def test_an_amateur_whose_numbers_broke_is_named() -> None:
    broken = a_toy(1)
    broken.norm.weight.fill_(float("nan"))
    engine = an_engine(amateur=broken)
    engine.set_context(PROMPT)
    for _ in range(2):
        with pytest.raises(NumbersError, match="amateur"):
            engine.step(CONTRAST)
    assert engine.step(PLAIN).position == 5
