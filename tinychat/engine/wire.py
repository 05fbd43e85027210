"""What the screen and the engine say to each other: commands one way, frames the other, and their bytes.

A message is  u32 length of all that follows | u32 length of the header | header (JSON) | packed records.
Nothing is unpickled and nothing is trusted: a length, a name or a field that does not fit is a ProtocolError.
Nothing here knows processes, tensors or widgets.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from tinychat.engine.breaks import Condition, Met
from tinychat.engine.machine import Machine
from tinychat.engine.packing import pack_odds, pack_step, unpack_odds, unpack_step
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds, SamplerState, Step

MAX_MESSAGE = 64 << 20  # bytes; a context of a million ids is 8 MB, so more than this is no message of ours
_LENGTHS = struct.Struct("<II")

State = Literal["loading", "ready", "running", "paused", "failed"]
Stop = Literal["end", "grammar", "context", "limit", "paused", "no_legal_token", "break"]


class ProtocolError(ValueError):
    """The other side sent what no side of this program sends."""


@dataclass(frozen=True, slots=True)
class Open:
    """Open this checkpoint in place of the one that is open.

    `end_ids` are the tokens that end a reply: the engine knows no text, so who opens says them.
    Threads that are not said are chosen by the size of the model, and leave a core to the screen.
    """

    path: str
    machine: Machine = field(default_factory=Machine)
    end_ids: tuple[int, ...] = field(kw_only=True)  # no default: forgotten, a reply would never end


@dataclass(frozen=True, slots=True)
class SetContext:
    """Hold exactly these ids and pause: start, rewind, edit and branch are all this. `prompt_len` None: all of them.

    `state` is the samplers' after the last of them; None: as remembered for these ids, else fresh.
    """

    ids: tuple[int, ...]
    prompt_len: int | None = None
    state: SamplerState | None = None


@dataclass(frozen=True, slots=True)
class SetParams:
    """Draw the very next token, and those after it, with these settings."""

    params: SamplingParams


@dataclass(frozen=True, slots=True)
class Run:
    """Draw until an end, `limit` tokens or Pause, at most `rate` tokens a second (None: as the last rate said)."""

    limit: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class SetRate:
    """The pace of this run and of those after it that name none; None is as fast as it goes, and the start."""

    rate: float | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop after the token in hand."""


@dataclass(frozen=True, slots=True)
class StepOnce:
    """Draw `count` tokens, behind those that are still to come of another StepOnce, then pause."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class Force:
    """Append this token as if it had been drawn; a run goes on after it."""

    token: int


@dataclass(frozen=True, slots=True)
class Peek:
    """Send the odds of the next position, with a row for `token` whatever its rank."""

    token: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A question beside the run, of a kind that jobs/ has, with plain values; answers come in frames under its number.

    A newer question of a kind ends the older one.
    """

    kind: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drop:
    """No more answers of this kind."""

    kind: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The question of this kind is to come to its end with what it has; one that cannot goes on as it is."""

    kind: str


@dataclass(frozen=True, slots=True)
class SetBreaks:
    """Stop after a token that meets any of these, in place of those before; a person's own token is none."""

    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class SetWatch:
    """List these tokens in every record besides the likeliest, in place of those before."""

    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ack:
    """The client has taken this many frames and steps off the line; sent by DecodeWorker.read itself."""

    frames: int
    steps: int


@dataclass(frozen=True, slots=True)
class Close:
    """End the engine."""


Command = (
    Open | SetContext | SetParams | Run | SetRate | Pause | StepOnce | Force | Peek | Ask | Drop | Finish | SetBreaks
    | SetWatch | Ack | Close
)  # fmt: skip
_COMMANDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Command)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A part of the answer to the question with number `seq`."""

    kind: str
    seq: int
    values: dict[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    blob: bytes = b""
    done: bool = False  # nothing more comes; such an answer says nothing else but the error
    error: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What happened since the last frame, and how things stand now."""

    seq: int  # the last command that was applied; 0 before the first
    state: State
    stop: Stop | None = None  # why it is paused; None while running and in a context where nothing ran yet
    length: int = 0  # tokens in the context
    steps: tuple[Step, ...] = ()
    odds: Odds | None = None  # of the next position; None while running, unless Peek asked
    params_at: tuple[tuple[int, SamplingParams], ...] = ()  # settings, and the first position drawn with them
    in_force: SamplingParams | None = None  # after settings that the engine could not use: the ones it goes on with
    error: tuple[str, str] | None = None  # what went wrong, and what to do about it
    facts: dict[str, Any] | None = None  # once after Open: Engine.facts() and load_s
    tokens_per_s: float = 0.0  # over the last second of the run
    prefill_s: float = 0.0  # the time the last SetContext computed
    answers: tuple[Answer, ...] = ()
    met: tuple[Met, ...] = ()  # breakpoints, by a token among `steps`

    @property
    def n_steps(self) -> int:
        """Steps in it, of the run and of answers."""
        return len(self.steps) + sum(len(answer.steps) for answer in self.answers)


def encode_command(seq: int, command: Command) -> bytes:
    """The message of one command."""
    values: dict[str, Any] = {each.name: getattr(command, each.name) for each in fields(command)}
    if isinstance(command, SetParams):
        values["params"] = command.params.to_dict()
    elif isinstance(command, Open):
        values["machine"] = command.machine.to_dict()
    elif isinstance(command, SetContext) and command.state is not None:
        values["state"] = asdict(command.state)
    elif isinstance(command, SetBreaks):
        values["conditions"] = [asdict(condition) for condition in command.conditions]
    return encode({"seq": seq, "command": type(command).__name__, "with": values})


def decode_command(header: dict[str, Any]) -> tuple[int, Command]:
    """The sequence number and the command of a header."""
    try:
        kind, values = _COMMANDS[header["command"]], dict(header["with"])
        for name in ("ids", "end_ids"):
            if name in values:
                values[name] = tuple(values[name])
        if kind is SetParams:
            values["params"] = SamplingParams.from_dict(values["params"])
        elif kind is Open:
            values["machine"] = Machine(**values["machine"])
        elif kind is SetBreaks:
            values["conditions"] = tuple(Condition(**each) for each in values["conditions"])
        elif kind is SetContext and values["state"] is not None:
            sums = values["state"]["adaptive"]
            values["state"] = SamplerState(values["state"]["mirostat"], None if sums is None else tuple(sums))
        return int(header["seq"]), kind(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"no such command: {str(header)[:200]} ({error})") from error


def encode_frame(frame: Frame) -> bytes:
    """The message of one frame."""
    steps = [pack_step(step) for step in frame.steps]
    odds = b"" if frame.odds is None else pack_odds(frame.odds)
    header: dict[str, Any] = {
        "seq": frame.seq,
        "state": frame.state,
        "stop": frame.stop,
        "length": frame.length,
        "steps": [len(step) for step in steps],
        "odds": len(odds),
        "params_at": [[position, params.to_dict()] for position, params in frame.params_at],
        "in_force": None if frame.in_force is None else frame.in_force.to_dict(),
        "error": frame.error,
        "facts": frame.facts,
        "tokens_per_s": frame.tokens_per_s,
        "prefill_s": frame.prefill_s,
        "answers": [],
        "met": [asdict(each) for each in frame.met],
    }
    blobs = [*steps, odds]
    for answer in frame.answers:
        packed = [*(pack_step(step) for step in answer.steps), answer.blob]
        told = {"kind": answer.kind, "seq": answer.seq, "values": answer.values, "done": answer.done}
        header["answers"].append(told | {"error": answer.error, "sizes": [len(part) for part in packed]})
        blobs += packed
    return encode(header, blobs)


def decode_frame(header: dict[str, Any], body: memoryview) -> Frame:
    """The frame of a message."""
    try:
        told = header["answers"]
        sizes: list[int] = [*header["steps"], header["odds"], *(size for each in told for size in each["sizes"])]
        if any(size < 0 for size in sizes) or sum(sizes) != len(body):
            raise ValueError(f"its records need {sum(sizes)} bytes, {len(body)} came")
        parts, start = [], 0
        for size in sizes:
            parts.append(bytes(body[start : start + size]))
            start += size
        own = len(header["steps"])
        rest = iter(parts[own + 1 :])
        return Frame(
            seq=header["seq"],
            state=header["state"],
            stop=header["stop"],
            length=header["length"],
            steps=tuple(unpack_step(part) for part in parts[:own]),
            odds=unpack_odds(parts[own]) if parts[own] else None,
            params_at=tuple((at, SamplingParams.from_dict(raw)) for at, raw in header["params_at"]),
            in_force=SamplingParams.from_dict(header["in_force"]) if header["in_force"] else None,
            error=_error(header["error"]),
            facts=header["facts"],
            tokens_per_s=header["tokens_per_s"],
            prefill_s=header["prefill_s"],
            answers=tuple(_answer(each, rest) for each in told),
            met=tuple(Met(Condition(**each["condition"]), each["position"], each["value"]) for each in header["met"]),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise ProtocolError(f"a frame that cannot be read: {error}") from error


def _answer(told: dict[str, Any], parts: Iterator[bytes]) -> Answer:
    packed = [next(parts) for _ in told["sizes"]]
    return Answer(
        kind=told["kind"],
        seq=told["seq"],
        values=dict(told["values"]),
        steps=tuple(unpack_step(part) for part in packed[:-1]),
        blob=packed[-1],
        done=told["done"],
        error=_error(told["error"]),
    )


def _error(told: Any) -> tuple[str, str] | None:
    return (str(told[0]), str(told[1])) if told else None


def encode(header: dict[str, Any], blobs: Iterable[bytes] = ()) -> bytes:
    """One message. More than MAX_MESSAGE bytes raise ValueError: the other side would refuse them."""
    text = json.dumps(header, separators=(",", ":")).encode()
    body = b"".join(blobs)
    if 4 + len(text) + len(body) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(text) + len(body)} bytes is above the limit of {MAX_MESSAGE}")
    return _LENGTHS.pack(4 + len(text) + len(body), len(text)) + text + body


def take_message(buffer: bytearray) -> tuple[dict[str, Any], memoryview] | None:
    """The first whole message, removed from the buffer; None while it is not all there."""
    if len(buffer) < _LENGTHS.size:
        return None
    total, header_size = _LENGTHS.unpack_from(buffer)
    if total > MAX_MESSAGE or header_size + 4 > total:
        raise ProtocolError(f"a message of {total} bytes with a header of {header_size}")
    if len(buffer) < 4 + total:
        return None
    message = bytes(buffer[4 : 4 + total])
    del buffer[: 4 + total]
    try:
        header = json.loads(message[4 : 4 + header_size])
    except ValueError as error:  # of which bad UTF-8 is a kind
        raise ProtocolError(f"a header that is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise ProtocolError("a header that is no JSON object")
    return header, memoryview(message)[4 + header_size :]
