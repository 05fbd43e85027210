"""Watermarks: stages that leave a trace in the choice of tokens, and the counts that find it again.

Green list (Kirchenbauer et al. 2023, arXiv 2301.10226 and 2306.04634): the token before a position and a key pick a
share of the vocabulary; its logits are raised. Whoever has the key counts how many tokens are green: with n scored
tokens and a share g, the count is g n by chance, with variance n g (1 - g).

SynthID text (Dathathri et al., Nature 2024): every key gives every token a coin g, 0 or 1, by a hash of the last ones;
round after round p becomes p (1 + g - sum of p g), a tournament. The mean over all keys stays the model's own law.

Hashes, tables and seeds are those of transformers, so its detectors read our marks and ours read its.

V vocabulary, N ids of a text, D keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.cuts import CUT, by_row, change
from tinychat.engine.params import SamplingParams

TABLE_SIZE, TABLE_SEED = 1 << 16, 0  # of SynthID's coins
REMEMBERED = 1024  # contexts that SynthID marks only once
_MULTIPLIER, _INCREMENT = np.uint64(6364136223846793005), np.uint64(1)  # Knuth's, of MMIX


@by_row
def watermark(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Adds `watermark` to the logits of the green tokens; no token before, no green list."""
    if not len(context.history):
        return logits
    last = int(context.history[len(context.history) - 1])
    green = green_list(last, logits.shape[-1], share=params.watermark_share, key=params.watermark_key)
    return change(logits, green, lambda before: before + params.watermark)


@by_row
def synthid(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """The tournament over `synthid_keys`; where the last tokens stood before in the reply, nothing changes.

    The reply alone is looked at, with zeros before it, as transformers does.
    """
    keys = np.array(tuple(params.synthid_keys), dtype=np.uint64)
    reply = context.ids()[context.prompt_len :]
    width = params.synthid_ngram - 1
    hashes = _context_hashes(reply, width)
    if not keys.size or np.isin(hashes[-1], hashes[:-1][-REMEMBERED:]):
        return logits
    values = logits.numpy()
    coins = _coins(_extended(hashes[-1], np.arange(values.shape[-1], dtype=np.uint64)), keys)  # (D, V)
    live = values.astype(np.float64)
    weights = np.exp(live - live.max())
    probs = weights / weights.sum()
    for coin in coins:
        probs = probs * (1.0 + coin - float((coin * probs).sum()))
    with np.errstate(divide="ignore"):
        marked = np.log(probs).astype(np.float32)
    # a round that no token wins may leave nothing of a token; it counts as cut
    return torch.from_numpy(np.where(np.isfinite(marked), marked, np.float32(CUT)))


@lru_cache(maxsize=64)
def green_list(last: int, vocab_size: int, *, share: float, key: int) -> NDArray[np.int64]:
    """The green tokens after a token: V * share of them, rounded down."""
    dice = torch.Generator().manual_seed(key * last % (2**64 - 1))
    return torch.randperm(vocab_size, generator=dice)[: int(vocab_size * share)].numpy()


@dataclass(frozen=True, slots=True)
class Found:
    """What a text holds of a mark: `score` is the mean (green share, or mean coin), `z` how far it is from chance."""

    tokens: int
    score: float
    expected: float
    z: float

    @property
    def p_value(self) -> float:
        """The chance of so much or more in a text without the mark, by the normal law."""
        return 0.5 * math.erfc(self.z / math.sqrt(2))


def find_green(ids: Sequence[int], vocab_size: int, *, share: float, key: int) -> Found:
    """The green tokens of a text, each pair of neighbours counted once: repeats say nothing new."""
    pairs = sorted({(int(a), int(b)) for a, b in pairwise(ids)})
    green = sum(token in set(green_list(last, vocab_size, share=share, key=key).tolist()) for last, token in pairs)
    return _found(green, len(pairs), share, share * (1 - share))


def find_synthid(ids: Sequence[int], keys: Sequence[int], *, ngram: int) -> Found:
    """The mean coin of a text's tokens, each n-gram of the text counted once; 1/2 by chance."""
    tokens = np.asarray(ids, dtype=np.int64)
    hashes = _context_hashes(tokens, ngram - 1, padded=False)[: max(tokens.size - (ngram - 1), 0)]
    grams = _hashed(hashes, tokens[ngram - 1 :].astype(np.uint64)) if hashes.size else hashes
    coins = _coins(np.unique(grams), np.array(tuple(keys), dtype=np.uint64))
    return _found(float(coins.sum()), coins.size, 0.5, 0.25)


def _found(total: float, count: int, expected: float, variance: float) -> Found:
    if not count:
        return Found(0, 0.0, expected, 0.0)
    return Found(count, total / count, expected, (total - expected * count) / math.sqrt(count * variance))


def _context_hashes(reply: NDArray[np.int64], width: int, *, padded: bool = True) -> NDArray[np.uint64]:
    """Of the `width` tokens before every position, the next one included: (N + 1,), or without zeros before, fewer."""
    before = np.zeros(width, dtype=np.int64) if padded else np.zeros(0, dtype=np.int64)
    text = np.concatenate([before, reply]).astype(np.uint64)
    count = text.size - width + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    found = np.ones(count, dtype=np.uint64)
    for place in range(width):
        found = _hashed(found, text[place : place + count])
    return found


def _extended(found: np.uint64, tokens: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return _hashed(np.full(tokens.shape, found), tokens)


def _hashed(found: NDArray[np.uint64], data: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    return (found + data) * _MULTIPLIER + _INCREMENT  # modulo 2^64


def _coins(grams: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """0 or 1 for every key and n-gram (D, ...)."""
    table = _table()
    rows = [_hashed(grams, key).view(np.int64) % TABLE_SIZE for key in keys]
    return np.array([table[row] for row in rows], dtype=np.float64).reshape(len(keys), *grams.shape)


@lru_cache(maxsize=1)
def _table() -> NDArray[np.int64]:
    dice = torch.Generator().manual_seed(TABLE_SEED)
    return torch.randint(low=0, high=2, size=(TABLE_SIZE,), generator=dice).numpy()
