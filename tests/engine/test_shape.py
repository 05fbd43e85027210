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
from vectors import INF, a_context, a_vector, probs, seeds, survivors, walk_whole

from tinychat.engine.context import Context
from tinychat.engine.orders import ORDERS, STAGE_NAMES
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import STAGES, shape, walk

MODES = ("fixed", "dynamic", "edt", "adapt", "kl", "entropy")
EXTREMES: dict[str, list[dict[str, Any]]] = {
    "think_budget": [{"think_budget": 0, "think_tags": ("b", "aaa")}, {"think_budget": 9, "think_tags": ("b", "aaa")}],
    "guidance": [{"guidance_scale": g} for g in (-3.0, 0.0, 1.5, 100.0)],
    "contrastive": [
        {"contrastive": "difference"},
        {"contrastive": "difference", "amateur_temperature": 0.01, "contrastive_alpha": 0.0},
        {"contrastive": "scaled", "contrastive_beta": 100.0, "contrastive_alpha": 1.0},
    ],
    "dola": [{"dola": "low"}, {"dola": "high", "contrastive_alpha": 0.0}],
    "grammar": [{"regex": "a*"}, {"json_schema": "{}"}],
    "allowed": [{"banned_ids": [0]}, {"allowed_ids": [0]}],
    "bad_words": [{"bad_words": [[0]]}, {"bad_words": [[0, 0]]}],
    "min_tokens": [{"min_tokens": 1}, {"min_tokens": 10**9}],
    "no_repeat_ngram": [{"no_repeat_ngram": 1}, {"no_repeat_ngram": 2}, {"no_repeat_ngram": 10**9}],
    "encoder_no_repeat_ngram": [{"encoder_no_repeat_ngram": 1}, {"encoder_no_repeat_ngram": 2}],
    "logit_bias": [{"logit_bias": {0: 5.0}}, {"logit_bias": {0: -1e30}}],
    "sequence_bias": [{"sequence_bias": {(0, 0): 5.0, (0,): 1e300}}, {"sequence_bias": {(0, 0, 0): -1e300}}],
    "repetition": [{"repetition_penalty": 100.0}, {"repetition_penalty": 0.01}],
    "encoder_repetition": [{"encoder_repetition_penalty": 100.0}, {"encoder_repetition_penalty": 0.01}],
    "frequency": [{"frequency_penalty": 100.0}, {"frequency_penalty": -100.0}],
    "presence": [{"presence_penalty": 100.0}, {"presence_penalty": -100.0}],
    "dry": [{"dry_multiplier": 0.8, "dry_breakers": []}, {"dry_multiplier": 100.0, "dry_base": 100.0}],
    "end_decay": [{"end_decay": 10.0}, {"end_decay": 1.01, "end_decay_start": 3}],
    "top_n_sigma": [{"top_n_sigma": 0.01}, {"top_n_sigma": 1000.0}],
    "temperature": [
        *({"temperature": t} for t in (0.0, 1.1e-5, 1e-4, 1e9)),
        *({"temperature": 0.7, "temperature_mode": mode} for mode in MODES),
        {"temperature_mode": "dynamic", "dynatemp_range": 1e9},
        {"temperature_mode": "edt", "edt_theta": 100.0},
    ],
    "quadratic": [{"smoothing_factor": 0.01}, {"smoothing_factor": 100.0, "smoothing_curve": 3.0}],
    "top_k": [{"top_k": 1}, {"top_k": 3}],
    "typical": [{"typical_p": 0.0}, {"typical_p": 0.5}, {"typical_p": 0.9999999}],
    "top_p": [{"top_p": 0.0}, {"top_p": 0.5}, {"top_p": 0.9999999}],
    "min_p": [{"min_p": 1e-300}, {"min_p": 0.1}, {"min_p": 1.0}],
    "epsilon": [{"epsilon_cutoff": 1e-300}, {"epsilon_cutoff": 0.1}, {"epsilon_cutoff": 1.0}],
    "eta": [{"eta_cutoff": 1e-300}, {"eta_cutoff": 0.1}, {"eta_cutoff": 1.0}],
    "tfs": [{"tfs_z": 0.0}, {"tfs_z": 0.5}, {"tfs_z": 0.9999999}],
    "top_a": [{"top_a": 1e-300}, {"top_a": 0.2}, {"top_a": 1.0}],
    "top_h": [{"top_h": 0.0}, {"top_h": 0.5}, {"top_h": 0.9999999}],
    "xtc": [{"xtc_probability": 1.0, "xtc_threshold": t} for t in (0.0, 0.1, 1.0)],
    "watermark": [{"watermark": 100.0}, {"watermark": 2.0, "watermark_share": 0.001}],
    "synthid": [{"synthid_keys": (5,)}, {"synthid_keys": tuple(range(30)), "synthid_ngram": 2}],
    "mirostat": [{"mirostat": mode, "mirostat_tau": tau} for mode in ("v1", "v2") for tau in (0.01, 3.0, 64.0)],
    "adaptive_p": [{"adaptive_target": 1.0}, {"adaptive_target": 0.01, "adaptive_decay": 0.0}],
}
ALL_STAGES = [(name, settings_) for name in EXTREMES for settings_ in EXTREMES[name]]
# these say what may not be said, and may leave nothing at all
BANS = {"think_budget", "grammar", "allowed", "bad_words", "min_tokens", "no_repeat_ngram", "encoder_no_repeat_ngram",
        "logit_bias"}  # fmt: skip
# these change logits and cut nothing
SHIFTS = {"guidance", "logit_bias", "sequence_bias", "repetition", "encoder_repetition", "frequency", "presence", "dry",
          "end_decay", "quadratic", "watermark", "adaptive_p"}  # fmt: skip

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
    left = shape(logits, SamplingParams(**values), a_context(logits.numel()))
    if survivors(left) or name not in BANS:
        _sound(logits, left)
    assert not left.isnan().any()
    if name in SHIFTS:
        assert survivors(left) == survivors(logits.float())


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
    picked = draw(st.lists(st.sampled_from(ALL_STAGES), max_size=8))
    values: dict[str, Any] = {}
    for _, one in picked:
        values |= one
    if "json_schema" in values:
        values.pop("regex", None)
    if "allowed_ids" in values:
        values.pop("banned_ids", None)
        values.pop("bad_words", None)  # which may ban the very token that is allowed
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
    context = a_context(logits.numel(), history, prompt_len=len(history) // 2)
    left = shape(logits, params, context)
    assert torch.equal(logits, before), "the input was changed"
    if survivors(left) or (survivors(logits) and BANS.isdisjoint(params.active)):
        _sound(logits, left)
    assert set(survivors(left)) <= set(survivors(logits))
    assert not left.isnan().any()


@settings(max_examples=150, deadline=None)
@given(seeds, any_settings(), st.integers(1, 60), st.sampled_from([0.0, 0.4, 0.9]))
def test_a_row_that_shrinks_to_what_is_left_ends_as_whole_rows_do(
    seed: int, params: SamplingParams, size: int, cut: float
) -> None:
    """The fast walk against its obvious twin: the same tokens at every stage, the same logits but for a last digit."""
    logits, context = a_vector(seed, size, cut=cut), a_context(size, seed=seed)
    whole = list(walk_whole(logits, params, context))
    walked = list(walk(logits, params, context))
    assert [after.name for after in walked] == [name for name, _ in whole] == list(params.active)
    for after, (_, want) in zip(walked, whole, strict=True):
        ids = np.arange(size) if after.ids is None else after.ids
        left = ids[after.logits.numpy() > -INF].tolist()
        assert left == survivors(want)
        assert after.kept == len(left)
        np.testing.assert_allclose(after.logits[after.logits > -INF], want[left], rtol=1e-6)
    last = whole[-1][1] if whole else logits
    np.testing.assert_allclose(shape(logits, params, context), last, rtol=1e-6)


def test_rows_shrink_in_a_large_vocabulary_and_grow_again_for_a_stage_that_needs_ids() -> None:
    params = SamplingParams(
        top_k=300, temperature=0.7, top_p=0.9, repetition_penalty=1.2, logit_bias={5: 3.0},
        order="temperature,top_k,repetition,logit_bias,top_p",
    )  # fmt: skip
    for seed in range(5):
        logits = a_vector(seed, 10_000)
        context = Context(logits.topk(50).indices.tolist())
        whole = list(walk_whole(logits, params, context))
        walked = list(walk(logits, params, context))
        assert [after.logits.numel() for after in walked] == [10_000, 300, 300, 300, walked[-1].kept]
        for after, (_, want) in zip(walked[1:], whole[1:], strict=True):
            assert after.ids.tolist() == survivors(want)
            assert torch.equal(after.logits, want[survivors(want)])
        assert torch.equal(shape(logits, params, context), whole[-1][1])


@pytest.mark.parametrize(("name", "values"), ALL_STAGES, ids=str)
def test_stages_work_on_the_last_axis(name: str, values: dict[str, Any]) -> None:
    rows = torch.stack([a_vector(seed, size=40) for seed in range(6)])
    rows[2, 5:] = -INF
    rows[3] = -INF
    params, context = SamplingParams(**values), a_context(40)
    apply = STAGES[name].apply
    if name == "dola":  # its early layers have the axes of the row
        return
    each = torch.stack([apply(row, params, context) for row in rows])
    assert torch.equal(apply(rows, params, context), each)
    assert torch.equal(apply(rows.view(2, 3, 40), params, context), each.view(2, 3, 40))


def test_every_stage_there_is_has_its_extremes() -> None:
    assert list(STAGES) == list(STAGE_NAMES) == list(EXTREMES)


@pytest.mark.parametrize("name", EXTREMES)
def test_a_neutral_stage_changes_nothing(name: str) -> None:
    logits = a_vector(4)
    params = SamplingParams()
    assert params.active == ()
    if name in ("guidance", "contrastive", "dola", "grammar"):
        return  # the walk leaves them out; they have no neutral form of their own
    assert torch.equal(STAGES[name].apply(logits, params, a_context(200)), logits)


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
