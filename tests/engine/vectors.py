"""Logits to test with, and what the tests of stages ask about them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine.context import Context, Sides
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import STAGES
from tinychat.model.vocabulary import Vocabulary

INF = math.inf
NEAR = 1e-6  # tests keep this far from a threshold: there, the last bit of a sum decides

REJECT = 1e-6  # a statistical test fails by luck once in a million runs, and the seeds are fixed

seeds = st.integers(0, 2**31)


def a_vector(seed: int, size: int = 200, spread: float = 3.0, *, cut: float = 0.0) -> Tensor:
    """Normal logits (size,), of which about the share `cut` is -inf, never all of them."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=size) * spread).float()
    if cut:
        gone = rng.random(size) < cut
        gone[rng.integers(size)] = False
        logits[torch.from_numpy(gone)] = -INF
    return logits


def survivors(logits: Tensor) -> list[int]:
    return torch.nonzero(logits > -INF).flatten().tolist()


def probs(logits: Tensor) -> NDArray[np.float64]:
    values = logits.double().numpy()
    weights = np.exp(values - values.max())
    found: NDArray[np.float64] = weights / weights.sum()
    return found


def by_peer(processor: Any, logits: Tensor, ids: list[int] | None = None) -> Tensor:
    """What a class of transformers makes of the vector, in float64, so that both sides round alike."""
    result: Tensor = processor(torch.tensor([ids or [0]]), logits.double()[None])[0]
    return result


def chance(counts: NDArray[np.int64], probs: NDArray[np.float64]) -> float:
    """The chi-square probability of counts at least this far from the law; cells below 10 expected are pooled."""
    expected = probs * counts.sum()
    big = expected >= 10
    seen, wanted = counts[big].astype(float), expected[big]
    if expected[~big].sum() >= 10:
        seen, wanted = np.append(seen, counts[~big].sum()), np.append(wanted, expected[~big].sum())
    assert wanted.size > 1
    statistic = float(((seen - wanted) ** 2 / wanted).sum())
    freedom = torch.tensor((wanted.size - 1) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(freedom, torch.tensor(statistic / 2, dtype=torch.float64)))


def walk_whole(logits: Tensor, params: SamplingParams, context: Context) -> Iterator[tuple[str, Tensor]]:
    """The obvious form of stages.walk: every switched-on stage, each on whole rows (V,)."""
    for name in params.stages:
        if params.is_on(name):
            logits = STAGES[name].apply(logits, params, context)
            yield name, logits


def a_context(size: int, history: Sequence[int] = (0, 0, 1, 0, 0), *, prompt_len: int = 2, seed: int = 0) -> Context:
    """A context in which every stage finds what it asks for, for rows of `size` logits."""
    texts = (b"a", b"b", b"\n", b" ", b":")
    sides = [a_vector(seed + index, size) for index in range(5)]
    legal = torch.from_numpy(np.random.default_rng(seed).random(size) < 0.8)
    legal[0] = True
    return Context(
        history,
        min(prompt_len, len(history)),
        vocabulary=Vocabulary(tuple(texts[token % 5] for token in range(size)), end_ids=(size // 2,)),
        sides=Sides(sides[0], sides[1], sides[2], torch.stack(sides[3:])),
        legal=legal,
    )
