"""Step and Odds as bytes: what crosses the pipe from the engine to the screen, and what can be kept by the thousand.

Little-endian, versioned, columns instead of rows. Numbers that are only shown are float32; the draw (u, low, high),
the temperature and the time stay float64, so that a replay can compare them exactly. About 1.3 kB a step of 64
candidates, against some 12 kB as Python objects. Nothing here knows tensors, threads or text.
"""

from __future__ import annotations

import functools
import math
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

from tinychat.engine.orders import STAGE_NAMES
from tinychat.engine.trace import (
    REGIONS,
    Candidate,
    Odds,
    SamplerState,
    StageView,
    Step,
    candidates_of,
    odds_later,
)

# Names travel as their index here: those that came later stand last, so that old records keep their meaning. Any other
# change of this list is a new VERSION.
VERSION = 2
_LATER = ("think_budget", "watermark", "synthid")
NAMES: tuple[str, ...] = ("raw", *(name for name in STAGE_NAMES if name not in _LATER), *_LATER)
_INDEX = {name: index for index, name in enumerate(NAMES)}
_NAME_OF = dict(enumerate(NAMES))
NOBODY = 255  # cut by nobody
_STAGES = bytes(range(len(NAMES)))
_CUTS = _STAGES + bytes((NOBODY,))
_MOST_SHARE: int = struct.unpack("<I", struct.pack("<f", 1.0001))[0]  # as bits; those of negative numbers are larger
FATES: tuple[Literal["accepted", "rejected"] | None, ...] = (None, "accepted", "rejected")  # of a draft

# version, stages, bytes of the region's name, candidates, leading candidates whose rank is their place, position,
# vocabulary, kept, entropy, varentropy, final entropy, temperature
_ODDS = struct.Struct("<BBBHHIIIfffd")
# version, forced, fate of a draft, lane, token, raw rank, final rank, raw, final, surprisal, u, low, high, time,
# and the sampler's state: mu, the two sums of adaptive-p, NaN for None
_STEP = struct.Struct("<BBBHIIIfffddddddd")
_LANE = struct.Struct("<3xH")  # of a step
MOST_BITS = 999.0  # of surprisal, where a column holds it
HEAD_BYTES = _STEP.size + _ODDS.size  # of a packed step, before its candidates


def pack_odds(odds: Odds) -> bytes:
    """The bytes of one distribution; numbers that no float32 holds raise ValueError."""
    ranked = 0
    for place, candidate in enumerate(odds.candidates, start=1):
        if candidate.rank != place:
            break
        ranked = place
    candidates, stages = odds.candidates, odds.stages
    n, s = len(candidates), len(stages)
    region = b"" if odds.region is None else odds.region.encode()
    try:
        return b"".join(
            (
                _ODDS.pack(
                    VERSION, s, len(region), n, ranked, odds.position, odds.vocab_size, odds.kept,
                    odds.entropy, odds.varentropy, odds.final_entropy, odds.temperature,
                ),
                struct.pack(
                    _candidate_format(n, ranked),
                    *[c.token for c in candidates],
                    *[c.logit for c in candidates],
                    *[c.raw for c in candidates],
                    *[c.final for c in candidates],
                    *[c.rank for c in candidates[ranked:]],
                    *[NOBODY if c.cut_by is None else _INDEX[c.cut_by] for c in candidates],
                ),
                struct.pack(
                    _stage_format(s),
                    *[stage.kept for stage in stages],
                    *[stage.mass for stage in stages],
                    *[stage.entropy for stage in stages],
                    *[math.nan if stage.chosen is None else stage.chosen for stage in stages],
                    *[_INDEX[stage.name] for stage in stages],
                ),
                region,
            )
        )  # fmt: skip
    except (struct.error, OverflowError, KeyError) as error:
        raise ValueError(f"these odds cannot be packed: {error}") from error


def unpack_odds(data: bytes) -> Odds:
    """The inverse of pack_odds; ValueError for another version, cut or overlong bytes."""
    return _read_odds(data, 0)


def pack_step(step: Step) -> bytes:
    """The bytes of one step: its own fields, then its odds."""
    if step.packed is not None:
        return step.packed
    mu, sums = step.state.mirostat, step.state.adaptive
    try:
        head = _STEP.pack(
            VERSION, step.forced, FATES.index(step.drafted), step.lane, step.token, step.raw_rank, step.final_rank,
            step.raw, step.final, step.surprisal, step.u, step.low, step.high, step.time_s,
            math.nan if mu is None else mu, *(sums or (math.nan, math.nan)),
        )  # fmt: skip
    except (struct.error, OverflowError) as error:
        raise ValueError(f"this step cannot be packed: {error}") from error
    return head + pack_odds(step.odds)


def unpack_step(data: bytes) -> Step:
    """The inverse of pack_step; ValueError for another version, cut or overlong bytes.

    All is checked now; the rows of the odds are made when they are looked at.
    """
    _check_version(data, _STEP.size)
    head = _STEP.unpack_from(data)
    _, forced, fate, lane, token, raw_rank, final_rank, raw, final, surprisal, u, low, high, time_s, mu, *sums = head
    if fate >= len(FATES):
        raise ValueError(f"packed record names an unknown fate {fate}")
    state = SamplerState(
        mirostat=None if math.isnan(mu) else mu, adaptive=None if math.isnan(sums[0]) else (sums[0], sums[1])
    )
    step = Step(
        odds=_read_odds(data, _STEP.size), token=token, lane=lane, forced=bool(forced), raw=raw, final=final,
        raw_rank=raw_rank, final_rank=final_rank, surprisal=surprisal, u=u, low=low, high=high, time_s=time_s,
        drafted=FATES[fate], state=state,
    )  # fmt: skip
    object.__setattr__(step, "packed", data)
    return step


def lane_in(data: bytes) -> int:
    """Whose dart a packed step was drawn with; the data is one of ours, packed or checked before."""
    lane: int = _LANE.unpack_from(data)[0]
    return lane


class Glance(NamedTuple):
    """The numbers of a packed step that are looked at by the thousand."""

    token: int
    raw_rank: int
    final: float
    surprisal: float
    entropy: float
    final_entropy: float


def glance(data: bytes, vocab_size: int) -> Glance:
    """A packed step from anywhere, checked as a whole, a tenth of the work of unpack_step.

    ValueError for what unpack_step refuses, for a token that is not among the `vocab_size`, and for numbers that are
    none. What passes can be unpacked, and every token in it has a name.
    """
    _check_version(data, _STEP.size + _ODDS.size)
    _, _, fate, _, token, raw_rank, _, raw, final, surprisal, u, low, high, *_ = _STEP.unpack_from(data)
    start = _STEP.size
    _check_version(data, start + _ODDS.size, at=start)
    _, s, r, n, ranked, _, _, _, entropy, _, final_entropy, _ = _ODDS.unpack_from(data, start)
    start += _ODDS.size
    fates = start + 16 * n + 4 * (n - min(ranked, n))  # after ids, three columns of floats and the ranks to be told
    end = fates + n + 17 * s + r
    if ranked > n or len(data) != end:
        raise ValueError(f"packed odds of {len(data)} bytes are cut or overlong")
    values = _columns(n).unpack_from(data, start)
    if max(token, max(values[:n], default=0)) >= vocab_size:
        raise ValueError(f"packed step names a token beyond the {vocab_size} of the vocabulary")
    if max(values[2 * n :], default=0) > _MOST_SHARE:
        _check_shares(struct.unpack_from(f"<{2 * n}f", data, start + 8 * n))
    _check_shares((raw, final, u, low, high))
    if not math.isfinite(entropy + final_entropy):
        raise ValueError("packed step has a probability that is none")
    if math.isnan(surprisal) or math.isnan(sum(values[n : 2 * n])):
        raise ValueError("packed step has a number that is none")
    if data[fates : fates + n].translate(None, _CUTS) or data[end - r - s : end - r].translate(None, _STAGES):
        raise ValueError("packed record names an unknown stage")
    if fate >= len(FATES):
        raise ValueError(f"packed record names an unknown fate {fate}")
    if r and data[end - r : end].decode(errors="replace") not in REGIONS:
        raise ValueError("packed odds name an unknown region")
    return Glance(token, raw_rank, final, surprisal, entropy, final_entropy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glances:
    """Columns of a row of tokens as the bytes of arrays, 0 where a token has no record."""

    raw_rank: bytes  # of array "I"
    final: bytes  # "f", and so are the next three
    surprisal: bytes
    entropy: bytes
    final_entropy: bytes
    fate: bytes  # a byte each, the place in FATES
    lane: bytes  # "H"


def glance_each(records: Sequence[bytes | None], tokens: Sequence[int], vocab_size: int) -> Glances:
    """A glance at every record of a row of tokens, None where there is none. `glances.glance_all` is quick.

    ValueError for what `glance` refuses, and for a record that is about another token than the one of its place.
    """
    seen = [None if data is None else glance(data, vocab_size) for data in records]
    for each, token in zip(seen, tokens, strict=True):
        if each is not None and each.token != token:
            raise ValueError(f"a record is about token {each.token}, the run has {token} there")
    return Glances(
        raw_rank=array("I", (each.raw_rank if each else 0 for each in seen)).tobytes(),
        final=array("f", (each.final if each else 0.0 for each in seen)).tobytes(),
        surprisal=array("f", (min(each.surprisal, MOST_BITS) if each else 0.0 for each in seen)).tobytes(),
        entropy=array("f", (each.entropy if each else 0.0 for each in seen)).tobytes(),
        final_entropy=array("f", (each.final_entropy if each else 0.0 for each in seen)).tobytes(),
        fate=bytes(0 if data is None else data[2] for data in records),
        lane=array("H", (0 if data is None else lane_in(data) for data in records)).tobytes(),
    )


@cache
def _columns(n: int) -> struct.Struct:
    """Ids, logits, and both columns of probabilities as the bits of their floats, which are in order from 0 on."""
    return struct.Struct(f"<{n}I{n}f{2 * n}I")


def _check_shares(shares: Sequence[float]) -> None:
    # a sum is NaN where any part is, a minimum need not be
    if min(shares) < 0.0 or max(shares) > 1.0001 or not math.isfinite(sum(shares)):
        raise ValueError("packed step has a probability that is none")


def _read_odds(data: bytes, start: int) -> Odds:
    _check_version(data, start + _ODDS.size, at=start)
    head = _ODDS.unpack_from(data, start)
    _, s, r, n, ranked, position, vocab_size, kept, entropy, varentropy, final_entropy, temperature = head
    start += _ODDS.size
    fates = start + 16 * n + 4 * (n - min(ranked, n))  # after ids, three columns of floats and the ranks to be told
    end = fates + n + 17 * s
    if ranked > n or len(data) != end + r:
        raise ValueError(f"packed odds of {len(data)} bytes are cut or overlong")
    for index in set(data[fates : fates + n]):
        _name_or_none(index)
    for index in data[end - s : end]:
        _name(index)
    try:
        region = data[end:].decode() or None
    except UnicodeDecodeError:
        raise ValueError("packed odds name a region that is no text") from None
    return odds_later(
        functools.partial(_read_rows, data, start, n, ranked, s),
        position=position, vocab_size=vocab_size, entropy=entropy, varentropy=varentropy,
        final_entropy=final_entropy, kept=kept, temperature=temperature, region=region,
    )  # fmt: skip


def _read_rows(
    data: bytes, start: int, n: int, ranked: int, s: int
) -> tuple[tuple[Candidate, ...], tuple[StageView, ...]]:
    """The candidates and stages of bytes that were checked."""
    columns, rows = struct.Struct(_candidate_format(n, ranked)), struct.Struct(_stage_format(s))
    values: Sequence[Any] = columns.unpack_from(data, start)
    ranks = (*range(1, ranked + 1), *values[4 * n : 5 * n - ranked])
    by = map(_NAME_OF.get, values[5 * n - ranked :])
    candidates = candidates_of(
        n, values[:n], values[n : 2 * n], values[2 * n : 3 * n], values[3 * n : 4 * n], ranks, by
    )
    values = rows.unpack_from(data, start + columns.size)
    stages = tuple(
        StageView(name=_name(index), kept=k, mass=mass, entropy=bits, chosen=None if math.isnan(chosen) else chosen)
        for k, mass, bits, chosen, index in zip(*(values[i * s : (i + 1) * s] for i in range(5)), strict=True)
    )
    return candidates, stages


def _candidate_format(n: int, ranked: int) -> str:
    return f"<{n}I{3 * n}f{n - ranked}I{n}B"


def _stage_format(s: int) -> str:
    return f"<{s}I{3 * s}f{s}B"


def _check_version(data: bytes, needed: int, at: int = 0) -> None:
    if len(data) < needed:
        raise ValueError(f"packed record of {len(data)} bytes is cut short")
    if data[at] != VERSION:
        raise ValueError(f"packed record has version {data[at]}, this program reads version {VERSION}")


def _name(index: int) -> str:
    if index >= len(NAMES):
        raise ValueError(f"packed record names an unknown stage {index}")
    return NAMES[index]


def _name_or_none(index: int) -> str | None:
    return None if index == NOBODY else _name(index)


@dataclass(frozen=True, slots=True)
class Share:
    """What a record says of one token: its probabilities, None where it was not recorded; `below` bounds raw then."""

    raw: float | None
    final: float | None
    below: float = 1.0


def share_in(data: bytes, token: int) -> Share:
    """The probabilities of a token in a packed step; the data is one of ours, packed or checked before."""
    start = _STEP.size
    _, _, _, n, _, _, _, kept, *_ = _ODDS.unpack_from(data, start)
    start += _ODDS.size
    tokens = struct.unpack_from(f"<{n}I", data, start)
    if token in tokens:
        at = start + 8 * n + 4 * tokens.index(token)
        return Share(*struct.unpack_from("<f", data, at), *struct.unpack_from("<f", data, at + 4 * n))
    raws = struct.unpack_from(f"<{n}f", data, start + 8 * n)
    finals = struct.unpack_from(f"<{n}f", data, start + 12 * n)
    alone = sum(map(bool, finals)) == kept  # then all that could be drawn is listed
    return Share(None, 0.0 if alone else None, min(raws, default=1.0))


def varentropy_in(data: bytes) -> float:
    """The varentropy, bits squared, of a packed step; as for `share_in`."""
    found: float = _ODDS.unpack_from(data, _STEP.size)[9]
    return found
