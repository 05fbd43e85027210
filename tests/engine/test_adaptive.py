"""Mirostat and adaptive-p against slow twins of the published rules, and their state as a function of the path."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from vectors import INF, NEAR, REJECT, a_vector, chance, probs, seeds, survivors

from tinychat.engine.adaptive import advance, zipf_k
from tinychat.engine.context import Context
from tinychat.engine.observe import decide, observe
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape
from tinychat.engine.trace import FRESH, SamplerState, Step

V1 = SamplingParams(mirostat="v1", mirostat_tau=3.0)
V2 = SamplingParams(mirostat="v2", mirostat_tau=3.0)


def at(state: SamplerState, position: int = 0) -> Context:
    return Context(position=position, state=state)


def mu(value: float | None) -> Context:
    return at(SamplerState(mirostat=value))


def zipf(size: int, exponent: float) -> Tensor:
    return (-exponent * torch.arange(1, size + 1).double().log()).float()


# ---- mirostat v2 ----------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(seeds, st.floats(-3.0, 15.0))
def test_v2_keeps_what_surprises_by_mu_bits_at_most(seed: int, bound: float) -> None:
    logits = a_vector(seed, size=60, cut=0.3)
    with np.errstate(divide="ignore"):
        surprisal = -np.log2(probs(logits))
    if np.abs(surprisal - bound).min() < NEAR * 10:
        return
    want = np.flatnonzero(surprisal <= bound).tolist() or [int(logits.argmax())]
    assert survivors(shape(logits, V2, mu(bound))) == want


def test_a_fresh_reply_begins_at_twice_tau() -> None:
    logits = torch.log2(torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625])) * math.log(2)
    assert survivors(shape(logits, SamplingParams(mirostat="v2", mirostat_tau=1.1))) == [0, 1]
    assert survivors(shape(logits, SamplingParams(mirostat="v2", mirostat_tau=1.6))) == [0, 1, 2]


def test_mu_follows_the_script() -> None:
    """Surprises of 1, 4, 4, 1 bits at tau 2 and eta 0.5: mu 4, then 4.5, 3.5, 2.5, 3."""
    logits = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625]).log()
    params = SamplingParams(mirostat="v2", mirostat_tau=2.0, mirostat_eta=0.5)
    state, seen, kept = FRESH, [], []
    for position, token in enumerate((0, 3, 4, 0)):
        observation = observe(logits, params, at(state, position))
        kept.append(observation.odds.kept)
        state = decide(observation, params, token=token, time_s=0.0).state
        seen.append(state.mirostat)
    assert seen == pytest.approx([4.5, 3.5, 2.5, 3.0], abs=1e-6)
    assert kept == [
        5,
        5,
        3,
        2,
    ]  # at 4, 4.5, 3.5 and 2.5 bits; the surprise of a forced token is measured before the cut


def test_surprise_is_measured_before_the_stage_s_own_cut_and_after_earlier_ones() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    params = SamplingParams(mirostat="v2", mirostat_tau=1.0, mirostat_eta=1.0, top_k=2)
    step = decide(observe(logits, params), params, token=0, time_s=0.0)
    assert step.state.mirostat == pytest.approx(2.0 - (math.log2(7 / 4) - 1.0), abs=1e-6)  # of 0.4 / 0.7
    alone = params.with_(top_k=0)
    step = decide(observe(logits, alone, mu(1.4)), alone, token=0, time_s=0.0)
    assert step.final == pytest.approx(1.0)  # nothing else was left, yet its surprise is the model's own
    assert step.state.mirostat == pytest.approx(1.4 - (-math.log2(0.4) - 1.0), abs=1e-6)


def test_a_token_that_an_earlier_stage_cut_leaves_mu_where_it_is() -> None:
    params = V2.with_(top_k=1)
    step = decide(observe(a_vector(0, 9), params, mu(5.0)), params, token=int(a_vector(0, 9).argmin()), time_s=0.0)
    assert step.final == 0.0
    assert step.state.mirostat == 5.0


# ---- mirostat v1 ----------------------------------------------------------------------------------------------------


def slow_k(p: list[float], bound: float, size: int) -> float:
    """As the authors' script, with the estimate over 100."""
    p = sorted(p, reverse=True)[:100]
    num = den = 0.0
    for i in range(len(p) - 1):
        t = math.log((i + 2) / (i + 1))
        num += t * math.log(p[i] / p[i + 1])
        den += t * t
    s = num / den
    eps = s - 1.0
    return float(((eps * 2**bound) / (1.0 - size**-eps)) ** (1.0 / s))


@settings(max_examples=100, deadline=None)
@given(seeds, st.sampled_from([5, 60, 400]), st.floats(0.5, 5.0), st.floats(-2.0, 12.0))
def test_v1_finds_the_k_of_the_published_rule(seed: int, size: int, spread: float, bound: float) -> None:
    logits = a_vector(seed, size, spread, cut=0.2)
    alive = probs(logits)[survivors(logits)].tolist()
    if len(alive) == 1:
        assert zipf_k(logits, bound) == 1
        return
    want = slow_k(alive, bound, len(alive))
    found = zipf_k(logits, bound)
    assert found == pytest.approx(min(max(want, 1.0), len(alive)), abs=0.5 + 1e-3 * want)
    falling = logits.sort(descending=True).values
    assert survivors(shape(logits, V1, mu(bound))) == torch.nonzero(logits >= falling[found - 1]).flatten().tolist()


@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.3, 2.5])
def test_v1_on_zipf_s_own_law_is_the_token_of_mu_bits(exponent: float) -> None:
    """On an exact Zipf law the estimate is the exponent, and the k-th token's surprise is about mu."""
    logits = zipf(2000, exponent)
    for bound in (3.0, 5.0, 7.0):
        k = zipf_k(logits, bound)
        inner = math.log(2000) if exponent == 1.0 else (1 - 2000 ** (1 - exponent)) / (exponent - 1)
        want = (2**bound / inner) ** (1 / exponent)
        assert k == pytest.approx(max(want, 1.0), abs=0.5 + 1e-3 * want)


@pytest.mark.parametrize("bound", [-5000.0, -1.0, 0.0, 3.0, 2000.0])
def test_v1_survives_flat_steep_and_tiny_rows(bound: float) -> None:
    rows = [torch.zeros(50), torch.tensor([1.0]), torch.tensor([3.0, -INF]), torch.arange(300.0) * -40, zipf(500, 1.0),
            torch.tensor([0.0, -3e38, -INF])]  # fmt: skip
    for row in rows:
        k = zipf_k(row, bound)
        assert 1 <= k <= len(survivors(row))
        left = survivors(shape(row, V1, mu(bound)))
        assert left
        assert set(left) <= set(survivors(row))
    assert zipf_k(torch.arange(300.0) * -40, 2000.0) > 1
    assert zipf_k(zipf(500, 1.0), 2000.0) == 500


# ---- what it is for -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("exponent", "tau"), [(1.0, 4.0), (1.2, 2.5)])
def test_the_mean_surprise_comes_to_tau(version: str, exponent: float, tau: float) -> None:
    """On one stationary distribution whose own entropy is above tau, over 800 tokens."""
    logits = zipf(400, exponent)
    params = SamplingParams(mirostat=version, mirostat_tau=tau, mirostat_eta=0.1, seed=8)
    state, surprises = FRESH, []
    for position in range(800):
        step = decide(observe(logits, params, at(state, position), n=0), params, time_s=0.0)
        state = step.state
        surprises.append(step.surprisal)
    p = probs(logits)
    assert -(p * np.log2(p)).sum() > tau + 0.3
    assert np.mean(surprises) == pytest.approx(tau, abs=0.1)


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({"mirostat": "v2"}, SamplerState(mirostat=3.3)),
        ({"mirostat": "v1"}, SamplerState(mirostat=4.0)),
        ({"adaptive_target": 0.3}, SamplerState(adaptive=(0.4, 2.0))),
    ],
    ids=str,
)
def test_draws_follow_the_exact_law(values: dict[str, Any], state: SamplerState) -> None:
    logits = a_vector(5, size=10, spread=1.0)
    params = SamplingParams(**values, seed=1)
    seen = observe(logits, params, at(state), n=0)
    p = probs(logits)
    if "adaptive_target" in values:
        distance = np.abs(p - (2 * 0.3 - 0.2)) / 0.3
        weights = np.exp(5 - 10 * distance**2 / (1 + distance))
    else:
        kept = -np.log2(p) <= 3.3 if values["mirostat"] == "v2" else p >= np.sort(p)[-zipf_k(logits, 4.0)]
        assert 1 < kept.sum() < 10
        weights = np.where(kept, p, 0.0)
    counts = np.zeros(10, dtype=np.int64)
    for position in range(3000):
        place = replace(seen, odds=replace(seen.odds, position=position))
        counts[decide(place, params, time_s=0.0).token] += 1
    law = weights / weights.sum()
    assert counts[law == 0].sum() == 0
    assert chance(counts, law) > REJECT
    assert chance(counts, p) < REJECT  # the test can tell


# ---- adaptive-p -----------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(seeds, st.floats(0.01, 1.0), st.floats(0.0, 1.0), st.floats(0.5, 8.0))
def test_adaptive_p_follows_the_published_form(seed: int, target: float, mean: float, spread: float) -> None:
    logits = a_vector(seed, 40, spread, cut=0.3)
    after = shape(logits, SamplingParams(adaptive_target=target), at(SamplerState(adaptive=(mean * 3, 3.0))))
    aim = min(max(2 * target - mean, 0.0), 1.0)
    distance = np.abs(probs(logits) - aim) / 0.3
    want = np.where(logits.numpy() > -INF, 5 - 10 * distance**2 / (1 + distance), -INF)
    np.testing.assert_allclose(after.numpy(), want, rtol=1e-5, atol=1e-5)
    assert survivors(after) == survivors(logits)


def test_adaptive_p_may_prefer_the_rarer_token() -> None:
    after = probs(shape(torch.tensor([0.7, 0.2, 0.1]).log(), SamplingParams(adaptive_target=0.2)))
    assert after.argmax() == 1


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.99])
def test_adaptive_p_starts_as_if_the_target_had_been_met_and_then_keeps_a_running_mean(decay: float) -> None:
    """The mean that the authors keep: sum of p decay^age over sum of decay^age, primed with the target."""
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    params = SamplingParams(adaptive_target=0.4, adaptive_decay=decay)
    first = probs(shape(logits, params))
    state = SamplerState(adaptive=(0.4, 1.0))  # any sums whose mean is the target
    np.testing.assert_allclose(first, probs(shape(logits, params, at(state))), atol=1e-7)
    total, weights, state = 0.4 / (1 - decay), 1 / (1 - decay), FRESH
    for position, token in enumerate((0, 2, 2, 1)):
        state = decide(observe(logits, params, at(state, position)), params, token=token, time_s=0.0).state
        total, weights = (0.5, 0.3, 0.2)[token] + decay * total, 1 + decay * weights
    assert state.adaptive == pytest.approx((total, weights), rel=1e-6)


def test_adaptive_p_moves_the_mean_probability_with_its_target() -> None:
    def mean(target: float) -> float:
        params, state, chosen = SamplingParams(adaptive_target=target, seed=2), FRESH, []
        for position in range(300):
            step = decide(observe(a_vector(position, 30, 2.0), params, at(state, position), n=0), params, time_s=0.0)
            state = step.state
            chosen.append(step.raw)
        return float(np.mean(chosen))

    means = [mean(target) for target in (0.05, 0.3, 0.6)]
    assert means[0] + 0.1 < means[1] < means[2] - 0.1


# ---- state ----------------------------------------------------------------------------------------------------------

STATEFUL: dict[str, SamplingParams] = {
    "v1": V1.with_(temperature=1.3, seed=4),
    "v2": V2.with_(top_p=0.95, seed=4),
    "adaptive": SamplingParams(adaptive_target=0.4, min_p=0.01, seed=4),
    "both": V2.with_(adaptive_target=0.4, order="llama.cpp", temperature=0.8, seed=4),
}


def reply(params: SamplingParams, length: int, state: SamplerState = FRESH, start: int = 0) -> list[Step]:
    """Tokens of a model whose logits depend on the position alone."""
    steps: list[Step] = []
    for position in range(start, start + length):
        steps.append(decide(observe(a_vector(position, 25), params, at(state, position), n=4), params, time_s=0.0))
        state = steps[-1].state
    return steps


@pytest.mark.parametrize("name", STATEFUL)
def test_a_reply_replays_from_any_of_its_states(name: str) -> None:
    whole = reply(STATEFUL[name], 20)
    assert reply(STATEFUL[name], 20) == whole
    for cut in (1, 7, 19):
        assert reply(STATEFUL[name], 20 - cut, whole[cut - 1].state, cut) == whole[cut:]
    assert len({step.state for step in whole}) == 20
    assert reply(STATEFUL[name], 13, FRESH, 7) != whole[7:]  # a forgotten state is another reply


@pytest.mark.parametrize("name", STATEFUL)
@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 24), min_size=1, max_size=8), st.integers(0, 2**64 - 1), st.integers(0, 3), st.data())
def test_the_state_depends_on_the_path_alone(
    name: str, path: list[int], seed: int, lane: int, data: st.DataObject
) -> None:
    """Whoever chose the tokens, whatever was looked at between them, with whatever dice: the same tokens, one state."""
    params, state, other = STATEFUL[name], FRESH, FRESH
    for position, token in enumerate(path):
        context = at(state, position)
        state = decide(observe(a_vector(position, 25), params, context), params, token=token, time_s=0.0).state
        elsewhere = params.with_(seed=seed)
        seen = observe(a_vector(position, 25), elsewhere, replace(at(other, position), lane=lane), n=1, token=3)
        if data.draw(st.booleans()):
            decide(seen, elsewhere, lane=lane, token=data.draw(st.integers(0, 24)), time_s=0.5)  # a what-if
        other = decide(seen, elsewhere, lane=lane, token=token, time_s=9.0).state
    assert state == other


def test_a_drawn_token_and_the_same_one_forced_leave_the_same_state() -> None:
    for params in STATEFUL.values():
        seen = observe(a_vector(3, 25), params)
        drawn = decide(seen, params, time_s=0.0)
        assert decide(seen, params, token=drawn.token, time_s=0.0).state == drawn.state != FRESH


def test_without_a_steering_stage_the_state_passes_through() -> None:
    kept = SamplerState(mirostat=1.5, adaptive=(0.25, 2.0))
    for params in (SamplingParams(), SamplingParams(temperature=0.0, top_p=0.9)):
        assert decide(observe(a_vector(0), params, at(kept)), params, time_s=0.0).state == kept
        assert decide(observe(a_vector(0), params), params, time_s=0.0).state == FRESH
    assert advance(kept, V2, {"mirostat": 3.0}).adaptive == kept.adaptive


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-(2.0**120), 2.0**120, width=32) | st.just(-INF) | st.just(0.0), min_size=1, max_size=9),
    st.sampled_from(sorted(STATEFUL)),
    st.floats(-1e6, 1e6),
    st.floats(0.0, 1.0),
)
@example([0.0], "both", 0.0, 0.0)
@example([-INF, -INF], "both", 1.0, 1.0)
def test_no_vector_and_no_state_breaks_a_stage(values: list[float], name: str, bound: float, mean: float) -> None:
    logits = torch.tensor(values)
    state = SamplerState(mirostat=bound, adaptive=(mean, 1.0))
    seen = observe(logits, STATEFUL[name], at(state))
    assert set(np.flatnonzero(seen.final)) <= set(survivors(logits))
    assert bool(survivors(logits)) == (seen.odds.kept > 0)
    for token in range(len(values)):
        after = decide(seen, STATEFUL[name], token=token, time_s=0.0).state
        numbers = [after.mirostat, *(after.adaptive or ())]
        assert all(number is not None and math.isfinite(number) for number in numbers)
