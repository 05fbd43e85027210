"""The named orders: transformers' own chain, and a slow walk in plain numbers for every order there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from slow import TooClose, slow_walk, softmax
from torch import Tensor
from transformers import (
    EncoderNoRepeatNGramLogitsProcessor,
    EncoderRepetitionPenaltyLogitsProcessor,
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopHLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)
from transformers.generation.logits_process import ExponentialDecayLengthPenalty
from vectors import INF, a_vector, seeds, survivors

from tinychat.engine.context import Context
from tinychat.engine.orders import ORDERS, STAGE_NAMES
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape
from tinychat.model.vocabulary import Vocabulary

SIZE = 60
VOCABULARY = Vocabulary(tuple(b"\n" if token % 7 == 6 else b"x" for token in range(SIZE)), end_ids=(4, 41))
few = st.integers(0, 9)  # histories of few ids, so that sequences come back
phrases = st.lists(few, min_size=1, max_size=3).map(tuple)
histories = st.lists(few, max_size=30)

WIDE: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.floats(0.4, 2.5),
    "top_k": st.integers(2, 50),
    "top_p": st.floats(0.5, 0.98),
    "min_p": st.floats(0.005, 0.2),
    "typical_p": st.floats(0.5, 0.98),
    "top_n_sigma": st.floats(1.0, 4.0),
    "epsilon_cutoff": st.floats(0.0005, 0.05),
    "eta_cutoff": st.floats(0.0005, 0.05),
    "tfs_z": st.floats(0.7, 0.99),
    "top_a": st.floats(0.01, 0.5),
    "top_h": st.floats(0.4, 0.95),
    "xtc_probability": st.floats(0.3, 1.0),
    "smoothing_factor": st.floats(0.05, 0.5),
    "smoothing_curve": st.floats(1.0, 3.0),
    "repetition_penalty": st.floats(0.7, 1.8),
    "encoder_repetition_penalty": st.floats(0.7, 1.8),
    "frequency_penalty": st.floats(-0.5, 1.0),
    "presence_penalty": st.floats(-0.5, 1.0),
    "dry_multiplier": st.floats(0.1, 1.0),
    "dry_allowed_length": st.integers(1, 3),
    "no_repeat_ngram": st.integers(2, 4),
    "encoder_no_repeat_ngram": st.integers(2, 4),
    "min_tokens": st.integers(1, 20),
    "end_decay": st.floats(1.01, 1.1),
    "logit_bias": st.dictionaries(st.integers(0, 59), st.sampled_from([-INF, 1.5, -2.0]), min_size=1, max_size=4),
    "sequence_bias": st.dictionaries(phrases, st.sampled_from([1.5, -2.0]), min_size=1, max_size=4),
    "bad_words": st.lists(phrases, min_size=1, max_size=4),
    "banned_ids": st.lists(st.integers(0, 59), min_size=1, max_size=5),
    "allowed_ids": st.lists(st.integers(0, 59), min_size=20, max_size=40).map(lambda ids: [*ids, *range(0, 60, 3)]),
}


@st.composite
def chains(draw: st.DrawFn, names: list[str] | None = None) -> dict[str, Any]:
    """Settings with many of the stages on."""
    picked = draw(st.lists(st.sampled_from(names or sorted(WIDE)), min_size=2, max_size=12, unique=True))
    return {name: draw(WIDE[name]) for name in picked}


def _agree(logits: Tensor, params: SamplingParams, context: Context) -> None:
    try:
        want = slow_walk(logits, params, context)
    except TooClose:
        assume(False)
    left = shape(logits, params, context)
    assert survivors(left) == sorted(want)
    if want:
        ours = left.double().softmax(-1)
        for token, prob in softmax(want).items():
            assert float(ours[token]) == pytest.approx(prob, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("order", sorted(ORDERS))
@settings(max_examples=60, deadline=None)
@given(
    seed=seeds, values=chains(), history=histories, scope=st.sampled_from(["all", "output"]), window=st.integers(0, 9)
)
def test_a_named_order_equals_the_slow_walk(
    order: str, seed: int, values: dict[str, Any], history: list[int], scope: str, window: int
) -> None:
    params = SamplingParams(**values, order=order, penalty_scope=scope, penalty_window=window)
    context = Context(history, len(history) // 2, lane=seed % 5, vocabulary=VOCABULARY)
    _agree(a_vector(seed, SIZE, 2.0), params, context)


@settings(max_examples=120, deadline=None)
@given(seed=seeds, values=chains(), history=histories, order=st.permutations(STAGE_NAMES))
def test_an_order_of_one_s_own_equals_the_slow_walk(
    seed: int, values: dict[str, Any], history: list[int], order: list[str]
) -> None:
    context = Context(history, len(history) // 3, vocabulary=VOCABULARY)
    _agree(a_vector(seed, SIZE, 2.0), SamplingParams(**values, order=order), context)


PEERS = [
    "sequence_bias", "encoder_repetition_penalty", "repetition_penalty", "no_repeat_ngram", "encoder_no_repeat_ngram",
    "bad_words", "min_tokens", "end_decay", "temperature", "top_h", "top_k", "top_p", "min_p", "typical_p",
    "epsilon_cutoff", "eta_cutoff",
]  # fmt: skip


def transformers_chain(params: SamplingParams, prompt: list[int]) -> LogitsProcessorList:
    """The classes of transformers in the order in which its generate() puts them."""
    ends = list(VOCABULARY.end_ids)
    encoder = torch.tensor([prompt])
    biases = {tuple(ids): bias for ids, bias in params.sequence_bias}
    made: dict[str, Any] = {
        "sequence_bias": lambda: SequenceBiasLogitsProcessor(biases),
        "encoder_repetition": lambda: EncoderRepetitionPenaltyLogitsProcessor(
            params.encoder_repetition_penalty, encoder
        ),
        "repetition": lambda: RepetitionPenaltyLogitsProcessor(params.repetition_penalty),
        "no_repeat_ngram": lambda: NoRepeatNGramLogitsProcessor(params.no_repeat_ngram),
        "encoder_no_repeat_ngram": lambda: EncoderNoRepeatNGramLogitsProcessor(params.encoder_no_repeat_ngram, encoder),
        "bad_words": lambda: NoBadWordsLogitsProcessor([list(word) for word in params.bad_words]),
        "min_tokens": lambda: MinNewTokensLengthLogitsProcessor(len(prompt), params.min_tokens, ends, device="cpu"),
        "end_decay": lambda: ExponentialDecayLengthPenalty((0, params.end_decay), ends, len(prompt)),
        "temperature": lambda: TemperatureLogitsWarper(params.temperature),
        "top_h": lambda: TopHLogitsWarper(params.top_h),
        "top_k": lambda: TopKLogitsWarper(params.top_k),
        "top_p": lambda: TopPLogitsWarper(params.top_p),
        "min_p": lambda: MinPLogitsWarper(params.min_p),
        "typical": lambda: TypicalLogitsWarper(params.typical_p),
        "epsilon": lambda: EpsilonLogitsWarper(params.epsilon_cutoff),
        "eta": lambda: EtaLogitsWarper(params.eta_cutoff),
    }
    assert [name for name in ORDERS["hf"] if name in made] == list(made)
    return LogitsProcessorList([make() for name, make in made.items() if params.is_on(name)])


@settings(max_examples=150, deadline=None)
@given(seed=seeds, values=chains(PEERS), history=st.lists(few, min_size=4, max_size=24))
def test_the_hf_order_equals_transformers_own_chain(seed: int, values: dict[str, Any], history: list[int]) -> None:
    params = SamplingParams(**values, order="hf")
    logits, context = a_vector(seed, SIZE, 2.0), Context(history, len(history) // 2, vocabulary=VOCABULARY)
    try:
        slow_walk(logits, params, context)
    except TooClose:
        assume(False)
    chain = transformers_chain(params, history[: len(history) // 2])
    theirs = chain(torch.tensor([history]), logits.double()[None])[0]
    ours = shape(logits, params, context)
    assume(survivors(theirs))
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
