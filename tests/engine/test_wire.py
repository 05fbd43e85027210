"""Messages: every command and frame comes out as it went in, whatever the pieces; anything else is refused."""

from __future__ import annotations

import json
import math
import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinychat.engine import wire
from tinychat.engine.channel import Channel
from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, Odds, SamplerState, StageView, Step
from tinychat.engine.wire import (
    Ack,
    Close,
    Command,
    Force,
    Frame,
    Open,
    Pause,
    Peek,
    ProtocolError,
    Run,
    SetContext,
    SetParams,
    SetRate,
    StepOnce,
    decode_command,
    decode_frame,
    encode_command,
    encode_frame,
    take_message,
)

PARAMS = SamplingParams(
    temperature=0.7, logit_bias={3: -math.inf, 5: 2.5}, seed=2**64 - 1, order=["top_k", "temperature", "logit_bias"]
)
MACHINE = Machine(
    device="cuda:0", dtype="bfloat16", threads=4, amateur="a.safetensors", draft="b.safetensors",
    speculation={"kind": "draft", "length": 4},
)  # fmt: skip
STATE = SamplerState(mirostat=7.25, adaptive=(0.5, 1.9))
COMMANDS: list[Command] = [
    Open("plain.safetensors", end_ids=()),
    Open("runs/ä b.safetensors", MACHINE, end_ids=(0, 5)),
    SetContext((1, 2, 3), 2),
    SetContext((1, 2, 3), 2, STATE),
    SetContext((1, 2, 3), 2, SamplerState(mirostat=0.1)),
    SetParams(PARAMS),
    Run(),
    Run(50, 12.5),
    SetRate(None),
    Pause(),
    StepOnce(3),
    Force(7),
    Peek(),
    Peek(9),
    Ack(2, 100),
    Close(),
]
ODDS = Odds(
    position=3, vocab_size=64, candidates=(Candidate(token=1, logit=0.5, raw=0.5, final=1.0, rank=1),),
    stages=(StageView(name="raw", kept=64, mass=1.0, entropy=1.5),), entropy=1.5, varentropy=0.25, final_entropy=0.0,
    kept=1, temperature=0.0,
)  # fmt: skip
STEP = Step(
    odds=ODDS, token=1, lane=0, forced=False, raw=0.5, final=1.0, raw_rank=1, final_rank=1, surprisal=1.0, u=0.1,
    low=0.0, high=1.0, time_s=0.01,
)  # fmt: skip
FRAMES = [
    Frame(seq=0, state="loading"),
    Frame(
        seq=9, state="paused", stop="end", length=4, steps=(STEP, STEP), odds=ODDS, params_at=((3, PARAMS),),
        in_force=PARAMS, error=("It broke.", "Mend it."), facts={"parameters": 7, "device": "cpu"}, tokens_per_s=1.5,
        prefill_s=0.25,
    ),
]  # fmt: skip


def message(total: int, header_size: int, rest: bytes = b"") -> bytearray:
    return bytearray(struct.pack("<II", total, header_size) + rest)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_command_comes_out_as_it_went_in(command: Command) -> None:
    taken = take_message(bytearray(encode_command(17, command)))
    assert taken is not None
    assert decode_command(taken[0]) == (17, command)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_comes_out_as_it_went_in(frame: Frame) -> None:
    taken = take_message(bytearray(encode_frame(frame)))
    assert taken is not None
    assert decode_frame(*taken) == frame


@given(st.lists(st.integers(1, 400), max_size=60))
def test_pieces_of_any_size_make_the_same_messages(sizes: list[int]) -> None:
    stream = b"".join(encode_command(number, command) for number, command in enumerate(COMMANDS))
    buffer, found, start = bytearray(), [], 0
    for size in [*sizes, len(stream)]:
        buffer += stream[start : start + size]
        start += size
        while (taken := take_message(buffer)) is not None:
            found.append(decode_command(taken[0]))
    assert found == list(enumerate(COMMANDS))
    assert not buffer


@pytest.mark.parametrize(
    "buffer",
    [
        message(wire.MAX_MESSAGE + 1, 0),
        message(10, 7),
        message(2, 0),
        message(4 + 4, 4, b"nope"),
        message(4 + 2, 2, b"[]"),
        message(4 + 2, 2, b"\xff\xff"),
    ],
)
def test_bytes_of_strangers_are_refused(buffer: bytearray) -> None:
    with pytest.raises(ProtocolError):
        take_message(buffer)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"seq": 1, "command": "Delete", "with": {}},
        {"seq": 1, "command": "Force", "with": {}},
        {"seq": 1, "command": "Force", "with": {"token": 1, "more": 2}},
        {"seq": 1, "command": "SetParams", "with": {"params": {"temperature": -1}}},
        {"seq": "x", "command": "Pause", "with": {}},
        {"seq": 1, "command": "Pause", "with": None},
    ],
)
def test_commands_that_are_none_are_refused(header: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        decode_command(header)


def test_a_frame_whose_records_do_not_add_up_is_refused() -> None:
    taken = take_message(bytearray(encode_frame(FRAMES[1])))
    assert taken is not None
    header, body = taken
    for wrong in (body[:-1], memoryview(bytes(body) + b"x"), memoryview(b"")):
        with pytest.raises(ProtocolError):
            decode_frame(header, wrong)
    with pytest.raises(ProtocolError):
        decode_frame({**header, "steps": [-1, *header["steps"]]}, body)
    with pytest.raises(ProtocolError):
        decode_frame({key: value for key, value in header.items() if key != "state"}, body)


def test_a_message_above_the_limit_is_refused_where_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_MESSAGE", 1000)
    with pytest.raises(ValueError, match="limit"):
        encode_command(1, SetContext(tuple(range(1000))))


def test_sending_never_blocks_and_loses_nothing() -> None:
    """The other side does not read at first: what the socket does not take waits in memory."""
    a, b = socket.socketpair()
    sender, reader = Channel(a), Channel(b)
    ids = tuple(range(100_000))
    for number in range(20):
        sender.send(encode_command(number, SetContext(ids)))
    assert sender.waiting > 1 << 20
    got: list[tuple[int, Command]] = []
    while len(got) < 20:
        got += [decode_command(header) for header, _ in reader.receive()]
        sender.flush()
    assert got == [(number, SetContext(ids)) for number in range(20)]
    assert not sender.waiting


def test_an_end_that_is_gone_closes_the_other_quietly() -> None:
    a, b = socket.socketpair()
    left, right = Channel(a), Channel(b)
    left.send(encode_command(1, Pause()))
    left.close()
    assert [decode_command(header) for header, _ in right.receive()] == [(1, Pause())]  # what came is not lost
    assert right.closed
    right.send(encode_command(2, Pause()))


def test_headers_are_json_that_others_can_read() -> None:
    taken = take_message(bytearray(encode_command(1, Run(5))))
    assert taken is not None
    assert json.loads(json.dumps(taken[0])) == {"seq": 1, "command": "Run", "with": {"limit": 5, "rate": None}}
