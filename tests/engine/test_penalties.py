"""Penalties: the peers' numbers, their scope and window, and what they must never do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import EncoderRepetitionPenaltyLogitsProcessor, RepetitionPenaltyLogitsProcessor
from vectors import a_vector, seeds

from tinychat.engine.context import Context
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape

histories = st.lists(st.integers(0, 49), max_size=40)


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0.1, 5.0), histories)
def test_repetition_equals_the_peer(seed: int, theta: float, history: list[int]) -> None:
    logits = a_vector(seed, size=50)
    ours = shape(logits, SamplingParams(repetition_penalty=theta), Context(history, 0))
    if not history:
        assert torch.equal(ours, logits)
        return
    theirs = RepetitionPenaltyLogitsProcessor(theta)(torch.tensor([history]), logits[None])[0]
    assert torch.equal(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(0.1, 5.0), histories.filter(len), st.integers(1, 40))
def test_encoder_repetition_equals_the_peer(seed: int, theta: float, history: list[int], prompt_len: int) -> None:
    prompt_len = min(prompt_len, len(history))
    logits = a_vector(seed, size=50, cut=0.2)
    ours = shape(logits, SamplingParams(encoder_repetition_penalty=theta), Context(history, prompt_len))
    prompt = torch.tensor([history[:prompt_len]])
    theirs = EncoderRepetitionPenaltyLogitsProcessor(theta, prompt)(torch.tensor([history]), logits[None])[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_encoder_repetition_raises_the_prompt_s_tokens_and_no_others() -> None:
    logits = torch.tensor([2.0, -2.0, 3.0, -3.0, 1.0])
    context = Context([0, 1, 1, 9, 2, 3], 4)
    left = shape(logits, SamplingParams(encoder_repetition_penalty=2.0), context)
    assert left.tolist() == [4.0, -1.0, 3.0, -3.0, 1.0]
    windowed = SamplingParams(encoder_repetition_penalty=2.0, penalty_scope="output", penalty_window=1)
    assert torch.equal(shape(logits, windowed, context), left)  # scope and window are not for this one


def test_repetition_lowers_a_seen_token_whatever_its_sign_and_only_once() -> None:
    logits = torch.tensor([2.0, -2.0, 0.0, 1.0])
    left = shape(logits, SamplingParams(repetition_penalty=2.0), Context([0, 0, 1, 2, 0], 0))
    assert left.tolist() == [1.0, -4.0, 0.0, 1.0]


def test_repetition_undone_by_its_inverse() -> None:
    logits = a_vector(3, size=20)
    once = shape(logits, SamplingParams(repetition_penalty=1.25), Context(range(10), 0))
    back = shape(once, SamplingParams(repetition_penalty=0.8), Context(range(10), 0))
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
    np.testing.assert_allclose(shape(logits, params, Context(history, prompt_len)), want, atol=1e-4, rtol=1e-5)


def test_doubling_a_penalty_doubles_its_shift() -> None:
    logits = torch.zeros(4)
    for name in ("frequency_penalty", "presence_penalty"):
        one, two = (shape(logits, SamplingParams(**{name: value}), Context([1, 1, 2], 0)) for value in (0.5, 1.0))
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
        left = shape(logits, params, Context([0, 1, 2, 3, 4], 3))
        assert set(torch.nonzero(left != logits).flatten().tolist()) == seen


def test_ids_outside_the_vocabulary_are_ignored_in_the_history() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0])
    params = SamplingParams(repetition_penalty=2.0, frequency_penalty=0.5, presence_penalty=0.5)
    assert torch.equal(
        shape(logits, params, Context([1, 3, 99, -1, -3, 2**40], 0)), shape(logits, params, Context([1], 0))
    )


@pytest.mark.parametrize("history", [[0, 2], (0, 2), np.array([0, 2]), torch.tensor([0, 2]), range(0, 3, 2)])
def test_a_history_may_be_any_sequence_of_ids(history: Any) -> None:
    left = shape(torch.ones(3), SamplingParams(presence_penalty=1.0), Context(history, 1))
    assert left.tolist() == [0.0, 1.0, 0.0]


def test_a_prompt_longer_than_the_history_is_refused() -> None:
    for prompt_len in (-1, 3):
        with pytest.raises(ValueError, match="prompt_len"):
            shape(torch.ones(3), SamplingParams(), Context([0, 1], prompt_len))


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda ids: np.array(ids, dtype=np.int16)])
def test_a_history_may_be_any_row_of_whole_numbers(kind: Any) -> None:
    params = SamplingParams(frequency_penalty=1.0, repetition_penalty=2.0, penalty_scope="output")
    logits = torch.tensor([4.0, 4.0, 4.0])
    assert shape(logits, params, Context(kind([0, 1, 1]), 1)).tolist() == [4.0, 0.0, 4.0]


@pytest.mark.parametrize("history", [[[0, 1]], [0.5, 1.0], ["0"], [2**70], [True]])
def test_what_is_no_row_of_ids_is_refused(history: Any) -> None:
    with pytest.raises(ValueError, match="history must be"):
        shape(torch.zeros(3), SamplingParams(repetition_penalty=2.0), Context(history))
