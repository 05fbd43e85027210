"""The draw as data: one uniform number per place in a reply, and the token that owns it.

`uniform` is a pure function of seed, position, lane and stream, so a replay, a rewind or a second lane finds the same
dart again. `pick` throws it at the unit interval on which every token owns a slice. Nothing here knows logits, settings
or torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEAD = 256  # tokens that are laid out by probability; the others follow by id, so no full sort is ever needed

_WORD = 0xFFFFFFFF
_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1, as the paper has them
_SUM_TOLERANCE = 1e-6  # how far from 1 a distribution may sum


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Four random 32-bit words: Philox-4x32-10 of Salmon et al., "Parallel random numbers", SC 2011."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        left = c0 * _MULTIPLIERS[0]
        right = c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (right >> 32) ^ c1 ^ k0, right & _WORD, (left >> 32) ^ c3 ^ k1, left & _WORD
        k0 = (k0 + _KEY_STEPS[0]) & _WORD
        k1 = (k1 + _KEY_STEPS[1]) & _WORD
    return c0, c1, c2, c3


def uniform(seed: int, position: int, lane: int = 0, stream: int = 0) -> float:
    """The uniform number of one place, in [0, 1), on a grid of 2**-53.

    `seed` is below 2**64; `position`, `lane` and `stream` are below 2**32. Anything else raises ValueError. The key is
    the seed (low word, high word), the counter is (position, lane, stream, 0), and the number is the top 53 of the
    first 64 output bits. The token of a reply uses stream 0.
    """
    seed = _whole("seed", seed, 64)
    counter = (_whole("position", position, 32), _whole("lane", lane, 32), _whole("stream", stream, 32), 0)
    first, second, _, _ = philox(counter, (seed & _WORD, seed >> 32))
    return float((first << 32 | second) >> 11) * 2.0**-53


def uniforms(seed: int, start: int, count: int, lane: int = 0, stream: int = 0) -> NDArray[np.float64]:
    """`uniform` of `count` positions from `start` on, (count,), in one go: the same bits."""
    seed = _whole("seed", seed, 64)
    _whole("position", start + count, 32)
    c0 = np.arange(start, start + count, dtype=np.uint64)
    c1, c2, c3 = (np.full(count, value, dtype=np.uint64) for value in (_whole("lane", lane, 32), stream, 0))
    k0, k1 = seed & _WORD, seed >> 32
    word, half = np.uint64(_WORD), np.uint64(32)
    for _ in range(_ROUNDS):
        left, right = c0 * np.uint64(_MULTIPLIERS[0]), c2 * np.uint64(_MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (right >> half) ^ c1 ^ np.uint64(k0),
            right & word,
            (left >> half) ^ c3 ^ np.uint64(k1),
            left & word,
        )
        k0, k1 = (k0 + _KEY_STEPS[0]) & _WORD, (k1 + _KEY_STEPS[1]) & _WORD
    return ((c0 << half | c1) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _whole(name: str, value: Any, bits: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < 1 << bits:
        raise ValueError(f"{name} must be a whole number from 0 to 2**{bits} - 1, got {value!r}")
    return int(value)


@dataclass(frozen=True, slots=True)
class Pick:
    """A token and its place: it owns [low, high) of the unit interval; `rank` counts from 1, 0 for probability 0."""

    token: int
    low: float
    high: float
    rank: int


@dataclass(frozen=True, slots=True)
class Stack:
    """The unit interval shared out: `ids[i]` owns [edges[i-1], edges[i]), the first from 0, the last up to 1."""

    ids: NDArray[np.int64]
    edges: NDArray[np.float64]


def likeliest(values: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Indices of the `count` largest of `values` (V,), falling; equal values by lower index."""
    size = values.shape[0]
    if count >= size:
        return np.argsort(-values, kind="stable")
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    last = np.partition(values, size - count)[size - count]
    found = np.flatnonzero(values >= last)
    if found.size > count:  # a partition is free to choose among equals: take them by hand, lowest ids first
        above = values[found] > last
        found = np.concatenate([found[above], found[~above][: count - np.count_nonzero(above)]])
    return found[np.argsort(-values[found], kind="stable")]


def rank_of(values: NDArray[Any], index: int) -> int:
    """The place of one entry by falling value, ties by lower index, counted from 1."""
    value = values[index]
    return 1 + int(np.count_nonzero(values > value)) + int(np.count_nonzero(values[:index] == value))


def stack(final: NDArray[np.float64]) -> Stack:
    """Lay out a distribution (V,): the 256 likeliest first, falling (ties by lower id), then all others by id.

    Tokens of probability 0 own nothing and are left out. Raises ValueError for what is not a distribution.
    """
    probs = _distribution(final)
    head = likeliest(probs, HEAD)
    rest = probs != 0.0
    order = head[rest[head]]
    rest[head] = False
    order = np.concatenate([order, np.flatnonzero(rest)])
    edges = _running(probs[order])
    edges[-1] = 1.0  # the sum may round to just below 1: a dart there still belongs to someone
    return Stack(order, edges)


def _running(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first 1, 2, ... of them, at most 1."""
    return np.minimum(np.cumsum(probs), 1.0)


def pick(final: NDArray[np.float64], u: float, ids: NDArray[np.int64] | None = None) -> Pick:
    """The token that owns `u` in [0, 1) under the probabilities `final` (V,), which sum to 1.

    With `ids` (A,), rising, `final` (A,) has the probabilities of these tokens alone, and all others have none.
    """
    if not 0.0 <= u < 1.0:
        raise ValueError(f"u must be at least 0 and below 1, got {u!r}")
    probs = _distribution(final)
    head = likeliest(probs, HEAD)
    edges = _running(probs[head])
    index = int(edges.searchsorted(u, side="right"))
    if index >= edges.size - 1:  # in the tail, or the last slice of the head, which may be the last of all
        laid = stack(probs)
        return _place(probs, laid, int(laid.edges.searchsorted(u, side="right")), ids)
    return _place(probs, Stack(head, edges), index, ids)


def owned(final: NDArray[np.float64], token: int, ids: NDArray[np.int64] | None = None) -> Pick:
    """What a given token owns; a token of probability 0 owns the empty slice [0, 0) and has rank 0.

    With `ids` (A,), rising, `final` (A,) has the probabilities of these tokens alone, and `token` counts among them.
    """
    if not 0 <= token < final.shape[0]:
        raise ValueError(f"token must be from 0 to {final.shape[0] - 1}, got {token}")
    if final[token] == 0.0:
        return Pick(token if ids is None else int(ids[token]), 0.0, 0.0, 0)
    laid = stack(final)
    return _place(final, laid, int(np.flatnonzero(laid.ids == token)[0]), ids)


def _place(final: NDArray[np.float64], laid: Stack, index: int, ids: NDArray[np.int64] | None) -> Pick:
    token = int(laid.ids[index])
    low = float(laid.edges[index - 1]) if index else 0.0
    rank = index + 1 if index < HEAD else rank_of(final, token)
    return Pick(token if ids is None else int(ids[token]), low, float(laid.edges[index]), rank)


def _distribution(final: NDArray[np.float64]) -> NDArray[np.float64]:
    probs = np.asarray(final, dtype=np.float64)
    if probs.ndim != 1 or probs.size == 0:
        raise ValueError(f"final must have one axis and at least one entry, got shape {probs.shape}")
    total = float(probs.sum())
    # written so that NaN fails too
    if not (probs.min() >= 0.0 and abs(total - 1.0) <= _SUM_TOLERANCE):
        raise ValueError(f"final must be probabilities that sum to 1, got the sum {total!r}")
    return probs
