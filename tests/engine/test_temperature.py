"""The temperature slot against transformers, closed forms and slow twins in plain numpy, in every mode."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from transformers import TemperatureLogitsWarper
from vectors import INF, REJECT, a_vector, by_peer, chance, probs, seeds, survivors

from tinychat.engine.context import NOTHING_SEEN, Context, Sides
from tinychat.engine.observe import decide, observe
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape
from tinychat.engine.temperature import KL_FLOOR, REGION_FACTORS, temperature
from tinychat.engine.trace import REGIONS
from tinychat.model.vocabulary import Vocabulary

#        0     1     2     3        4      5         6        7      8
TEXTS = (b"a", b" ", b"\n", b"    ", b"\t", b"x:\n", b"\n  ", b"", b"if ")
VOCABULARY = Vocabulary(TEXTS, end_ids=(7,))


def used(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> float:
    """The temperature that the record names."""
    return observe(logits, params, context).odds.temperature


def nats(p: NDArray[np.float64]) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def spread_bits(p: NDArray[np.float64]) -> float:
    p = p[p > 0]
    surprisal = -np.log2(p)
    return float((p * (surprisal - (p * surprisal).sum()) ** 2).sum())


def logits_of(p: list[float]) -> Tensor:
    return torch.tensor(p, dtype=torch.float64).log().float()


# ---- fixed ----------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(seeds, st.floats(0.05, 50.0))
def test_fixed_gives_the_odds_of_transformers(seed: int, by: float) -> None:
    logits = a_vector(seed, size=50, cut=0.3)
    want = probs(by_peer(TemperatureLogitsWarper(by), logits))
    np.testing.assert_allclose(probs(shape(logits, SamplingParams(temperature=by))), want, atol=2e-6)


def test_ratios_are_powers_and_the_extremes_are_uniform_and_greedy() -> None:
    logits = torch.tensor([2.0, 1.0, 0.5])
    for by in (0.5, 1.0, 2.0, 7.0):
        p = probs(shape(logits, SamplingParams(temperature=by)))
        assert p[0] / p[2] == pytest.approx(math.exp(1.5 / by), rel=1e-6)
    np.testing.assert_allclose(probs(shape(logits, SamplingParams(temperature=1e9))), [1 / 3] * 3, atol=1e-8)
    assert torch.equal(shape(logits, SamplingParams()), logits)
    assert survivors(shape(logits, SamplingParams(temperature=1e-5))) == [0]


@pytest.mark.parametrize(
    ("by", "want"),
    [(0.5, (0.8438, 0.1142, 0.0420)), (1.0, (0.6285, 0.2312, 0.1402)), (2.0, (0.4810, 0.2918, 0.2272))],
)
def test_the_course_example_with_its_right_values(by: float, want: tuple[float, ...]) -> None:
    p = probs(shape(torch.tensor([2.0, 1.0, 0.5]), SamplingParams(temperature=by)))
    assert p.tolist() == pytest.approx(want, abs=5e-5)


# ---- dynamic --------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(seeds, st.floats(0.0, 2.0), st.floats(0.01, 2.0), st.floats(0.1, 4.0), st.floats(0.1, 8.0))
def test_dynamic_follows_its_formula(seed: int, base: float, width: float, power: float, spread: float) -> None:
    logits = a_vector(seed, size=40, spread=spread, cut=0.4)
    params = SamplingParams(temperature=base, temperature_mode="dynamic", dynatemp_range=width, dynatemp_exponent=power)
    low, high = max(0.0, base - width), base + width
    p = probs(logits)
    alive = len(survivors(logits))
    want = base if alive == 1 else low + (high - low) * (nats(p) / math.log(alive)) ** power
    found = used(logits, params)
    assert found == pytest.approx(want, abs=1e-9)
    assert low <= found <= high
    np.testing.assert_allclose(
        probs(shape(logits, params)), probs(shape(logits, SamplingParams(temperature=found))), atol=1e-9
    )


def test_dynamic_runs_from_low_at_a_point_mass_to_high_at_a_uniform() -> None:
    params = SamplingParams(temperature=0.8, temperature_mode="dynamic", dynatemp_range=0.3)
    assert used(torch.full((7,), 2.5), params) == pytest.approx(1.1, abs=1e-12)
    assert used(torch.tensor([0.0, -2000.0, -2000.0]), params) == pytest.approx(0.5, abs=1e-12)
    assert used(torch.tensor([-INF, 3.0, -INF]), params) == 0.8  # one token left: nothing to measure


def test_dynamic_measures_what_earlier_stages_left() -> None:
    """Two equal tokens are the most uncertain that two tokens can be, however many others were cut."""
    params = SamplingParams(temperature=1.0, temperature_mode="dynamic", top_k=2, order="llama.cpp")
    assert used(torch.tensor([3.0, 3.0, 1.0, 0.0, -1.0]), params) == pytest.approx(1.5)


# ---- EDT ------------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(seeds, st.floats(0.01, 3.0), st.floats(0.0, 3.0), st.floats(0.1, 20.0))
def test_edt_follows_its_formula_and_stays_below_its_base(seed: int, base: float, theta: float, spread: float) -> None:
    logits = a_vector(seed, size=40, spread=spread, cut=0.4)
    entropy = nats(probs(logits))
    found = used(logits, SamplingParams(temperature=base, temperature_mode="edt", edt_theta=theta))
    assert found == pytest.approx(base * 0.8 ** (theta / entropy) if entropy else 0.0, rel=1e-6, abs=1e-12)
    assert found <= base


def test_edt_rises_with_the_entropy() -> None:
    params = SamplingParams(temperature_mode="edt", edt_theta=0.5)
    by_entropy = [used(torch.arange(20.0) * sharpness, params) for sharpness in (9.0, 3.0, 1.0, 0.3, 0.1, 0.0)]
    assert by_entropy == sorted(by_entropy)
    assert len(set(by_entropy)) == len(by_entropy)


@pytest.mark.parametrize("gap", [20.0, 50.0, 700.0, 3000.0, 3e38])
def test_edt_without_entropy_is_greedy_and_overflows_nowhere(gap: float) -> None:
    logits = torch.tensor([0.0, gap / 2, gap / 2 - gap, -INF])
    params = SamplingParams(temperature_mode="edt", edt_theta=1.0)
    assert used(logits, params) <= 1e-5
    assert survivors(shape(logits, params)) == [1]


def test_edt_with_theta_0_is_the_plain_temperature_even_without_entropy() -> None:
    params = SamplingParams(temperature=0.7, temperature_mode="edt", edt_theta=0.0)
    for logits in (a_vector(1), torch.tensor([5.0]), torch.tensor([-INF, 1.0])):
        assert used(logits, params) == 0.7


# ---- AdapT ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "hot"),
    [
        ((2, 3), True),  # a line end, an indentation
        ((0, 2, 3, 3), True),
        ((2, 4, 1), True),
        ((5, 1), True),  # a token that ends its line
        ((0, 6), True),  # both in one token
        ((6, 3), True),
        ((2, 2, 3), True),
        ((2,), False),  # a line that does not begin with an indentation
        ((5,), False),
        ((2, 3, 0), False),  # the block has begun
        ((0, 3), False),  # a space between words
        ((3,), False),  # no line end before it
        ((), False),
        ((2, 7, 3), False),  # a special token ends the text before it
        ((2, 3, 8), False),
    ],
)
def test_adapt_is_hot_after_an_indentation_alone(history: tuple[int, ...], hot: bool) -> None:
    params = SamplingParams(temperature=0.5, temperature_mode="adapt", adapt_temperature=1.4)
    context = Context(history, vocabulary=VOCABULARY)
    logits = a_vector(3, size=9)
    assert used(logits, params, context) == (1.4 if hot else 0.5)
    want = shape(logits, SamplingParams(temperature=1.4 if hot else 0.5))
    assert torch.equal(shape(logits, params, context), want)


def test_modes_that_need_more_than_logits_say_so() -> None:
    with pytest.raises(ValueError, match="adapt needs"):
        shape(a_vector(0), SamplingParams(temperature_mode="adapt"), Context((1, 2)))
    with pytest.raises(ValueError, match="kl needs"):
        shape(a_vector(0), SamplingParams(temperature_mode="kl"))


# ---- KL -------------------------------------------------------------------------------------------------------------


def without(logits: Tensor) -> Context:
    return Context(sides=Sides(unprompted=logits))


@settings(max_examples=100, deadline=None)
@given(seeds, st.floats(0.1, 2.0), st.floats(0.05, 20.0), st.floats(0.1, 6.0))
def test_kl_follows_its_formula_over_the_tokens_left(seed: int, base: float, half: float, spread: float) -> None:
    logits, other = a_vector(seed, 30, spread, cut=0.3), a_vector(seed + 1, 30, spread)
    params = SamplingParams(temperature=base, temperature_mode="kl", kl_half_life=half)
    alive = (logits > -INF).numpy()
    here, there = probs(logits)[alive], probs(other[logits > -INF])
    floored = (np.maximum(each, KL_FLOOR) for each in (here, there))
    divergence = max(0.0, float((here * np.subtract(*map(np.log, floored))).sum()))
    found = used(logits, params, without(other))
    assert found == pytest.approx(base * 2 ** (-divergence / half), rel=1e-6, abs=1e-12)
    assert found <= base


def test_kl_of_two_points_has_its_closed_form() -> None:
    params = SamplingParams(temperature_mode="kl", kl_half_life=0.25)
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    found = used(logits_of([0.75, 0.25]), params, without(logits_of([0.5, 0.5])))
    assert found == pytest.approx(2 ** (-divergence / 0.25), rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(seeds, st.floats(-50.0, 50.0))
def test_kl_of_equal_distributions_leaves_the_base(seed: int, shift: float) -> None:
    logits = a_vector(seed, size=30, cut=0.2)
    params = SamplingParams(temperature=0.9, temperature_mode="kl", kl_half_life=0.01)
    assert used(logits, params, without(logits)) == 0.9
    assert used(logits, params, without(logits + shift)) == pytest.approx(0.9, abs=1e-3)


def test_kl_of_what_the_prompt_alone_makes_possible_is_finite() -> None:
    params = SamplingParams(temperature_mode="kl")
    found = used(torch.tensor([9.0, 0.0, -INF]), params, without(torch.tensor([-INF, 3.0, 3.0])))
    assert 0.0 < found < 1e-3


# ---- the entropy policy ---------------------------------------------------------------------------------------------

FIELD = 2**17  # tokens of the tail that makes a sure model uneven
PLACES: dict[str, tuple[list[float], int]] = {  # the head, and how many tokens share the rest
    "sure": ([0.999, 0.001], 0),
    "nearly": ([0.98], FIELD),
    "forked": ([0.25, 0.25, 0.25, 0.25], 0),
    "leaning": ([0.9], 4096),
    "open": ([], 64),
    "lost": ([0.5], 4096),
}


def placed(region: str) -> Tensor:
    head, tail = PLACES[region]
    return logits_of([*head, *([(1 - sum(head)) / tail] * tail if tail else [])])


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_can_be_reached_and_does_what_the_table_says(region: str) -> None:
    logits = placed(region)
    params = SamplingParams(temperature=0.8, temperature_mode="entropy")
    odds = observe(logits, params).odds
    assert odds.region == region
    assert odds.temperature == pytest.approx(0.8 * REGION_FACTORS[region])
    p = probs(logits)
    assert (nats(p) / math.log(2) < 0.5) == (region in ("sure", "nearly"))
    assert (nats(p) / math.log(2) > 3.0) == (region in ("open", "lost"))
    assert (spread_bits(p) >= 4.0) == (region in ("nearly", "leaning", "lost"))
    left = shape(logits, params)
    if region == "sure":
        assert survivors(left) == [0]
    else:
        want = shape(logits, SamplingParams(temperature=0.8 * REGION_FACTORS[region]))
        torch.testing.assert_close(left, want)


def test_the_regions_tile_the_plane() -> None:
    """At its thresholds a region ends and the next begins: H from low to high is the middle, W from split is uneven."""
    even, uneven = torch.zeros(4), logits_of([0.5, 0.25, 0.125, 0.125])  # H exactly 2 bits, W 0; H 1.75, W 0.6875
    mode = SamplingParams(temperature_mode="entropy")
    for low, high, want in ((2.1, 9.0, "sure"), (1.9, 9.0, "forked"), (0.0, 1.9, "open")):
        params = mode.with_(entropy_low=low, entropy_high=high)
        assert observe(even, params).odds.region == want
        assert observe(even, params.with_(varentropy_split=0.0)).odds.region == REGIONS[REGIONS.index(want) + 1]
    for split, want in ((0.68, "leaning"), (0.7, "forked")):
        assert observe(uneven, mode.with_(varentropy_split=split)).odds.region == want


def test_only_the_entropy_policy_names_a_region() -> None:
    assert set(REGION_FACTORS) == set(REGIONS)
    assert observe(a_vector(0), SamplingParams(temperature=0.5)).odds.region is None
    assert observe(a_vector(0), SamplingParams(temperature_mode="edt")).odds.region is None
    assert observe(a_vector(0), SamplingParams()).odds.temperature == 1.0


# ---- every mode -----------------------------------------------------------------------------------------------------

MODES: dict[str, dict[str, Any]] = {
    "fixed": {"temperature": 0.6},
    "dynamic": {"temperature": 0.8, "dynatemp_range": 0.6},
    "edt": {"temperature": 1.2, "edt_theta": 0.4},
    "adapt": {"temperature": 0.5, "adapt_temperature": 1.4},
    "kl": {"temperature": 1.1, "kl_half_life": 5.0},
    "entropy": {"temperature": 0.9, "entropy_high": 2.5, "varentropy_split": 2.0},
}


def in_mode(mode: str, **values: Any) -> SamplingParams:
    return SamplingParams(temperature_mode=mode, **{**MODES[mode], **values})


def full(size: int, seed: int = 5) -> Context:
    """A context in which every mode has what it needs."""
    return Context((2, 3), 1, vocabulary=VOCABULARY, sides=Sides(unprompted=a_vector(seed, size)))


@pytest.mark.parametrize("mode", MODES)
def test_draws_follow_the_exact_law(mode: str) -> None:
    """4 000 darts at the record's final odds, against a law computed here from the temperature it names."""
    logits = a_vector(11, size=12, spread=1.5)
    params, context = in_mode(mode, seed=3), full(12)
    seen = observe(logits, params, context, n=0)
    weights = np.exp((logits.double().numpy() - float(logits.max())) / seen.odds.temperature)
    counts = np.zeros(12, dtype=np.int64)
    for position in range(4_000):
        place = replace(seen, odds=replace(seen.odds, position=position))
        counts[decide(place, params, time_s=0.0).token] += 1
    assert chance(counts, weights / weights.sum()) > REJECT
    hotter = np.exp((logits.double().numpy() - float(logits.max())) / (seen.odds.temperature * 1.5))
    assert chance(counts, hotter / hotter.sum()) < REJECT  # the test can tell


@pytest.mark.parametrize("mode", MODES)
def test_base_0_is_greedy_in_every_mode_that_cannot_rise_above_it(mode: str) -> None:
    params = in_mode(mode, temperature=0.0, dynatemp_range=0.0, adapt_temperature=0.0)
    logits = a_vector(4, size=9)
    assert params.is_greedy
    assert survivors(shape(logits, params, full(9))) == [int(logits.argmax())]
    if mode in ("dynamic", "adapt"):
        assert not in_mode(mode, temperature=0.0).is_greedy
        assert len(survivors(shape(logits, in_mode(mode, temperature=0.0), full(9)))) == 9


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(-(2.0**120), 2.0**120, width=32), st.just(-INF), st.sampled_from([0.0, 1.0])),
        min_size=1, max_size=9,
    ),
    st.floats(0.0, 1e9),
)  # fmt: skip
def test_no_vector_breaks_a_mode(mode: str, values: list[float], base: float) -> None:
    logits = torch.tensor(values)
    context = full(len(values))
    seen = observe(logits, in_mode(mode, temperature=base), context)
    left = shape(logits, in_mode(mode, temperature=base), context)
    assert not left.isnan().any()
    assert seen.odds.temperature >= 0.0
    assert math.isfinite(seen.odds.temperature)
    kept = set(survivors(left))
    assert kept <= set(survivors(logits))
    if survivors(logits):
        assert int(logits.argmax()) in kept
        assert seen.final.sum() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_rows_of_a_batch_get_their_own_temperature(mode: str) -> None:
    rows = torch.stack([torch.zeros(9), a_vector(1, 9, 9.0), a_vector(2, 9, 0.3), torch.full((9,), -INF)])
    rows[2, 4] = -INF
    together = temperature(rows, in_mode(mode), full(9))
    for row, after in zip(rows, together, strict=True):
        assert torch.equal(after, shape(row, in_mode(mode), full(9)))
