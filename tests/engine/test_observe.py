"""The record of a position says what happened: sums, cuts, ranks and slices agree with the stages and the draw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vectors import a_context, walk_whole
from vectors import a_vector as a_wide_vector

from tinychat.engine.context import Context
from tinychat.engine.draw import owned, pick, uniform
from tinychat.engine.observe import Observation, decide, observe
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape
from tinychat.engine.trace import Odds

INF = math.inf
CHAIN = SamplingParams(temperature=0.8, top_k=20, top_p=0.9, min_p=0.02, repetition_penalty=1.3)
CHAINS: dict[str, SamplingParams] = {
    "neutral": SamplingParams(),
    "chain": CHAIN,
    "greedy": SamplingParams(temperature=0, top_p=0.5),
    "temperature last": CHAIN.with_(order="llama.cpp"),
    "typical": SamplingParams(typical_p=0.4, top_n_sigma=2.0),
    "banned": SamplingParams(logit_bias={3: -INF, 5: 2.0}, frequency_penalty=0.4, presence_penalty=0.2),
    "nothing left": SamplingParams(logit_bias=dict.fromkeys(range(60), -INF), top_p=0.5),
}
CONTEXT = Context((1, 2, 3, 3), 2, 9)


def a_vector(seed: int, size: int = 60) -> Tensor:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=size) * 2).float()
    logits[7] = logits[11]  # a tie
    return logits


def softmax(logits: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return logits.double().softmax(-1).nan_to_num(0.0).numpy()


def bits(p: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(-(p[p > 0] * np.log2(p[p > 0])).sum())


def see(name: str, seed: int = 0, **values: Any) -> Observation:
    return observe(a_vector(seed), CHAINS[name], CONTEXT, **values)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("seed", range(5))
def test_the_record_agrees_with_the_walk(name: str, seed: int) -> None:
    logits = a_vector(seed)
    odds = see(name, seed, token=11).odds
    before = softmax(logits)
    assert odds.stages[0].name == "raw"
    assert odds.stages[0].kept == 60
    assert odds.stages[0].mass == 1.0
    assert odds.stages[0].entropy == pytest.approx(bits(before), abs=1e-9)
    assert odds.stages[0].chosen == pytest.approx(before[11])
    walked = list(walk_whole(logits, CHAINS[name], CONTEXT))
    assert [view.name for view in odds.stages[1:]] == [stage for stage, _ in walked]
    for view, (_, after) in zip(odds.stages[1:], walked, strict=True):
        alive = after.numpy() > -INF
        p = softmax(after)
        assert view.kept == alive.sum()
        assert view.mass == pytest.approx(before[alive].sum(), abs=1e-12)
        assert view.entropy == pytest.approx(bits(p), abs=1e-9)
        assert view.chosen == pytest.approx(p[11], abs=1e-15)
        before = p
    assert odds.kept == odds.stages[-1].kept
    assert odds.final_entropy == odds.stages[-1].entropy
    assert odds.entropy == odds.stages[0].entropy


EVERYTHING = SamplingParams(
    temperature=0.8, top_k=3000, top_p=0.97, min_p=1e-4, typical_p=0.99, repetition_penalty=1.2, frequency_penalty=0.2,
    presence_penalty=0.3, encoder_repetition_penalty=1.1, dry_multiplier=0.8, no_repeat_ngram=2, top_n_sigma=6.0,
    epsilon_cutoff=1e-6, eta_cutoff=1e-6, tfs_z=0.999, top_a=1e-3, top_h=0.99, xtc_probability=1.0,
    smoothing_factor=0.01, logit_bias={5: 9.0, 6: -INF}, banned_ids=[7], min_tokens=9, end_decay=1.1,
)  # fmt: skip


@pytest.mark.parametrize("order", ["default", "hf", "llama.cpp", "vllm"])
@pytest.mark.parametrize("cut", [0.0, 0.6])
def test_a_tally_that_follows_the_changes_ends_with_the_sums_of_whole_rows(order: str, cut: float) -> None:
    """What one stage after another left alone is not computed again, in 6000 tokens and through 23 stages."""
    params = EVERYTHING.with_(order=order)
    logits, context = a_wide_vector(1, 6000, cut=cut), a_context(6000, tuple(range(40)) * 3, prompt_len=60)
    seen = observe(logits, params, context, token=11)
    before = softmax(logits)
    walked = list(walk_whole(logits, params, context))
    assert len(walked) == 23
    for view, (name, after) in zip(seen.odds.stages[1:], walked, strict=True):
        alive, p = after.numpy() > -INF, softmax(after)
        assert (view.name, view.kept) == (name, alive.sum())
        assert view.mass == pytest.approx(before[alive].sum(), abs=1e-12)
        assert view.entropy == pytest.approx(bits(p), abs=1e-9)
        assert view.chosen == pytest.approx(p[11], rel=1e-9, abs=1e-300)
        before = p
    np.testing.assert_allclose(seen.final, before, rtol=1e-9)


def test_the_sums_survive_the_fall_of_a_token_that_was_everything() -> None:
    logits = a_vector(0)
    logits[0] = 2000.0
    seen = observe(logits, SamplingParams(logit_bias={0: -4000.0}, presence_penalty=0.5), CONTEXT)
    without = a_vector(0)
    without[0] = -2000.0
    without[[1, 2, 3]] -= 0.5
    np.testing.assert_allclose(seen.final, softmax(without), rtol=1e-6)
    assert seen.odds.final_entropy == pytest.approx(bits(softmax(without)), rel=1e-6)


@pytest.mark.parametrize("name", CHAINS)
def test_final_is_the_softmax_of_shape(name: str) -> None:
    final = see(name).final
    assert final.dtype == np.float64
    assert final.shape == (60,)
    np.testing.assert_allclose(final, softmax(shape(a_vector(0), CHAINS[name], CONTEXT)), atol=1e-15)
    assert abs(final.sum() - (0.0 if name == "nothing left" else 1.0)) < 1e-12


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("seed", range(5))
def test_candidates_are_the_likeliest_raw_with_the_stage_that_cut_them(name: str, seed: int) -> None:
    logits, observation = a_vector(seed), see(name, seed, n=25)
    raw = softmax(logits)
    want = sorted(range(60), key=lambda token: (-float(logits[token]), token))
    candidates = observation.odds.candidates
    assert [candidate.token for candidate in candidates] == want[:25]
    assert [candidate.rank for candidate in candidates] == list(range(1, 26))
    alive = dict.fromkeys(range(60))
    cut_by: dict[int, str | None] = dict.fromkeys(range(60))
    for stage, after in walk_whole(logits, CHAINS[name], CONTEXT):
        for token in [token for token in alive if not after[token] > -INF]:
            cut_by[token] = stage
            del alive[token]
    for candidate in candidates:
        assert candidate.logit == float(logits[candidate.token])
        assert candidate.raw == pytest.approx(raw[candidate.token])
        assert candidate.final == observation.final[candidate.token]
        assert candidate.cut_by == cut_by[candidate.token]
        assert (candidate.cut_by is None) == (candidate.final > 0)


def test_the_token_in_question_joins_the_candidates_once() -> None:
    last = sorted(range(60), key=lambda token: float(a_vector(0)[token]))[0]
    odds = see("chain", n=5, token=last).odds
    assert len(odds.candidates) == 6
    assert odds.candidates[-1].token == last
    assert odds.candidates[-1].rank == 60
    assert odds.candidates[-1].cut_by == "top_k"
    first = odds.candidates[0].token
    assert len(see("chain", n=5, token=first).odds.candidates) == 5
    assert see("chain", n=60, token=last).odds.candidates[-1] == odds.candidates[-1]  # one way of making it


@pytest.mark.parametrize("n", [0, 1, 59, 60, 1000])
def test_any_number_of_candidates_may_be_asked_for(n: int) -> None:
    assert len(see("chain", n=n).odds.candidates) == min(n, 60)


def test_without_a_token_in_question_nothing_is_said_about_one() -> None:
    assert all(view.chosen is None for view in see("chain").odds.stages)


def test_varentropy_is_the_variance_of_surprisal() -> None:
    p = softmax(a_vector(4))
    surprisal = -np.log2(p)
    assert see("chain", 4).odds.varentropy == pytest.approx(float((p * (surprisal - bits(p)) ** 2).sum()))


@pytest.mark.parametrize("size", [1, 2, 7, 1024])
def test_a_uniform_distribution_has_log_n_bits_and_no_varentropy(size: int) -> None:
    odds = observe(torch.full((size,), -3.0), SamplingParams()).odds
    assert odds.entropy == pytest.approx(math.log2(size), abs=1e-12)
    assert odds.varentropy == pytest.approx(0.0, abs=1e-12)


def test_a_sure_token_has_no_entropy() -> None:
    odds = observe(torch.tensor([5000.0, 0.0, -INF]), SamplingParams()).odds
    assert (odds.entropy, odds.varentropy, odds.kept) == (0.0, 0.0, 2)


def test_a_token_the_model_itself_forbids_is_cut_by_raw() -> None:
    seen = observe(torch.tensor([1.0, -INF, 0.0]), SamplingParams(top_k=1))
    assert [candidate.cut_by for candidate in seen.odds.candidates] == [None, "top_k", "raw"]
    assert seen.odds.stages[0].kept == 2
    assert seen.odds.stages[0].mass == 1.0


def test_nothing_left_is_a_record_not_a_nan() -> None:
    seen = see("nothing left", token=4)
    assert seen.odds.kept == 0
    assert seen.odds.final_entropy == 0.0
    assert not seen.final.any()
    assert all(candidate.cut_by == "logit_bias" for candidate in seen.odds.candidates)
    assert [view.mass for view in seen.odds.stages] == [1.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="every one is cut"):
        decide(seen, CHAINS["nothing left"], time_s=0.0)
    step = decide(seen, CHAINS["nothing left"], token=4, time_s=0.0)
    assert (step.token, step.final, step.final_rank, step.low, step.high) == (4, 0.0, 0, 0.0, 0.0)


@pytest.mark.parametrize("values", [[1.0, math.nan], [INF, 1.0], []])
def test_broken_logits_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="logits must"):
        observe(torch.tensor(values), SamplingParams())


@pytest.mark.parametrize("token", [-1, 60])
def test_a_token_outside_the_vocabulary_is_refused(token: int) -> None:
    with pytest.raises(ValueError, match="token must be"):
        see("chain", token=token)
    with pytest.raises(ValueError, match="token must be"):
        decide(see("chain"), CHAIN, token=token, time_s=0.0)


def test_observing_leaves_the_logits_as_they_are() -> None:
    logits = a_vector(0)
    before = logits.clone()
    decide(observe(logits, CHAIN, CONTEXT), CHAIN, time_s=0.0)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("name", [name for name in CHAINS if name != "nothing left"])
@pytest.mark.parametrize("lane", [0, 3])
def test_a_drawn_step_holds_the_whole_choice(name: str, lane: int) -> None:
    params = CHAINS[name].with_(seed=2**63 + 5)
    seen = see(name)
    step = decide(seen, params, lane=lane, time_s=0.25)
    found = pick(seen.final, uniform(params.seed, 9, lane))
    raw = softmax(a_vector(0))
    assert (step.token, step.low, step.high, step.final_rank) == (found.token, found.low, found.high, found.rank)
    assert step.low <= step.u < step.high
    assert not step.forced
    assert (step.lane, step.position, step.time_s) == (lane, 9, 0.25)
    assert step.raw == pytest.approx(raw[step.token])
    assert step.final == seen.final[step.token]
    assert step.surprisal == pytest.approx(-math.log2(step.raw))
    _consistent(step.odds, step.token, step.raw, step.final, step.raw_rank)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("token", range(0, 60, 7))
def test_a_forced_step_says_what_the_settings_thought_of_it(name: str, token: int) -> None:
    seen = see(name)
    step = decide(seen, CHAINS[name], token=token, time_s=0.0)
    assert step.forced
    assert step.token == token
    assert step.u == uniform(0, 9, 0)  # the dart of the position is recorded all the same
    place = owned(seen.final, token)
    assert (step.low, step.high, step.final_rank) == (place.low, place.high, place.rank)
    assert (step.final_rank == 0) == (step.final == 0)
    _consistent(step.odds, token, step.raw, step.final, step.raw_rank)


def _consistent(odds: Odds, token: int, raw: float, final: float, rank: int) -> None:
    assert odds.stages[0].chosen == raw
    assert odds.stages[-1].chosen == final
    mine = [candidate for candidate in odds.candidates if candidate.token == token]
    assert [(one.raw, one.final, one.rank) for one in mine] == [(raw, final, rank)]


def test_forcing_what_the_dart_would_take_gives_the_same_place() -> None:
    seen = see("chain")
    drawn = decide(seen, CHAIN, time_s=0.0)
    forced = decide(seen, CHAIN, token=drawn.token, time_s=0.0)
    assert (forced.low, forced.high, forced.odds) == (drawn.low, drawn.high, drawn.odds)


def test_greedy_owns_the_whole_interval_whatever_the_seed() -> None:
    for seed in range(5):
        step = decide(see("greedy"), CHAINS["greedy"].with_(seed=seed), time_s=0.0)
        assert (step.low, step.high, step.final, step.final_rank) == (0.0, 1.0, 1.0, 1)
        assert step.token == int(a_vector(0).argmax())


def test_a_hopeless_token_has_a_finite_surprisal() -> None:
    seen = observe(torch.tensor([0.0, -2000.0]), SamplingParams())
    step = decide(seen, SamplingParams(), token=1, time_s=0.0)
    assert step.raw == 0.0
    assert step.surprisal == pytest.approx(2000 / math.log(2))
    forbidden = observe(torch.tensor([0.0, -INF]), SamplingParams())
    assert decide(forbidden, SamplingParams(), token=1, time_s=0.0).surprisal == INF


def test_a_question_about_one_token_does_not_stick_to_the_next() -> None:
    seen = see("chain", n=5, token=59)
    assert seen.for_token(58) == see("chain", n=5, token=58).odds
    assert decide(seen, CHAIN, time_s=0.0) == decide(see("chain", n=5), CHAIN, time_s=0.0)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.one_of(st.floats(-80, 80, width=32), st.just(-INF)), min_size=1, max_size=40),
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 5),
            "top_k": st.integers(0, 10),
            "top_p": st.floats(0, 1),
            "min_p": st.floats(0, 1),
            "typical_p": st.floats(0, 1),
            "top_n_sigma": st.floats(0, 3),
            "presence_penalty": st.floats(-2, 2),
            "seed": st.integers(0, 2**64 - 1),
            "order": st.sampled_from(["default", "hf", "llama.cpp", "vllm"]),
        },
    ),
    st.integers(0, 2**32 - 1),
)
def test_every_record_is_sound(values: list[float], options: dict[str, Any], position: int) -> None:
    params = SamplingParams(**options)
    seen = observe(torch.tensor(values), params, Context((0, 1, 1), 1, position))
    odds = seen.odds
    assert odds.position == position
    assert (odds.kept == 0) == all(value == -INF for value in values)
    kept = [view.kept for view in odds.stages]
    assert kept == sorted(kept, reverse=True)
    for view in odds.stages:
        assert 0.0 <= view.mass <= 1.0 + 1e-12
        assert 0.0 <= view.entropy <= math.log2(max(view.kept, 1)) + 1e-9
    assert odds.varentropy >= 0.0
    if odds.kept:
        assert seen.final.sum() == pytest.approx(1.0, abs=1e-12)
        step = decide(seen, params, time_s=0.0)
        assert step.low <= step.u < step.high
        assert step.final > 0
        assert step.surprisal >= 0.0
