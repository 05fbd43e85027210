"""Stages that steer by token id: biases, bans, and rules on what may follow what.

A ban may leave nothing: then no token is legal, and the reply ends there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context, History
from tinychat.engine.cuts import CUT, LOWEST, change
from tinychat.engine.params import SamplingParams

_STEEPEST = 700.0  # e to this is still a float64


def logit_bias(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Adds a number to the logits of chosen tokens; -inf bans them. Ids outside the vocabulary raise ValueError."""
    _check("logit_bias", (token for token, _ in params.bias), logits)
    return _biased(logits, params.bias)


def sequence_bias(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Adds a number to the last token of each phrase whose other tokens the history ends with; those of one token add.

    A phrase of one token always counts. Ids outside the vocabulary raise ValueError.
    """
    sums: dict[int, float] = {}
    for phrase, bias in params.sequence_bias:
        *before, last = phrase
        _check("sequence_bias", phrase, logits)
        if _ends_with(context.history, before):
            sums[last] = sums.get(last, 0.0) + bias
    return _biased(logits, sums.items())


def bad_words(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Bans the last token of each phrase whose other tokens the history ends with.

    Ids outside the vocabulary raise ValueError.
    """
    banned = []
    for phrase in params.bad_words:
        *before, last = phrase
        _check("bad_words", phrase, logits)
        if _ends_with(context.history, before):
            banned.append(last)
    return _without(logits, banned)


def allowed(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Cuts all but the allowed ids, when there are any, and the banned ones; an id that is both is banned.

    Ids outside the vocabulary raise ValueError.
    """
    kept, banned = list(params.allowed_ids), list(params.banned_ids)
    _check("allowed_ids", kept, logits)
    _check("banned_ids", banned, logits)
    left = logits
    if kept:
        values = logits.numpy()
        only = np.full_like(values, CUT)
        only[..., kept] = values[..., kept]
        left = torch.from_numpy(only)
    return _without(left, banned)


def min_tokens(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Cuts the tokens that end a reply while it has fewer than `min_tokens`, the prompt not counted.

    Raises ValueError where the context has no vocabulary to say which they are.
    """
    if len(context.history) - context.prompt_len >= params.min_tokens:
        return logits
    return _without(logits, _end_ids("min_tokens", context, logits))


def end_decay(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Raises the logits of the tokens that end a reply by |l| (f^n - 1), n tokens past the start (transformers' rule).

    A logit of 0 stays: the pull has no hold on it. Raises ValueError where the context has no vocabulary.
    """
    past = len(context.history) - context.prompt_len - params.end_decay_start
    if params.end_decay == 1.0 or past <= 0:
        return logits
    ids = np.array(_end_ids("end_decay", context, logits), dtype=np.int64)
    growth = math.expm1(min(past * math.log(params.end_decay), _STEEPEST))
    return change(logits, ids, lambda before: before + np.abs(before.clip(LOWEST)).astype(np.float64) * growth)


def no_repeat_ngram(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Bans a token that would complete an n-gram of the history (fairseq; Paulus et al. 2017); n = 1 bans all seen."""
    ids = context.ids()
    return _without(logits, _completions(ids, ids, params.no_repeat_ngram))


def encoder_no_repeat_ngram(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Bans a token that would complete an n-gram of the prompt (transformers)."""
    ids = context.ids()
    return _without(logits, _completions(ids, ids[: context.prompt_len], params.encoder_no_repeat_ngram))


def _completions(history: NDArray[np.int64], text: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """What follows the last n - 1 tokens of the history wherever they stand in the text."""
    if n == 0 or history.size < n - 1 or text.size < n:
        return history[:0]
    last = history[history.size - (n - 1) :]
    starts = np.arange(text.size - (n - 1))
    for place, token in enumerate(last):
        starts = starts[text[starts + place] == token]
        if not starts.size:
            break
    return text[starts + (n - 1)]


def _ends_with(history: History, tail: Sequence[int]) -> bool:
    length = len(history)
    return len(tail) <= length and all(
        int(history[length - len(tail) + place]) == token for place, token in enumerate(tail)
    )


def _end_ids(name: str, context: Context, logits: Tensor) -> list[int]:
    if context.vocabulary is None:
        raise ValueError(f"{name} must know the tokens that end a reply, got a context without a vocabulary")
    return [token for token in context.vocabulary.end_ids if token < logits.shape[-1]]


def _check(name: str, ids: Iterable[int], logits: Tensor) -> None:
    largest = max(ids, default=-1)
    if largest >= logits.shape[-1]:
        raise ValueError(f"{name} names token {largest}, but the vocabulary has {logits.shape[-1]}")


def _biased(logits: Tensor, pairs: Iterable[tuple[int, float]]) -> Tensor:
    found = list(pairs)
    ids = np.array([token for token, _ in found], dtype=np.int64)
    biases = np.array([bias for _, bias in found], dtype=np.float64)
    return change(logits, ids, lambda before: before + biases)


def _without(logits: Tensor, ids: Sequence[int] | NDArray[np.int64]) -> Tensor:
    """The logits with these ids cut; ids outside the vocabulary are ignored."""
    found = np.asarray(ids, dtype=np.int64)
    found = found[(found >= 0) & (found < logits.shape[-1])]
    return change(logits, found, lambda before: np.full_like(before, CUT))
