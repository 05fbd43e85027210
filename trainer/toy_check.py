"""How much of a text is the toy language: well-formed sentences, and facts that stay the same.

A story is read sentence by sentence, with the sentences of the generator's own rules; one that no rule can say is
bad. Beside the form, the facts are followed through the document: names, pronouns, places and things must be ones
the tables could have drawn together, so "he" for a heroine or another hat at the end is found. Whether the
sentences of a plot follow each other in order is not asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from trainer.toy_grammar import Frame, Line
from trainer.toy_reader import Reader, first_word
from trainer.toy_stories import GRAMMAR, PLOTS

_SENTENCE_END = re.compile(r'[.!?]"?(?=\s+["A-Z]|\s*$)')
_GAP = re.compile(r"[ \n]")
_MOST_READINGS = 64  # of the facts at one time


@dataclass(frozen=True)
class Verdict:
    """Counts of sentences: all of them, those some rule can say, those that also agree with the facts before them."""

    sentences: int
    good: int
    consistent: int
    bad: tuple[str, ...]  # the stretches no rule can say
    contradictions: tuple[str, ...]  # well-formed, but at odds with what was told before
    begins: bool  # with an opening
    ends: bool  # with whole sentences, none of them bad

    @property
    def share(self) -> float:
        """Well-formed sentences of all; 0 for an empty text."""
        return self.good / self.sentences if self.sentences else 0.0

    @property
    def consistent_share(self) -> float:
        return self.consistent / self.sentences if self.sentences else 0.0


def well_formed(text: str) -> Verdict:
    """The verdict on one story. A text that breaks off (no full stop at the end) has a bad last sentence."""
    text = text.strip()
    sentences = good = consistent = at = 0
    bad: list[str] = []
    contradictions: list[str] = []
    readings: list[Frame] = [{}]
    while at < len(text):
        end, found = _longest(text, at, readings)
        if end == at:  # nothing fits the facts: does the form at least?
            end, _ = _longest(text, at, None)
        unit = text[at : end if end > at else _after_sentence(text, at)]
        count = max(1, len(_SENTENCE_END.findall(unit)))
        sentences += count
        if end == at:
            bad.append(unit)
        elif found:
            good += count
            consistent += count
            readings = found
        else:
            good += count
            contradictions.append(unit)
        at += len(unit)
        while at < len(text) and _GAP.match(text, at):
            at += 1
    ends = bool(sentences) and not (bad and text.endswith(bad[-1]))
    return Verdict(sentences, good, consistent, tuple(bad), tuple(contradictions), _is_opening(text), ends)


def share_well_formed(texts: Iterable[str]) -> float:
    """Well-formed sentences of all sentences in the texts; 0 when there are none."""
    verdicts = [well_formed(text) for text in texts]
    sentences = sum(verdict.sentences for verdict in verdicts)
    return sum(verdict.good for verdict in verdicts) / sentences if sentences else 0.0


def _longest(text: str, at: int, readings: list[Frame] | None) -> tuple[int, list[Frame]]:
    """The end of the longest unit that can be read here, and the facts after it, one frame for each way to read it."""
    best = at
    found: dict[frozenset[tuple[str, str]], Frame] = {}
    for frame in [None] if readings is None else readings:
        for line in _sentences().get(first_word(text, at), ()):
            for end, known in _reader().read_line(line, text, at, frame):
                if end < best or (end == best and best == at) or not (end == len(text) or _GAP.match(text, end)):
                    continue
                if end > best:
                    best, found = end, {}
                if len(found) < _MOST_READINGS:
                    found[frozenset(known.items())] = known
    return best, list(found.values())


def _after_sentence(text: str, at: int) -> int:
    met = _SENTENCE_END.search(text, at)
    return met.end() if met else len(text)


def _is_opening(text: str) -> bool:
    return next(_reader().read("opening", text, 0, None), None) is not None


@cache
def _sentences() -> dict[str, list[Line]]:
    """Every sentence of every beat, by the words it can begin with."""
    found: dict[str, list[Line]] = {}
    for rule in dict.fromkeys(rule for plot in PLOTS.values for rule, _ in plot.beats if rule != "/"):
        for sentence in _reader().sentences(rule):
            for word in _reader().first_words(sentence.parts):
                found.setdefault(word, []).append(sentence)
    return found


@cache
def _reader() -> Reader:
    return Reader(GRAMMAR)
