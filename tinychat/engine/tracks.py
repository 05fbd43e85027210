"""A row of a runner and the tokens it shall hold: what is cached is kept, what is missing is computed when asked for.

A lane of the engine is one track for its text and one for each side pass (sides.py). A pass may look ahead: it takes
guesses of the tokens to come (drafts.py), and the track keeps what follows each of them. Nothing here knows settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from tinychat.engine.runner import Pass, Runner, finite

CHUNK = 128  # prompt tokens per pass: long enough to be fast, short enough to answer a key in between


@dataclass(frozen=True, slots=True)
class Look:
    """What a pass says about one position; raw, float32, on the CPU."""

    logits: Tensor  # (V,)
    early: Tensor | None = None  # (J, V) after so many blocks as `layers` says
    layers: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class Track:
    """`looks[0]` is about the position after the last token, `looks[i]` about the one after i guesses more.

    There are none while a pass is owed. The cache holds the tokens and the guesses that were looked beyond.
    """

    runner: Runner
    row: int
    tokens: list[int] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    @property
    def held(self) -> int:
        """How many of the track's own tokens are in the cache."""
        return min(self.runner.held(self.row), len(self.tokens))

    @property
    def owes_one(self) -> bool:
        """Whether all but the last token is cached and nothing is known about what follows it."""
        return bool(self.tokens) and not self.looks and self.held == len(self.tokens) - 1

    def hold(self, ids: Sequence[int]) -> int:
        """Make it hold exactly these ids, at least one; how many are cached already, the last excepted if owed."""
        if self.looks and self.tokens == list(ids):
            return len(ids)
        keep = min(shared(ids, self.tokens), self.held, len(ids) - 1)
        self.tokens = list(ids)
        self._forget(keep)
        return keep

    def take(self, token: int, *, guessed: bool) -> None:
        """One token more; `guessed` when it is the next guess, so that what follows it is known."""
        self.tokens.append(token)
        if guessed and len(self.looks) > 1:
            del self.looks[0]
        else:
            self._forget(min(self.runner.held(self.row), len(self.tokens) - 1))

    def reopen(self) -> None:
        """Owe the last token's pass again."""
        self._forget(min(self.held, len(self.tokens) - 1))

    def prefill(self, interrupt: Callable[[], bool] | None = None) -> bool:
        """Compute all tokens but the last, in chunks; False when `interrupt`, asked after each, said True."""
        last = len(self.tokens) - 1
        while self.held < last:
            self.runner.feed({self.row: self.tokens[self.held : min(self.held + CHUNK, last)]})
            if interrupt is not None and interrupt():
                return False
        return True

    def copy(self, other: Track) -> None:
        """Be what another row of the same runner is."""
        self.runner.cache.copy(other.row, self.row)
        self.tokens, self.looks = list(other.tokens), list(other.looks)

    def _forget(self, length: int) -> None:
        self.looks.clear()
        self.runner.cache.cut(self.row, length)


def compute(jobs: Sequence[tuple[Track, Sequence[int]]], *, exits: tuple[int, ...] = ()) -> None:
    """One pass over tracks of one runner that each owe their last token, and over the guesses that follow it.

    A track takes as many guesses as its cache has room for. Where the numbers broke a track goes on owing.
    """
    runner = jobs[0][0].runner
    rows = {}
    for track, guesses in jobs:
        room = runner.cache.length - len(track.tokens)
        rows[track.row] = [track.tokens[-1], *guesses[:room]]
    if exits or any(len(ids) > 1 for ids in rows.values()):
        passes = runner.run(rows, every=True, exits=exits)
        for track, _ in jobs:
            _take(track, passes[track.row], exits)
        return
    found = runner.feed(rows)
    for track, _ in jobs:  # as in _take, with fewer calls of torch: they are what a small network's step waits for
        good = track.row not in runner.broken
        track.looks = [Look(found[track.row])] if good else []
        runner.cache.cut(track.row, len(track.tokens) - 1 + good)


def _take(track: Track, found: Pass, exits: tuple[int, ...]) -> None:
    good = finite(found.logits.numpy())  # (T,)
    if found.exits is not None:
        good &= finite(found.exits.numpy()).all(-1)
    whole = int(np.cumprod(good).sum())
    early = [None] * whole if found.exits is None else found.exits[:whole]
    track.looks = [Look(line, leaves, exits) for line, leaves in zip(found.logits[:whole], early, strict=True)]
    track.runner.cache.cut(track.row, len(track.tokens) - 1 + whole)


def shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    for place, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return place
    return min(len(a), len(b))
