"""Each stage against transformers' own class or its formula, and at every boundary that was decided."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)
from vectors import INF, NEAR, a_vector, by_peer, probs, seeds, survivors

from tinychat.engine import truncations
from tinychat.engine.context import Context
from tinychat.engine.knobs import GREEDY_BELOW
from tinychat.engine.orders import ORDERS
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape

# ---- temperature ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0.05, 50))
def test_temperature_gives_the_peer_s_distribution(seed: int, temperature: float) -> None:
    logits = a_vector(seed)
    ours = shape(logits, SamplingParams(temperature=temperature))
    theirs = by_peer(TemperatureLogitsWarper(temperature), logits)
    np.testing.assert_allclose(probs(ours), probs(theirs), rtol=3e-5, atol=1e-12)


def test_temperature_keeps_the_ratios_of_the_formula() -> None:
    logits = torch.tensor([2.0, 1.0, -1.0])
    p = probs(shape(logits, SamplingParams(temperature=0.5)))
    assert p[0] / p[1] == pytest.approx(math.exp(1 / 0.5), rel=1e-6)
    assert p[0] / p[2] == pytest.approx(math.exp(3 / 0.5), rel=1e-6)


def test_temperature_one_changes_nothing() -> None:
    logits = a_vector(0)
    assert torch.equal(shape(logits, SamplingParams(temperature=1.0)), logits)


def test_a_great_temperature_is_nearly_uniform() -> None:
    p = probs(shape(a_vector(1, spread=1.0), SamplingParams(temperature=100)))
    assert p.max() / p.min() < 1.1


@pytest.mark.parametrize("temperature", [0.0, 1e-38, 1e-6, GREEDY_BELOW])
@pytest.mark.parametrize("order", sorted(ORDERS))
def test_greedy_leaves_exactly_the_first_of_the_largest(temperature: float, order: str) -> None:
    logits = torch.tensor([1.0, 3.0, -2.0, 3.0, -INF])
    left = shape(logits, SamplingParams(temperature=temperature, order=order, top_p=0.9, top_k=3, min_p=0.2))
    assert survivors(left) == [1]
    assert left[1].isfinite()


def test_greedy_obeys_penalties_and_bans() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0])
    assert survivors(shape(logits, SamplingParams(temperature=0, logit_bias={1: -INF}))) == [2]
    assert survivors(shape(logits, SamplingParams(temperature=0, presence_penalty=5.0), Context([1]))) == [2]


@pytest.mark.parametrize("temperature", [1.1e-5, 1e-4, 1e-3, 0.01])
@pytest.mark.parametrize("logits", [[10.0, 20.0, 0.0], [3e38, -3e38, 0.0], [1e5, 1e5 - 1, -INF], [-1e-30, 0.0, 1e-30]])
def test_a_tiny_temperature_never_overflows(temperature: float, logits: list[float]) -> None:
    left = shape(torch.tensor(logits), SamplingParams(temperature=temperature))
    assert survivors(left) == [i for i, value in enumerate(logits) if value > -INF]
    p = probs(left)
    assert np.isfinite(p).all()
    assert p.sum() == pytest.approx(1.0)


def test_a_tiny_temperature_keeps_the_digits_of_near_ties() -> None:
    logits = torch.tensor([20.0, np.nextafter(np.float32(20.0), np.float32(0.0)), 0.0])
    gap = float(logits[0] - logits[1])
    p = probs(shape(logits, SamplingParams(temperature=1e-4)))
    assert p[0] / p[1] == pytest.approx(math.exp(gap / 1e-4), rel=1e-6)


def test_a_repetition_penalty_after_the_temperature_still_sees_signs() -> None:
    params = SamplingParams(temperature=0.5, repetition_penalty=2.0, order=["temperature", "repetition"])
    left = shape(torch.tensor([4.0, 3.0, -1.0]), params, Context([0, 2]))
    np.testing.assert_allclose(left, [4 / 0.5 / 2, 3 / 0.5, -1 / 0.5 * 2], rtol=1e-6)


# ---- top-k ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 300))
def test_top_k_equals_the_peer(seed: int, k: int) -> None:
    logits = a_vector(seed)
    ours = truncations.top_k(logits, SamplingParams(top_k=k))
    assert torch.equal(ours.double(), by_peer(TopKLogitsWarper(k), logits))


def test_top_k_keeps_all_that_equal_the_last() -> None:
    logits = torch.tensor([1.0, 2.0, 1.0, 0.0, 1.0])
    assert survivors(shape(logits, SamplingParams(top_k=2))) == [0, 1, 2, 4]
    assert survivors(shape(logits, SamplingParams(top_k=1))) == [1]


@pytest.mark.parametrize("k", [0, 5, 6, 10**9])
def test_top_k_of_zero_or_of_everything_is_off(k: int) -> None:
    logits = a_vector(0, size=5)
    assert torch.equal(shape(logits, SamplingParams(top_k=k)), logits)


def test_top_k_beyond_what_is_left_keeps_what_is_left() -> None:
    logits = torch.tensor([1.0, -INF, 2.0, -INF])
    assert survivors(shape(logits, SamplingParams(top_k=3))) == [0, 2]


# ---- top-p ----------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(seeds, st.floats(0.001, 0.999), st.sampled_from([0.3, 1.0, 3.0, 10.0]))
def test_top_p_equals_the_peer_and_the_smallest_prefix(seed: int, p: float, spread: float) -> None:
    logits = a_vector(seed, spread=spread)
    falling = np.argsort(-logits.numpy(), kind="stable")
    sums = np.cumsum(probs(logits)[falling])
    assume(np.abs(sums - p).min() > NEAR)
    assume(np.unique(logits.numpy()).size == logits.numel())
    ours = truncations.top_p(logits, SamplingParams(top_p=p))
    assert torch.equal(ours.double(), by_peer(TopPLogitsWarper(p), logits))
    smallest = 1 + int(np.flatnonzero(sums >= p)[0])
    assert survivors(ours) == sorted(falling[:smallest].tolist())


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_a_greater_top_p_keeps_no_less(seed: int, one: float, other: float) -> None:
    logits = a_vector(seed)
    small, great = (
        set(survivors(truncations.top_p(logits, SamplingParams(top_p=p)))) for p in (min(one, other), max(one, other))
    )
    assert small <= great


def test_top_p_zero_still_keeps_the_likeliest() -> None:
    kept = truncations.top_p(torch.tensor([2.0, 1.0, 0.0]), SamplingParams(top_p=0.0))
    assert kept.isfinite().tolist() == [True, False, False]


def test_top_p_breaks_ties_by_lower_id_and_stops_at_exactly_p() -> None:
    even = torch.zeros(4)  # exactly a quarter each
    assert survivors(shape(even, SamplingParams(top_p=0.0))) == [0]
    assert survivors(shape(even, SamplingParams(top_p=0.25))) == [0]  # mass before the second is not below p
    assert survivors(shape(even, SamplingParams(top_p=0.4))) == [0, 1]
    assert survivors(shape(even, SamplingParams(top_p=0.5))) == [0, 1]
    assert survivors(shape(even, SamplingParams(top_p=0.51))) == [0, 1, 2]
    assert survivors(shape(torch.tensor([0.0, 1.0, 0.0, 1.0]), SamplingParams(top_p=0.8))) == [0, 1, 3]


def test_top_p_breaks_ties_by_lower_id_in_a_large_vocabulary_too() -> None:
    assert survivors(shape(torch.zeros(65536), SamplingParams(top_p=0.25))) == list(range(16384))


def test_top_p_one_is_off_even_for_hopeless_tokens() -> None:
    logits = torch.tensor([0.0, -500.0, -INF])
    assert torch.equal(shape(logits, SamplingParams(top_p=1.0)), logits)


def test_top_p_measures_what_earlier_stages_left() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    assert survivors(shape(logits, SamplingParams(top_k=2, top_p=0.5))) == [0]  # 0.4 of 0.7 is enough
    assert survivors(shape(logits, SamplingParams(top_p=0.5))) == [0, 1]


# ---- min-p ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(1e-6, 1.0), st.sampled_from([1.0, 3.0, 10.0]))
def test_min_p_equals_the_peer(seed: int, m: float, spread: float) -> None:
    logits = a_vector(seed, spread=spread)
    p = probs(logits)
    assume(np.abs(np.log(p[p < p.max()] / p.max()) - math.log(m)).min() > 1e-5)
    ours = truncations.min_p(logits, SamplingParams(min_p=m))
    assert torch.equal(ours.double(), by_peer(MinPLogitsWarper(m), logits))


@pytest.mark.parametrize("shift", [0.0, 20.0, -300.0])
@pytest.mark.parametrize("m", [0.05, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("top", [0.1, 0.25, 0.4, 0.8])
def test_min_p_keeps_equality_on_paper(top: float, m: float, shift: float) -> None:
    logits = torch.tensor([math.log(top) + shift, math.log(top * m) + shift, math.log(top * m * 0.99) + shift])
    assert survivors(shape(logits, SamplingParams(min_p=m))) == [0, 1]


def test_min_p_one_keeps_exactly_the_tied_largest() -> None:
    just_below = float(np.nextafter(np.float32(2.0), np.float32(0.0)))
    assert survivors(shape(torch.tensor([2.0, just_below, 2.0]), SamplingParams(min_p=1.0))) == [0, 2]


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(-64, 64), st.floats(0.01, 1.0))
def test_min_p_ignores_a_constant(seed: int, constant: int, m: float) -> None:
    logits = a_vector(seed).mul(1024).round().div(1024)  # on a coarse grid the sum is exact
    one = truncations.min_p(logits, SamplingParams(min_p=m))
    other = truncations.min_p(logits + constant, SamplingParams(min_p=m))
    near = (logits.double() - logits.max() - math.log(m)).abs().min()
    assume(near > 1e-4)
    assert survivors(one) == survivors(other)


# ---- top-n sigma ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0.05, 4.0), st.integers(0, 50))
def test_top_n_sigma_is_the_formula_over_unmasked_entries(seed: int, n: float, masked: int) -> None:
    logits = a_vector(seed)
    logits[torch.randperm(200, generator=torch.Generator().manual_seed(seed))[:masked]] = -INF
    values = logits.double().numpy()
    floor = values.max() - n * np.std(values[np.isfinite(values)])
    assume(np.abs(values - floor).min() > NEAR)
    ours = truncations.top_n_sigma(logits, SamplingParams(top_n_sigma=n))
    assert survivors(ours) == np.flatnonzero(values >= floor).tolist()


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0.2, 3.0))
def test_top_n_sigma_survivors_do_not_depend_on_the_temperature(seed: int, n: float) -> None:
    logits = a_vector(seed)
    values = logits.double().numpy()
    assume(np.abs(values - (values.max() - n * values.std())).min() > 1e-4)
    for order in (("top_n_sigma", "temperature"), ("temperature", "top_n_sigma")):
        kept = [
            survivors(shape(logits, SamplingParams(top_n_sigma=n, temperature=t, order=order))) for t in (0.3, 1.0, 5.0)
        ]
        assert kept[0] == kept[1] == kept[2]


def test_top_n_sigma_keeps_equality_and_ties() -> None:
    assert survivors(shape(torch.tensor([2.0, 0.0]), SamplingParams(top_n_sigma=2.0))) == [0, 1]  # sigma is 1
    for high in range(1, 60):
        five = torch.tensor([high / 10] + [0.05] * 4)  # one above four: sigma is 2/5 of the gap
        assert survivors(shape(five, SamplingParams(top_n_sigma=2.5))) == [0, 1, 2, 3, 4]
    assert survivors(shape(torch.tensor([2.0, 0.0]), SamplingParams(top_n_sigma=1.99))) == [0]
    assert survivors(shape(torch.full((5,), 7.0), SamplingParams(top_n_sigma=0.001))) == [0, 1, 2, 3, 4]


# ---- typical --------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(seeds, st.floats(0.01, 0.99), st.sampled_from([0.3, 1.0, 3.0]))
def test_typical_equals_the_peer(seed: int, mass: float, spread: float) -> None:
    logits = a_vector(seed, spread=spread)
    p = probs(logits)
    distance = np.abs(-np.log(p) + (p * np.log(p)).sum())
    order = np.argsort(distance, kind="stable")
    assume(np.abs(np.cumsum(p[order]) - mass).min() > NEAR)
    assume(np.diff(distance[order]).min() > 1e-12)
    ours = truncations.typical(logits, SamplingParams(typical_p=mass))
    assert torch.equal(ours.double(), by_peer(TypicalLogitsWarper(mass), logits))
    smallest = 1 + int(np.flatnonzero(np.cumsum(p[order]) >= mass)[0])
    assert survivors(ours) == sorted(order[:smallest].tolist())


def test_typical_may_drop_the_likeliest() -> None:
    logits = torch.tensor([0.3] + [0.7 / 35] * 35).log()  # H is 4.05 bits: the many are nearer to it than the one
    assert survivors(shape(logits, SamplingParams(typical_p=0.5))) == list(range(1, 36))


@pytest.mark.parametrize("mass", [0.0, 0.01, 0.5, 0.999])
def test_typical_keeps_a_uniform_distribution_whole(mass: float) -> None:
    logits = torch.full((50,), 3.0)
    assert torch.equal(shape(logits, SamplingParams(typical_p=mass)), logits)


def test_typical_is_not_disturbed_by_cut_tokens() -> None:
    logits = a_vector(5, size=40)
    padded = torch.cat([torch.full((10,), -INF), logits])
    for mass in (0.2, 0.5, 0.9):
        params = SamplingParams(typical_p=mass)
        assert survivors(shape(padded, params)) == [10 + token for token in survivors(shape(logits, params))]
