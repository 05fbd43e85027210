"""Speculation: guess the next tokens cheaply, look beyond all of them in one pass, keep what proves right.

The guesses come from the text itself (prompt lookup), from a draft model or from the model's own first layers, and
whatever they are, the output follows the model and the settings exactly, unless asked otherwise. Ways to verify:

match       every token is drawn as ever, with its own dart; a guess that equals it saves a pass. So with one seed the
            tokens are those without speculation, but for the rounding of passes over several tokens. Drafts are drawn
            with the same darts, which makes them agree far more often than independent draws would.
residual    speculative sampling (Leviathan et al. 2022, arXiv 2211.17192; Chen et al. 2023, arXiv 2302.01318): a guess
            drawn from q is accepted with probability min(1, p/q), else the token is drawn from max(p - q, 0). The same
            distribution, with other tokens: which ones depends on where drafts began, so a rewind may change them.
typical     Medusa's rule (Cai et al. 2024, arXiv 2401.10774): a guess is accepted where p > min(epsilon, delta e^-H), H
            the entropy of p in nats, else the token is drawn as ever. NOT the same distribution: likely guesses crowd
            out what else could have come. At temperature 0 nothing differs.

p is the distribution after all settings, of that very moment, so a turned knob acts on the next token either way.
Nothing here runs a model.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tinychat.engine import draw

Kind = Literal["lookup", "draft", "exit"]
Verify = Literal["match", "residual", "typical"]
LIMIT = 64  # guesses a pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """How to guess: at most `length` tokens a pass. ValueError for what cannot be."""

    kind: Kind = "lookup"
    length: int = 5
    ngram: int = 3  # lookup: the longest suffix that is looked for; shorter ones are tried after it
    layer: int = 0  # exit: so many blocks draft; 0 is half of them
    verify: Verify = "match"
    epsilon: float = 0.09  # typical: a guess this likely is always accepted (both values are Medusa's)
    delta: float = 0.3  # typical: the wider the field, the less likely it may be

    def __post_init__(self) -> None:
        for name, choices in (("kind", get_args(Kind)), ("verify", get_args(Verify))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name, low, high in (("length", 1, LIMIT), ("ngram", 1, LIMIT), ("layer", 0, 10_000)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
        for name in ("epsilon", "delta"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must be a number from 0 to 1, got {share!r}")
        if self.kind == "lookup" and self.verify == "residual":
            raise ValueError("verify must be match with kind lookup, whose guesses have no odds; got 'residual'")


@dataclass(frozen=True, slots=True)
class Guess:
    """A token that may come, and the distribution (V,) it was drawn from; None where it was not drawn."""

    token: int
    odds: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A token and the slice [low, high) of the unit interval in which `u` chose it.

    Residual: accepted, `u` is the acceptance's own number, and the slice [0, min(1, p/q)); else `u` is the position's
    dart, and the slice is the token's in the residual distribution. Typical: dart and slice as ever, but the dart need
    not lie in it.
    """

    token: int
    accepted: bool
    u: float
    low: float
    high: float


def look_up(ids: Sequence[int], length: int, ngram: int, end_ids: Collection[int] = ()) -> list[int]:
    """What followed the longest suffix of `ids` (up to `ngram`) that occurred before, where it occurred last.

    Prompt lookup decoding (Saxena 2023). Where the earlier text runs into the end the guesses go on from themselves,
    as in LZ77, so a loop is guessed whole; nothing is guessed after an end id.
    """
    text = np.asarray(ids, dtype=np.int64)
    places = np.flatnonzero(text[:-1] == text[-1]) if len(ids) > 1 else np.zeros(0, dtype=np.int64)
    if not places.size:
        return []
    for back in range(1, min(ngram, len(ids) - 1)):
        longer = places[places >= back]
        longer = longer[text[longer - back] == text[-1 - back]]
        if not longer.size:
            break
        places = longer
    start = int(places[-1]) + 1
    whole = [int(token) for token in text[start:]]
    found: list[int] = []
    while len(found) < length:
        token = whole[len(found)]
        found.append(token)
        whole.append(token)
        if token in end_ids:
            break
    return found


def verify(final: NDArray[np.float64], odds: NDArray[np.float64], token: int, *, accept: float, dart: float) -> Verdict:
    """Speculative sampling's verdict on a token drawn from `odds` (V,), where `final` (V,) is wanted.

    `accept` and `dart` are independent uniform numbers in [0, 1).
    """
    bound = min(1.0, float(final[token] / odds[token]))
    if accept < bound:
        return Verdict(token, accepted=True, u=accept, low=0.0, high=bound)
    rest = np.maximum(final - odds, 0.0)
    total = float(rest.sum())
    # all 0 only where both are equal up to rounding: then what is wanted is the residue
    place = draw.pick(rest / total if total > 0.0 else final, dart)
    return Verdict(place.token, accepted=False, u=dart, low=place.low, high=place.high)


def accept_typical(
    final: NDArray[np.float64], token: int, *, epsilon: float, delta: float, dart: float
) -> Verdict | None:
    """Typical acceptance of a guess where `final` (V,) is wanted; None when it is not accepted."""
    some = final[final > 0.0]
    entropy = float(-(some * np.log(some)).sum())  # nats
    if not final[token] > min(epsilon, delta * float(np.exp(-entropy))):
        return None
    place = draw.owned(final, token)
    return Verdict(token, accepted=True, u=dart, low=place.low, high=place.high)
