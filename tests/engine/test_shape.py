"""Promises that hold for every stage and every chain of them: never empty, never NaN, nothing comes back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from vectors import INF, a_vector, probs, seeds, survivors

from tinychat.engine.context import Context
from tinychat.engine.orders import ORDERS, STAGE_NAMES
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import STAGES, shape, walk

EXTREMES: dict[str, list[dict[str, Any]]] = {
    "logit_bias": [{"logit_bias": {0: 5.0}}, {"logit_bias": {0: -1e30}}],
    "repetition": [{"repetition_penalty": 100.0}, {"repetition_penalty": 0.01}],
    "frequency": [{"frequency_penalty": 100.0}, {"frequency_penalty": -100.0}],
    "presence": [{"presence_penalty": 100.0}, {"presence_penalty": -100.0}],
    "top_n_sigma": [{"top_n_sigma": 0.01}, {"top_n_sigma": 1000.0}],
    "temperature": [{"temperature": t} for t in (0.0, 1.1e-5, 1e-4, 0.7, 1e9)],
    "top_k": [{"top_k": 1}, {"top_k": 3}],
    "typical": [{"typical_p": 0.0}, {"typical_p": 0.5}, {"typical_p": 0.9999999}],
    "top_p": [{"top_p": 0.0}, {"top_p": 0.5}, {"top_p": 0.9999999}],
    "min_p": [{"min_p": 1e-300}, {"min_p": 0.1}, {"min_p": 1.0}],
}
ALL_STAGES = [(name, settings_) for name in EXTREMES for settings_ in EXTREMES[name]]

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
    left = shape(logits, SamplingParams(**values), Context([0, 0, 1], 1))
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
    left = shape(logits, params, Context(history, len(history) // 2))
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
    walked = list(walk(logits, params, Context([1, 2, 3], 1)))
    assert [after.name for after in walked] == [name for name in params.stages if params.is_on(name)]
    last = walked[-1].logits if walked else logits
    assert torch.equal(last, shape(logits, params, Context([1, 2, 3], 1)))


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


@pytest.mark.parametrize("name", EXTREMES)
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


def test_a_numpy_row_is_shaped_like_a_tensor_and_stays_as_it_was() -> None:
    row = np.array([1.0, 3.0, 2.0])
    shaped = shape(row, SamplingParams(top_k=2, temperature=0.5))
    assert torch.equal(shaped, shape(torch.from_numpy(row).float(), SamplingParams(top_k=2, temperature=0.5)))
    shape(row, SamplingParams())[0] = 9.0
    assert row.tolist() == [1.0, 3.0, 2.0]
