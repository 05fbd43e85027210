"""In what two lanes differ: the first token or character, and how far apart the distributions there are. No widgets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from tinychat.engine.trace import Odds
from tinychat.tui.bars import percent
from tinychat.tui.lanes import Lane


@dataclass(frozen=True, slots=True)
class Divergence:
    """Jensen-Shannon divergence of two final distributions, in bits: from 0, alike, to 1, nothing in common.

    Records list the likeliest tokens, and what is not listed is one share: then the number is the least it can be.
    """

    bits: float
    exact: bool

    def words(self) -> str:
        return f"{'' if self.exact else 'at least '}{self.bits:.3f} bit"


def divergence(one: Odds, other: Odds) -> Divergence:
    """Of two records of one position (Lin 1991). The tokens that both know, and all others as one."""
    p, q = ({each.token: each.final for each in odds.candidates} for odds in (one, other))
    p_whole, q_whole = (sum(map(bool, x.values())) == odds.kept for x, odds in ((p, one), (q, other)))
    pairs = []
    for token in p.keys() | q.keys():
        if (token in p or p_whole) and (token in q or q_whole):  # of a whole list, what is not there has no share
            pairs.append((p.get(token, 0.0), q.get(token, 0.0)))
    rest = max(0.0, 1.0 - sum(a for a, _ in pairs)), max(0.0, 1.0 - sum(b for _, b in pairs))
    bits = sum(_half(a, b) + _half(b, a) for a, b in (*pairs, rest))
    return Divergence(min(max(bits, 0.0), 1.0), p_whole and q_whole)


def _half(a: float, b: float) -> float:
    return 0.0 if a <= 0.0 else 0.5 * a * math.log2(2.0 * a / (a + b))


def comparable(one: Lane, other: Lane) -> bool:
    """Whether a token id means the same in both."""
    return one.host is other.host or one.host.tokenizer.digest == other.host.tokenizer.digest


def first_difference(one: Lane, other: Lane, known: int = 0) -> int | None:
    """The first position at which two lanes of one tokenizer have different tokens; None where both have none.

    `known` positions are known to be the same.
    """
    both = min(one.length, other.length)
    a, b = one.ids, other.ids
    if a[known:both] == b[known:both]:
        return None
    return next(at for at in range(known, both) if a[at] != b[at])


def text_difference(one: Lane, other: Lane) -> int | None:
    """The first character of the replies that is another; None while one is the beginning of the other."""
    a, b = reply_text(one), reply_text(other)
    return next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)


def reply_text(lane: Lane) -> str:
    """What a lane's reply looks like."""
    return "".join(token.text for token in lane.tokens[lane.start :])


def same_place(one: Lane, position: int, other: Lane) -> int | None:
    """The position in another lane that stands where `position` stands in this one; None where it has none yet."""
    if comparable(one, other):
        return position if position < other.length else None
    if position < one.start:
        return min(position, other.start - 1) if other.start else None
    target = sum(len(token.text) for token in one.tokens[one.start : position])
    ends = accumulate(len(token.text) for token in other.tokens[other.start :])
    return next((other.start + at for at, end in enumerate(ends) if end > target), None)


def difference_words(one: Lane, other: Lane, names: tuple[str, str], label: Callable[[Lane, int], str]) -> str:
    """Where two lanes differ, with what each had, in one line."""
    if not comparable(one, other):
        place = text_difference(one, other)
        if place is None:
            return "same text so far (other tokens: texts are compared)"
        a, b = reply_text(one)[place : place + 12], reply_text(other)[place : place + 12]
        return f"character {place + 1} differs:  {names[0]} '{a}'  {names[1]} '{b}'"
    at = first_difference(one, other)
    if at is None:
        return f"same text, {min(one.reply_length, other.reply_length)} tokens"
    parts = [f"token {at - one.start + 1} differs:"]
    for name, lane, odd in ((names[0], one, other), (names[1], other, one)):
        token, step = lane.ids[at], lane.step(at)
        share = "" if step is None else f" {percent(step.final)}%"
        theirs = odd.step(at)
        rank = None
        if theirs is not None:
            rank = next((each.rank for each in theirs.odds.candidates if each.token == token), None)
        among = f" ({names[name == names[0]]} rank {rank})" if rank else ""
        parts.append(f"{name} '{label(lane, token)}'{share}{among}")
    return "  ".join(parts)


def divergence_words(one: Lane, other: Lane, position: int) -> str:
    """How far apart two lanes are at a position, if what stands before it is the same."""
    if not comparable(one, other):
        return "other tokens: their odds cannot be compared"
    at = first_difference(one, other)
    if at is not None and position > at:
        return f"contexts differ from token {at - one.start + 2} on"
    a, b = one.step(position), other.step(position)
    if a is None or b is None:
        return ""
    return f"JS divergence at token {position - one.start + 1}: {divergence(a.odds, b.odds).words()}"
