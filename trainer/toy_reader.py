"""Reading the toy language back: which rule a stretch of text could have come from, and with which facts.

The parsed lines of the grammar are walked against the text, trying every way (words are few, so this is quick).
A frame of facts narrows it: a slot that is known must have its value, and one that is not yet known takes a value
that the tables allow beside what is known. Nothing here knows which rules or stories there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from trainer.toy_dice import Weighted
from trainer.toy_grammar import Article, Frame, Fresh, Grammar, Line, Part, Parts, Slot, Use

_BETWEEN = re.compile(r'(?:(?<=[.!?])|(?<=[.!?]")) (?=["A-Z]|$)')  # two sentences
_WORD = re.compile(r'\w+|"')
_VOWELS = frozenset("aeiouAEIOU")


class Reader:
    """Recognises what `grammar` writes."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._dependents: dict[str, list[str]] = {}
        for name, source in grammar.slots.items():
            if source.key:
                self._dependents.setdefault(source.key, []).append(name)
        self._openings = {table: _by_first_word(self._values(table)) for table in grammar.tables}

    def read(self, rule: str, text: str, start: int, frame: Frame | None) -> Iterator[tuple[int, Frame]]:
        """Every way the rule can be read from `start`: where it ends, and the frame with the facts it adds.

        With no frame only the form is read: every slot takes any of its words, and guards are not asked.
        """
        for line in self._grammar.rules[rule]:
            yield from self.read_line(line, text, start, frame)

    def read_line(self, line: Line, text: str, start: int, frame: Frame | None) -> Iterator[tuple[int, Frame]]:
        """The same for one line, which begins with a capital letter whatever its first word."""
        first = text[start : start + 1]
        variants = [text, text[:start] + first.lower() + text[start + 1 :]] if first.isupper() else [text]
        for variant in [] if first.islower() else variants:
            yield from self._line(line, variant, start, frame or {}, frame is None)

    def sentences(self, rule: str) -> list[Line]:
        """The lines of a rule cut into lines of one sentence each; guards stay with every one."""
        return [sentence for line in self._grammar.rules[rule] for sentence in self._cut(line)]

    def first_words(self, parts: Parts) -> set[str]:
        """Small, the words a text of these parts can begin with; a quotation mark stands for itself."""
        if not parts:
            return {""}
        first = parts[0]
        if isinstance(first, str):
            return {first_word(first, 0)}
        if isinstance(first, Article):
            return {"a", "an"}
        if isinstance(first, Slot | Fresh):
            table = self._grammar.slots[first.name].table if isinstance(first, Slot) else first.table
            return set(self._openings[table])
        if isinstance(first, Use):
            arms: Iterable[Parts] = [line.parts for line in self._grammar.rules[first.rule]]
        else:
            arms = first.values
        found = set().union(*(self.first_words(arm) for arm in arms))
        return found - {""} | self.first_words(parts[1:]) if "" in found else found

    def _cut(self, line: Line) -> list[Line]:
        found: list[list[Part]] = [[]]
        for index, part in enumerate(line.parts):
            if not isinstance(part, str):
                found[-1].append(part)
                continue
            pieces = _BETWEEN.split(part)
            for piece in pieces[:-1]:
                found[-1].append(piece)
                found.append([])
            if pieces[-1]:
                found[-1].append(pieces[-1])
            elif not self._begins_large(line.parts[index + 1 :]):  # a quotation that goes on: "Help!" cried ...
                found.pop()
                found[-1].append(" ")
        return [Line(line.weight, line.guards, tuple(parts)) for parts in found]

    def _begins_large(self, parts: Parts) -> bool:
        if not parts:
            return False
        first = parts[0]
        if isinstance(first, str):
            return first[:1].isupper() or first.startswith('"')
        if isinstance(first, Use):
            return self._begins_large(self._grammar.rules[first.rule][0].parts)
        if isinstance(first, Weighted):
            return self._begins_large(first.values[0])
        if isinstance(first, Slot):
            return first.capital or all(
                value[0].isupper() for value in self._values(self._grammar.slots[first.name].table)
            )
        return first.capital

    def _rule(self, rule: str, text: str, at: int, frame: Frame, loose: bool) -> Iterator[tuple[int, Frame]]:
        for line in self._grammar.rules[rule]:
            yield from self._line(line, text, at, frame, loose)

    def _line(self, line: Line, text: str, at: int, frame: Frame, loose: bool) -> Iterator[tuple[int, Frame]]:
        known = frame if loose else self._guarded(line, frame)
        if known is not None:
            yield from self._parts(line.parts, 0, text, at, known, loose)

    def _guarded(self, line: Line, frame: Frame) -> Frame | None:
        """The frame with what the guards of the line say, or None when they forbid it."""
        for guard in line.guards:
            value = frame.get(guard.slot)
            if value is None and guard.wanted and len(guard.values) == 1:
                frame = frame | {guard.slot: next(iter(guard.values))}
            elif value is not None and guard.values and not guard.allows(value):
                return None
        return frame

    def _parts(
        self, parts: Parts, index: int, text: str, at: int, frame: Frame, loose: bool
    ) -> Iterator[tuple[int, Frame]]:
        if index == len(parts):
            yield at, frame
            return
        part = parts[index]
        ends: Iterator[tuple[int, Frame]]
        if isinstance(part, str):
            ends = iter([(at + len(part), frame)] if text.startswith(part, at) else [])
        elif isinstance(part, Slot):
            ends = self._slot(part, text, at, frame, loose)
        elif isinstance(part, Fresh):
            ends = self._fresh(part, text, at, frame)
        elif isinstance(part, Use):
            ends = self._rule(part.rule, text, at, frame, loose)
        elif isinstance(part, Article):
            ends = ((end, frame) for end in _article(part, text, at))
        else:
            ends = (end for arm in part.values for end in self._parts(arm, 0, text, at, frame, loose))
        for end, known in ends:
            yield from self._parts(parts, index + 1, text, end, known, loose)

    def _slot(self, part: Slot, text: str, at: int, frame: Frame, loose: bool) -> Iterator[tuple[int, Frame]]:
        known = frame.get(part.name)
        if known is not None:
            if _begins(text, at, known, part.capital):
                yield at + len(known), frame
            return
        for value in self._met(self._grammar.slots[part.name].table, text, at, part.capital):
            if loose:
                yield at + len(value), frame
            elif self._fits(part.name, value, frame):
                yield at + len(value), frame | {part.name: value}

    def _fresh(self, part: Fresh, text: str, at: int, frame: Frame) -> Iterator[tuple[int, Frame]]:
        key = frame.get(part.key) if part.key else None
        for value in self._met(part.table, text, at, part.capital):
            if key is None or value in self._grammar.row(part.table, key).values:
                yield at + len(value), frame

    def _fits(self, slot: str, value: str, frame: Frame) -> bool:
        """Whether the tables could have drawn this value beside the facts known so far."""
        grammar = self._grammar
        source = grammar.slots[slot]
        key = frame.get(source.key)
        if key is not None and value not in grammar.row(source.table, key).values:
            return False
        if any(frame.get(other) == value for other in source.apart):
            return False
        for other in self._dependents.get(slot, ()):
            held = frame.get(other)
            if held is not None and held not in grammar.row(grammar.slots[other].table, value).values:
                return False
        return True

    def _values(self, table: str) -> set[str]:
        found = self._grammar.tables[table]
        rows = [found] if isinstance(found, Weighted) else list(found.values())
        return {value for row in rows for value in row.values}

    def _met(self, table: str, text: str, at: int, capital: bool) -> list[str]:
        """Words of a table that stand in the text here."""
        candidates = self._openings[table].get(first_word(text, at), ())
        return [value for value in candidates if _begins(text, at, value, capital)]


def first_word(text: str, at: int) -> str:
    """Small, the word that begins here; a quotation mark stands for itself, anything else for nothing."""
    word = _WORD.match(text, at)
    return word[0].lower() if word else ""


def _begins(text: str, at: int, value: str, capital: bool) -> bool:
    return text.startswith(value[:1].upper() + value[1:] if capital else value, at)


def _article(part: Article, text: str, at: int) -> list[int]:
    for article in ("An ", "A ") if part.capital else ("an ", "a "):
        if text.startswith(article, at):
            wanted = text[at + len(article) : at + len(article) + 1] in _VOWELS
            return [at + len(article) - 1] if wanted == (len(article) == 3) else []
    return []


def _by_first_word(values: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for value in sorted(values):
        found.setdefault(first_word(value, 0), []).append(value)
    return found
