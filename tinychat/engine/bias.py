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
    return _biased(logits, *biases("logit_bias", params, context, logits.shape[-1]))


def sequence_bias(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Adds a number to the last token of each phrase whose other tokens the history ends with; those of one token add.

    A phrase of one token always counts. Ids outside the vocabulary raise ValueError.
    """
    return _biased(logits, *biases("sequence_bias", params, context, logits.shape[-1]))


def bad_words(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Bans the last token of each phrase whose other tokens the history ends with.

    Ids outside the vocabulary raise ValueError.
    """
    return _without(logits, banned("bad_words", params, context, logits.shape[-1]))


def allowed(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Cuts all but the allowed ids, when there are any, and the banned ones; an id that is both is banned.

    Ids outside the vocabulary raise ValueError.
    """
    kept = list(params.allowed_ids)
    _check("allowed_ids", kept, logits.shape[-1])
    left = logits
    if kept:
        values = logits.numpy()
        only = np.full_like(values, CUT)
        only[..., kept] = values[..., kept]
        left = torch.from_numpy(only)
    return _without(left, banned("allowed", params, context, logits.shape[-1]))


def min_tokens(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Cuts the tokens that end a reply while it has fewer than `min_tokens`, the prompt not counted.

    Raises ValueError where the context has no vocabulary to say which they are.
    """
    return _without(logits, banned("min_tokens", params, context, logits.shape[-1]))


def end_decay(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Raises the logits of the tokens that end a reply by |l| (f^n - 1), n tokens past the start (transformers' rule).

    A logit of 0 stays: the pull has no hold on it. Raises ValueError where the context has no vocabulary.
    """
    ids, growth = end_pull(params, context, logits.shape[-1])
    return change(logits, ids, lambda before: before + np.abs(before.clip(LOWEST)).astype(np.float64) * growth)


def no_repeat_ngram(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Bans a token that would complete an n-gram of the history (fairseq; Paulus et al. 2017); n = 1 bans all seen."""
    return _without(logits, banned("no_repeat_ngram", params, context, logits.shape[-1]))


def encoder_no_repeat_ngram(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Bans a token that would complete an n-gram of the prompt (transformers)."""
    return _without(logits, banned("encoder_no_repeat_ngram", params, context, logits.shape[-1]))


# ---- what they do to which ids, for a vocabulary of `size` ----------------------------------------------------------


def biases(
    stage: str, params: SamplingParams, context: Context, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ids (K,) that a bias adds to, each once, and what it adds (K,)."""
    sums: dict[int, float] = {}
    if stage == "logit_bias":
        sums = dict(params.bias)
        _check(stage, sums, size)
    else:
        for phrase, bias in params.sequence_bias:
            *before, last = phrase
            _check(stage, phrase, size)
            if _ends_with(context.history, before):
                sums[last] = sums.get(last, 0.0) + bias
    return np.array(list(sums), dtype=np.int64), np.array(list(sums.values()), dtype=np.float64)


def banned(stage: str, params: SamplingParams, context: Context, size: int) -> NDArray[np.int64]:
    """The ids (K,) that a ban cuts; some may be named twice."""
    found: Sequence[int] | NDArray[np.int64] = []
    if stage == "bad_words":
        for phrase in params.bad_words:
            _check(stage, phrase, size)
        found = [last for *before, last in params.bad_words if _ends_with(context.history, before)]
    elif stage == "allowed":
        found = list(params.banned_ids)
        _check("banned_ids", found, size)
    elif stage == "min_tokens":
        if len(context.history) - context.prompt_len < params.min_tokens:
            found = _end_ids(stage, context, size)
    elif stage == "no_repeat_ngram":
        ids = context.ids()
        found = _completions(ids, ids, params.no_repeat_ngram)
    else:
        ids = context.ids()
        found = _completions(ids, ids[: context.prompt_len], params.encoder_no_repeat_ngram)
    array = np.asarray(found, dtype=np.int64)
    return array[(array >= 0) & (array < size)]


def end_pull(params: SamplingParams, context: Context, size: int) -> tuple[NDArray[np.int64], float]:
    """The ids (K,) that end a reply, and the share of their logits that is added; none where there is no pull yet."""
    past = len(context.history) - context.prompt_len - params.end_decay_start
    if params.end_decay == 1.0 or past <= 0:
        return np.zeros(0, dtype=np.int64), 0.0
    growth = math.expm1(min(past * math.log(params.end_decay), _STEEPEST))
    return np.array(_end_ids("end_decay", context, size), dtype=np.int64), growth


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


def _end_ids(name: str, context: Context, size: int) -> list[int]:
    if context.vocabulary is None:
        raise ValueError(f"{name} must know the tokens that end a reply, got a context without a vocabulary")
    return [token for token in context.vocabulary.end_ids if token < size]


def _check(name: str, ids: Iterable[int], size: int) -> None:
    largest = max(ids, default=-1)
    if largest >= size:
        raise ValueError(f"{name} names token {largest}, but the vocabulary has {size}")


def _biased(logits: Tensor, ids: NDArray[np.int64], amounts: NDArray[np.float64]) -> Tensor:
    return change(logits, ids, lambda before: before + amounts)


def _without(logits: Tensor, ids: NDArray[np.int64]) -> Tensor:
    """The logits with these ids cut."""
    return change(logits, ids, lambda before: np.full_like(before, CUT))
