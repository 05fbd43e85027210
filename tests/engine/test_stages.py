"""Each stage against transformers' own class or its formula, at every boundary that was decided, and under a fuzz."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from tinychat.engine import stages
from tinychat.engine.params import GREEDY_BELOW, ORDERS, STAGE_NAMES, SamplingParams
from tinychat.engine.stages import STAGES, Context, shape, walk

INF = math.inf
NEAR = 1e-6  # tests keep this far from a threshold: there, the last bit of a sum decides

seeds = st.integers(0, 2**31)


def a_vector(seed: int, size: int = 200, spread: float = 3.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=size) * spread).float()


def survivors(logits: Tensor) -> list[int]:
    return torch.nonzero(logits > -INF).flatten().tolist()


def by_peer(processor: Any, logits: Tensor, ids: list[int] | None = None) -> Tensor:
    """What a class of transformers makes of the vector, in float64, so that both sides round alike."""
    result: Tensor = processor(torch.tensor([ids or [0]]), logits.double()[None])[0]
    return result


def probs(logits: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = logits.double().numpy()
    weights = np.exp(values - values.max())
    found: np.ndarray[Any, np.dtype[np.float64]] = weights / weights.sum()
    return found


# ---- temperature ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0.05, 50))
def test_temperature_gives_the_peer_s_distribution(seed: int, temperature: float) -> None:
    logits = a_vector(seed)
    ours = stages.temperature(logits, SamplingParams(temperature=temperature))
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
    assert survivors(shape(logits, SamplingParams(temperature=0, presence_penalty=5.0), [1], 0)) == [2]


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
    left = shape(torch.tensor([4.0, 3.0, -1.0]), params, [0, 2], 0)
    np.testing.assert_allclose(left, [4 / 0.5 / 2, 3 / 0.5, -1 / 0.5 * 2], rtol=1e-6)


# ---- top-k ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 300))
def test_top_k_equals_the_peer(seed: int, k: int) -> None:
    logits = a_vector(seed)
    ours = stages.top_k(logits, SamplingParams(top_k=k))
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
    ours = stages.top_p(logits, SamplingParams(top_p=p))
    assert torch.equal(ours.double(), by_peer(TopPLogitsWarper(p), logits))
    smallest = 1 + int(np.flatnonzero(sums >= p)[0])
    assert survivors(ours) == sorted(falling[:smallest].tolist())


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_a_greater_top_p_keeps_no_less(seed: int, one: float, other: float) -> None:
    logits = a_vector(seed)
    small, great = (
        set(survivors(stages.top_p(logits, SamplingParams(top_p=p)))) for p in (min(one, other), max(one, other))
    )
    assert small <= great


def test_top_p_zero_still_keeps_the_likeliest() -> None:
    kept = stages.top_p(torch.tensor([2.0, 1.0, 0.0]), SamplingParams(top_p=0.0))
    assert kept.isfinite().tolist() == [True, False, False]


def test_top_p_breaks_ties_by_lower_id_and_stops_at_exactly_p() -> None:
    even = torch.zeros(4)  # exactly a quarter each
    assert survivors(shape(even, SamplingParams(top_p=0.0))) == [0]
    assert survivors(shape(even, SamplingParams(top_p=0.25))) == [0]  # mass before the second is not below p
    assert survivors(shape(even, SamplingParams(top_p=0.4))) == [0, 1]
    assert survivors(shape(even, SamplingParams(top_p=0.5))) == [0, 1]
    assert survivors(shape(even, SamplingParams(top_p=0.51))) == [0, 1, 2]
    assert survivors(shape(torch.tensor([0.0, 1.0, 0.0, 1.0]), SamplingParams(top_p=0.8))) == [0, 1, 3]


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
    ours = stages.min_p(logits, SamplingParams(min_p=m))
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
    one = stages.min_p(logits, SamplingParams(min_p=m))
    other = stages.min_p(logits + constant, SamplingParams(min_p=m))
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
    ours = stages.top_n_sigma(logits, SamplingParams(top_n_sigma=n))
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
    assert survivors(shape(torch.tensor([0.3, 0.1]), SamplingParams(top_n_sigma=2.0))) == [0, 1]
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
    ours = stages.typical(logits, SamplingParams(typical_p=mass))
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


# ---- penalties and bias ---------------------------------------------------------------------------------------------

histories = st.lists(st.integers(0, 49), max_size=40)


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0.1, 5.0), histories)
def test_repetition_equals_the_peer(seed: int, theta: float, history: list[int]) -> None:
    logits = a_vector(seed, size=50)
    ours = shape(logits, SamplingParams(repetition_penalty=theta), history, 0)
    if not history:
        assert torch.equal(ours, logits)
        return
    theirs = RepetitionPenaltyLogitsProcessor(theta)(torch.tensor([history]), logits[None])[0]
    assert torch.equal(ours, theirs)


def test_repetition_lowers_a_seen_token_whatever_its_sign_and_only_once() -> None:
    logits = torch.tensor([2.0, -2.0, 0.0, 1.0])
    left = shape(logits, SamplingParams(repetition_penalty=2.0), [0, 0, 1, 2, 0], 0)
    assert left.tolist() == [1.0, -4.0, 0.0, 1.0]


def test_repetition_undone_by_its_inverse() -> None:
    logits = a_vector(3, size=20)
    once = shape(logits, SamplingParams(repetition_penalty=1.25), range(10), 0)
    back = shape(once, SamplingParams(repetition_penalty=0.8), range(10), 0)
    np.testing.assert_allclose(back, logits, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(-2, 2), st.floats(-2, 2), histories, st.integers(0, 40), st.sampled_from(["all", "output"]))
def test_frequency_and_presence_are_the_formula(
    seed: int, alpha: float, beta: float, history: list[int], prompt_len: int, scope: Any
) -> None:
    prompt_len = min(prompt_len, len(history))
    logits = a_vector(seed, size=50)
    params = SamplingParams(frequency_penalty=alpha, presence_penalty=beta, penalty_scope=scope)
    reach = history if scope == "all" else history[prompt_len:]
    want = [
        float(value) - alpha * reach.count(token) - beta * (token in reach)
        for token, value in enumerate(logits.tolist())
    ]
    np.testing.assert_allclose(shape(logits, params, history, prompt_len), want, atol=1e-4, rtol=1e-5)


def test_doubling_a_penalty_doubles_its_shift() -> None:
    logits = torch.zeros(4)
    for name in ("frequency_penalty", "presence_penalty"):
        one, two = (shape(logits, SamplingParams(**{name: value}), [1, 1, 2], 0) for value in (0.5, 1.0))
        assert torch.equal(2 * one, two)


@pytest.mark.parametrize(
    ("scope", "window", "seen"),
    [
        ("all", 0, {0, 1, 2, 3, 4}),
        ("all", 3, {2, 3, 4}),
        ("all", 99, {0, 1, 2, 3, 4}),
        ("output", 0, {3, 4}),
        ("output", 1, {4}),
        ("output", 3, {3, 4}),  # the window never reaches into what the scope leaves out
    ],
)
def test_the_window_is_the_last_tokens_of_the_scope(scope: Any, window: int, seen: set[int]) -> None:
    for name, value in (("presence_penalty", 1.0), ("frequency_penalty", 1.0), ("repetition_penalty", 2.0)):
        params = SamplingParams(**{name: value}, penalty_scope=scope, penalty_window=window)
        logits = torch.full((6,), 2.0)
        left = shape(logits, params, [0, 1, 2, 3, 4], 3)
        assert set(torch.nonzero(left != logits).flatten().tolist()) == seen


def test_ids_outside_the_vocabulary_are_ignored_in_the_history() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0])
    params = SamplingParams(repetition_penalty=2.0, frequency_penalty=0.5, presence_penalty=0.5)
    assert torch.equal(shape(logits, params, [1, 3, 99, -1, -3, 2**40], 0), shape(logits, params, [1], 0))


@pytest.mark.parametrize("history", [[0, 2], (0, 2), np.array([0, 2]), torch.tensor([0, 2]), range(0, 3, 2)])
def test_a_history_may_be_any_sequence_of_ids(history: Any) -> None:
    left = shape(torch.ones(3), SamplingParams(presence_penalty=1.0), history, 1)
    assert left.tolist() == [0.0, 1.0, 0.0]


def test_a_prompt_longer_than_the_history_is_refused() -> None:
    for prompt_len in (-1, 3):
        with pytest.raises(ValueError, match="prompt_len"):
            shape(torch.ones(3), SamplingParams(), [0, 1], prompt_len)


def test_logit_bias_adds_and_bans() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0, -INF])
    left = shape(logits, SamplingParams(logit_bias={0: 1.5, 2: -INF, 3: 100.0}))
    assert left.tolist() == [2.5, 2.0, -INF, -INF]  # what is cut cannot be brought back


def test_logit_bias_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="token 3"):
        shape(torch.ones(3), SamplingParams(logit_bias={0: 1.0, 3: 1.0}))


def test_a_huge_bias_stays_a_number() -> None:
    left = shape(torch.tensor([3e38, -3e38, 0.0]), SamplingParams(logit_bias={0: 1e308, 1: -1e308}))
    assert left.isfinite().all()
    assert probs(left).tolist() == [1.0, 0.0, 0.0]


# ---- all stages -----------------------------------------------------------------------------------------------------

EXTREMES: dict[str, list[dict[str, Any]]] = {
    "logit_bias": [{"logit_bias": {0: 5.0}}, {"logit_bias": {0: -1e30}}],
    "repetition": [{"repetition_penalty": 100.0}, {"repetition_penalty": 0.01}],
    "frequency": [{"frequency_penalty": 100.0}, {"frequency_penalty": -100.0}],
    "presence": [{"presence_penalty": 100.0}, {"presence_penalty": -100.0}],
    "top_n_sigma": [{"top_n_sigma": 0.01}, {"top_n_sigma": 1000.0}],
    "temperature": [{"temperature": t} for t in (0.0, 1.1e-5, 1e-4, 0.7, 100.0)],
    "top_k": [{"top_k": 1}, {"top_k": 3}],
    "typical": [{"typical_p": 0.0}, {"typical_p": 0.5}, {"typical_p": 0.9999999}],
    "top_p": [{"top_p": 0.0}, {"top_p": 0.5}, {"top_p": 0.9999999}],
    "min_p": [{"min_p": 1e-300}, {"min_p": 0.1}, {"min_p": 1.0}],
}
ALL_STAGES = [(name, settings_) for name in STAGE_NAMES for settings_ in EXTREMES[name]]

VECTORS: dict[str, Callable[[], Tensor]] = {
    "length 1": lambda: torch.tensor([0.3]),
    "length 2": lambda: torch.tensor([0.3, -5.0]),
    "constant": lambda: torch.full((20,), -4.0),
    "zeros": lambda: torch.zeros(20),
    "some cut": lambda: torch.tensor([1.0, -INF, 0.5, -INF, 0.0]),
    "one left": lambda: torch.tensor([-INF, -INF, 2.0, -INF]),
    "the largest numbers": lambda: torch.tensor([3.4028235e38, -3.4028235e38, 0.0, 1e-45]),
    "far apart": lambda: torch.tensor([0.0, -1e4, -1e30, -INF]),
    "halves": lambda: a_vector(1).half(),
    "brain floats": lambda: a_vector(2).bfloat16(),
    "doubles": lambda: a_vector(3).double(),
}


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize(("name", "values"), ALL_STAGES, ids=str)
def test_every_stage_keeps_a_token_and_makes_no_nan(name: str, values: dict[str, Any], vector: str) -> None:
    logits = VECTORS[vector]()
    left = shape(logits, SamplingParams(**values), [0, 0, 1], 1)
    _sound(logits, left)
    if name in ("logit_bias", "repetition", "frequency", "presence"):
        assert survivors(left) == survivors(logits.float())  # these change, they do not cut


def _sound(logits: Tensor, left: Tensor) -> None:
    assert left.dtype == torch.float32
    assert left.shape == logits.shape
    assert survivors(left), "nothing is left"
    assert set(survivors(left)) <= set(survivors(logits.float())), "a cut token came back"
    assert not left.isnan().any()
    assert left.max() < INF
    assert probs(left).sum() == pytest.approx(1.0, abs=1e-12)


@st.composite
def any_settings(draw: st.DrawFn) -> SamplingParams:
    picked = draw(st.lists(st.sampled_from(ALL_STAGES), max_size=6))
    values: dict[str, Any] = {}
    for _, one in picked:
        values |= one
    values["penalty_scope"] = draw(st.sampled_from(["all", "output"]))
    values["penalty_window"] = draw(st.integers(0, 5))
    values["order"] = draw(st.one_of(st.sampled_from(sorted(ORDERS)), st.permutations(STAGE_NAMES)))
    return SamplingParams(**values)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(-50, 50, width=32), st.sampled_from([-INF, 0.0, 3.4e38, -3.4e38, 1e-40])),
        min_size=1,
        max_size=30,
    ),
    any_settings(),
    st.lists(st.integers(-2, 40), max_size=10),
)
@example([3.4e38, -3.4e38, 0.0], SamplingParams(temperature=1.1e-5, top_n_sigma=0.01), [])
def test_any_chain_in_any_order_is_sound(values: list[float], params: SamplingParams, history: list[int]) -> None:
    logits = torch.tensor(values)
    before = logits.clone()
    left = shape(logits, params, history, len(history) // 2)
    assert torch.equal(logits, before), "the input was changed"
    if survivors(logits):
        _sound(logits, left)
    else:
        assert not survivors(left)
        assert not left.isnan().any()


@settings(max_examples=100, deadline=None)
@given(seeds, any_settings())
def test_the_walk_ends_where_shape_ends(seed: int, params: SamplingParams) -> None:
    logits = a_vector(seed, size=30)
    walked = list(walk(logits, params, [1, 2, 3], 1))
    assert [name for name, _ in walked] == [name for name in params.stages if params.is_on(name)]
    last = walked[-1][1] if walked else logits
    assert torch.equal(last, shape(logits, params, [1, 2, 3], 1))


@pytest.mark.parametrize(("name", "values"), ALL_STAGES, ids=str)
def test_stages_work_on_the_last_axis(name: str, values: dict[str, Any]) -> None:
    rows = torch.stack([a_vector(seed, size=40) for seed in range(6)])
    rows[2, 5:] = -INF
    rows[3] = -INF
    params, context = SamplingParams(**values), Context((0, 0, 1), 1)
    apply = STAGES[name].apply
    each = torch.stack([apply(row, params, context) for row in rows])
    assert torch.equal(apply(rows, params, context), each)
    assert torch.equal(apply(rows.view(2, 3, 40), params, context), each.view(2, 3, 40))


@pytest.mark.parametrize("name", STAGE_NAMES)
def test_a_neutral_stage_changes_nothing(name: str) -> None:
    logits = a_vector(4)
    assert torch.equal(STAGES[name].apply(logits, SamplingParams(), Context((1, 2), 1)), logits)


def test_neutral_settings_give_back_a_copy() -> None:
    logits = a_vector(0, size=5)
    left = shape(logits, SamplingParams())
    assert torch.equal(left, logits)
    left[0] = 99.0
    assert logits[0] != 99.0


def test_shape_takes_logits_that_require_gradients() -> None:
    left = shape(torch.ones(3, requires_grad=True), SamplingParams(top_k=1, temperature=0.5))
    assert not left.requires_grad


@pytest.mark.parametrize("values", [[1.0, math.nan], [1.0, INF], [math.nan, -INF], []])
def test_numbers_that_are_no_logits_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="logits must"):
        shape(torch.tensor(values), SamplingParams())


def test_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="one axis"):
        shape(torch.ones(2, 3), SamplingParams())


def test_raising_the_temperature_never_lowers_the_entropy() -> None:
    entropies = []
    for t in (0.1, 0.5, 1.0, 1.5, 3.0, 10.0):
        p = probs(shape(a_vector(8), SamplingParams(temperature=t)))
        entropies.append(-(p[p > 0] * np.log(p[p > 0])).sum())
    assert entropies == sorted(entropies)
