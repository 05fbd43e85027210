"""Beam search that must say given phrases: the beam is shared out among banks by how many of them are said.

Dynamic beam allocation (Post & Vilar 2018, arXiv 1804.06609), after grid beam search (Hokamp & Liu 2017), on bytes in
place of tokens, so that no spelling of a phrase is missed. Besides the likeliest continuations of all hypotheses, the
likeliest that begin or go on with a phrase are looked at. Hypotheses that have said equally much stand in one bank: two
steps a phrase, begun and said. The width is dealt to the banks in turn from the fullest one; a place that a bank cannot
fill goes to the others. In a bank those come first that are furthest on in a phrase, or a likely beginning would always
keep out the rest of a word; then the likelier ones. A hypothesis may end only when all phrases are said; one that runs
out of room before competes only if no other is left.

V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinychat.engine import draw
from tinychat.engine.paths import Paths, Sight
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import SearchEvent, Tree
from tinychat.model.vocabulary import Vocabulary

UNMET = "phrases_unsaid"  # why a hypothesis without all phrases goes no further


@dataclass(frozen=True, slots=True)
class Phrases:
    """What must be said, and which tokens say it. Progress is bytes, all of a phrase's when it is said."""

    texts: tuple[bytes, ...]
    vocabulary: Vocabulary
    _helping: dict[tuple[bytes, int], NDArray[np.int64]] = field(default_factory=dict)

    def after(self, progress: Sequence[int], token: int) -> tuple[int, ...]:
        """The progress with one token more."""
        data = self.vocabulary.token_bytes[token]
        return tuple(_moved(text, at, data) for text, at in zip(self.texts, progress, strict=True))

    def complete(self, progress: Sequence[int]) -> bool:
        """Whether all is said."""
        return all(at == len(text) for text, at in zip(self.texts, progress, strict=True))

    def bank(self, progress: Sequence[int]) -> int:
        """Two for a phrase that is said, one for one that is begun."""
        return sum((at > 0) + (at == len(text)) for text, at in zip(self.texts, progress, strict=True))

    def helping(self, progress: Sequence[int]) -> NDArray[np.int64]:
        """Tokens (K,) that bring a phrase on."""
        found = [self._help(text, at) for text, at in zip(self.texts, progress, strict=True) if at < len(text)]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)

    def _help(self, text: bytes, at: int) -> NDArray[np.int64]:
        if (text, at) not in self._helping:
            tokens = (t for t, data in enumerate(self.vocabulary.token_bytes) if _moved(text, at, data) > at)
            self._helping[text, at] = np.fromiter(tokens, dtype=np.int64)
        return self._helping[text, at]


def _moved(text: bytes, at: int, data: bytes) -> int:
    """How much of a text is said after `data`, when its first `at` bytes ended what came before."""
    if at == len(text):
        return at
    whole = text[:at] + data
    if text in whole:
        return len(text)
    return next(n for n in range(min(len(text) - 1, len(whole)), -1, -1) if whole.endswith(text[:n]))


@dataclass(frozen=True, slots=True)
class _Live:
    node: int
    ids: tuple[int, ...]
    progress: tuple[int, ...]
    lane: int
    logprob: float


@dataclass(frozen=True, slots=True)
class _Choice:
    parent: _Live
    token: int
    logprob: float
    progress: tuple[int, ...]


def constrained(paths: Paths, spec: SearchParams, interrupt: Callable[[], bool]) -> Iterator[SearchEvent]:
    """Beam search with phrases. ValueError where there is none."""
    if not spec.phrases:
        raise ValueError("constrained search needs phrases to say")
    phrases = Phrases(tuple(text.encode() for text in spec.phrases), paths.vocabulary)
    tree = Tree()
    live = [_Live(0, (), (0,) * len(spec.phrases), 0, 0.0)]
    unmet: list[tuple[int, str]] = []  # nodes that ran out of room
    ended: list[float] = []
    stop, n = "complete", 0
    while live:
        if interrupt():
            stop = "interrupted"
            break
        n += 1
        sights = paths.look(sorted({each.lane for each in live}))
        going: list[tuple[_Choice, int]] = []
        chosen = _deal(_choices(paths, spec, phrases, live, sights), phrases, spec.width)
        for each in chosen:
            score = spec.lengths.score(each.logprob, n)
            step = sights[each.parent.lane].step(each.token)
            event = tree.grow(each.parent.node, step, score=score, logprob=each.logprob)
            yield event
            reason = paths.ending((*each.parent.ids, each.token))
            if reason is None:
                going.append((each, event.node.id))
            elif phrases.complete(each.progress):
                ended.append(score)
                yield tree.finish(event.node.id, reason)
            else:
                unmet.append((event.node.id, reason))
        grown_from = {each.parent.node for each in chosen}
        for old in live:
            if old.node and old.node not in grown_from:
                yield tree.prune(old.node, "no_legal_token" if sights[old.lane].is_dead_end else "beaten")
        lanes = paths.grow([(each.parent.lane, each.token) for each, _ in going])
        live = [
            _Live(node, (*each.parent.ids, each.token), each.progress, lane, each.logprob)
            for (each, node), lane in zip(going, lanes, strict=True)
        ]
        hopes = [spec.lengths.bound(each.logprob, n, paths.longest) for each in live]
        if len(ended) >= spec.width and max(hopes, default=0.0) <= sorted(ended, reverse=True)[spec.width - 1]:
            stop = "stop_rule"
            break
    for left in live:
        if stop != "interrupted":
            yield tree.prune(left.node)
        elif phrases.complete(left.progress):
            ended.append(tree.nodes[left.node].score)
            yield tree.finish(left.node, stop)
        elif left.node:
            unmet.append((left.node, stop))
    for node, reason in unmet:
        yield tree.prune(node, UNMET) if ended else tree.finish(node, reason)
    yield tree.done(stop, calls=paths.calls, passes=paths.passes)


def _choices(
    paths: Paths, spec: SearchParams, phrases: Phrases, live: Sequence[_Live], sights: dict[int, Sight]
) -> list[_Choice]:
    """What may come next, best first: the likeliest of each, and the likeliest that bring a phrase on."""
    found: list[_Choice] = []
    for each in live:
        row = sights[each.lane].log_probs
        helping = phrases.helping(each.progress)
        furthest = sorted(
            helping.tolist(), key=lambda token: (-sum(phrases.after(each.progress, token)), -float(row[token]))
        )
        tokens = {*draw.likeliest(row, spec.width + len(paths.end_ids)).tolist(), *furthest[: spec.width]}
        for token in tokens:
            progress = phrases.after(each.progress, token)
            if row[token] == -np.inf or (token in paths.end_ids and not phrases.complete(progress)):
                continue
            found.append(_Choice(each, token, each.logprob + float(row[token]), progress))
    return sorted(found, key=lambda choice: (-choice.logprob, choice.token, choice.parent.lane))


def _deal(choices: Sequence[_Choice], phrases: Phrases, width: int) -> list[_Choice]:
    """`width` of them: one of each bank in turn, the fullest bank first; in each those that are furthest on."""
    banks: dict[int, list[_Choice]] = {}
    for choice in choices:
        banks.setdefault(phrases.bank(choice.progress), []).append(choice)
    for bank in banks.values():
        bank.sort(key=lambda choice: -sum(choice.progress))
    dealt: list[_Choice] = []
    for row in range(width):
        for _, bank in sorted(banks.items(), reverse=True):
            if row < len(bank) and len(dealt) < width:
                dealt.append(bank[row])
    return dealt
