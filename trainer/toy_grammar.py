"""A small weighted grammar that writes text, counts the bits it spent, and reads its own text back.

A rule is a list of weighted lines; a line mixes plain words with

    {slot}        a fact of the document: drawn at its first mention, the same ever after
    {^slot}       the same with a capital letter
    {@table}      a fresh draw, forgotten at once; {@table/slot} draws from the row the slot selects
    (a|3:b|)      alternatives with weights (1 when not said), nested as you like
    <rule>        another rule
    a/an, A/an    the article that fits the next letter
    [slot=x|y]    at the start of a line: only when the slot is x or y; [slot!=x], [slot] known, [!slot] not yet known

Generator and recogniser walk the same parsed lines, so neither can know a sentence that the other does not.
Nothing here knows which words or stories there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from trainer.toy_dice import Dice, Weighted

Frame = dict[str, str]
Table = Weighted[str] | dict[str, Weighted[str]]

_ARTICLE = {False: "\0", True: "\1"}  # stand for a/an and A/an until the next letter is known
_FITTING = re.compile("([\0\1])(?= ([aeiouAEIOU])?)")


@dataclass(frozen=True)
class Slot:
    """A fact of the document."""

    name: str
    capital: bool


@dataclass(frozen=True)
class Fresh:
    """A draw that is not remembered, from a table or from the row of it that a slot selects."""

    table: str
    key: str
    capital: bool


@dataclass(frozen=True)
class Use:
    """Another rule."""

    rule: str


@dataclass(frozen=True)
class Article:
    """a or an, as the next letter asks."""

    capital: bool


Part = str | Slot | Fresh | Use | Article | Weighted["Parts"]
Parts = tuple[Part, ...]


@dataclass(frozen=True)
class Guard:
    """A condition on one slot; without values it asks only whether the slot is known."""

    slot: str
    values: frozenset[str]
    wanted: bool

    def allows(self, value: str | None) -> bool:
        met = value is not None if not self.values else value in self.values
        return met is self.wanted


@dataclass(frozen=True)
class Line:
    """One weighted way to say a rule."""

    weight: int
    guards: tuple[Guard, ...]
    parts: Parts


@dataclass(frozen=True)
class Source:
    """Where a slot's value comes from: a table, or the row that another slot selects, less what others hold."""

    table: str
    key: str
    apart: tuple[str, ...]


_TOKEN = re.compile(r"\{([@^]{0,2})([a-z0-9_]+)(?:/([a-z0-9_]+))?\}|<([A-Za-z0-9_]+)>|[aA]/an|[(|)]|\d+:|[^{}()<>|]")
_LINE = re.compile(r"\s*(\d+)((?:\s*\[[^\]]+\])*)\s(.*)")
_GUARD = re.compile(r"\[(!?)([a-z0-9_]+)(?:(!?=)([^\]]+))?\]")


def parse_line(text: str) -> Line:
    """One "weight [guards] words" line; ValueError says what is wrong with it."""
    met = _LINE.fullmatch(text)
    if met is None:
        raise ValueError(f"not a weighted line: {text!r}")
    guards = []
    for negated, slot, sign, values in _GUARD.findall(met[2]):
        guards.append(
            Guard(slot, frozenset(values.split("|")) if values else frozenset(), not negated and sign != "!=")
        )
    tokens = list(_TOKEN.finditer(met[3]))
    if "".join(token[0] for token in tokens) != met[3]:
        raise ValueError(f"unreadable template: {text!r}")
    parts, rest = _parse_parts(tokens, 0)
    if rest != len(tokens):
        raise ValueError(f"a bracket too many: {text!r}")
    return Line(int(met[1]), tuple(guards), parts)


def _parse_parts(tokens: Sequence[re.Match[str]], at: int) -> tuple[Parts, int]:
    parts: list[Part] = []
    literal = ""
    while at < len(tokens) and tokens[at][0] not in ("|", ")"):
        token = tokens[at]
        sign, name, key, rule = token.groups()
        part: Part | None = None
        if token[0] == "(":
            part, at = _parse_choice(tokens, at + 1)
        elif rule:
            part = Use(rule)
        elif name:
            part = Fresh(name, key or "", "^" in sign) if "@" in sign else Slot(name, "^" in sign)
        elif token[0] in ("a/an", "A/an"):
            part = Article(token[0] == "A/an")
        else:
            literal += token[0]
        if part is not None:
            parts += [literal, part] if literal else [part]
            literal = ""
        at += 1
    return tuple([*parts, literal] if literal else parts), at


def _parse_choice(tokens: Sequence[re.Match[str]], at: int) -> tuple[Weighted[Parts], int]:
    arms: list[Parts] = []
    weights: list[int] = []
    while True:
        weight = 1
        if at < len(tokens) and tokens[at][0].endswith(":") and len(tokens[at][0]) > 1:
            weight = int(tokens[at][0][:-1])
            at += 1
        parts, at = _parse_parts(tokens, at)
        arms.append(parts)
        weights.append(weight)
        if at >= len(tokens):
            raise ValueError("a bracket is not closed")
        if tokens[at][0] == ")":
            return Weighted(arms, weights), at
        at += 1


def parse_rules(text: str) -> dict[str, tuple[Line, ...]]:
    """Rules from text: a name at the margin, its weighted lines indented below; without a weight a line goes on."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for row in filter(str.strip, text.splitlines()):
        if not row[0].isspace():
            lines = found.setdefault(row.strip(), [])
        elif row.split()[0].isdigit():
            lines.append(row.strip())
        else:
            lines[-1] += ("" if lines[-1].endswith("|") else " ") + row.strip()
    return {name: tuple(map(parse_line, lines)) for name, lines in found.items()}


def parse_slots(text: str) -> dict[str, Source]:
    """Slots from lines "name: table/slot -other": where the value comes from and whose value it must not share."""
    found = {}
    for row in filter(str.strip, text.splitlines()):
        name, _, rest = row.partition(":")
        source, *apart = rest.split()
        table, _, key = source.partition("/")
        found[name.strip()] = Source(table, key, tuple(other.removeprefix("-") for other in apart))
    return found


@dataclass
class Grammar:
    """Tables, slots and rules; `write` draws a text, `say_all` lists what a rule can say; trainer.toy_reader reads."""

    tables: Mapping[str, Table]
    slots: Mapping[str, Source]
    rules: Mapping[str, tuple[Line, ...]]
    _eligible: dict[tuple[str, tuple[bool, ...]], Weighted[Line]] = field(default_factory=dict, init=False, repr=False)
    _apart: dict[tuple[str, str, frozenset[str]], Weighted[str]] = field(default_factory=dict, init=False, repr=False)

    # --- writing -----------------------------------------------------------------------------------------------

    def write(self, rule: str, dice: Dice, frame: Frame) -> str:
        """A drawn text of the rule; slots met for the first time are added to the frame."""
        out: list[str] = []
        self._write_rule(rule, dice, frame, out)
        return _finish("".join(out))

    def slot(self, name: str, dice: Dice, frame: Frame) -> str:
        """The value of a slot, drawn now if the document has none yet."""
        known = frame.get(name)
        if known is None:
            source = self.slots[name]
            row = self.row(source.table, self.slot(source.key, dice, frame) if source.key else "")
            if source.apart:
                held = frozenset(frame[other] for other in source.apart if other in frame)
                row = self._row_apart(source, row, held, frame)
            known = frame[name] = row.draw(dice)
        return known

    def row(self, table: str, key: str) -> Weighted[str]:
        """A table, or the row of it that a key selects (the row * when it has no other)."""
        found = self.tables[table]
        if isinstance(found, Weighted):
            return found
        return found[key] if key in found else found["*"]

    def _row_apart(self, source: Source, row: Weighted[str], held: frozenset[str], frame: Frame) -> Weighted[str]:
        name = (source.table, frame[source.key] if source.key else "", held)
        if name not in self._apart:
            self._apart[name] = row.without(held)
        return self._apart[name]

    def _lines(self, rule: str, dice: Dice | None, frame: Frame) -> Weighted[Line]:
        lines = self.rules[rule]
        verdicts = []
        for line in lines:
            fits = True
            for guard in line.guards:
                value = self.slot(guard.slot, dice, frame) if guard.values and dice else frame.get(guard.slot)
                fits = fits and guard.allows(value)
            verdicts.append(fits)
        key = (rule, tuple(verdicts))
        if key not in self._eligible:
            kept = [line for line, fits in zip(lines, verdicts, strict=True) if fits]
            if not kept:
                raise ValueError(f"no line of rule {rule} fits {frame}")
            self._eligible[key] = Weighted(kept, [line.weight for line in kept])
        return self._eligible[key]

    def _write_rule(self, rule: str, dice: Dice, frame: Frame, out: list[str]) -> None:
        self._write(self._lines(rule, dice, frame).draw(dice).parts, dice, frame, out)

    def _write(self, parts: Parts, dice: Dice, frame: Frame, out: list[str]) -> None:
        for part in parts:
            if isinstance(part, str):
                out.append(part)
            elif isinstance(part, Slot):
                value = self.slot(part.name, dice, frame)
                out.append(capital(value) if part.capital else value)
            elif isinstance(part, Weighted):
                self._write(part.draw(dice), dice, frame, out)
            elif isinstance(part, Fresh):
                value = self.row(part.table, self.slot(part.key, dice, frame) if part.key else "").draw(dice)
                out.append(capital(value) if part.capital else value)
            elif isinstance(part, Use):
                self._write_rule(part.rule, dice, frame, out)
            else:
                out.append(_ARTICLE[part.capital])

    # --- all that can be said ----------------------------------------------------------------------------------

    def say_all(self, rule: str, frame: Frame) -> tuple[str, ...]:
        """Every text a rule can have when the frame holds all slots it mentions (KeyError when it does not)."""
        texts = [text for line in self._lines(rule, None, frame).values for text in self._all(line.parts, frame)]
        return tuple(dict.fromkeys(_finish(text) for text in texts))

    def _all(self, parts: Parts, frame: Frame) -> Iterator[str]:
        choices: list[list[str]] = []
        for part in parts:
            if isinstance(part, str):
                choices.append([part])
            elif isinstance(part, Slot):
                choices.append([capital(frame[part.name]) if part.capital else frame[part.name]])
            elif isinstance(part, Weighted):
                choices.append([text for arm in part.values for text in self._all(arm, frame)])
            elif isinstance(part, Fresh):
                row = self.row(part.table, frame[part.key] if part.key else "").values
                choices.append([capital(value) if part.capital else value for value in row])
            elif isinstance(part, Use):
                lines = self._lines(part.rule, None, frame).values
                choices.append([text for line in lines for text in self._all(line.parts, frame)])
            else:
                choices.append([_ARTICLE[part.capital]])
        for combination in product(*choices):
            yield "".join(combination)


def capital(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]


def _finish(text: str) -> str:
    return capital(_FITTING.sub(lambda met: ("a" if met[1] == _ARTICLE[False] else "A") + "n" * bool(met[2]), text))
