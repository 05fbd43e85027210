"""Stages that change the logits of tokens that were there before."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine.context import Context
from tinychat.engine.cuts import HIGHEST, change
from tinychat.engine.params import SamplingParams


def repetition(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Divides positive and multiplies negative logits of seen tokens, once each (CTRL, arXiv 1909.05858, by sign)."""
    ids, _ = context.seen(params, logits.shape[-1])
    return change(logits, ids, lambda before: _by_sign(before, params.repetition_penalty))


def encoder_repetition(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """The repetition penalty with 1/x on the prompt's tokens: above 1 raises them (transformers)."""
    ids = of_prompt(context, logits.shape[-1])
    return change(logits, ids, lambda before: _by_sign(before, 1.0 / params.encoder_repetition_penalty))


def factor(theta: float) -> float:
    """What a repetition penalty divides and multiplies by.

    As a float32: transformers' numbers to the last bit, for their float32 results are these, rounded once.
    """
    return float(np.float32(theta))


def of_prompt(context: Context, size: int) -> NDArray[np.int64]:
    """The ids (K,) of a vocabulary of `size` that the prompt holds, rising."""
    ids = np.unique(context.ids()[: context.prompt_len])
    return ids[(ids >= 0) & (ids < size)]


def frequency(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Lowers a token's logit by the penalty for every time it was seen (the OpenAI formula)."""
    ids, counts = context.seen(params, logits.shape[-1])
    return change(logits, ids, lambda before: before - counts * params.frequency_penalty)


def presence(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Lowers a token's logit by the penalty, once, if it was seen (the OpenAI formula)."""
    ids, _ = context.seen(params, logits.shape[-1])
    return change(logits, ids, lambda before: before.astype(np.float64) - params.presence_penalty)


def dry(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Lowers tokens that would go on repeating a sequence (DRY, of text-generation-webui).

    m(v) is the length of the longest sequence that the history ends with and that stands in it once more, followed by
    v; the two may overlap. From m = allowed length on, v loses multiplier * base^(m - allowed length). No sequence
    reaches across a breaker, and a token that is one loses nothing. Breakers are texts: every token in which one occurs
    is a breaker, so they raise ValueError where the context has no vocabulary. `dry_window` limits the history.
    """
    ids, lost = dry_losses(params, context, logits.shape[-1])
    return change(logits, ids, lambda before: before - lost)


def dry_losses(params: SamplingParams, context: Context, size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ids (K,) of a vocabulary of `size` that DRY lowers, rising, and by how much (K,)."""
    history = context.ids()
    if params.dry_window:
        history = history[-params.dry_window :]
    ids, lengths = _repeats(history, _breakers(params, context))
    fit = (lengths >= params.dry_allowed_length) & (ids >= 0) & (ids < size)
    lost = [_loss(params, length) for length in lengths[fit].tolist()]
    return ids[fit], np.array(lost, dtype=np.float64)


def _loss(params: SamplingParams, length: int) -> float:
    """Of a token that would go on with a repeat so long. By the C library, as in past.h: numpy's power is its own."""
    try:
        grown = math.pow(params.dry_base, length - params.dry_allowed_length)
    except OverflowError:
        return HIGHEST
    return min(params.dry_multiplier * grown, HIGHEST)


def _by_sign(logits: NDArray[np.float32], theta: float) -> NDArray[np.float64]:
    exact = logits.astype(np.float64)
    return np.where(exact > 0, exact / factor(theta), exact * factor(theta))


# ---- DRY ------------------------------------------------------------------------------------------------------------


def _breakers(params: SamplingParams, context: Context) -> list[frozenset[int]]:
    texts = tuple(params.dry_breakers)
    if texts and context.vocabulary is None:
        raise ValueError("dry_breakers are texts, and a context without a vocabulary has none: leave them empty")
    return [] if context.vocabulary is None else [context.vocabulary.containing(text) for text in texts]


def breaker_flags(params: SamplingParams, context: Context) -> NDArray[np.uint8]:
    """Which tokens of the context's vocabulary (V,) are breakers of DRY; none where there is no vocabulary."""
    flags = np.zeros(0 if context.vocabulary is None else context.vocabulary.size, dtype=np.uint8)
    for each in _breakers(params, context):
        flags[list(each)] = 1
    return flags


def _repeats(history: NDArray[np.int64], breakers: list[frozenset[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ids (K,) that once followed an end of the history, rising, and the length of the longest such end (K,).

    Gusfield's Z-algorithm on the reversed history, so every token is compared at most twice: O(n), whatever repeats.
    """
    back = history[::-1].tolist()
    size = len(back)
    present = set(back)
    broken = set().union(*(present & each for each in breakers))
    limit = next((place for place, token in enumerate(back) if token in broken), size)
    longest: dict[int, int] = {}
    if limit:
        lengths = [0] * size
        left = right = 0  # back[left:right] equals the beginning of back, and no match seen so far reaches further
        for place in (np.flatnonzero(history[::-1][1:] == back[0]) + 1).tolist():
            length = min(lengths[place - left], right - place) if place < right else 0
            while length < limit and place + length < size and back[length] == back[place + length]:
                length += 1
            lengths[place] = length
            if place + length > right:
                left, right = place, place + length
            follower = back[place - 1]
            if length > longest.get(follower, 0):
                longest[follower] = length
    free = sorted(longest.keys() - broken)
    return np.array(free, dtype=np.int64), np.array([longest[token] for token in free], dtype=np.int64)
