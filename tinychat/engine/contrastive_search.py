"""Contrastive search (Su et al. 2022, arXiv 2202.06417): likely, but unlike anything said before.

Among the k likeliest tokens the one with the largest (1 - alpha) p_v - alpha max_j cos(h_v, h_j) is taken, where h_v is
the hidden state of the last layer (after the final norm, as the head reads it) when v is the next token, and j runs
over all tokens before it, the prompt's too. All k are fed in one pass. alpha = 0 is greedy. Equal ones go by higher
probability, then by lower token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tinychat.engine import draw
from tinychat.engine.paths import Paths
from tinychat.engine.runner import Pass, Runner
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import SearchEvent, Tree


class HiddenRunner(Runner):
    """A runner that also keeps the hidden states of what it was fed, until they are taken."""

    def __init__(self, plain: Runner) -> None:
        super().__init__(plain.model, lanes=plain.cache.lanes, length=plain.cache.length)
        self._hidden: dict[int, list[Tensor]] = {}

    def feed(self, rows: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        return {lane: each.logits for lane, each in self.run(rows).items()}

    def run(self, rows: Mapping[int, Sequence[int]], **asked: Any) -> dict[int, Pass]:
        passes = super().run(rows, **(asked | {"hidden": True}))
        for lane, each in passes.items():
            assert each.hidden is not None
            self._hidden.setdefault(lane, []).append(F.normalize(each.hidden, dim=-1))
        return passes

    def take(self) -> dict[int, Tensor]:
        """Per lane the directions (T, D) of all ids fed since the last call."""
        taken = {lane: torch.cat(parts) for lane, parts in self._hidden.items()}
        self._hidden.clear()
        return taken


def contrastive(paths: Paths, spec: SearchParams, interrupt: Callable[[], bool]) -> Iterator[SearchEvent]:
    """One hypothesis; the candidates that lost are its pruned leaves, each with the score it had."""
    tree, alpha = Tree(), spec.contrast_alpha
    runner = paths.pool.runner
    assert isinstance(runner, HiddenRunner)
    seen = runner.take()[0]  # (S, D)
    node, lane, logprob, ids = 0, 0, 0.0, list[int]()
    reason = stop = "complete"
    for _ in range(paths.longest):
        if interrupt():
            reason = stop = "interrupted"
            break
        sight = paths.look([lane])[lane]
        tokens = [token for token in draw.likeliest(sight.log_probs, spec.width).tolist()
                  if sight.log_probs[token] > -np.inf]  # fmt: skip
        if not tokens:
            reason = "no_legal_token"
            break
        lanes = paths.grow([(lane, token) for token in tokens])
        paths.compute(lanes[0])
        states = runner.take()
        scores = []
        for token, each in zip(tokens, lanes, strict=True):
            alike = float((seen @ states[each][-1]).max())
            scores.append((1.0 - alpha) * float(np.exp(sight.log_probs[token])) - alpha * alike)
        chosen = max(range(len(tokens)), key=scores.__getitem__)  # the first of equals is the likelier one
        grown = []
        for token, score in zip(tokens, scores, strict=True):
            event = tree.grow(node, sight.step(token), score=score, logprob=logprob + float(sight.log_probs[token]))
            grown.append(event.node)
            yield event
        for place, each_node in enumerate(grown):
            if place != chosen:
                yield tree.prune(each_node.id)
        node, lane, logprob = grown[chosen].id, lanes[chosen], grown[chosen].logprob
        seen = torch.cat((seen, states[lane][-1:]))
        ids.append(tokens[chosen])
        ending = paths.ending(ids)
        if ending is not None:
            reason = ending
            break
    if node:
        yield tree.finish(node, reason)
    yield tree.done(stop, calls=paths.calls, passes=paths.passes)
