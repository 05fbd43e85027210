"""What a file claims was drawn, as something that can be drawn again: of a session, or of `tinychat sample --json`.

Nothing here draws a token. Tokens are claimed in the shape of session/token_json.py.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinychat.engine.params import SamplingParams
from tinychat.errors import FileFormatError, UsageError
from tinychat.sample_output import SCHEMA
from tinychat.session.first_line import read_machine
from tinychat.session.recall import load
from tinychat.session.record import SCHEMA as SESSION_SCHEMA
from tinychat.session.record import Source
from tinychat.session.session import Session
from tinychat.session.token_json import token_record
from tinychat.session.tree import FORCED, PROMPT, SEARCHED
from tinychat.text.terminal import one_line

MAX_BYTES = 1 << 28
HINT = "Verify a session of tinychat play, or the output of:  tinychat sample --json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One token: its settings, whose dart it was, and what was written of it; no record where none was kept."""

    token: int
    params: SamplingParams
    forced: bool
    lane: int = 0
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply and the ids that stood before it."""

    before: tuple[int, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a file claims. `ran_on` has dtype, device and forward where they were written; `lost` what is cut off.

    `packed`: whether the numbers went through engine/packing.py, which rounds most of them to float32.
    """

    source: Source
    replies: tuple[Reply, ...]
    ran_on: Mapping[str, Any] = field(default_factory=dict)
    lost: str = ""
    packed: bool = False

    @property
    def tokens(self) -> int:
        return sum(len(reply.claims) for reply in self.replies)


def read_case(name: str) -> Case:
    """The claims of a file; `-` is stdin. FileFormatError says what is wrong, with line or key."""
    if name != "-" and _first_bytes(Path(name)).startswith(b'{"schema":"' + SESSION_SCHEMA.split("/")[0].encode()):
        recording = load(Path(name))
        session = recording.session
        return Case(
            source=recording.source, replies=tuple(session_replies(session)), lost=recording.dropped, packed=True
        )
    try:
        return _sample_case(_bytes(name))
    except _Wrong as error:
        shown = "stdin" if name == "-" else one_line(name)
        raise FileFormatError(f"{shown}: {one_line(str(error))[:300]}.", HINT) from None


def session_replies(session: Session) -> Iterator[Reply]:
    """Every reply on the path of a session, in order."""
    tree, path = session.tree, session.tree.path
    start = 0
    while start < len(path):
        if path.kinds[start] == PROMPT:
            start += 1
            continue
        stop = path.kinds.find(PROMPT, start)
        stop = len(path) if stop < 0 else stop
        claims = []
        for at in range(start, stop):
            step = tree.step(at)
            claims.append(
                Claim(
                    token=path.ids[at],
                    params=session.settings[path.setting[at]] if session.settings else session.params,
                    forced=path.kinds[at] in (FORCED, SEARCHED) if step is None else step.forced,
                    lane=0 if step is None else step.lane,
                    record=None
                    if step is None
                    else token_record(step, session.tokenizer, trace=len(step.odds.candidates)),
                )
            )
        yield Reply(before=tuple(path.ids[:start]), claims=tuple(claims))
        start = stop


class _Wrong(Exception):
    """What is wrong with the output of a sample, for a person."""


def _sample_case(data: bytes) -> Case:
    run, tokens, lost = _run_and_tokens(data)
    if "search" in run:
        raise UsageError(
            "The file holds a search, which is not drawn token by token.",
            "Verify a sample without --search, or a session.",
        )
    ids = _ids(run.get("prompt_ids"), "prompt_ids")
    if not ids:
        raise _Wrong("prompt_ids is empty")
    params = _params(run.get("settings"), "settings")
    if run.get("seed") != params.seed:
        raise _Wrong(f"seed {run.get('seed')!r} and settings.seed {params.seed} contradict each other")
    schedule, forced = _by_index(run, "schedule"), _by_index(run, "forced")
    lanes, lane = _by_index(run, "lanes"), 0
    claims = []
    for index, record in enumerate(tokens):
        lane = lanes.get(index, lane)
        if type(lane) is not int or not 0 <= lane < 1 << 16:
            raise _Wrong(f"lanes {index} is {lane!r}, no lane")
        if index in schedule:
            try:
                params = params.with_(**schedule[index])
            except (TypeError, ValueError) as error:
                raise _Wrong(f"schedule {index}: {error}") from None
        (token,) = _ids([record.get("id")], f"id of token {index}")
        if index in forced and forced[index] != token:
            raise _Wrong(f"forced {index} is {forced[index]!r}, but token {index} is {token}")
        _check_rows(record, index)
        claims.append(Claim(token=token, params=params, forced=index in forced, lane=lane, record=record))
    model, ran_on = run.get("model"), run.get("engine", {})
    if not isinstance(model, dict) or not all(isinstance(model.get(name), str) for name in ("path", "digest")):
        raise _Wrong("model must have path and digest")
    if not isinstance(ran_on, dict):
        raise _Wrong("engine must be an object")
    try:
        machine = read_machine(run.get("machine"))
    except ValueError as error:
        raise _Wrong(str(error)) from None
    if run.get("machine") is None and isinstance(ran_on.get("dtype"), str):
        machine = replace(machine, dtype=ran_on["dtype"])
    return Case(
        source=Source(path=model["path"], digest=model["digest"], machine=machine),
        replies=(Reply(before=tuple(ids), claims=tuple(claims)),),
        ran_on=ran_on,
        lost=lost,
    )


def _check_rows(record: Mapping[str, Any], index: int) -> None:
    for name, key, kind in (("candidates", "id", int), ("stages", "stage", str)):
        rows = record.get(name, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) and type(row.get(key)) is kind for row in rows):
            raise _Wrong(f"{name} of token {index} must be objects with {key}")


def _run_and_tokens(data: bytes) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    """The run and its tokens, of one object or of lines; and what is missing of cut lines."""
    try:
        whole = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict) and "tokens" in whole:
        _check_schema(whole)
        tokens = whole["tokens"]
        if not isinstance(tokens, list) or not all(isinstance(each, dict) for each in tokens):
            raise _Wrong("tokens must be a list of objects")
        return whole, tokens, ""
    rows: list[dict[str, Any]] = []
    lost = ""
    lines = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError):
            if number == len(lines) and rows:  # a cut last line
                lost = f"The file is cut: line {number} is not whole."
                break
            raise _Wrong(f"line {number}: no JSON" if rows else "this is no output of tinychat sample") from None
        if not isinstance(row, dict):
            raise _Wrong(f"line {number}: no JSON object")
        _check_schema(row)
        rows.append(row)
    if not rows:
        raise _Wrong("the file is empty")
    if "event" in rows[0]:
        return {"search": True}, [], ""
    run = rows[0].get("run")
    if not isinstance(run, dict):
        raise _Wrong(
            "line 1 has no run: it needs the first line of --jsonl, of this version of tinychat or a later one"
        )
    tokens = [row for row in rows if row.get("id") is not None]
    for index, row in enumerate(tokens):
        if row.get("index") != index:
            raise _Wrong(f"a line is missing: index {index} was due, {row.get('index')!r} came")
    if rows[-1].get("stop_reason") is None and not lost:
        lost = "The file is cut: its last line does not say why the reply ended."
    return run, tokens, lost


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _check_schema(record: Mapping[str, Any]) -> None:
    schema = record.get("schema")
    if "error" in record and schema == SCHEMA:
        raise _Wrong("it holds an error and no tokens")
    if schema != SCHEMA:
        kind = SCHEMA.split("/")[0]
        if isinstance(schema, str) and schema.startswith(kind + "/"):
            raise _Wrong(f"it was written by a newer tinychat ({schema[:40]}); this one reads {SCHEMA}")
        raise _Wrong("this is no output of tinychat sample")


def _params(record: object, where: str) -> SamplingParams:
    if not isinstance(record, dict):
        raise _Wrong(f"{where} must be an object")
    try:
        return SamplingParams.from_dict(record)
    except (TypeError, ValueError, OverflowError) as error:
        raise _Wrong(f"{where}: {error}") from None


def _ids(value: object, where: str) -> list[int]:
    if not isinstance(value, list) or not all(type(token) is int and token >= 0 for token in value):
        raise _Wrong(f"{where} must be ids from 0")
    return value


def _by_index(run: Mapping[str, Any], name: str) -> dict[int, Any]:
    value = run.get(name, {})
    if not isinstance(value, dict) or not all(key.isdecimal() and len(key) < 10 for key in value):
        raise _Wrong(f"{name} must be an object with token numbers as keys")
    return {int(key): each for key, each in value.items()}


def _bytes(name: str) -> bytes:
    if name == "-":
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        with open(Path(name), "rb") as file:  # _first_bytes has opened it: a regular file
            data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _Wrong(f"it is larger than {MAX_BYTES} bytes")
    return data


def _first_bytes(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise FileFormatError(f"{one_line(str(path))}: not a regular file.", HINT)
            return file.read(64)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
        raise FileFormatError(f"{one_line(str(path))}: cannot be read ({reason}).", HINT) from None
