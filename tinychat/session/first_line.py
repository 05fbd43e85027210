"""The first line of a session file (record.py): what it is, and what a list shows of it.

A file that is none, or of a newer schema, is refused with file and line. A file comes from anywhere: nothing in it is
run, and no line of it is read that is longer than any of ours.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

from tinychat.engine.machine import Machine
from tinychat.errors import FileFormatError
from tinychat.session.growing import last_header
from tinychat.session.record import READS, SCHEMA, Source
from tinychat.session.session import Mode
from tinychat.session.values import Wrong, read_line, text_of, whole_of
from tinychat.text.terminal import one_line

HINT = "A session is saved by tinychat play; see:  tinychat sessions"
MAX_LINE = 1 << 26  # bytes
MAX_FIRST = 1 << 16
_KIND, _VERSION = SCHEMA.split("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the first line says: enough for a list."""

    path: Path
    saved: str  # ISO 8601, UTC
    name: str
    mode: Mode
    tokens: int  # in all branches
    branches: int
    words: str
    source: Source
    open: bool = False  # a screen had it open when this was written: cut off, unless one still has


def glimpse(path: Path) -> Summary:
    """What a session file says of itself as it was saved last. FileFormatError for what is none."""
    with opened(path) as file:
        for _, line, whole in lines_of(path, file):
            first = summary_of(path, line, whole)
            if (later := last_header(path, MAX_FIRST)) is not None:
                with contextlib.suppress(FileFormatError):
                    return summary_of(path, later, whole=True)
            return first
    raise refused(path, 1, "the file is empty")


def summary_of(path: Path, line: bytes, whole: bool) -> Summary:
    """What a first line says; `whole`: it ends as a line. FileFormatError for what is none."""
    try:
        record = read_line(line)
    except (Wrong, RecursionError):
        if not whole and line.startswith(b'{"schema":"' + _KIND.encode()):
            raise refused(path, 1, "the file is cut before its first token: nothing of it can be shown") from None
        raise refused(path, 1, "this is no session of tinychat") from None
    schema = record.get("schema")
    if schema not in READS:
        if isinstance(schema, str) and schema.startswith(_KIND + "/"):
            said = f"it was saved by a newer tinychat ({one_line(schema)[:40]}); this one reads {SCHEMA}"
            raise FileFormatError(f"{one_line(str(path))}: line 1: {said}.", "Update tinychat.")
        raise refused(path, 1, "this is no session of tinychat")
    try:
        model = record.get("model")
        if not isinstance(model, dict):
            raise Wrong("there is no model")
        mode = record.get("mode")
        if mode not in ("completion", "chat"):
            raise Wrong("mode must be completion or chat")
        return Summary(
            path=path, saved=text_of(record, "saved"), name=text_of(record, "name"), mode=mode,
            tokens=whole_of(record, "tokens"), branches=whole_of(record, "branches"), words=text_of(record, "words"),
            source=Source(
                path=text_of(model, "path"), digest=text_of(model, "digest"), step=whole_of(model, "step"),
                context=whole_of(model, "context"), machine=read_machine(record.get("machine")),
            ),
            open=record.get("open") is True,
        )  # fmt: skip
    except (Wrong, ValueError) as error:
        raise refused(path, 1, str(error)) from None


def read_machine(record: object) -> Machine:
    """The inverse of Machine.to_dict, for a file from anywhere; ValueError says what is wrong."""
    if record is None:
        return Machine()
    if not isinstance(record, dict):
        raise ValueError("machine must be an object")
    known = {field.name for field in fields(Machine)}
    for name, value in record.items():
        kinds: tuple[type, ...] = {"threads": (int,), "speculation": (dict,)}.get(name, (str,))
        if name not in known or not (value is None or type(value) in kinds):
            raise ValueError(f"machine has no such {one_line(str(name))[:40]}")
    if record.get("device") is None:
        record = {name: value for name, value in record.items() if name != "device"}
    return Machine(**record)


def opened(path: Path) -> IO[bytes]:
    """A regular file; never waits on a pipe. FileFormatError for anything else."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise refused(path, 0, "not a regular file")
    return os.fdopen(handle, "rb")


def lines_of(path: Path, file: IO[bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """Number, bytes and whether it ends as a line, of every line."""
    number = 0
    try:
        while line := file.readline(MAX_LINE + 1 if number else MAX_FIRST):
            number += 1
            if len(line) > MAX_LINE:
                raise refused(path, number, f"longer than {MAX_LINE} bytes")
            yield number, line, line.endswith(b"\n")
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError | ValueError) -> FileFormatError:
    reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
    return refused(path, 0, f"cannot be read ({reason})")


def refused(path: Path, line: int, reason: str) -> FileFormatError:
    """What a person is told; line 0: the file as a whole."""
    where = f"{one_line(str(path))}: line {line}" if line else one_line(str(path))
    return FileFormatError(f"{where}: {one_line(reason)[:300]}.", HINT)
