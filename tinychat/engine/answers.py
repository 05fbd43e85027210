"""The answer within a reply: the last place where a pattern fits, and the tokens it is made of.

Works on the bytes that tokens stand for. Nothing here knows how a reply was found.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import Answer
from tinychat.model.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: its text, and which tokens of the reply it touches."""

    text: str
    start: int
    end: int


def find(ids: Sequence[int], vocabulary: Vocabulary, pattern: re.Pattern[str], *, plain: bool = False) -> Found | None:
    """The last match of the pattern, its first group where it has one; None without a match or with an empty one.

    `plain` takes the thousands' commas out of a number, so that 1,000 and 1000 are one answer.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text, ends = "", []
    for token in ids:
        text += decoder.decode(vocabulary.token_bytes[token])  # a character counts to the token that completes it
        ends.append(len(text))
    text += decoder.decode(b"", True)
    found = None
    for match in pattern.finditer(text):
        group = 1 if pattern.groups and match.group(1) is not None else 0
        if match.end(group) > match.start(group):
            found = match.span(group)
    if found is None:
        return None
    first, last = found
    inside = [
        place for place, end in enumerate(ends) if end > first and (ends[place - 1] if place else 0) < min(last, end)
    ]
    said = text[first:last].strip()
    return Found(said.replace(",", "") if plain else said, inside[0], inside[-1] + 1) if inside else None


def find_for(spec: SearchParams, ids: Sequence[int], vocabulary: Vocabulary) -> Found | None:
    """As `find`, for the pattern of a search."""
    return find(ids, vocabulary, spec.pattern, plain=not spec.answer)


def tally(votes: Iterable[tuple[str | None, float, int]]) -> tuple[Answer, ...]:
    """(answer, weight, node) summed by answer, heaviest first; equal ones in the order they came. None is no vote."""
    weights: dict[str, float] = {}
    nodes: dict[str, list[int]] = {}
    for text, weight, node in votes:
        if text is not None:
            weights[text] = weights.get(text, 0.0) + weight
            nodes.setdefault(text, []).append(node)
    ranked = sorted(weights, key=lambda text: -weights[text])
    return tuple(Answer(text=text, weight=weights[text], nodes=tuple(nodes[text])) for text in ranked)
