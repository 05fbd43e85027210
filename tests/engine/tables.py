"""Models that are tables: every prefix has its own random distribution, so that all hypotheses can be enumerated.

A table stands in for the network below the engine's runner; engine, lanes and cache bookkeeping above it are real.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tinychat.engine.engine import Engine
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

V, END, START = 6, 5, 0


class Table:
    """Log-probabilities of the next token after any prefix of generated tokens, float32 as logits are."""

    def __init__(self, seed: int, *, vocab: int = V, width: float = 2.0) -> None:
        self.seed, self.vocab, self.width = seed, vocab, width
        self.rows: dict[tuple[int, ...], np.ndarray[Any, np.dtype[np.float32]]] = {}

    def logits(self, prefix: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
        key = tuple(prefix)
        if key not in self.rows:
            number = self.seed * 7919 + sum((token + 1) * (self.vocab + 1) ** place for place, token in enumerate(key))
            draws = np.random.default_rng(number).normal(0.0, self.width, self.vocab)
            self.rows[key] = draws.astype(np.float32)
        return self.rows[key]

    def logp(self, prefix: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
        values = self.logits(prefix).astype(np.float64)
        values = values - values.max()
        return values - math.log(np.exp(values).sum())


class _Cache:
    def __init__(self, lanes: int) -> None:
        self.rows: list[list[int]] = [[] for _ in range(lanes)]

    def cut(self, lane: int, length: int) -> None:
        assert length <= len(self.rows[lane])
        del self.rows[lane][length:]

    def copy(self, source: int, target: int) -> None:
        self.rows[target] = list(self.rows[source])


class TableRunner:
    """What the engine asks of a Runner."""

    def __init__(self, table: Table, prompt_len: int, lanes: int) -> None:
        self.table, self.prompt_len, self.cache, self.forwards = table, prompt_len, _Cache(lanes), 0

    def held(self, lane: int) -> int:
        return len(self.cache.rows[lane])

    def feed(self, rows: Mapping[int, Sequence[int]]) -> dict[int, torch.Tensor]:
        self.forwards += 1
        found = {}
        for lane, ids in rows.items():
            self.cache.rows[lane].extend(ids)
            found[lane] = torch.from_numpy(self.table.logits(self.cache.rows[lane][self.prompt_len :]).copy())
        return found


class TableEngine(Engine):
    """A real engine whose network is a table."""

    def __init__(self, table: Table, *, lanes: int = 1, context: int = 64, prompt: Sequence[int] = (START,)) -> None:
        config = ModelConfig(vocab_size=table.vocab, context=64, width=2, layers=1, heads=1)
        super().__init__(Transformer(config), end_ids=[END], lanes=lanes, context=context, record=4)
        self.table, self.prompt = table, list(prompt)
        self.runner = TableRunner(table, len(prompt), lanes)  # type: ignore[assignment]  # all that the engine uses
        if lanes == 1:
            self.set_context(self.prompt)

    def twin(self, *, lanes: int, context: int | None = None) -> Engine:
        return TableEngine(self.table, lanes=lanes, context=context or self.context, prompt=self.prompt)


def every_hypothesis(table: Table, length: int) -> dict[tuple[int, ...], float]:
    """All complete replies of at most `length` tokens with their log-probability: an end, or as long as it may be."""
    found: dict[tuple[int, ...], float] = {}
    others = [token for token in range(table.vocab) if token != END]
    for n in range(length):
        for prefix in itertools.product(others, repeat=n):
            total = sum(float(table.logp(prefix[:i])[prefix[i]]) for i in range(n))
            row = table.logp(prefix)
            for token in range(table.vocab):
                if token == END or n == length - 1:
                    found[(*prefix, token)] = total + float(row[token])
    return found
