"""Which tokens make batch number i: a pure function of (seed, i), so a resumed run goes on with the very batch it lost.

Two ways to cut a corpus into rows of `context` tokens:

    windows    an epoch is a set of windows that do not overlap, laid at a random offset and shuffled. Fewer than two
               contexts of tokens at the two ends are left out, other ones in each epoch; every other token is an
               input exactly once an epoch. The legal starts of n tokens are 0 ... n - context - 1.
    documents  rows begin at the start of a document. Whole documents are packed into rows, the longest first and each
               where it fits best (best-fit decreasing); what stays free is not trained (label -1). Every token of
               every document is an input exactly once an epoch. A document longer than a row fills rows of its own
               and only its last piece is packed. Which documents share a row is settled once by the seed; the order
               of the rows, and of the documents inside one, is new in each epoch.

In both, labels are the inputs one further on; at the end of a document the label is <|endoftext|>. Orders come from a
Feistel network (six rounds, walking until inside the range: Black and Rogaway 2002), so no shuffled list is kept and
no library's stream can change them. Nothing here knows models or devices.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tinychat.errors import CorpusError
from trainer.shards import CHUNK, Shard

Mode = Literal["windows", "documents"]
Tokens = npt.NDArray[np.int64]
IGNORED = -1

_MASK = (1 << 64) - 1
_ROUNDS = 6


class Batches:
    """Batches of one shard; see the module for the two modes.

    Raises CorpusError when the shard cannot fill one row, ValueError for a caller's nonsense.
    """

    def __init__(
        self, shard: Shard, *, context: int, rows: int, seed: int, mode: Mode = "windows", end_of_text: int
    ) -> None:
        if context < 1 or rows < 1:
            raise ValueError(f"context and rows must be at least 1, got {context} and {rows}")
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
        if len(shard) <= context:
            raise CorpusError(
                f"{shard.path}: {len(shard)} tokens, one row needs {context + 1} (context + 1).",
                "Give more text, or make model.context smaller.",
            )
        self.context = context
        self.rows = rows
        self._seed = seed
        self._cut: _Windows | _Packed = (
            _Windows(shard, context, seed) if mode == "windows" else _Packed(shard, context, seed, end_of_text)
        )

    @property
    def rows_per_epoch(self) -> int:
        return self._cut.rows

    @property
    def batches_per_epoch(self) -> float:
        """May be broken: the batch at the edge of two epochs has rows of both."""
        return self._cut.rows / self.rows

    def epoch(self, index: int) -> float:
        """How many epochs are done before batch `index`."""
        return index * self.rows / self._cut.rows

    def batch(self, index: int) -> tuple[Tokens, Tokens]:
        """Inputs and labels of batch `index`: x (rows, context), y (rows, context), -1 where nothing is to learn."""
        if index < 0:
            raise ValueError(f"index must not be negative, got {index}")
        x = np.empty((self.rows, self.context), np.int64)
        y = np.empty((self.rows, self.context), np.int64)
        for lane in range(self.rows):
            epoch, turn = divmod(index * self.rows + lane, self._cut.rows)
            row = shuffled(turn, self._cut.rows, _key(self._seed, epoch, 0))
            self._cut.fill(epoch, row, x[lane], y[lane])
        return x, y


class _Windows:
    """Windows that do not overlap, at another offset in each epoch."""

    def __init__(self, shard: Shard, context: int, seed: int) -> None:
        self._shard, self._context, self._seed = shard, context, seed
        self.rows = max(1, len(shard) // context - 1)

    def start(self, epoch: int, row: int) -> int:
        """Where a window starts; every legal start comes up in some epoch."""
        free = len(self._shard) - self.rows * self._context
        offset = (scramble(_key(self._seed, epoch, 1)) * free) >> 64
        return offset + row * self._context

    def fill(self, epoch: int, row: int, x: Tokens, y: Tokens) -> None:
        start = self.start(epoch, row)
        tokens = self._shard.read(start, start + self._context + 1)
        x[:], y[:] = tokens[:-1], tokens[1:]


class _Packed:
    """Documents packed into rows. 24 bytes a document are kept."""

    def __init__(self, shard: Shard, context: int, seed: int, end_of_text: int) -> None:
        self._shard, self._context, self._seed, self._end = shard, context, seed, end_of_text
        self._starts = _pieces(shard, context, end_of_text)
        self._order, self._edges = _pack(np.diff(self._starts), context, seed)
        self.rows = len(self._edges) - 1

    def fill(self, epoch: int, row: int, x: Tokens, y: Tokens) -> None:
        x[:], y[:] = self._end, IGNORED
        first, last = int(self._edges[row]), int(self._edges[row + 1])
        filled = 0
        for turn in range(last - first):
            key = _key(self._seed, epoch, 2 + row)
            piece = int(self._order[first + shuffled(turn, last - first, key)])
            start, stop = int(self._starts[piece]), int(self._starts[piece + 1])
            # the token after the last of a document is the <|endoftext|> of the next one
            tokens = self._shard.read(start, min(stop + 1, len(self._shard)))
            size = stop - start
            x[filled : filled + size] = tokens[:size]
            y[filled : filled + size - 1] = tokens[1:size]
            y[filled + size - 1] = tokens[size] if len(tokens) > size else self._end
            filled += size


def _pieces(shard: Shard, context: int, end_of_text: int) -> Tokens:
    """Where the pieces of at most `context` tokens start, and the end of the last: (pieces + 1,)."""
    found = [np.zeros(1, np.int64)]
    for start in range(0, len(shard), CHUNK):
        found.append(start + np.flatnonzero(shard.read(start, min(start + CHUNK, len(shard))) == end_of_text))
    starts = np.unique(np.concatenate(found))
    sizes = np.diff(np.append(starts, len(shard)))
    parts = -(-sizes // context)
    inner = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    return np.append(np.repeat(starts, parts) + inner * context, len(shard))


def _pack(sizes: Tokens, context: int, seed: int) -> tuple[Tokens, Tokens]:
    """Best-fit decreasing: pieces by row (pieces,), and where each row begins in that list (rows + 1,)."""
    lots = np.array([scramble(_key(seed, piece, 3)) for piece in range(len(sizes))], np.uint64)
    open_rows: list[list[int]] = [[] for _ in range(context + 1)]  # by the room they have left
    rooms = 0  # bit r: some row has r left
    row_of = np.empty(len(sizes), np.int64)
    rows = 0
    for piece in np.lexsort((lots, -sizes)).tolist():
        size = int(sizes[piece])
        fitting = rooms >> size
        if fitting:
            room = size + (fitting & -fitting).bit_length() - 1
            row = open_rows[room].pop()
            if not open_rows[room]:
                rooms &= ~(1 << room)
        else:
            room, row = context, rows
            rows += 1
        row_of[piece] = row
        if room > size:
            open_rows[room - size].append(row)
            rooms |= 1 << (room - size)
    order = np.argsort(row_of, kind="stable")
    return order, np.searchsorted(row_of[order], np.arange(rows + 1))


def shuffled(turn: int, size: int, key: int) -> int:
    """Entry `turn` of a permutation of range(size) that the key picks, found without making the others."""
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    low = (1 << half) - 1
    while True:
        left, right = turn >> half, turn & low
        for stage in range(_ROUNDS):
            left, right = right, left ^ (scramble(key + (stage << 32) + right) & low)
        turn = left << half | right
        if turn < size:
            return turn


def scramble(z: int) -> int:
    """64 well-mixed bits of a whole number (the finalizer of SplitMix64: Steele, Lea, Flood 2014)."""
    z = (z + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _key(seed: int, number: int, use: int) -> int:
    return scramble(scramble(scramble(seed & _MASK) ^ number) ^ use)
