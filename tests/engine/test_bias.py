"""Biases, bans and rules on ids: transformers' own processors, brute force, and what must be refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    EncoderNoRepeatNGramLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    SequenceBiasLogitsProcessor,
    SuppressTokensLogitsProcessor,
)
from transformers.generation.logits_process import ExponentialDecayLengthPenalty
from vectors import INF, a_vector, by_peer, seeds, survivors

from tinychat.engine.context import Context
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape
from tinychat.model.vocabulary import Vocabulary

SIZE = 12
VOCABULARY = Vocabulary((b"x",) * SIZE, end_ids=(3, 7))
tokens = st.integers(0, SIZE - 1)
histories = st.lists(st.integers(0, 4), max_size=30)  # few ids, so that sequences come back
phrases = st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple)
shares = st.sampled_from([0.0, 0.3])


def same(ours: Tensor, theirs: Tensor) -> None:
    assert survivors(ours) == survivors(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


# ---- logit bias -----------------------------------------------------------------------------------------------------


def test_logit_bias_adds_and_bans() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0, -INF])
    left = shape(logits, SamplingParams(logit_bias={0: 1.5, 2: -INF, 3: 100.0}))
    assert left.tolist() == [2.5, 2.0, -INF, -INF]  # what is cut cannot be brought back


def test_a_huge_bias_stays_a_number() -> None:
    left = shape(torch.tensor([3e38, -3e38, 0.0]), SamplingParams(logit_bias={0: 1e308, 1: -1e308}))
    assert left.isfinite().all()
    assert left.double().softmax(-1).tolist() == [1.0, 0.0, 0.0]


OUTSIDE: list[dict[str, Any]] = [
    {"logit_bias": {0: 1.0, 3: 1.0}},
    {"sequence_bias": {(1, 3): 1.0}},
    {"sequence_bias": {(3, 1): 1.0}},
    {"bad_words": [[0], [3, 0]]},
    {"allowed_ids": [0, 3]},
    {"banned_ids": [3]},
]


@pytest.mark.parametrize("values", OUTSIDE, ids=str)
def test_an_id_outside_the_vocabulary_is_refused_by_the_name_of_its_setting(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(values))} names token 3, but the vocabulary has 3"):
        shape(torch.ones(3), SamplingParams(**values))


# ---- phrases --------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    seeds, st.dictionaries(phrases, st.sampled_from([-INF, -1.5, 0.25, 3.0]), min_size=1, max_size=6), histories, shares
)
def test_sequence_bias_equals_the_peer(
    seed: int, biases: dict[tuple[int, ...], float], history: list[int], cut: float
) -> None:
    logits = a_vector(seed, SIZE, cut=cut)
    ours = shape(logits, SamplingParams(sequence_bias=biases), Context(history))
    if not history:  # the peer needs a token to look at
        biases = {phrase: bias for phrase, bias in biases.items() if len(phrase) == 1}
    theirs = by_peer(SequenceBiasLogitsProcessor(biases), logits, history) if biases else logits
    same(ours, theirs)


@settings(max_examples=80, deadline=None)
@given(seeds, st.lists(phrases, min_size=1, max_size=6, unique=True), histories.filter(len), shares)
def test_bad_words_equal_the_peer(seed: int, words: list[tuple[int, ...]], history: list[int], cut: float) -> None:
    logits = a_vector(seed, SIZE, cut=cut)
    theirs = by_peer(NoBadWordsLogitsProcessor([list(word) for word in words]), logits, history)
    same(shape(logits, SamplingParams(bad_words=words), Context(history)), theirs)


def test_a_phrase_counts_as_soon_as_its_other_tokens_are_all_there_is() -> None:
    params = SamplingParams(sequence_bias={(1, 2, 3): 5.0, (9, 1, 2, 3): 50.0})
    assert shape(torch.zeros(10), params, Context([1, 2]))[3] == 5.0
    assert torch.equal(shape(torch.zeros(10), params, Context([2])), torch.zeros(10))


def test_biases_of_phrases_that_end_alike_add_and_a_ban_wins() -> None:
    params = SamplingParams(sequence_bias={(1, 2): 5.0, (2,): 0.5, (0, 3): 9.0, (3,): -INF})
    assert shape(torch.zeros(4), params, Context([0, 1])).tolist() == [0.0, 0.0, 5.5, -INF]


def test_no_reply_ever_holds_a_bad_phrase() -> None:
    words = ((0, 1), (2,), (1, 3, 1))
    params, history = SamplingParams(bad_words=words), []
    for position in range(300):
        left = shape(a_vector(position, 5), params, Context(history))
        history.append(int(left.argmax()))
    text = ",".join(map(str, history))
    assert not any(",".join(map(str, word)) in text for word in words)


# ---- allowed and banned ids -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seeds, st.lists(tokens), st.lists(tokens), shares)
def test_only_what_is_allowed_and_not_banned_is_left(seed: int, kept: list[int], banned: list[int], cut: float) -> None:
    assume(not kept or set(kept) - set(banned))  # settings refuse what leaves nothing
    logits = a_vector(seed, SIZE, cut=cut)
    left = shape(logits, SamplingParams(allowed_ids=kept, banned_ids=banned))
    wanted = [token for token in survivors(logits) if (token in kept or not kept) and token not in banned]
    assert survivors(left) == wanted
    assert torch.equal(left[wanted], logits[wanted])
    if banned and not kept:
        same(left, by_peer(SuppressTokensLogitsProcessor(banned), logits))


# ---- the end of the reply -------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(0, 6), histories.filter(len), st.integers(0, 30), shares)
def test_min_tokens_equals_the_peer_and_does_not_count_the_prompt(
    seed: int, fewest: int, history: list[int], prompt_len: int, cut: float
) -> None:
    prompt_len = min(prompt_len, len(history))
    logits = a_vector(seed, SIZE, cut=cut)
    left = shape(logits, SamplingParams(min_tokens=fewest), Context(history, prompt_len, vocabulary=VOCABULARY))
    peer = MinNewTokensLengthLogitsProcessor(prompt_len, fewest, [3, 7], device="cpu")
    same(left, by_peer(peer, logits, history))


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(1.01, 2.0), st.integers(0, 6), histories.filter(len), st.integers(0, 30), shares)
def test_end_decay_equals_the_peer(
    seed: int, factor: float, start: int, history: list[int], prompt_len: int, cut: float
) -> None:
    prompt_len = min(prompt_len, len(history))
    logits = a_vector(seed, SIZE, cut=cut)
    params = SamplingParams(end_decay=factor, end_decay_start=start)
    left = shape(logits, params, Context(history, prompt_len, vocabulary=VOCABULARY))
    peer = ExponentialDecayLengthPenalty((start, factor), [3, 7], prompt_len)
    same(left, by_peer(peer, logits, history))


def test_the_pull_of_a_very_long_reply_stays_a_number() -> None:
    context = Context([1] * 5000, vocabulary=VOCABULARY)
    logits = torch.full((SIZE,), -2.0)
    logits[7] = 0.0
    left = shape(logits, SamplingParams(end_decay=10.0), context)
    assert left.isfinite().all()
    assert int(left.argmax()) == 3
    assert left[7] == 0.0  # nothing to take hold of


@pytest.mark.parametrize("values", [{"min_tokens": 5}, {"end_decay": 1.1}], ids=str)
def test_a_rule_on_the_end_needs_a_vocabulary_and_says_so(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(values))} must know the tokens that end a reply"):
        shape(torch.ones(3), SamplingParams(**values), Context([1, 2], 1))


# ---- n-grams --------------------------------------------------------------------------------------------------------


def completions(history: list[int], text: list[int], n: int) -> set[int]:
    """Brute force: what would make, with the last n - 1 tokens, an n-gram out of the set of the text's n-grams."""
    grams = {tuple(text[start : start + n]) for start in range(len(text) - n + 1)}
    end = tuple(history[len(history) - (n - 1) :]) if n > 1 else ()
    return {token for token in range(SIZE) if len(end) == n - 1 and (*end, token) in grams}


@settings(max_examples=150, deadline=None)
@given(seeds, st.integers(1, 6), histories, st.integers(0, 30), shares)
def test_no_n_gram_comes_twice(seed: int, n: int, history: list[int], prompt_len: int, cut: float) -> None:
    prompt_len = min(prompt_len, len(history))
    logits = a_vector(seed, SIZE, cut=cut)
    context = Context(history, prompt_len)
    once = shape(logits, SamplingParams(no_repeat_ngram=n), context)
    assert survivors(once) == [token for token in survivors(logits) if token not in completions(history, history, n)]
    prompt = history[:prompt_len]
    other = shape(logits, SamplingParams(encoder_no_repeat_ngram=n), context)
    assert survivors(other) == [token for token in survivors(logits) if token not in completions(history, prompt, n)]
    if len(history) >= n:
        same(once, by_peer(NoRepeatNGramLogitsProcessor(n), logits, history))
        if prompt:
            peer = EncoderNoRepeatNGramLogitsProcessor(n, torch.tensor([prompt]))
            same(other, by_peer(peer, logits, history))


def test_a_greedy_run_never_repeats_a_bigram() -> None:
    params, history = SamplingParams(no_repeat_ngram=2, temperature=0.0), [0]
    while survivors(left := shape(a_vector(history[-1], 9), params, Context(history))):
        history.append(int(left.argmax()))
    pairs = list(pairwise(history))
    assert len(set(pairs)) == len(pairs) >= 9
    assert {pair[1] for pair in pairs if pair[0] == history[-1]} == set(range(9))  # all that could follow had


def test_an_n_gram_rule_may_leave_nothing() -> None:
    left = shape(torch.zeros(2), SamplingParams(no_repeat_ngram=1), Context([0, 1]))
    assert survivors(left) == []


def test_an_n_longer_than_the_history_bans_nothing() -> None:
    logits = a_vector(0, SIZE)
    for n in (5, 6, 10**9):
        assert torch.equal(shape(logits, SamplingParams(no_repeat_ngram=n), Context([1, 1, 1])), logits)
