"""Several whole replies side by side, and one of them chosen: CoT-decoding, best-of-n and self-consistency.

CoT-decoding (Wang & Zhou 2024, arXiv 2402.10200): the k likeliest first tokens, greedy after each. Delta is the mean
over the tokens of the answer of p1 - p2, the two likeliest tokens at that place. Paths with the same answer add their
deltas; the heaviest answer wins, and the path with the largest delta (the single best) is reported beside it.

Best-of-n: n samples, the best score wins. Self-consistency (Wang et al. 2022, arXiv 2203.11171): the most frequent
answer wins, ties by the better path. Sample i throws the darts of lane i. Their log-probabilities are the model's own,
before any setting: after a truncation to one token all would be 0.

A search that is stopped weighs the answers of the paths that had ended: one that is cut may be cut in its answer. Where
none of them has one, the answers so far of the others count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from tinychat.engine import answers, draw
from tinychat.engine.engine import NoLegalToken
from tinychat.engine.paths import Paths
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import Done, SearchEvent, Tree


@dataclass(slots=True)
class _Way:
    node: int
    lane: int
    logprob: float
    ids: list[int] = field(default_factory=list)
    leads: list[float] = field(default_factory=list)  # p1 - p2 of every token
    reason: str | None = None


def cot(paths: Paths, spec: SearchParams, interrupt: Callable[[], bool]) -> Iterator[SearchEvent]:
    """CoT-decoding."""
    tree = Tree()
    sights = paths.look([0])
    first = sights[0].log_probs
    firsts = [(0, token) for token in draw.likeliest(first, spec.paths).tolist() if first[token] > -np.inf]
    ways = [_Way(0, 0, 0.0) for _ in firsts]
    choices = list(zip(ways, (token for _, token in firsts), strict=True))
    stop = "complete"
    for _ in range(paths.longest):
        for way, token in choices:
            log_probs = sights[way.lane].log_probs
            top = np.exp(np.sort(np.partition(log_probs, -2)[-2:])) if log_probs.size > 1 else np.array([0.0, 1.0])
            way.leads.append(float(top[1] - top[0]))
            way.logprob += float(log_probs[token])
            event = tree.grow(
                way.node, sights[way.lane].step(token), score=float(np.mean(way.leads)), logprob=way.logprob
            )
            yield event
            way.ids.append(token)
            way.node, way.reason = event.node.id, paths.ending(way.ids)
        going = [(way, token) for way, token in choices if way.reason is None]
        if not going:
            break
        if interrupt():
            stop = "interrupted"
            break
        for (way, _), lane in zip(going, paths.grow([(way.lane, token) for way, token in going]), strict=True):
            way.lane = lane
        sights = paths.look([way.lane for way, _ in going])
        choices = []
        for way, _ in going:
            if sights[way.lane].is_dead_end:
                way.reason = "no_legal_token"
            else:
                choices.append((way, int(sights[way.lane].log_probs.argmax())))
    votes = []
    for way in ways:
        found = answers.find_for(spec, way.ids, paths.vocabulary)
        delta = float(np.mean(way.leads[found.start : found.end])) if found else 0.0
        said = found.text if found else None
        yield tree.finish(way.node, way.reason or "interrupted", delta, said)
        votes.append((said, delta, way.node))
    yield _chosen(tree, paths, stop, votes, ended={way.node for way in ways if way.reason is not None})


def sample(paths: Paths, spec: SearchParams, interrupt: Callable[[], bool]) -> Iterator[SearchEvent]:
    """Best-of-n, and the majority of n."""
    tree = Tree()
    pool = paths.pool
    for lane in range(1, spec.paths):
        pool.fork(0, lane)
    ways = [_Way(0, lane, 0.0) for lane in range(spec.paths)]
    stop = "complete"
    for n in range(1, paths.longest + 1):
        going = [way for way in ways if way.reason is None]
        if not going:
            break
        if interrupt():
            stop = "interrupted"
            break
        for way in going:
            paths.calls += 1
            try:
                step = pool.step(paths.params, lane=way.lane)
            except NoLegalToken:
                way.reason = "no_legal_token"
                continue
            way.logprob -= step.surprisal * math.log(2)
            event = tree.grow(way.node, step, score=spec.lengths.score(way.logprob, n), logprob=way.logprob)
            yield event
            way.ids.append(step.token)
            way.node, way.reason = event.node.id, paths.ending(way.ids)
    votes = []
    for way in ways:
        if way.node:
            found = answers.find_for(spec, way.ids, paths.vocabulary) if spec.method == "majority" else None
            said = found.text if found else None
            yield tree.finish(way.node, way.reason or "interrupted", answer=said)
            votes.append((said, 1.0, way.node))
    # a stable sort by weight then keeps the answer of the better path in front
    votes.sort(key=lambda vote: -tree.nodes[vote[2]].score)
    yield _chosen(tree, paths, stop, votes, ended={way.node for way in ways if way.reason is not None})


def _chosen(
    tree: Tree, paths: Paths, stop: str, votes: list[tuple[str | None, float, int]], *, ended: set[int]
) -> Done:
    """The end: the best path of the heaviest answer, or the best path where nobody has an answer."""
    said = answers.tally(vote for vote in votes if vote[2] in ended) or answers.tally(votes)
    best = max(said[0].nodes, key=lambda node: tree.nodes[node].score) if said else None
    return tree.done(stop, calls=paths.calls, passes=paths.passes, best=best, answers=said)
