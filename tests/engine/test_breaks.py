"""Breakpoints stop right behind the token that met them; watched tokens stand in every record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from workers import MODEL, PROMPT, WARM, Room, a_model, expected

from tinychat.engine.breaks import MOST_WATCHED, Condition, Met, met
from tinychat.engine.engine import Engine
from tinychat.engine.observe import decide, observe
from tinychat.engine.packing import pack_step, unpack_step
from tinychat.engine.trace import Step
from tinychat.engine.wire import (
    Run,
    SetBreaks,
    SetContext,
    SetParams,
    SetWatch,
    StepOnce,
    decode_command,
    encode_command,
    take_message,
)
from tinychat.model.vocabulary import Vocabulary


def a_step(**changes: object) -> Step:
    seen = observe(torch.tensor([2.0, 1.0, 0.0]), WARM)
    step = decide(seen, WARM, token=1, time_s=0.0)
    return replace(step, **changes)


def met_by(condition: Condition, step: Step, reply: Sequence[int] = (1,)) -> float | None:
    found = met([condition], step, reply, lambda token: b"")
    return found[0].value if found else None


def test_numbers_are_compared_as_the_condition_says() -> None:
    step = a_step(final=0.2, surprisal=3.0, raw_rank=2)
    entropy = step.odds.entropy
    assert met_by(Condition("entropy", entropy - 0.01), step) == entropy
    assert met_by(Condition("entropy", entropy), step) is None
    assert met_by(Condition("prob", 0.3), step) == 0.2
    assert met_by(Condition("prob", 0.2), step) is None
    assert met_by(Condition("surprisal", 2.9), step) == 3.0
    assert met_by(Condition("surprisal", 3.0), step) is None
    assert met_by(Condition("rank", 1), step) == 2
    assert met_by(Condition("rank", 2), step) is None


@given(st.lists(st.integers(0, 3), min_size=1, max_size=14), st.integers(1, 4))
def test_an_ngram_is_met_where_brute_force_finds_it(reply: list[int], size: int) -> None:
    grams = [tuple(reply[at : at + size]) for at in range(len(reply) - size + 1)]
    again = bool(grams) and grams[-1] in grams[:-1]
    assert (met_by(Condition("ngram", size), a_step(), reply) is not None) == again


PIECES = (b"a", b"b", "ä".encode()[:1], "ä".encode()[1:], "€".encode()[:2], "€".encode()[2:], b" the", b"")


@given(
    st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=12), st.sampled_from(("a", "ab", "ä", "€a", "he"))
)
def test_a_text_is_met_by_the_token_that_completes_it(reply: list[int], text: str) -> None:
    def ends(count: int) -> list[int]:
        data = b"".join(PIECES[token] for token in reply[:count])
        return [at for at in range(len(data)) if data.startswith(text.encode(), at)]

    found = met([Condition("text", text=text)], a_step(), reply, lambda token: PIECES[token])
    assert bool(found) == (len(ends(len(reply))) > len(ends(len(reply) - 1)))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [("prob", 0.0, ""), ("prob", 1.5, ""), ("rank", 0, ""), ("ngram", 1.5, ""), ("text", 0, ""), ("entropy", -1, "")],
)
def test_a_condition_that_nothing_could_meet_is_refused(kind: str, value: float, text: str) -> None:
    with pytest.raises(ValueError, match=kind):
        Condition(kind, value, text)  # type: ignore[arg-type]


def test_a_run_stops_behind_the_token_and_goes_on_from_it(room: Room) -> None:
    engine = Engine(MODEL)
    engine.set_context(PROMPT)
    steps = [engine.step(WARM) for _ in range(40)]
    bound = sorted(step.odds.entropy for step in steps)[-3]
    high = [step for step in steps if step.odds.entropy > bound]
    client = room.ready()
    client.do(SetBreaks((Condition("entropy", bound),)))
    for step in high:
        client.frames.clear()
        frame = client.do(Run(limit=40))
        assert (frame.state, frame.stop) == ("paused", "break")
        assert client.steps[-1].position == step.position == frame.length - 1
        assert frame.met == (Met(Condition("entropy", bound), step.position, step.odds.entropy),)
    client.do(SetBreaks())
    client.frames.clear()
    assert client.do(Run(limit=5)).stop == "limit"


def test_ten_tokens_stop_at_a_break_too(room: Room) -> None:
    tokens = expected(10)
    vocabulary = Vocabulary(tuple(f"<{token}>".encode() for token in range(64)))
    client = room.ready(vocabulary=vocabulary)
    client.do(SetBreaks((Condition("text", text=f"{tokens[2]}><{tokens[3]}"),)))
    frame = client.do(StepOnce(10))
    assert frame.stop == "break"
    assert client.tokens == tokens[:4]


def test_a_text_needs_tokens_with_text(room: Room) -> None:
    frame = room.ready().do(SetBreaks((Condition("text", text="moon"),)))
    assert frame.error is not None
    assert "no text" in frame.error[0]


def test_what_was_met_is_not_told_of_another_path(room: Room) -> None:
    client = room.ready()
    client.do(SetBreaks((Condition("prob", 1.0),)))
    client.send(StepOnce(), SetContext(PROMPT))
    frame = client.do(SetParams(WARM))
    assert frame.met == ()


def test_watched_tokens_are_in_every_record_and_change_no_other_number() -> None:
    model = a_model(vocab_size=200)
    plain, watched = Engine(model), Engine(model)
    watched.watch = (199, 3)
    for engine in (plain, watched):
        engine.set_context(PROMPT)
    for _ in range(5):
        one, two = plain.step(WARM), watched.step(WARM)
        listed = {each.token: each for each in two.odds.candidates}
        assert {199, 3} <= listed.keys()
        assert two.odds.candidates[:64] == one.odds.candidates[:64]
        assert listed[199].raw == pytest.approx(raw_prob(plain, watched, 199), rel=1e-6)
        assert (one.token, one.odds.stages, one.u) == (two.token, two.odds.stages, two.u)
        again = unpack_step(pack_step(two))
        assert [each.token for each in again.odds.candidates] == [each.token for each in two.odds.candidates]
        assert [each.rank for each in again.odds.candidates] == [each.rank for each in two.odds.candidates]


def raw_prob(plain: Engine, watched: Engine, token: int) -> float:
    watched.cut(watched.length() - 1)
    prob = watched.peek(WARM, token=token).stages[0].chosen
    watched.append(plain.tokens()[-1])
    assert prob is not None
    return prob


def test_watching_goes_over_the_wire(room: Room) -> None:
    client = room.ready()
    frame = client.do(SetWatch((63, 3, 63)))
    assert frame.odds is not None
    assert {63, 3} <= {each.token for each in frame.odds.candidates}
    assert client.do(SetWatch((64,))).error is not None
    assert client.do(SetWatch(tuple(range(MOST_WATCHED + 1)))).error is not None


@pytest.mark.parametrize("command", [SetBreaks((Condition("text", text="ä"), Condition("rank", 2))), SetWatch((1, 2))])
def test_commands_come_out_as_they_went_in(command: SetBreaks | SetWatch) -> None:
    message = take_message(bytearray(encode_command(3, command)))
    assert message is not None
    assert decode_command(message[0]) == (3, command)
