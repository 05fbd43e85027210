"""A session file that grows: the first write makes it whole, in one move; later ones add what is new at its end.

What is added is a section: a first line and a state as of record.py, the tokens that came since, and a last line of its
own, whose digest is over all lines from the first. A writer killed in the middle leaves a section without its last
line, which readers pass over: the section before it holds. So a save of a long text costs what is new. Once in a while,
when what later sections have made out of date outweighs the rest, the file is made whole again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinychat import files
from tinychat.session import record
from tinychat.session.record import Snapshot

LEAST_WASTE = 1 << 18  # bytes out of date that are never worth a whole file
MOST_SECTIONS = 1000  # each takes a reader some time
SEAL = b'{"lines":'  # how a last line begins
_TAIL = 4096  # bytes at the end of a file in which its last line is looked for


@dataclass(slots=True, kw_only=True)
class _Made:
    """What stands in the file."""

    path: Path
    inode: tuple[int, int]  # device and number: another file in its place is not ours to add to
    size: int
    lines: int
    digest: Any  # of hashlib, over all lines
    lengths: dict[int, int]  # tokens of each branch
    waste: int = 0  # bytes of states that later ones replace
    sections: int = 1

    @property
    def is_wasteful(self) -> bool:
        """Whether it is time to make the file whole again."""
        return self.sections >= MOST_SECTIONS or self.waste > max(LEAST_WASTE, self.size // 2)


class GrowingFile:
    """Writes snapshots of one session."""

    def __init__(self) -> None:
        self._made: _Made | None = None

    @classmethod
    def read(
        cls, path: Path, *, size: int, lines: int, digest: Any, lengths: dict[int, int], waste: int, sections: int
    ) -> GrowingFile:
        """A file that was read whole: writes go on in it, if it is still the same. `digest` (of hashlib) is over all
        its lines, `lengths` are the tokens of each branch, `waste` the bytes of its later sections beside tokens.
        """
        file = cls()
        with contextlib.suppress(OSError):
            found = os.stat(path)
            if found.st_size == size:
                file._made = _Made(
                    path=path, inode=(found.st_dev, found.st_ino), size=size, lines=lines, digest=digest,
                    lengths=lengths, waste=waste, sections=sections,
                )  # fmt: skip
        return file

    def write(self, taken: Snapshot, path: Path) -> None:
        """Write a snapshot, later than those before. StorageError leaves what was saved before as it was."""
        made = self._made
        if made is None or made.path != path or made.is_wasteful or not self._add(made, taken):
            self._write_whole(taken, path)

    def _write_whole(self, taken: Snapshot, path: Path) -> None:
        self._made = None
        sheet = _Sheet()
        files.write_atomic(path, sheet.sealed(record.lines(taken)))
        found = os.stat(path)
        if found.st_size == sheet.size:
            self._made = _Made(
                path=path, inode=(found.st_dev, found.st_ino), size=sheet.size, lines=sheet.lines, digest=sheet.digest,
                lengths={number: length for number, length, _ in taken.runs},
            )  # fmt: skip

    def _add(self, made: _Made, taken: Snapshot) -> bool:
        """Add a section; False where the file is not the one that was written."""
        sheet = _Sheet(made)
        if not files.append(made.path, sheet.sealed(self._news(made, taken)), size=made.size, inode=made.inode):
            return False
        made.waste += sheet.state_size
        made.size, made.lines, made.digest = sheet.size, sheet.lines, sheet.digest
        made.lengths = {number: length for number, length, _ in taken.runs}
        made.sections += 1
        return True

    def _news(self, made: _Made, taken: Snapshot) -> Iterator[bytes]:
        yield record.line(taken.first)
        yield record.line(taken.state)
        for number, length, own in taken.runs:
            yield from record.runs(number, own, made.lengths.get(number, 0), length)


class _Sheet:
    """Lines on their way into the file, counted and digested."""

    def __init__(self, made: _Made | None = None) -> None:
        self.at = self.size = 0 if made is None else made.size
        self.lines = 0 if made is None else made.lines
        self.digest = hashlib.sha256() if made is None else made.digest.copy()
        self.state_size = 0  # bytes of all but tokens

    def sealed(self, given: Iterator[bytes]) -> Iterator[bytes]:
        """The lines and their last one."""
        for line in given:
            yield self._count(line)
        yield self._count(record.seal(self.lines, self.digest.hexdigest(), at=self.at))

    def _count(self, line: bytes) -> bytes:
        self.digest.update(line)
        self.lines += 1
        self.size += len(line)
        if not line.startswith(record.RUN_BEGINS):
            self.state_size += len(line)
        return line


def last_header(path: Path, most: int) -> bytes | None:
    """The first line of the last section of a file; None where that is the first line of all, or cannot be told.

    At most `most` bytes of it are read.
    """
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        size = file.tell()
        file.seek(max(size - _TAIL, 0))
        for line in reversed(file.read(_TAIL).split(b"\n")):
            if line.startswith(SEAL):
                at = json.loads(line).get("at", 0)
                if type(at) is not int or not 0 < at < size:
                    return None
                file.seek(at)
                return file.readline(most)
    return None
