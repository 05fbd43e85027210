"""What happened at one position: plain frozen records that every screen, file and test reads.

Probabilities are shares of 1. Entropies and surprisals are in bits. *raw* is the model's own distribution,
before any setting; *final* is the one the token was drawn from. Ranks count from 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal

# where the entropy policy (temperature.py) finds a position: low, middle and high entropy, each first even, then uneven
REGIONS: tuple[str, ...] = ("sure", "nearly", "forked", "leaning", "open", "lost")


@dataclass(frozen=True, slots=True)
class SamplerState:
    """What stateful stages carry from token to token of a reply; None before its first."""

    mirostat: float | None = None  # mu, bits
    adaptive: tuple[float, float] | None = None  # weighted sum of the chosen probabilities, and of the weights


FRESH = SamplerState()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One token at one position."""

    token: int
    logit: float  # raw
    raw: float  # probability
    final: float  # probability; 0 when cut
    rank: int  # by raw probability, ties by lower id
    cut_by: str | None = None  # the stage that removed it


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """One switched-on stage: what it left."""

    name: str  # a stage of params.STAGE_NAMES; "raw" for the first row
    kept: int  # tokens with a finite logit
    mass: float  # of the probability that came in, the share the kept tokens had
    entropy: float  # of what is left, renormalised
    chosen: float | None = None  # probability of the token in question, after this stage; 0 when cut


Rows = Callable[[], tuple[tuple[Candidate, ...], tuple[StageView, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """The distribution at one position. `stages[0]` is always the raw row."""

    position: int  # index in the sequence of the token that these odds are about
    vocab_size: int
    candidates: tuple[Candidate, ...]  # the N likeliest raw, in order; then those watched or in question
    stages: tuple[StageView, ...]
    entropy: float  # raw
    varentropy: float  # raw, in bits squared
    final_entropy: float
    kept: int  # tokens that could be drawn
    temperature: float  # the one used
    region: str | None = None  # one of REGIONS, where the entropy policy chose the temperature
    _rows: Rows | None = field(default=None, init=False, repr=False, compare=False)  # makes what is not there yet

    if not TYPE_CHECKING:  # a checker would take any name for one that is there

        def __getattr__(self, name: str) -> Any:
            """Candidates and stages of `odds_later`, the first time somebody looks at them."""
            if name not in ("candidates", "stages") or self._rows is None:
                raise AttributeError(f"Odds has no {name}")
            candidates, stages = self._rows()
            object.__setattr__(self, "candidates", candidates)
            object.__setattr__(self, "stages", stages)
            object.__setattr__(self, "_rows", None)
            return candidates if name == "candidates" else stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A token that was chosen, and everything known about the choice."""

    odds: Odds
    token: int
    lane: int
    forced: bool  # taken by a person, not drawn
    raw: float  # probability
    final: float  # probability; 0 if forced against the settings
    raw_rank: int
    final_rank: int  # 0 when the settings had cut it
    surprisal: float  # -log2 raw
    u: float  # the uniform number of this position
    low: float  # the token owned [low, high) of the unit interval
    high: float
    time_s: float  # from the previous token's odds to these
    drafted: Literal["accepted", "rejected"] | None = None  # what became of a draft for this position; None without one
    state: SamplerState = FRESH  # after this token
    packed: bytes | None = field(default=None, init=False, repr=False, compare=False)  # the bytes that it was made of

    @property
    def position(self) -> int:
        return self.odds.position


# A frozen record's own __init__ goes through object.__setattr__ six times, 64 times a step: at 1,000 tokens/s that
# alone would be a tenth of the screen's core. Slots can be filled column by column instead, at the speed of map().
_SETTERS: tuple[Any, ...] = tuple(
    getattr(Candidate, name).__set__ for name in ("token", "logit", "raw", "final", "rank", "cut_by")
)


def odds_later(rows: Rows, **known: Any) -> Odds:
    """Odds with these fields; candidates and stages are made by `rows` when they are first looked at.

    Of the tokens that arrive between two pictures the screen looks at the last one only.
    """
    odds: Odds = object.__new__(Odds)
    for name, value in known.items():
        object.__setattr__(odds, name, value)
    object.__setattr__(odds, "_rows", rows)
    return odds


def candidates_of(n: int, *columns: Iterable[object]) -> tuple[Candidate, ...]:
    """n candidates from their columns: token, logit, raw, final, rank, cut_by."""
    records = tuple(map(object.__new__, repeat(Candidate, n)))
    for setter, column in zip(_SETTERS, columns, strict=True):
        deque(map(setter, records, column), maxlen=0)
    return records
