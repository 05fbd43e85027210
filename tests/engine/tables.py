"""Models that are tables: every prefix has its own random distribution, so that all hypotheses can be enumerated.

A table stands in for the network below the engine's runner; engine, lanes and cache bookkeeping above it are real.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.runner import Runner
from tinychat.engine.search import search
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import Done
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer
from tinychat.model.vocabulary import Vocabulary

V, END, START = 6, 5, 0
NEUTRAL = SamplingParams()


class Table:
    """Log-probabilities of the next token after any prefix of generated tokens, float32 as logits are."""

    def __init__(self, seed: int, *, vocab: int = V, width: float = 1.0) -> None:
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
    def __init__(self, lanes: int, length: int) -> None:
        self.lanes, self.length = lanes, length
        self.rows: list[list[int]] = [[] for _ in range(lanes)]

    def cut(self, lane: int, length: int) -> None:
        assert length <= len(self.rows[lane])
        del self.rows[lane][length:]

    def copy(self, source: int, target: int) -> None:
        self.rows[target] = list(self.rows[source])


class TableRunner:
    """What the engine asks of a Runner."""

    library = None

    def __init__(self, table: Table, plain: Runner, prompt_len: int) -> None:
        self.table, self.prompt_len, self.forwards = table, prompt_len, 0
        self.cache = _Cache(plain.cache.lanes, plain.cache.length)
        self.model, self.device = plain.model, plain.device
        self.broken: frozenset[int] = frozenset()

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
    """A real engine whose network is a table. The first lane holds the prompt."""

    def __init__(
        self,
        table: Table,
        *,
        lanes: int = 1,
        context: int = 64,
        prompt: Sequence[int] = (START,),
        vocabulary: Vocabulary | None = None,
    ) -> None:
        def instead(plain: Runner) -> Any:
            return TableRunner(table, plain, len(prompt))

        super().__init__(
            _network(table.vocab), end_ids=[END], vocabulary=vocabulary, lanes=lanes, context=context, record=4,
            runner=instead,
        )  # fmt: skip
        self.table, self.prompt = table, list(prompt)
        self.set_context(self.prompt)

    def twin(self, *, lanes: int, context: int | None = None, runner: Any = None) -> Engine:
        return TableEngine(
            self.table, lanes=lanes, context=context or self.context, prompt=self.prompt, vocabulary=self.vocabulary
        )


@functools.cache
def _network(vocab: int) -> Transformer:
    return Transformer(ModelConfig(vocab_size=vocab, context=64, width=2, layers=1, heads=1))


def done_of(engine: Engine, spec: SearchParams, params: SamplingParams = NEUTRAL) -> Done:
    """How the search ends."""
    *_, last = search(engine, params, spec)
    assert isinstance(last, Done)
    return last


def every_hypothesis(table: Table, length: int) -> dict[tuple[int, ...], float]:
    """All complete replies of at most `length` tokens with their log-probability: an end, or as long as it may be."""
    found: dict[tuple[int, ...], float] = {}

    def extend(prefix: tuple[int, ...], total: float) -> None:
        for token, value in enumerate(table.logp(prefix)):
            if token == END or len(prefix) == length - 1:
                found[(*prefix, token)] = total + float(value)
            else:
                extend((*prefix, token), total + float(value))

    extend((), 0.0)
    return found


def slow_beam(
    table: Table, width: int, length: int, *, variant: str = "ours", prune: float = math.inf
) -> list[tuple[tuple[int, ...], float]]:
    """Beam search from its definition, run to the end: all that ended, with their log-probability, in any order.

    `prune` times the best that ended is the least a live one must have.
    """
    live: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    ended: list[tuple[tuple[int, ...], float]] = []
    while live:
        count = {"ours": width, "hf": 2 * width, "slots": width - len(ended)}[variant]
        grown = [
            (total + float(value), -token, -place, (*prefix, token))
            for place, (prefix, total) in enumerate(live)
            for token, value in enumerate(table.logp(prefix))
        ]
        first = sorted(grown, reverse=True)[:count]
        live = []
        for rank, (total, _, _, ids) in enumerate(first):
            if ids[-1] == END or len(ids) == length:
                if rank < width:
                    ended.append((ids, total))
            elif len(live) < width:
                live.append((ids, total))
        if ended and prune < math.inf:
            live = [each for each in live if each[1] >= prune * max(total for _, total in ended)]
    return ended
