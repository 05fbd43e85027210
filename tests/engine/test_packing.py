"""Packed records: what goes in comes out, and nothing else is taken for a record."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.engine import packing
from tinychat.engine.orders import STAGE_NAMES
from tinychat.engine.packing import NAMES, pack_odds, pack_step, unpack_odds, unpack_step
from tinychat.engine.trace import Candidate, Odds, SamplerState, StageView, Step


def _f32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


f32 = st.floats(width=32, allow_nan=False)
share = st.floats(0, 1, width=32)
f64 = st.floats(allow_nan=False)
u32 = st.integers(0, 2**32 - 1)
names = st.sampled_from(NAMES)
candidates = st.builds(
    Candidate, token=u32, logit=f32, raw=share, final=share, rank=u32, cut_by=st.one_of(st.none(), names)
)
views = st.builds(StageView, name=names, kept=u32, mass=share, entropy=f32, chosen=st.one_of(st.none(), share))
odds_records = st.builds(
    Odds, position=u32, vocab_size=u32, candidates=st.lists(candidates, max_size=70).map(tuple),
    stages=st.lists(views, max_size=12).map(tuple), entropy=f32, varentropy=f32, final_entropy=f32, kept=u32,
    temperature=f64, region=st.one_of(st.none(), st.text(min_size=1, max_size=12)),
)  # fmt: skip
states = st.builds(SamplerState, mirostat=st.one_of(st.none(), f64), adaptive=st.one_of(st.none(), st.tuples(f64, f64)))
steps = st.builds(
    Step, odds=odds_records, token=u32, lane=st.integers(0, 65535), forced=st.booleans(), raw=share, final=share,
    raw_rank=u32, final_rank=u32, surprisal=f32, u=f64, low=f64, high=f64, time_s=f64,
    drafted=st.sampled_from([None, "accepted", "rejected"]), state=states,
)  # fmt: skip


def a_step(n: int = 64, stages: int = 5) -> Step:
    """Like what the engine makes: n likeliest, then a chosen token of rank 4000."""
    rows = [
        Candidate(token=7 * i, logit=_f32(-0.1 * i), raw=1 / 2**i, final=0.0, rank=i + 1, cut_by="top_p")
        for i in range(n)
    ]
    rows.append(Candidate(token=9999, logit=-20.0, raw=0.0, final=0.0, rank=4000, cut_by="top_p"))
    odds = Odds(
        position=300, vocab_size=32_000, candidates=tuple(rows), temperature=0.8, entropy=4.5, varentropy=2.25,
        final_entropy=1.5, kept=9,
        stages=tuple(StageView(name=NAMES[i], kept=9, mass=0.5, entropy=1.5, chosen=0.25) for i in range(stages)),
    )  # fmt: skip
    return Step(
        odds=odds, token=9999, lane=0, forced=True, raw=0.25, final=0.0, raw_rank=4000, final_rank=0, surprisal=2.0,
        u=0.1, low=0.3, high=0.7, time_s=0.001,
    )  # fmt: skip


@given(odds_records)
@settings(deadline=None)
def test_odds_come_out_as_they_went_in(odds: Odds) -> None:
    assert unpack_odds(pack_odds(odds)) == odds


@given(steps)
@settings(deadline=None)
def test_a_step_comes_out_as_it_went_in(step: Step) -> None:
    assert unpack_step(pack_step(step)) == step


def test_the_draw_and_the_temperature_keep_every_bit_and_the_rest_a_float32() -> None:
    step = dataclasses.replace(a_step(), u=math.pi / 4, low=0.1, high=1 / 3, time_s=1e-9, surprisal=0.1)
    back = unpack_step(pack_step(step))
    assert (back.u, back.low, back.high, back.time_s) == (step.u, step.low, step.high, step.time_s)
    assert back.odds.temperature == 0.8
    assert back.surprisal == _f32(0.1)


def test_records_read_back_are_as_frozen_and_comparable_as_any() -> None:
    candidate = unpack_step(pack_step(a_step())).odds.candidates[0]
    assert hash(candidate) == hash(a_step().odds.candidates[0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        candidate.token = 1  # type: ignore[misc]


def test_a_usual_step_is_small() -> None:
    assert len(pack_step(a_step(n=64, stages=5))) < 1350


@given(data=st.binary(max_size=400))
def test_bytes_of_strangers_are_records_or_value_errors(data: bytes) -> None:
    for unpack in (unpack_step, unpack_odds):
        found = None
        with contextlib.suppress(ValueError):
            found = unpack(data)
        if found is not None:
            repr(found)  # what has passed can be looked at as a whole


def test_rows_are_made_when_they_are_looked_at_and_bytes_are_kept() -> None:
    data = pack_step(a_step())
    step = unpack_step(data)
    assert pack_step(step) is data
    assert step.odds.stages == a_step().odds.stages
    assert step.odds == a_step().odds
    assert hash(unpack_step(data)) == hash(step)
    with pytest.raises(AttributeError, match="no such_thing"):
        step.odds.such_thing  # noqa: B018


def test_a_changed_step_is_packed_anew() -> None:
    step = unpack_step(pack_step(a_step()))
    assert unpack_step(pack_step(dataclasses.replace(step, token=77))).token == 77
    moved = dataclasses.replace(step, odds=dataclasses.replace(step.odds, position=9))
    assert unpack_step(pack_step(moved)).position == 9


def test_a_stage_that_nobody_is_called_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown stage"):
        unpack_odds(pack_odds(a_step().odds)[:-1] + b"\xff")


@pytest.mark.parametrize("cut", [0, 1, 10, 60, 100, -1])
def test_a_cut_record_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="cut"):
        unpack_step(pack_step(a_step())[:cut])


def test_an_overlong_record_is_refused() -> None:
    with pytest.raises(ValueError, match="overlong"):
        unpack_step(pack_step(a_step()) + b"\0")


def test_another_version_is_refused_by_name() -> None:
    data = pack_step(a_step())
    with pytest.raises(ValueError, match="version 1"):
        unpack_step(b"\1" + data[1:])


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown stage"):
        unpack_odds(pack_odds(a_step().odds)[:-1] + b"\x63")


def test_an_unknown_fate_and_a_region_that_is_no_text_are_refused() -> None:
    step = a_step()
    data = bytearray(pack_step(step))
    data[2] = 3
    with pytest.raises(ValueError, match="unknown fate"):
        unpack_step(bytes(data))
    odds = dataclasses.replace(step.odds, region="sure")
    with pytest.raises(ValueError, match="no text"):
        unpack_odds(pack_odds(odds)[:-1] + b"\xff")
    with pytest.raises(ValueError, match="cannot be packed"):
        pack_odds(dataclasses.replace(odds, region="x" * 300))


def test_what_does_not_fit_is_refused_when_it_is_packed() -> None:
    step = a_step()
    with pytest.raises(ValueError, match="cannot be packed"):
        pack_step(dataclasses.replace(step, surprisal=1e300))
    with pytest.raises(ValueError, match="cannot be packed"):
        pack_step(dataclasses.replace(step, token=-1))
    odds = dataclasses.replace(step.odds, stages=(StageView(name="softmax", kept=1, mass=1.0, entropy=0.0),))
    with pytest.raises(ValueError, match="cannot be packed"):
        pack_odds(odds)


def test_the_names_of_this_version_have_not_moved() -> None:
    """Old records name stages by number: when this fails, raise packing.VERSION and keep reading the old one."""
    assert packing.VERSION == 2
    assert ",".join(NAMES) == (
        "raw,guidance,contrastive,dola,grammar,allowed,bad_words,min_tokens,no_repeat_ngram,encoder_no_repeat_ngram,"
        "logit_bias,sequence_bias,repetition,encoder_repetition,frequency,presence,dry,end_decay,top_n_sigma,"
        "temperature,quadratic,top_k,typical,top_p,min_p,epsilon,eta,tfs,top_a,top_h,xtc,mirostat,adaptive_p,"
        "think_budget,watermark,synthid"
    )
    assert set(NAMES) == {"raw", *STAGE_NAMES}
