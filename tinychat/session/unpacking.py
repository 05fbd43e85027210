"""Runs of tokens on their way out of a session file into their columns, with the records of their choices.

Inflating records and checking each is nearly all the time that a long file takes. So only those of its first LONG runs
are unpacked at once, and all of an older file, whose runs do not say what a glance at their records says. Later ones
stay in the file, whose digest says that they are what was written, and each is checked when it is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from tinychat.engine.packing import Glances, glance, glance_each
from tinychat.errors import StorageError
from tinychat.session.token_lines import Run, read_line_of_tokens, read_records, read_seen
from tinychat.session.tree import Column
from tinychat.session.values import Wrong

LONG = 16  # runs


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands in its file, in bytes."""

    start: int
    size: int


class Unpacking:
    """The runs of one file. `handle` is what it is read from."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._file: IO[bytes] | None = None
        self._runs = 0
        self.unpacked = 0  # bytes of all records so far

    def add(self, own: Column, run: Run, record: dict[str, Any], place: Place, *, vocab_size: int, whole: bool) -> None:
        """Add a run and the records of its line to a branch; ValueError says what is wrong, and nothing is added.

        `place` is where its line stands; one that is not whole has to be right at once.
        """
        self._runs += 1
        if whole and self._runs > LONG and "seen" in record:
            seen, there = read_seen(record["seen"], len(run.ids))
            if self._file is None:
                self._file = os.fdopen(os.dup(self._handle), "rb", buffering=0)
            own.restore(*run, seen)
            own.packed.restore_block(_Line(self._file, place, there, vocab_size))
            return
        records, seen = self._read(run.ids, record["steps"] or "", vocab_size)
        own.restore(*run, seen)
        own.packed.restore(records)
        self.unpacked += sum(map(len, filter(None, records)))

    def _read(self, ids: Sequence[int], text: object, vocab_size: int) -> tuple[list[bytes | None], Glances]:
        records = read_records(text, len(ids))
        if self._runs <= LONG:
            return records, glance_each(records, ids, vocab_size)
        from tinychat.engine.glances import glance_all  # here: it needs numpy

        return records, glance_all(records, ids, vocab_size)


def add_bare(own: Column, run: Run) -> None:
    """Add a run without any records to a branch."""
    records: list[bytes | None] = [None] * len(run.ids)
    own.restore(*run, glance_each(records, run.ids, 0))
    own.packed.restore(records)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a session file as a block of records."""

    file: IO[bytes]
    place: Place
    there: bytes  # not 0 for each token that has a record
    vocab_size: int

    def open(self) -> list[bytes]:
        try:
            records = read_records(self.text(), len(self.there))
            if any((record is None) != (not each) for record, each in zip(records, self.there, strict=True)):
                raise ValueError("it has other records than it says")
        except ValueError as error:
            raise self._unreadable(str(error)) from error
        return [each for each in records if each is not None]

    def text(self) -> str:
        """All of them, deflated, as they stand in the file. StorageError when they cannot be read."""
        try:
            line = os.pread(self.file.fileno(), self.place.size, self.place.start)
            text = read_line_of_tokens(line)["steps"]
            if not isinstance(text, str | bytes):
                raise ValueError("a packed block is no text")
            return text if isinstance(text, str) else text.decode("ascii")
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        except (Wrong, ValueError, LookupError) as error:
            raise self._unreadable(str(error)) from error

    def check(self, place: int, record: bytes) -> None:
        try:
            glance(record, self.vocab_size)
        except ValueError as error:
            raise self._unreadable(str(error)) from error

    def _unreadable(self, why: str) -> StorageError:
        return StorageError(f"A token's record cannot be read back from its session file ({why}).", "Open it anew.")
