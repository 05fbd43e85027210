"""The rarer truncations: transformers' classes, direct walks in numpy, statistics, and the slow twins of fast cuts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from transformers import EpsilonLogitsWarper, EtaLogitsWarper, TopHLogitsWarper
from vectors import INF, NEAR, a_vector, by_peer, probs, seeds, survivors

from tinychat.engine.context import Context
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape
from tinychat.engine.truncations import xtc

spreads = st.sampled_from([0.3, 1.0, 3.0, 10.0])
shares = st.sampled_from([0.0, 0.5])


def far(values: Any, threshold: float) -> bool:
    """Whether no positive probability lies where the last bits decide."""
    p = np.asarray(values)
    return bool(np.abs(np.log(p[p > 0] / threshold)).min() > 1e-5)


def entropy(p: NDArray[np.float64]) -> float:
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def falling(logits: Tensor) -> NDArray[np.int64]:
    """Tokens by falling logit, ties by lower id, without the cut ones."""
    order = np.argsort(-logits.numpy(), kind="stable")
    return order[: len(survivors(logits))]


# ---- epsilon and eta ------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(seeds, st.floats(1e-5, 0.9), spreads, shares)
def test_epsilon_equals_the_peer(seed: int, cutoff: float, spread: float, cut: float) -> None:
    logits = a_vector(seed, spread=spread, cut=cut)
    assume(far(probs(logits), cutoff))
    left = shape(logits, SamplingParams(epsilon_cutoff=cutoff))
    assert torch.equal(left.double(), by_peer(EpsilonLogitsWarper(cutoff), logits))


@settings(max_examples=80, deadline=None)
@given(seeds, st.floats(1e-5, 0.9), spreads, shares)
def test_eta_equals_the_peer(seed: int, cutoff: float, spread: float, cut: float) -> None:
    logits = a_vector(seed, spread=spread, cut=cut)
    p = probs(logits)
    assume(far(p, min(cutoff, math.sqrt(cutoff) * math.exp(-entropy(p)))))
    left = shape(logits, SamplingParams(eta_cutoff=cutoff))
    assert torch.equal(left.double(), by_peer(EtaLogitsWarper(cutoff), logits))


def test_where_nothing_is_likely_enough_the_likeliest_stays() -> None:
    params = SamplingParams(epsilon_cutoff=1.0)
    assert survivors(shape(torch.linspace(1.0, 0.0, 50), params)) == [0]
    tied = torch.tensor([0.0, 1.0, 0.5, 1.0] * 10)
    assert survivors(shape(tied, params)) == [token for token in range(40) if token % 2]


def test_eta_is_epsilon_where_the_model_is_sure_enough() -> None:
    sure = torch.tensor([0.9, 0.06, 0.03, 0.01]).log()  # e^-H = 0.66: sqrt(0.04) is below it
    for cutoff in (0.04, 0.02):
        one, other = (shape(sure, SamplingParams(**{name: cutoff})) for name in ("eta_cutoff", "epsilon_cutoff"))
        assert survivors(one) == survivors(other)
    unsure = torch.zeros(1000)
    assert len(survivors(shape(unsure, SamplingParams(eta_cutoff=0.5)))) == 1000  # all are tied for the likeliest


@pytest.mark.parametrize("shift", [0.0, 20.0, -300.0])
@pytest.mark.parametrize(("p", "cutoff"), [(0.25, 0.25), (0.1, 0.1), (0.05, 0.05)])
def test_epsilon_keeps_equality_on_paper(p: float, cutoff: float, shift: float) -> None:
    logits = torch.tensor([1.0 - p, p]).log() + shift
    assert survivors(shape(logits, SamplingParams(epsilon_cutoff=cutoff))) == [0, 1]


# ---- top-a ----------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(seeds, st.floats(1e-4, 1.0), spreads, shares)
def test_top_a_is_a_threshold_at_the_square_of_the_largest(seed: int, a: float, spread: float, cut: float) -> None:
    logits = a_vector(seed, spread=spread, cut=cut)
    p = probs(logits)
    assume(far(p, a * p.max() ** 2))
    left = shape(logits, SamplingParams(top_a=a))
    assert survivors(left) == np.flatnonzero(p >= a * p.max() ** 2).tolist()
    assert torch.equal(left[survivors(left)], logits[survivors(left)])


def test_top_a_keeps_equality_on_paper() -> None:
    logits = torch.tensor([0.5, 0.2, 0.05, 0.25]).log()
    assert survivors(shape(logits, SamplingParams(top_a=0.8))) == [0, 1, 3]  # the floor is 0.8 * 0.25 = 0.2
    assert survivors(shape(logits, SamplingParams(top_a=1.0))) == [0, 3]


# ---- tail-free ------------------------------------------------------------------------------------------------------


def by_walk_tfs(logits: Tensor, z: float) -> tuple[list[int], float]:
    """Second differences one by one; also how near the running sum came to z."""
    order = falling(logits)
    p = probs(logits)[order]
    bends = [abs((p[i] - p[i + 1]) - (p[i + 1] - p[i + 2])) for i in range(p.size - 2)]
    whole = math.fsum(bends)
    if whole == 0.0:
        return sorted(order.tolist()), 1.0
    kept, running, near = [order[0]], 0.0, 1.0
    for middle, bend in enumerate(bends, start=1):
        running += bend / whole
        near = min(near, abs(running - z))
        if running > z:
            break
        kept.append(order[middle])
    return sorted(int(token) for token in kept), near


@settings(max_examples=80, deadline=None)
@given(seeds, st.floats(0.0, 0.999), spreads, st.integers(1, 60), shares)
def test_tfs_is_the_walk_along_the_bends(seed: int, z: float, spread: float, size: int, cut: float) -> None:
    logits = a_vector(seed, size, spread, cut=cut)
    want, near = by_walk_tfs(logits, z)
    assume(near > 1e-9)
    assert survivors(shape(logits, SamplingParams(tfs_z=z))) == want


def test_tfs_by_hand() -> None:
    logits = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625]).log()
    # bends 0.125, 0.0625, 0.0625: shares 1/2, 1/4, 1/4, so the middles stand at 0.5, 0.75, 1
    kept = {z: survivors(shape(logits, SamplingParams(tfs_z=z))) for z in (0.0, 0.4, 0.6, 0.8, 0.99)}
    assert kept == {0.0: [0], 0.4: [0], 0.6: [0, 1], 0.8: [0, 1, 2], 0.99: [0, 1, 2]}


@pytest.mark.parametrize("logits", [[1.0], [1.0, 0.0], [2.0] * 9, [1.0, 0.0, -INF]])
def test_tfs_keeps_all_where_nothing_can_bend(logits: list[float]) -> None:
    row = torch.tensor(logits)
    for z in (0.0, 0.5):
        assert torch.equal(shape(row, SamplingParams(tfs_z=z)), row)


# ---- top-H ----------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(seeds, st.floats(0.01, 0.999), spreads, st.integers(2, 100))
def test_top_h_equals_the_peer_where_it_sees_everything(seed: int, alpha: float, spread: float, size: int) -> None:
    logits = a_vector(seed, size, spread)
    p = probs(logits)[falling(logits)]
    parts = np.cumsum(-p * np.log(p))
    assume(np.abs(parts[1:] - alpha * parts[-1]).min() > NEAR)
    left = shape(logits, SamplingParams(top_h=alpha))
    assert torch.equal(left.double(), by_peer(TopHLogitsWarper(alpha), logits))


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0.01, 0.999), spreads, shares)
def test_top_h_is_the_formula_beyond_a_hundred_tokens(seed: int, alpha: float, spread: float, cut: float) -> None:
    logits = a_vector(seed, 3000, spread, cut=cut)
    order = falling(logits)
    p = probs(logits)[order]
    p = p[p > 0]
    parts = np.cumsum(-p * np.log(p))
    assume(np.abs(parts[1:] - alpha * parts[-1]).min() > 1e-9)
    count = max(1, int((parts <= alpha * parts[-1]).sum()))
    assert survivors(shape(logits, SamplingParams(top_h=alpha))) == sorted(order[:count].tolist())


def test_top_h_zero_keeps_the_first_of_the_likeliest() -> None:
    assert survivors(shape(torch.tensor([0.0, 1.0, 1.0]), SamplingParams(top_h=0.0))) == [1]
    assert survivors(shape(torch.tensor([0.0, 5000.0]), SamplingParams(top_h=0.9))) == [1]


# ---- XTC ------------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(seeds, st.floats(0.001, 0.6), spreads, shares)
@example(0, 0.0, 1.0, 0.5)
def test_xtc_cuts_the_top_choices_but_the_least_likely(seed: int, threshold: float, spread: float, cut: float) -> None:
    logits = a_vector(seed, 40, spread, cut=cut)
    p = probs(logits)
    assume(threshold == 0.0 or far(p, threshold))
    top = [token for token in falling(logits).tolist() if p[token] >= threshold]
    left = shape(logits, SamplingParams(xtc_probability=1.0, xtc_threshold=threshold))
    assert survivors(left) == [token for token in survivors(logits) if token not in top[:-1]]


def test_xtc_keeps_the_highest_id_of_equal_top_choices() -> None:
    params = SamplingParams(xtc_probability=1.0, xtc_threshold=0.2)
    assert survivors(shape(torch.tensor([1.0, 1.0, 1.0, -3.0]), params)) == [2, 3]
    assert survivors(shape(torch.zeros(5), params)) == [4]  # a fifth each, equality counts


def test_xtc_acts_in_the_share_of_places_that_was_asked_for() -> None:
    logits = torch.tensor([2.0, 1.5, 1.0, -1.0])
    trials = 4_000
    for chance in (0.1, 0.5, 0.9):
        params = SamplingParams(xtc_probability=chance, xtc_threshold=0.1, seed=11)
        acted = sum(bool(xtc(logits, params, Context(position=place)).isinf().any()) for place in range(trials))
        assert abs(acted - chance * trials) < 5 * math.sqrt(trials * chance * (1 - chance))


def test_xtc_has_a_dart_of_its_own_that_any_replay_finds_again() -> None:
    logits = torch.tensor([2.0, 1.5, 1.0, -1.0])
    params = SamplingParams(xtc_probability=0.5)

    def run(seed: int, lane: int) -> list[int]:
        return [
            len(survivors(shape(logits, params.with_(seed=seed), Context(position=place, lane=lane))))
            for place in range(64)
        ]

    assert run(1, 0) == run(1, 0)
    assert run(1, 0) != run(2, 0)
    assert run(1, 0) != run(1, 1)
    # the token's own dart is another number: whether XTC acts says nothing about where it lands
    small = [Context(position=place).dart(params, 0) < 0.5 for place in range(4000)]
    acts = [Context(position=place).dart(params, 1) < 0.5 for place in range(4000)]
    assert abs(sum(one == other for one, other in zip(small, acts, strict=True)) - 2000) < 5 * math.sqrt(1000)


# ---- quadratic ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0.01, 10.0), st.floats(1.0, 3.0), spreads, shares)
def test_quadratic_is_the_formula(seed: int, factor: float, curve: float, spread: float, cut: float) -> None:
    logits = a_vector(seed, spread=spread, cut=cut)
    left = shape(logits, SamplingParams(smoothing_factor=factor, smoothing_curve=curve))
    values = logits.double().numpy()
    below = values - values.max()
    k, s = (3 - curve) / 2, (curve - 1) / 2
    with np.errstate(invalid="ignore"):
        want = np.where(values == -INF, -INF, values.max() - k * factor * below**2 + s * factor * below**3)
    np.testing.assert_allclose(left, want, rtol=1e-6)
    assert falling(left)[0] == falling(logits)[0]  # never reorders: the best stays the best


def test_quadratic_does_not_move_the_best_and_neutral_is_off() -> None:
    logits = torch.tensor([3.0, 2.0, 1.0, -INF])
    assert shape(logits, SamplingParams(smoothing_factor=0.5)).tolist() == [3.0, 2.5, 1.0, -INF]
    assert torch.equal(shape(logits, SamplingParams(smoothing_curve=2.0)), logits)


# ---- the fast cuts and their slow twins -----------------------------------------------------------------------------


def slow_top_p(logits: Tensor, p: float) -> list[int]:
    order = falling(logits)
    values = logits.double().numpy()
    weights = (logits.double() - float(logits.max())).exp().numpy()
    before = np.concatenate([[0.0], np.cumsum(np.exp(0) * weights[order] / weights.sum())[:-1]])
    assert values[order[0]] == values.max()
    return sorted(token for place, token in enumerate(order.tolist()) if before[place] < p or place == 0)


def slow_typical(logits: Tensor, mass: float) -> list[int]:
    p = probs(logits)
    alive = np.flatnonzero(p > 0)
    distance = np.abs(-np.log(p[alive]) - entropy(p))
    order = np.argsort(distance, kind="stable")
    last = min(int((np.cumsum(p[alive][order]) < mass).sum()), order.size - 1)
    return sorted(alive[distance <= distance[order[last]] * (1 + 1e-13)].tolist())


@pytest.mark.parametrize("size", [255, 256, 257, 4095, 4097, 9000])
@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 4.0])
@pytest.mark.parametrize("cut", [0.0, 0.9])
def test_partial_selection_finds_what_a_full_sort_finds(size: int, spread: float, cut: float) -> None:
    for seed in range(3):
        logits = a_vector(seed, size, spread, cut=cut)
        if seed == 2:
            logits = logits.mul(4).round().div(4)  # many ties
        for share in (0.001, 0.02, 0.3, 0.9, 0.99999):
            assert survivors(shape(logits, SamplingParams(top_p=share))) == slow_top_p(logits, share)
            if spread:
                assert survivors(shape(logits, SamplingParams(typical_p=share))) == slow_typical(logits, share)
            k = max(1, int(share * size))
            values = logits.numpy()
            floor = np.sort(values)[::-1][k - 1]
            want = np.flatnonzero((values >= floor) & (values > -INF)).tolist()
            assert survivors(shape(logits, SamplingParams(top_k=k))) == want
