"""Packed records of choices by the hundred thousand: the newest in memory, older ones in a file without a name.

A record (engine/packing.py) is some 1.4 kB, and a session never forgets one. So what is older than the last KEEP or so
is put into a temporary file that goes with the process, whatever ends it; reading one back is one small read. Where no
file can be had, or the disk is full, records stay in memory. Blocks of records that lie elsewhere, in a session file,
are opened when one is looked at. A store may be read by other threads while one adds to it.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import IO, Protocol, overload

from tinychat import files
from tinychat.errors import StorageError

KEEP = 1024  # records that stay in memory at least, and as many again before they are put away
NONE = -1  # and what is in a block has a number below that
OPEN = 4  # blocks that stay open


class Block(Protocol):
    """Records that lie somewhere together."""

    @property
    def there(self) -> bytes:
        """Not 0 for each of its tokens that has one."""

    def open(self) -> Sequence[bytes]:
        """All of them. StorageError when they cannot be read."""

    def text(self) -> str:
        """All of them as a line of a session file has them."""

    def check(self, place: int, record: bytes) -> None:
        """StorageError where the record of a place is none."""


class Store:
    """Records by number, in the order in which they came."""

    def __init__(self) -> None:
        self._ends = array("Q")  # bytes up to the end of each
        self._recent: tuple[int, list[bytes]] = (0, [])  # the number of the first one in memory, and these
        self._room = 2 * KEEP  # how many there may be
        self._file: IO[bytes] | None = None
        self._blocks: list[Block] = []
        self._block_ends = array("Q")  # records up to the end of each
        self._open: tuple[tuple[int, Sequence[bytes]], ...] = ()  # blocks by number, the latest first

    def __len__(self) -> int:
        return len(self._ends) + (self._block_ends[-1] if self._block_ends else 0)

    @property
    def in_memory(self) -> int:
        """How many records are held in memory."""
        return len(self._recent[1])

    def add(self, record: bytes) -> int:
        """Keep a record; its number."""
        self._ends.append((self._ends[-1] if self._ends else 0) + len(record))
        self._recent[1].append(record)
        if len(self._recent[1]) >= self._room:
            self._put_away()
        return len(self._ends) - 1

    def add_all(self, records: Sequence[bytes]) -> int:
        """Keep records; the number of the first, the others follow."""
        number, before = len(self._ends), self._ends[-1] if self._ends else 0
        self._ends.extend(itertools.islice(itertools.accumulate(map(len, records), initial=before), 1, None))
        self._recent[1].extend(records)
        if len(self._recent[1]) >= self._room:
            self._put_away()
        return number

    def add_block(self, block: Block, count: int) -> int:
        """Keep a block of so many records where it is; the number of the first, the others follow downwards."""
        before = self._block_ends[-1] if self._block_ends else 0
        self._blocks.append(block)
        self._block_ends.append(before + count)
        return NONE - 1 - before

    def get(self, number: int) -> bytes:
        """The record of a number. StorageError when the disk does not give it back."""
        if number < NONE:
            return self._in_block(NONE - 1 - number)
        first, recent = self._recent  # together: another thread may be putting some away
        if number >= first:
            return recent[number - first]
        assert self._file is not None, "records are put away into a file"
        start = self._ends[number - 1] if number else 0
        size = self._ends[number] - start
        try:
            data = os.pread(self._file.fileno(), size, start)
        except OSError as error:
            raise _unreadable(error.strerror or str(error)) from error
        if len(data) != size:
            raise _unreadable(f"{len(data)} of {size} bytes")
        return data

    def block_of(self, numbers: Sequence[int]) -> Block | None:
        """The block that has the records of a row of tokens and no others; None where there is none."""
        first = next((number for number in numbers if number != NONE), NONE)
        if first >= NONE:
            return None
        at = bisect_right(self._block_ends, NONE - 1 - first)
        begin, block = self._block_ends[at - 1] if at else 0, self._blocks[at]
        due = itertools.count(NONE - 1 - begin, -1)
        alike = len(numbers) == len(block.there) and all(
            number == (next(due) if each else NONE) for number, each in zip(numbers, block.there, strict=True)
        )
        return block if alike else None

    def _in_block(self, number: int) -> bytes:
        at = bisect_right(self._block_ends, number)
        opened = self._open
        records = next((each for which, each in opened if which == at), None)
        if records is None:
            records = self._blocks[at].open()
            self._open = ((at, records), *opened[: OPEN - 1])
        place = number - (self._block_ends[at - 1] if at else 0)
        self._blocks[at].check(place, records[place])
        return records[place]

    def _put_away(self) -> None:
        """All but the last KEEP into the file; what is in memory is let go only then."""
        first, recent = self._recent
        going = len(recent) - KEEP
        data = memoryview(b"".join(recent[:going]))
        place = self._ends[first - 1] if first else 0
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=files.state_folder(), buffering=0)  # noqa: SIM115  # kept open
            while data:
                written = os.pwrite(self._file.fileno(), data, place)
                data, place = data[written:], place + written
        except (OSError, StorageError):
            self._room = 2 * len(recent)  # not asked again for every token
            return
        self._recent, self._room = (first + going, recent[going:]), 2 * KEEP


class Records(Sequence[bytes | None]):
    """The records of a row of tokens, None where a token has none: numbers into a store that rows may share."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or Store()
        self._numbers = array("i")

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes | None]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes | None] | None:
        if isinstance(index, slice):
            return [self._get(number) for number in self._numbers[index]]
        return self._get(self._numbers[index])

    def __iter__(self) -> Iterator[bytes | None]:
        return map(self._get, self._numbers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Records) or len(self) != len(other):
            return False
        return all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # it grows

    def append(self, record: bytes | None) -> None:
        """Add a record at the end."""
        self._numbers.append(NONE if record is None else self.store.add(record))

    def restore(self, records: Sequence[bytes | None]) -> None:
        """Add records at the end."""
        there = [record for record in records if record is not None]
        number = self.store.add_all(there)
        if len(there) == len(records):
            self._numbers.extend(range(number, number + len(records)))
        else:
            numbers = itertools.count(number)
            self._numbers.extend(NONE if record is None else next(numbers) for record in records)

    def restore_block(self, block: Block) -> None:
        """Add the records of a block, which stay there."""
        numbers = itertools.count(self.store.add_block(block, len(block.there) - block.there.count(0)), -1)
        self._numbers.extend(next(numbers) if each else NONE for each in block.there)

    def block(self, start: int, stop: int) -> Block | None:
        """The block of just these tokens, if they are in one."""
        return self.store.block_of(self._numbers[start:stop])

    def has(self, index: int) -> bool:
        """Whether a token has a record, which is not looked at."""
        return self._numbers[index] != NONE

    def extend(self, other: Records, start: int, stop: int) -> None:
        """Add those of another row from `start` to `stop`; of the same store none is copied."""
        if other.store is self.store:
            self._numbers.extend(other._numbers[start:stop])
        else:
            for at in range(start, min(stop, len(other))):
                self.append(other[at])

    def first(self, count: int) -> Records:
        """A row of the first ones, in the same store."""
        row = Records(self.store)
        row.extend(self, 0, count)
        return row

    def _get(self, number: int) -> bytes | None:
        return None if number == NONE else self.store.get(number)


def _unreadable(why: str) -> StorageError:
    return StorageError(f"A token's record cannot be read back from {files.state_folder()} ({why}).", "Check the disk.")
