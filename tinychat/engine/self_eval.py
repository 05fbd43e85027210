"""Self-evaluation decoding, after Luo et al. 2024 (arXiv 2405.16552), with tests and scores that are ours.

The paper's idea: most tokens are taken greedily; at a *chaotic point*, where several tokens are about equally likely,
each of them is rolled out, the model judges the roll-outs, and the judgement is mixed with the probability. The paper's
exact tests, its judging prompt and its mixing formula are not available to us. What is done here instead:

    chaotic   the best token is at most `chaos_top` likely, and at least one other is `chaos_ratio` times as likely
    rivals    of the `width` likeliest tokens those that are at least `chaos_ratio` times as likely as the best
    roll-out  greedy, up to `rollout` tokens after the rival, ending where a reply ends
    judgement the mean log-probability, in nats, of the tokens of the roll-out after the rival; 0 where there is none,
              as after an end token: a reply that is over has no doubtful continuation
    choice    the largest (1 - w) ln p + w judgement, with w = `rollout_weight`; equal ones by lower rank

With w = 0, chaos_ratio above every ratio or chaos_top = 0 this is greedy decoding. The rolled-out tokens are no part of
the reply: only the rival is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tinychat.engine import draw
from tinychat.engine.paths import Paths, Sight
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import SearchEvent, Tree


def self_eval(paths: Paths, spec: SearchParams, interrupt: Callable[[], bool]) -> Iterator[SearchEvent]:
    """One hypothesis; at a chaotic point the roll-outs of the rivals are pruned branches."""
    tree = Tree()
    node, lane, logprob, ids = 0, 0, 0.0, list[int]()
    reason = stop = "complete"
    for _ in range(paths.longest):
        if interrupt():
            reason = stop = "interrupted"
            break
        sight = paths.look([lane])[lane]
        if sight.is_dead_end:
            reason = "no_legal_token"
            break
        rivals = _rivals(sight, spec)
        logprobs = [logprob + float(sight.log_probs[token]) for token in rivals]
        nodes = []
        scores = [float(sight.log_probs[token]) for token in rivals]
        if len(rivals) > 1:
            judgements, chains = _roll_out(paths, spec, lane, rivals, ids)
            weight = spec.rollout_weight
            scores = [(1 - weight) * own + weight * seen for own, seen in zip(scores, judgements, strict=True)]
        for token, score, total in zip(rivals, scores, logprobs, strict=True):
            event = tree.grow(node, sight.step(token), score=score, logprob=total)
            nodes.append(event.node.id)
            yield event
        chosen = max(range(len(rivals)), key=scores.__getitem__)
        if len(rivals) > 1:
            for start, chain, total in zip(nodes, chains, logprobs, strict=True):
                above = start
                for rolled, token in chain:
                    total += float(rolled.log_probs[token])
                    event = tree.grow(above, rolled.step(token), score=float(rolled.log_probs[token]), logprob=total)
                    above = event.node.id
                    yield event
                if above != start or start != nodes[chosen]:
                    yield tree.prune(above)
        node, logprob = nodes[chosen], logprobs[chosen]
        ids.append(rivals[chosen])
        ending = paths.ending(ids)
        if ending is not None:
            reason = ending
            break
        if len(rivals) > 1:  # the roll-outs are forgotten
            lane = paths.seat(ids)
        else:
            lane = paths.grow([(lane, ids[-1])])[0]
    if node:
        yield tree.finish(node, reason)
    yield tree.done(stop, calls=paths.calls, passes=paths.passes)


def _rivals(sight: Sight, spec: SearchParams) -> list[int]:
    """The tokens to be judged; the likeliest alone where there is nothing to decide."""
    tokens = draw.likeliest(sight.log_probs, spec.width)
    probs = np.exp(sight.log_probs[tokens])
    if probs[0] > spec.chaos_top:
        return [int(tokens[0])]
    return [int(token) for token in tokens[(probs >= spec.chaos_ratio * probs[0]) & (probs > 0.0)]]


def _roll_out(
    paths: Paths, spec: SearchParams, lane: int, rivals: list[int], ids: list[int]
) -> tuple[list[float], list[list[tuple[Sight, int]]]]:
    """Per rival the mean log-probability of its greedy continuation, and the continuation; rivals share the passes."""
    chains: list[list[tuple[Sight, int]]] = [[] for _ in rivals]
    going = [(place, lane, token) for place, token in enumerate(rivals) if paths.ending([*ids, token]) is None]
    for _ in range(spec.rollout):
        lanes = paths.grow([(where, token) for _, where, token in going])
        sights = paths.look(lanes)
        following = []
        for (place, _, _), where in zip(going, lanes, strict=True):
            if sights[where].is_dead_end:
                continue
            token = int(sights[where].log_probs.argmax())
            chains[place].append((sights[where], token))
            if paths.ending([*ids, rivals[place], *(each for _, each in chains[place])]) is None:
                following.append((place, where, token))
        going = following
        if not going:
            break
    means = [float(np.mean([s.log_probs[t] for s, t in chain])) if chain else 0.0 for chain in chains]
    return means, chains
