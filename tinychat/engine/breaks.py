"""Breakpoints: conditions on the token that was just drawn, looked at between it and the next one.

Pure functions of the record, the ids of the reply and the bytes of tokens. Texts are compared as bytes: valid UTF-8 is
found in UTF-8 only where characters begin, so half a character at the end can neither hide nor make a match.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from tinychat.engine.trace import Step

Kind = Literal["entropy", "prob", "surprisal", "rank", "text", "ngram"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_WATCHED = 16  # tokens; each is a row more in every record


@dataclass(frozen=True, slots=True)
class Condition:
    """Stop after a token that meets this. ValueError for a bound that none or nothing could be.

    entropy: raw, above `value` bits. surprisal: raw, above `value` bits. prob: the final probability of the token is
    below `value`. rank: its raw rank is above `value`. text: `text` became whole in the reply. ngram: the last `value`
    tokens stand in the reply already.
    """

    kind: Kind
    value: float = 0.0
    text: str = ""

    def __post_init__(self) -> None:
        value = self.value
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{self.kind} needs a number of at least 0, got {value}")
        if self.kind == "text" and not self.text:
            raise ValueError("text needs some text")
        if self.kind == "prob" and not 0 < value <= 1:
            raise ValueError(f"prob needs a probability above 0, at most 1, got {value:g}")
        if self.kind in ("rank", "ngram") and (value < 1 or value != int(value)):
            raise ValueError(f"{self.kind} needs a whole number of at least 1, got {value:g}")


@dataclass(frozen=True, slots=True)
class Met:
    """A condition that the token at a position met, and with what: bits, a probability, a rank; 0 for a text."""

    condition: Condition
    position: int
    value: float = 0.0


def met(
    conditions: Iterable[Condition], step: Step, reply: Sequence[int], spell: Callable[[int], bytes]
) -> tuple[Met, ...]:
    """The conditions that the last token of `reply`, which is the step's, meets."""
    found = []
    for condition in conditions:
        value = _value(condition, step, reply, spell)
        if value is not None:
            found.append(Met(condition, step.position, value))
    return tuple(found)


def _value(condition: Condition, step: Step, reply: Sequence[int], spell: Callable[[int], bytes]) -> float | None:
    """With what the condition is met; None where it is not."""
    bound = condition.value
    if condition.kind == "text":
        return 0.0 if _ends(condition.text.encode(errors="surrogatepass"), reply, spell) else None
    if condition.kind == "ngram":
        return bound if _again(reply, int(bound)) else None
    if condition.kind == "prob":
        return step.final if step.final < bound else None
    has = {"entropy": step.odds.entropy, "surprisal": step.surprisal, "rank": float(step.raw_rank)}[condition.kind]
    return has if has > bound else None


def _ends(wanted: bytes, reply: Sequence[int], spell: Callable[[int], bytes]) -> bool:
    """Whether the text became whole with the last token."""
    last = spell(reply[-1])
    tail = last
    for token in reversed(reply[:-1]):
        if len(tail) >= len(last) + len(wanted) - 1:
            break
        tail = spell(token) + tail
    room = len(last) + len(wanted) - 1  # what ends before the last token was whole before it
    return bool(last) and wanted in tail[-room:]


def _again(reply: Sequence[int], size: int) -> bool:
    """Whether the last `size` tokens stand in the reply already."""
    tail, start = list(reply[-size:]), 0
    while len(tail) == size:
        try:
            start = reply.index(tail[0], start, len(reply) - size)
        except ValueError:
            return False
        if list(reply[start : start + size]) == tail:
            return True
        start += 1
    return False


class Holder(Protocol):
    """What breakpoints look at in an engine."""

    @property
    def vocabulary(self) -> Any: ...
    def tokens(self) -> list[int]: ...
    def prompt_length(self) -> int: ...


class Breaks:
    """The conditions in force, and those that were met since they were last taken."""

    def __init__(self) -> None:
        self._conditions: tuple[Condition, ...] = ()
        self._met: tuple[Met, ...] = ()

    def set(self, conditions: Sequence[Condition], engine: Holder) -> None:
        """Look out for these from the next token on; ValueError for a text where tokens have none."""
        if any(condition.kind == "text" for condition in conditions) and engine.vocabulary is None:
            raise ValueError("this model's tokens have no text to look for")
        self._conditions = tuple(conditions)

    def meets(self, engine: Holder, step: Step) -> bool:
        """Whether this token, the last that the engine holds, meets any."""
        if not self._conditions:
            return False
        vocabulary = engine.vocabulary if any(each.kind == "text" for each in self._conditions) else None
        spelled = () if vocabulary is None else vocabulary.token_bytes
        reply = engine.tokens()[engine.prompt_length() :]
        found = met(self._conditions, step, reply, lambda token: spelled[token])
        self._met += found
        return bool(found)

    def take(self) -> tuple[Met, ...]:
        """What was met, once."""
        found, self._met = self._met, ()
        return found


def watchable(ids: Sequence[int], vocab_size: int) -> tuple[int, ...]:
    """Tokens to be listed in every record, each once; ValueError for too many or none of the vocabulary."""
    found = tuple(dict.fromkeys(ids))
    if len(found) > MOST_WATCHED:
        raise ValueError(f"at most {MOST_WATCHED} tokens can be watched, got {len(found)}")
    for token in found:
        if not 0 <= token < vocab_size:
            raise ValueError(f"a watched token must be from 0 to {vocab_size - 1}, got {token}")
    return found
