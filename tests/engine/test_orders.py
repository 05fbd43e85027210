"""The named orders: transformers' own chain, and a slow walk in plain numbers for every order there is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)
from vectors import INF, a_vector, seeds, survivors

from tinychat.engine.context import Context
from tinychat.engine.orders import ORDERS, STAGE_NAMES
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape

Vector = NDArray[np.float64]


class TooClose(Exception):
    """A threshold lies where the last bit of a sum decides."""


def _far(distances: Vector) -> None:
    if distances.size and np.abs(distances).min() < 1e-5:
        raise TooClose


def slow_walk(logits: Tensor, params: SamplingParams, history: list[int], prompt_len: int) -> dict[int, float]:
    """The specification in plain numbers: {token: logit} of what is left, stage after stage, by the definitions."""
    left = {token: float(value) for token, value in enumerate(logits.tolist()) if value > -INF}
    reach = history if params.penalty_scope == "all" else history[prompt_len:]
    reach = reach[-params.penalty_window :] if params.penalty_window else reach
    for stage in params.stages:
        if params.is_on(stage):
            left = _SLOW[stage](left, params, reach)
    return left


def _softmax(left: dict[int, float]) -> dict[int, float]:
    top = max(left.values())
    total = math.fsum(math.exp(value - top) for value in left.values())
    return {token: math.exp(value - top) / total for token, value in left.items()}


def _repetition(left: dict[int, float], params: SamplingParams, reach: list[int]) -> dict[int, float]:
    theta = params.repetition_penalty
    return {t: (v / theta if v > 0 else v * theta) if t in reach else v for t, v in left.items()}


def _frequency(left: dict[int, float], params: SamplingParams, reach: list[int]) -> dict[int, float]:
    return {t: v - reach.count(t) * params.frequency_penalty for t, v in left.items()}


def _presence(left: dict[int, float], params: SamplingParams, reach: list[int]) -> dict[int, float]:
    return {t: v - (t in reach) * params.presence_penalty for t, v in left.items()}


def _bias(left: dict[int, float], params: SamplingParams, reach: list[int]) -> dict[int, float]:
    biased = {t: v + dict(params.bias).get(t, 0.0) for t, v in left.items()}
    return {t: v for t, v in biased.items() if v > -INF}


def _sigma(left: dict[int, float], params: SamplingParams, reach: list[int]) -> dict[int, float]:
    floor = max(left.values()) - params.top_n_sigma * float(np.std(list(left.values())))
    _far(np.array(list(left.values())) - floor)
    return {t: v for t, v in left.items() if v >= floor}


def _temperature(left: dict[int, float], params: SamplingParams, reach: list[int]) -> dict[int, float]:
    return {t: v / params.temperature for t, v in left.items()}


def _top_k(left: dict[int, float], params: SamplingParams, reach: list[int]) -> dict[int, float]:
    smallest = sorted(left.values(), reverse=True)[: params.top_k][-1]
    _far(np.array([v - smallest for v in left.values() if v != smallest]))
    return {t: v for t, v in left.items() if v >= smallest}


def _prefix(left: dict[int, float], order: list[int], goal: float) -> dict[int, float]:
    """The smallest prefix of the ordered tokens whose mass reaches the goal."""
    p = _softmax(left)
    kept, mass = {}, 0.0
    for token in order:
        kept[token] = left[token]
        mass += p[token]
        _far(np.array([mass - goal]))
        if mass >= goal:
            break
    return kept


def _top_p(left: dict[int, float], params: SamplingParams, reach: list[int]) -> dict[int, float]:
    order = sorted(left, key=lambda token: (-left[token], token))
    _far(np.diff(sorted(left.values())))
    return _prefix(left, order, params.top_p)


def _typical(left: dict[int, float], params: SamplingParams, reach: list[int]) -> dict[int, float]:
    p = _softmax(left)
    entropy = -math.fsum(value * math.log(value) for value in p.values())
    distance = {token: abs(-math.log(value) - entropy) for token, value in p.items()}
    _far(np.diff(sorted(distance.values())))
    return _prefix(left, sorted(left, key=lambda token: distance[token]), params.typical_p)


def _min_p(left: dict[int, float], params: SamplingParams, reach: list[int]) -> dict[int, float]:
    p = _softmax(left)
    floor = params.min_p * max(p.values())
    _far(np.array([math.log(value / floor) for value in p.values()]))
    return {token: value for token, value in left.items() if p[token] >= floor}


_SLOW = {
    "logit_bias": _bias,
    "repetition": _repetition,
    "frequency": _frequency,
    "presence": _presence,
    "top_n_sigma": _sigma,
    "temperature": _temperature,
    "top_k": _top_k,
    "typical": _typical,
    "top_p": _top_p,
    "min_p": _min_p,
}


@st.composite
def chains(draw: st.DrawFn) -> dict[str, Any]:
    """Settings with most of the stages on."""
    wide = {
        "temperature": st.floats(0.4, 2.5),
        "top_k": st.integers(2, 50),
        "top_p": st.floats(0.5, 0.98),
        "min_p": st.floats(0.005, 0.2),
        "typical_p": st.floats(0.5, 0.98),
        "top_n_sigma": st.floats(1.0, 4.0),
        "repetition_penalty": st.floats(0.7, 1.8),
        "frequency_penalty": st.floats(-0.5, 1.0),
        "presence_penalty": st.floats(-0.5, 1.0),
        "logit_bias": st.dictionaries(st.integers(0, 59), st.sampled_from([-INF, 1.5, -2.0]), min_size=1, max_size=4),
    }
    names = draw(st.lists(st.sampled_from(sorted(wide)), min_size=2, unique=True))
    return {name: draw(wide[name]) for name in names}


histories = st.lists(st.integers(0, 59), max_size=30)


def _agree(logits: Tensor, params: SamplingParams, history: list[int], prompt_len: int) -> None:
    try:
        want = slow_walk(logits, params, history, prompt_len)
    except TooClose:
        assume(False)
    left = shape(logits, params, Context(history, prompt_len))
    assert survivors(left) == sorted(want)
    ours = left.double().softmax(-1)
    for token, prob in _softmax(want).items():
        assert float(ours[token]) == pytest.approx(prob, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("order", sorted(ORDERS))
@settings(max_examples=60, deadline=None)
@given(
    seed=seeds, values=chains(), history=histories, scope=st.sampled_from(["all", "output"]), window=st.integers(0, 9)
)
def test_a_named_order_equals_the_slow_walk(
    order: str, seed: int, values: dict[str, Any], history: list[int], scope: Any, window: int
) -> None:
    params = SamplingParams(**values, order=order, penalty_scope=scope, penalty_window=window)
    _agree(a_vector(seed, 60, 2.0), params, history, len(history) // 2)


@settings(max_examples=120, deadline=None)
@given(seed=seeds, values=chains(), history=histories, order=st.permutations(STAGE_NAMES))
def test_an_order_of_one_s_own_equals_the_slow_walk(
    seed: int, values: dict[str, Any], history: list[int], order: list[str]
) -> None:
    _agree(a_vector(seed, 60, 2.0), SamplingParams(**values, order=order), history, 0)


@settings(max_examples=80, deadline=None)
@given(
    seed=seeds,
    history=st.lists(st.integers(0, 59), min_size=1, max_size=20),
    theta=st.floats(0.8, 1.6),
    temperature=st.floats(0.4, 2.5),
    k=st.integers(2, 50),
    p=st.floats(0.4, 0.98),
    m=st.floats(0.005, 0.2),
    typical=st.floats(0.4, 0.98),
)
def test_the_hf_order_equals_transformers_own_chain(
    seed: int, history: list[int], theta: float, temperature: float, k: int, p: float, m: float, typical: float
) -> None:
    params = SamplingParams(
        repetition_penalty=theta, temperature=temperature, top_k=k, top_p=p, min_p=m, typical_p=typical, order="hf"
    )
    logits = a_vector(seed, 60, 2.0)
    try:
        slow_walk(logits, params, history, 0)
    except TooClose:
        assume(False)
    chain = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(theta),
            TemperatureLogitsWarper(temperature),
            TopKLogitsWarper(k),
            TopPLogitsWarper(p),
            MinPLogitsWarper(m),
            TypicalLogitsWarper(typical),
        ]
    )
    theirs = chain(torch.tensor([history]), logits.double()[None])[0]
    ours = shape(logits, params, Context(history))
    assert survivors(ours) == survivors(theirs)
    np.testing.assert_allclose(ours.double().softmax(-1), theirs.softmax(-1), rtol=1e-4, atol=1e-12)


def test_the_same_settings_in_three_orders_keep_three_different_sets() -> None:
    probs = [0.30, 0.20, 0.14, 0.10, 0.08, 0.06, 0.05, 0.04, 0.03]
    logits = torch.tensor(probs).log()
    values: dict[str, Any] = {"temperature": 2.0, "top_k": 6, "top_p": 0.8, "min_p": 0.45}
    kept = {name: len(survivors(shape(logits, SamplingParams(**values, order=name)))) for name in sorted(ORDERS)}
    # by hand, T = 2 being a square root: hf cuts the flattened whole to 6, then 5, all within 0.45 of the best;
    # llama.cpp cuts before it flattens: 6, 4, 3; vllm's min-p comes first and leaves 5, of which 4 reach 0.8
    assert kept == {"default": 5, "hf": 5, "llama.cpp": 3, "vllm": 4}


def test_temperature_last_changes_no_survivor() -> None:
    for seed in range(20):
        kept = {
            tuple(
                survivors(
                    shape(
                        a_vector(seed, 60, 2.0), SamplingParams(top_k=20, top_p=0.8, temperature=t, order="llama.cpp")
                    )
                )
            )
            for t in (0.3, 1.0, 5.0)
        }
        assert len(kept) == 1


def test_min_p_sees_all_of_the_vocabulary_only_in_the_vllm_order() -> None:
    # typical drops the likeliest first in our order, so min-p is measured against the next one
    logits = torch.tensor([0.3] + [0.7 / 35] * 35).log()
    values: dict[str, Any] = {"typical_p": 0.5, "min_p": 0.5}
    assert len(survivors(shape(logits, SamplingParams(**values)))) == 35
    assert survivors(shape(logits, SamplingParams(**values, order="vllm"))) == [0]
