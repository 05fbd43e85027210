"""Guidance, contrastive decoding and DoLa against transformers' class and sums written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from transformers.generation.logits_process import UnbatchedClassifierFreeGuidanceLogitsProcessor
from vectors import INF, NEAR, a_vector, probs, seeds, survivors

from tinychat.engine.context import Context, Sides
from tinychat.engine.guidance import contrastive, dola, early_layer, early_layers, guidance
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape

Floats = NDArray[np.float64]


def beside(**sides: Tensor) -> Context:
    return Context(sides=Sides(**sides))


def law(logits: Tensor, alive: list[int]) -> Floats:
    """Softmax over the given tokens, zero elsewhere."""
    found = np.zeros(logits.shape[-1])
    found[alive] = probs(logits[alive])
    return found


class _Canned:
    """A network that says the same logits (V,) always."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def __call__(self, ids: Tensor, **options: Any) -> dict[str, Any]:
        rows = self.logits.expand(*ids.shape, -1)
        return type("Output", (dict,), {"logits": rows})(logits=rows, past_key_values=None)


# ---- classifier-free guidance ----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=seeds, scale=st.floats(-3.0, 8.0))
def test_guidance_is_that_of_transformers(seed: int, scale: float) -> None:
    here, there = a_vector(seed), a_vector(seed + 1)
    peer = UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, _Canned(there.double()[None, None]))
    expected = peer(torch.tensor([[3, 4]]), here.double()[None])[0]
    found = guidance(here, SamplingParams(guidance_scale=scale), beside(without=there))
    if scale != 1.0:  # there, ours is off and theirs returns log-probabilities
        torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, scale=st.floats(-3.0, 8.0), cut=st.sampled_from([0.0, 0.5]))
def test_guidance_at_its_fixed_points(seed: int, scale: float, cut: float) -> None:
    here, there = a_vector(seed, cut=cut), a_vector(seed + 1)
    alive = survivors(here)
    same = guidance(here, SamplingParams(guidance_scale=scale), beside(without=torch.where(here > -INF, here, 7.0)))
    np.testing.assert_allclose(law(same, alive), law(here, alive), atol=1e-6)  # both sides alike: any scale
    none = guidance(here, SamplingParams(guidance_scale=0.0), beside(without=there))
    np.testing.assert_allclose(law(none, alive), law(there, alive), atol=1e-6)  # 0: the other side alone
    assert survivors(none) == survivors(same) == alive


def test_guidance_at_scale_1_is_off_and_needs_no_side() -> None:
    here = a_vector(1)
    assert torch.equal(shape(here, SamplingParams(guidance_scale=1.0)), here)
    with pytest.raises(ValueError, match="guidance_scale needs"):
        shape(here, SamplingParams(guidance_scale=1.5))


# ---- contrastive decoding --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds, alpha=st.floats(0.0, 1.0), heat=st.floats(0.2, 3.0), beta=st.floats(0.0, 2.0),
    cut=st.sampled_from([0.0, 0.4]), kind=st.sampled_from(["difference", "scaled"]),
)  # fmt: skip
def test_contrastive_is_its_formula(seed: int, alpha: float, heat: float, beta: float, cut: float, kind: str) -> None:
    here, there = a_vector(seed, 60, cut=cut), a_vector(seed + 1, 60)
    params = SamplingParams(contrastive=kind, contrastive_alpha=alpha, amateur_temperature=heat, contrastive_beta=beta)
    alive = survivors(here)
    p = law(here, alive)
    if np.any((np.abs(p - alpha * p.max()) < NEAR) & (p != p.max())):
        return
    kept = [token for token in alive if p[token] >= alpha * p.max()]
    found = contrastive(here, params, beside(amateur=there))
    assert survivors(found) == kept
    if kind == "difference":
        expected = np.log(p[kept]) - np.log(law(there / heat, alive)[kept])
    else:
        expected = (1 + beta) * here[kept].double().numpy() - beta * there[kept].double().numpy()
    np.testing.assert_allclose(found[kept].numpy(), expected, rtol=1e-5, atol=1e-4)


def test_contrastive_with_the_model_as_its_own_amateur_is_uniform_on_the_plausible() -> None:
    here = a_vector(5)
    found = contrastive(here, SamplingParams(contrastive="difference"), beside(amateur=here))
    kept = survivors(found)
    assert len(kept) > 3
    np.testing.assert_allclose(probs(found[kept]), 1 / len(kept), atol=1e-6)
    scaled = contrastive(here, SamplingParams(contrastive="scaled"), beside(amateur=here))
    np.testing.assert_allclose(probs(scaled[kept]), probs(here[kept]), atol=1e-6)


# ---- DoLa ------------------------------------------------------------------------------------------------------------


def divergence(p: Floats, q: Floats) -> float:
    """Jensen-Shannon, written out."""
    total = 0.0
    for a, b in zip(p, q, strict=True):
        middle = (a + b) / 2
        total += (a * math.log(a / middle) if a else 0.0) / 2 + (b * math.log(b / middle) if b else 0.0) / 2
    return total


@settings(max_examples=60, deadline=None)
@given(seed=seeds, count=st.integers(1, 5), cut=st.sampled_from([0.0, 0.4]), alpha=st.sampled_from([0.0, 0.1, 0.7]))
def test_dola_is_its_formula(seed: int, count: int, cut: float, alpha: float) -> None:
    last = a_vector(seed, 40, cut=cut)
    early = torch.stack([a_vector(seed + 1 + layer, 40, spread=0.5 + layer) for layer in range(count)])
    alive = survivors(last)
    p = law(last, alive)
    each = [divergence(p[alive], law(row, alive)[alive]) for row in early]
    ranked = sorted(each)
    if count > 1 and ranked[-1] - ranked[-2] < 1e-9:
        return
    chosen = int(np.argmax(each))
    assert int(early_layer(last, early)) == chosen
    kept = [token for token in alive if p[token] >= alpha * p.max()]
    found = dola(last, SamplingParams(dola="low", contrastive_alpha=alpha), beside(early=early))
    assert survivors(found) == kept
    expected = np.log(p[kept]) - np.log(law(early[chosen], alive)[kept])
    np.testing.assert_allclose(found[kept].numpy(), expected, rtol=1e-5, atol=1e-4)


def test_the_divergence_is_not_the_one_with_swapped_arguments() -> None:
    """As the authors' code has it, 1/2 KL(M || P) + 1/2 KL(M || Q): here it prefers another layer."""

    def swapped(p: Floats, q: Floats) -> float:
        middle = (p + q) / 2
        return float(((middle * np.log(middle / p)).sum() + (middle * np.log(middle / q)).sum()) / 2)

    differ = 0
    for seed in range(300):
        last, early = a_vector(seed, 12), torch.stack([a_vector(1000 + 7 * seed + row, 12) for row in range(4)])
        p, others = probs(last), [probs(row) for row in early]
        proper = int(np.argmax([divergence(p, q) for q in others]))
        assert int(early_layer(last, early)) == proper
        differ += proper != int(np.argmax([swapped(p, q) for q in others]))
    assert differ > 5


def test_an_early_layer_that_equals_the_last_leaves_the_plausible_alike() -> None:
    last = a_vector(9)
    found = dola(last, SamplingParams(dola="high"), beside(early=last[None]))
    kept = survivors(found)
    np.testing.assert_allclose(probs(found[kept]), 1 / len(kept), atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "tie", "low", "high"),
    [
        (32, False, tuple(range(0, 16, 2)), tuple(range(16, 32, 2))),
        (32, True, tuple(range(2, 16, 2)), tuple(range(16, 32, 2))),
        (48, False, tuple(range(0, 20, 2)), tuple(range(28, 48, 2))),
        (6, True, (2,), (3, 5)),
        (4, True, (2,), (2,)),
        (2, True, (1,), (1,)),
        (2, False, (0,), (1,)),
        (1, True, (0,), (0,)),
        (1, False, (0,), (0,)),
    ],
)
def test_candidate_layers(layers: int, tie: bool, low: tuple[int, ...], high: tuple[int, ...]) -> None:
    assert early_layers(layers, tie=tie, half="low") == low
    assert early_layers(layers, tie=tie, half="high") == high


# ---- all three -------------------------------------------------------------------------------------------------------

ALL = {"guidance": guidance, "contrastive": contrastive, "dola": dola}


@pytest.mark.parametrize("name", ALL)
def test_rows_of_a_batch_are_single_rows_and_a_dead_row_passes(name: str) -> None:
    params = SamplingParams(guidance_scale=2.0, contrastive="difference", dola="low")
    rows = torch.stack([a_vector(1, 30), a_vector(2, 30, cut=0.5), torch.full((30,), -INF)])
    others = torch.stack([a_vector(row, 30) for row in (4, 5, 6)])
    early = torch.stack([torch.stack([a_vector(10 * row + layer, 30) for layer in range(3)]) for row in range(3)])
    together = ALL[name](rows, params, beside(without=others, amateur=others, early=early))
    for row in range(3):
        sides = beside(without=others[row], amateur=others[row], early=early[row])
        assert torch.equal(together[row], ALL[name](rows[row], params, sides))
    assert survivors(together[2]) == []
    assert not together.isnan().any()
    assert together.dtype == torch.float32


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("poison", [INF, -INF, math.nan])
def test_another_pass_that_is_no_number_is_refused(name: str, poison: float) -> None:
    bad = a_vector(3, 30)
    bad[4] = poison
    params = SamplingParams(guidance_scale=2.0, contrastive="difference", dola="low")
    with pytest.raises(ValueError, match="finite"):
        ALL[name](a_vector(1, 30), params, beside(without=bad, amateur=bad, early=bad[None]))
    with pytest.raises(ValueError, match="needs"):
        ALL[name](a_vector(1, 30), params, Context())
