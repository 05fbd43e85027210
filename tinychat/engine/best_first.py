"""Search by priority instead of length: best-first and A* beam search, and exhaustive search.

Best-first (Meister, Vieira & Cotterell 2020, arXiv 2007.03909): one queue over all lengths. The best hypothesis is
popped and, if it is complete, is the answer; otherwise its k likeliest continuations join the queue. At most k are
popped per length, so that it finds what beam search (variant ours) finds under the plain sum, never with more odds
computed. Live ones are ordered by the best score they could still reach, which makes the first complete one right under
every length rule.

A* adds what the rest is expected to cost: `heuristic` nats for every token up to the longest possible reply, 0 being
best-first. The estimate is ours. Above 0 it may overestimate; then the first complete one need not be the best, but is
found earlier.

Keys and values of `memory` hypotheses are kept; whatever is popped beyond that is computed again, with the same result.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tinychat.engine import draw
from tinychat.engine.paths import Paths
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import SearchEvent, Tree
from tinychat.engine.trace import Step

MOST = 50_000  # hypotheses that an exhaustive search may have to look at


@dataclass(frozen=True, slots=True)
class _Waiting:
    parent: int
    step: Step | None  # None: the root
    ids: tuple[int, ...]
    logprob: float
    reason: str | None  # why it is complete; None: it is live


def best_first(paths: Paths, spec: SearchParams, interrupt: Callable[[], bool]) -> Iterator[SearchEvent]:
    """Best-first search, and A* where `spec.heuristic` is above 0."""
    tree = Tree()
    lengths, longest = spec.lengths, paths.longest
    popped: Counter[int] = Counter()
    over = -1  # a length whose pops are used up: no shorter live one can grow past it, but complete ones may still win
    root = _Waiting(0, None, (), 0.0, None)
    queue: list[tuple[float, int, int, _Waiting]] = [(0.0, 0, 0, root)]  # (-priority, token, number, hypothesis)
    pushed, stop = 0, "complete"
    while queue:
        *_, top = heapq.heappop(queue)
        if interrupt():
            stop = "interrupted"
            if top.step is not None:  # the best so far stands for all that wait
                score = lengths.score(top.logprob, len(top.ids))
                event = tree.grow(top.parent, top.step, score=score, logprob=top.logprob)
                yield event
                yield tree.finish(event.node.id, top.reason or "interrupted")
            break
        n = len(top.ids)
        if popped[n] == spec.width or (top.reason is None and n <= over):
            continue
        popped[n] += 1
        if popped[n] == spec.width:
            over = max(over, n)
        node = 0
        if top.step is not None:
            event = tree.grow(top.parent, top.step, score=lengths.score(top.logprob, n), logprob=top.logprob)
            yield event
            node = event.node.id
            if top.reason is not None:
                yield tree.finish(node, top.reason)
                break
        lane = paths.seat(top.ids)
        sight = paths.look([lane])[lane]
        if sight.is_dead_end and node:
            yield tree.prune(node, "no_legal_token")
        for token in draw.likeliest(sight.log_probs, spec.width).tolist():
            if sight.log_probs[token] == -np.inf:
                break
            logprob = top.logprob + float(sight.log_probs[token])
            ids = (*top.ids, token)
            reason = paths.ending(ids)
            if reason is None:
                to_come = longest - (n + 1)
                hope = logprob - spec.heuristic * to_come
                priority = lengths.bound(hope, n + 1, longest)
            else:
                priority = lengths.score(logprob, n + 1)
            pushed += 1
            waiting = _Waiting(node, sight.step(token), ids, logprob, reason)
            heapq.heappush(queue, (-priority, token, pushed, waiting))
    yield from _leave(tree)
    yield tree.done(stop, calls=paths.calls, passes=paths.passes)


def exhaustive(paths: Paths, spec: SearchParams, interrupt: Callable[[], bool]) -> Iterator[SearchEvent]:
    """Every reply that the settings allow, the oracle of the other searches. ValueError for too many of them.

    Too many is known before the first pass, unless a grammar narrows the way: then it is found out on it.
    """
    tree = Tree()
    size = len(paths.params.drawable(range(paths.pool.config.vocab_size)))
    narrowed = paths.params.is_on("grammar")
    if not narrowed and size ** min(paths.longest, 64) > MOST:
        raise ValueError(f"exhaustive search would look at {size}^{paths.longest} replies, at most {MOST} are allowed")
    stack: list[tuple[int, tuple[int, ...], float]] = [(0, (), 0.0)]  # node, ids, logprob: those to be extended
    while stack:
        if interrupt():
            for node, _, _ in stack:
                if node:
                    yield tree.finish(node, "interrupted")
            yield tree.done("interrupted", calls=paths.calls, passes=paths.passes)
            return
        node, ids, logprob = stack.pop()
        lane = paths.seat(ids)
        sight = paths.look([lane])[lane]
        if sight.is_dead_end and node:
            yield tree.prune(node, "no_legal_token")
        further = []
        for token in np.flatnonzero(sight.log_probs > -np.inf).tolist():
            n = len(ids) + 1
            here = logprob + float(sight.log_probs[token])
            event = tree.grow(node, sight.step(token), score=spec.lengths.score(here, n), logprob=here)
            yield event
            if narrowed and len(tree.nodes) > MOST:
                raise ValueError(f"exhaustive search has no end in sight after {MOST} tokens: allow fewer replies")
            reason = paths.ending((*ids, token))
            if reason is None:
                further.append((event.node.id, (*ids, token), here))
            else:
                yield tree.finish(event.node.id, reason)
        stack.extend(reversed(further))
    yield from _leave(tree)
    yield tree.done("complete", calls=paths.calls, passes=paths.passes)


def _leave(tree: Tree) -> Iterator[SearchEvent]:
    """What was grown and not answered with is pruned; if every way was a dead end, the dead ends compete."""
    if not tree.finished:
        ends = [node for node in tree.nodes.values() if node.reason == "no_legal_token"]
        for node in ends:
            yield tree.finish(node.id, "no_legal_token")
    parents = {node.parent for node in tree.nodes.values()}
    for node in list(tree.nodes.values()):
        if node.state == "live" and node.id not in parents:
            yield tree.prune(node.id)
