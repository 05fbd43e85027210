"""Beam search: several hypotheses side by side, the likeliest prefixes kept at every length.

Three published variants give different answers, so each has a name:

    ours   the k likeliest continuations; ended ones among them are set aside, and the width is k again
    hf     as transformers: the max(2, 1 + #ends) k likeliest are looked at, so that k live ones remain; an end counts
           only among the first k
    slots  an ended one uses up its place for good

Diverse beam search (Vijayakumar et al. 2016, arXiv 1610.02424) lets groups choose in turn: a token costs `diversity`
for every earlier group that chose it at this step. As in the authors' code the cost stays in the group's running score;
what a hypothesis is finally ranked by is free of it.

Beam sampling draws the continuations without replacement from the softmax of the accumulated scores, with the engine's
dice: draw j takes the dart of lane j. What becomes of them is variant hf, in the order drawn.

With a coverage penalty (scores.py) the score that ranks and stops has it added; prefixes are kept by likelihood alone,
as without. Attention is the last block's, averaged over heads: an analogy to GNMT's, see there.

All groups share the passes. Equal scores go by lower token, then by older hypothesis. No width is exhaustive: even
k = V keeps V prefixes of V^t, and a wider beam may answer with a less likely reply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tinychat.engine import draw
from tinychat.engine.attention import AttentionRunner
from tinychat.engine.paths import Paths, Sight
from tinychat.engine.scores import coverage
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import SearchEvent, Tree


@dataclass(frozen=True, slots=True, eq=False)
class _Live:
    node: int  # 0: no token yet
    ids: tuple[int, ...]
    lane: int
    logprob: float
    running: float  # what the group chooses by: logprob, less what diversity cost
    attended: NDArray[np.float64]  # (I,) attention that each prompt token got so far; empty without a coverage penalty
    penalty: float = 0.0  # for what got too little; at most 0, and 0 again once all is covered


@dataclass(frozen=True, slots=True)
class _Choice:
    parent: _Live
    token: int
    running: float
    reason: str | None  # why it ends; None: it lives on


@dataclass(slots=True)
class _Group:
    width: int
    live: list[_Live]
    ended: list[tuple[float, int]] = field(default_factory=list)  # (score, node)
    stopped: bool = False  # by the stop rule

    def worst(self) -> float:
        """The score of the last of the `width` best that ended."""
        return sorted((score for score, _ in self.ended), reverse=True)[self.width - 1]


def beam_search(paths: Paths, spec: SearchParams, interrupt: Callable[[], bool]) -> Iterator[SearchEvent]:
    """Beam search, diverse beams and beam sampling."""
    tree = Tree()
    count = spec.groups if spec.method == "diverse" else 1
    source = np.zeros(paths.prompt_len if spec.coverage else 0)
    groups = [_Group(spec.width // count, [_Live(0, (), 0, 0.0, 0.0, source)]) for _ in range(count)]
    n = 0
    while any(group.live for group in groups):
        if interrupt():
            yield from _interrupted(tree, groups)
            yield tree.done("interrupted", calls=paths.calls, passes=paths.passes)
            return
        sights = paths.look(sorted({each.lane for group in groups for each in group.live}))
        n += 1
        chosen = _choose(paths, spec, groups, sights, n)
        yield from _grow(paths, spec, tree, groups, chosen, sights, n)
        for group in groups:
            yield from _stop(paths, spec, tree, group, n)
    stopped = any(group.stopped for group in groups)
    yield tree.done("stop_rule" if stopped else "complete", calls=paths.calls, passes=paths.passes)


def _choose(
    paths: Paths, spec: SearchParams, groups: Sequence[_Group], sights: dict[int, Sight], n: int
) -> list[list[_Choice]]:
    """Per group its continuations, best first."""
    spread = max(2, 1 + len(paths.end_ids))
    taken: dict[int, int] = {}  # token -> earlier groups that chose it at this step
    chosen = []
    for group in groups:
        rows = [each.running + sights[each.lane].log_probs for each in group.live]
        for token, times in taken.items():
            for row in rows:
                row[token] -= spec.diversity * times
        wide = spec.variant == "hf" or spec.method == "beam-sampling"
        wanted = group.width * spread if wide else group.width
        if spec.variant == "slots":
            wanted -= len(group.ended)
        if spec.method == "beam-sampling":
            found = _drawn(rows, wanted, spec_seed=paths.params.seed, position=len(paths.prompt) + n - 1)
        else:
            found = _likeliest(rows, wanted)
        choices = [
            _Choice(parent, token, float(rows[index][token]), paths.ending((*parent.ids, token)))
            for index, token in found
            for parent in (group.live[index],)
        ]
        ended = [each for rank, each in enumerate(choices) if each.reason is not None and rank < group.width]
        going = sorted((each for each in choices if each.reason is None), key=lambda each: -each.running)
        chosen.append([*ended, *going[: group.width]])
        for token in {each.token for each in chosen[-1]}:
            taken[token] = taken.get(token, 0) + 1
    return chosen


def _likeliest(rows: Sequence[NDArray[np.float64]], count: int) -> list[tuple[int, int]]:
    """(row, token) of the largest entries, falling; equal ones by lower token, then by lower row; none at -inf."""
    found = [
        (-float(row[token]), int(token), index)
        for index, row in enumerate(rows)
        for token in draw.likeliest(row, count)
        if row[token] > -np.inf
    ]
    return [(index, token) for _, token, index in sorted(found)[:count]]


def _drawn(rows: Sequence[NDArray[np.float64]], count: int, *, spec_seed: int, position: int) -> list[tuple[int, int]]:
    """(row, token) drawn one after the other without replacement, with probabilities softmax(all entries)."""
    flat = np.concatenate(rows)
    weights = np.exp(flat - flat.max()) if flat.max() > -np.inf else np.zeros(flat.size)
    found = []
    for lane in range(min(count, int(np.count_nonzero(weights)))):
        edges = np.cumsum(weights)
        dart = draw.uniform(spec_seed, position, lane) * edges[-1]
        place = int(np.searchsorted(edges, dart, side="right"))
        found.append(divmod(place, rows[0].size))
        weights[place] = 0.0
    return found


def _grow(
    paths: Paths,
    spec: SearchParams,
    tree: Tree,
    groups: Sequence[_Group],
    chosen: Sequence[Sequence[_Choice]],
    sights: dict[int, Sight],
    n: int,
) -> Iterator[SearchEvent]:
    """Make the nodes of all choices, and lanes for those that live on."""
    grown: list[list[tuple[_Choice, _Live]]] = []  # per group those that live on, still on their parent's lane
    attended = {each.lane: _attended(paths, each) for group in groups for each in group.live}
    for group, choices in zip(groups, chosen, strict=True):
        going = []
        for each in choices:
            sight = sights[each.parent.lane]
            logprob = each.parent.logprob + float(sight.log_probs[each.token])
            covered = attended[each.parent.lane]
            penalty = coverage([covered.tolist()], spec.coverage) if spec.coverage else 0.0
            score = spec.lengths.score(logprob, n) + penalty
            event = tree.grow(each.parent.node, sight.step(each.token), score=score, logprob=logprob)
            yield event
            if each.reason is None:
                ids = (*each.parent.ids, each.token)
                child = _Live(event.node.id, ids, each.parent.lane, logprob, each.running, covered, penalty)
                going.append((each, child))
            else:
                group.ended.append((event.node.score, event.node.id))
                yield tree.finish(event.node.id, each.reason)
        parents = {each.parent.node for each in choices}
        for old in group.live:
            if old.node and old.node not in parents:
                dead = sights[old.lane].is_dead_end
                if dead and not going and not group.ended:  # nothing else will be left to answer with
                    group.ended.append((tree.nodes[old.node].score, old.node))
                    yield tree.finish(old.node, "no_legal_token")
                else:
                    yield tree.prune(old.node, "no_legal_token" if dead else "beaten")
        grown.append(going)
    lanes = iter(paths.grow([(each.parent.lane, each.token) for each, _ in chain(*grown)]))
    for group, going in zip(groups, grown, strict=True):
        group.live = [replace(child, lane=next(lanes)) for _, child in going]


def _attended(paths: Paths, live: _Live) -> NDArray[np.float64]:
    """What each prompt token got up to the pass that the lane's odds come from, that one included."""
    if live.attended.size == 0:
        return live.attended
    runner = paths.pool.runner
    assert isinstance(runner, AttentionRunner)
    newest: NDArray[np.float64] = runner.attended[live.lane][: live.attended.size].double().numpy()
    return live.attended + newest


def _stop(paths: Paths, spec: SearchParams, tree: Tree, group: _Group, n: int) -> Iterator[SearchEvent]:
    """Apply the stop rule of the search: drop live ones that may not or need not go on."""
    rule, lengths = spec.stop_rule, spec.lengths
    full = len(group.ended) >= group.width
    if rule == "prune":
        best = max((score for score, _ in group.ended), default=-np.inf)
        least = spec.prune_factor * best
        keep = [each for each in group.live if lengths.score(each.logprob, n) + each.penalty >= least]
    elif not full or rule == "never":
        return
    elif rule == "hf-true":
        keep = []
    else:
        hopes = [
            lengths.bound(each.logprob, n, paths.longest)
            if rule == "safe"
            else lengths.score(each.logprob, n) + each.penalty
            for each in group.live
        ]
        keep = group.live if max(hopes, default=-np.inf) > group.worst() else []
    for each in group.live:
        if each not in keep:
            group.stopped = True
            yield tree.prune(each.node)
    group.live = list(keep)


def _interrupted(tree: Tree, groups: Sequence[_Group]) -> Iterator[SearchEvent]:
    for group in groups:
        for each in group.live:
            if each.node:
                yield tree.finish(each.node, "interrupted")
