"""Breakpoints as a person types and reads them: `entropy>6`, `p<1%`, `text "moon"`. Plain text in, records out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from tinychat.engine.breaks import KINDS, Condition, Kind, Met
from tinychat.tui.bars import percent

TITLES: dict[Kind, tuple[str, str, float]] = {  # before the value, after it, and where to begin
    "entropy": ("entropy, raw, above", "bit", 6.0),
    "prob": ("final probability of the drawn token below", "%", 0.01),
    "surprisal": ("surprisal of the drawn token above", "bit", 8.0),
    "rank": ("raw rank of the drawn token above", "(1: not the likeliest)", 1.0),
    "text": ("this text appears in the reply", "", 0.0),
    "ngram": ("the same tokens stood in the reply before, in a row", "", 4.0),
}
FORMS = "entropy>6  p<1%  surprisal>8  rank>1  ngram 4  text moon  off"
_NAMES: dict[str, Kind] = {"h": "entropy", "p": "prob", "probability": "prob", "s": "surprisal", "top": "rank"}
_PATTERN = re.compile(r"([a-z]+)\s*([<>]?)\s*(.*)", re.IGNORECASE | re.DOTALL)
_SIGNS = {"prob": "<", "text": "", "ngram": ""}


def read(line: str) -> Condition:
    """The condition of a line; ValueError says what is wrong with it."""
    found = _PATTERN.fullmatch(line.strip())
    if found is None:
        raise ValueError(f"break needs a condition: {FORMS}")
    name, sign, rest = found[1].lower(), found[2], found[3].strip()
    kind = _NAMES.get(name) or next((each for each in KINDS if each == name), None)
    if kind is None:
        raise ValueError(f"there is no breakpoint {name!r}: {FORMS}")
    if sign and sign != _SIGNS.get(kind, ">"):
        raise ValueError(f"a breakpoint on {name} is written {short(Condition(kind, TITLES[kind][2] or 1, 'x'))}")
    return make(kind, rest)


def make(kind: Kind, text: str) -> Condition:
    """A condition of a kind from its value as typed."""
    if kind == "text":
        try:
            text = "".join(shlex.split(text)) if text[:1] in "\"'" else text
        except ValueError as error:
            raise ValueError("the text has a quote too few") from error
        return Condition(kind, text=text)
    try:
        value = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ValueError(f"{kind} needs a number, got {text!r}") from None
    return Condition(kind, value)


def value_text(condition: Condition) -> str:
    """The value as it is typed."""
    if condition.kind == "text":
        return condition.text
    if condition.kind == "prob":
        return f"{condition.value * 100:g}%"
    return f"{condition.value:g}"


def short(condition: Condition) -> str:
    """In few cells: H>6, p<1%, rank>1, "moon", 4-gram."""
    value = value_text(condition)
    return {
        "entropy": f"H>{value}", "prob": f"p<{value}", "surprisal": f"s>{value}", "rank": f"rank>{value}",
        "text": f'"{value}"', "ngram": f"{value}-gram",
    }[condition.kind]  # fmt: skip


def told(met: Iterable[Met]) -> str:
    """Which conditions a token met, and with what."""
    return ", ".join(map(_told, met))


def _told(met: Met) -> str:
    condition, value = met.condition, met.value
    bound = value_text(condition)
    return {
        "entropy": f"entropy {value:.2f} > {bound} bit",
        "prob": f"final p {percent(value)}% < {bound}",
        "surprisal": f"surprisal {value:.2f} > {bound} bit",
        "rank": f"rank {value:.0f} > {bound}",
        "text": f'the text "{bound}" appeared',
        "ngram": f"the last {bound} tokens stand in the reply already",
    }[condition.kind]
