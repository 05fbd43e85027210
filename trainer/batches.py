"""Which tokens make batch number i: a pure function of (seed, i), so a resumed run goes on with the very batch it lost.

Three ways to cut a corpus into rows of `context` tokens:

    windows    an epoch is a set of windows that do not overlap, laid at a random offset and shuffled. Fewer than two
               contexts of tokens at the two ends are left out, other ones in each epoch; every other token is an
               input exactly once an epoch. The legal starts of n tokens are 0 ... n - context - 1.
    documents  rows begin at the start of a document. Whole documents are packed into rows, the longest first and each
               where it fits best (best-fit decreasing); what stays free is not trained (label -1). Every token of
               every document is an input exactly once an epoch. A document longer than a row fills rows of its own
               and only its last piece is packed. Which documents share a row is settled once by the seed; the order
               of the rows, and of the documents inside one, is new in each epoch.
    packed     the same rows, and attention is kept inside each document: `Batch.documents` says where.

Sources that are mixed by weights are cut each for itself, and each is shuffled anew whenever it has been read once, so
a source of great weight is read more often. An epoch of the mixture is as many rows as all sources have together.

In all, labels are the inputs one further on; at the end of a document the label is <|endoftext|>. With `chat`, only
what the assistant says is learned, and a chat that is longer than a row is cut between turns (chat_loss.py). Orders
come from a Feistel network (six rounds, walking until inside the range: Black and Rogaway 2002), so no shuffled list is
kept and no library's stream can change them. Nothing here knows models or devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
import numpy.typing as npt

from tinychat.errors import CorpusError
from trainer.chat_loss import ChatTokens, Cuts, is_chat, learned, stretches
from trainer.data_mixture import Mixture
from trainer.shards import CHUNK

Mode = Literal["windows", "documents", "packed"]
Tokens = npt.NDArray[np.int64]
IGNORED = -1

_MASK = (1 << 64) - 1
_ROUNDS = 6


class Line(Protocol):
    """Tokens in a row: a shard, or several."""

    path: Path

    def __len__(self) -> int: ...
    def read(self, start: int, stop: int) -> Tokens: ...


class Batch(NamedTuple):
    """Inputs and labels (rows, context), -1 where nothing is to learn, and in mode "packed" the document of each place.

    A document is a number that rises along its row; attention stays among equal ones.
    """

    x: Tokens
    y: Tokens
    documents: Tokens | None


class Batches:
    """Batches of one line of tokens, or of several that are mixed by weights; see the module for the modes.

    Raises CorpusError when a line cannot fill one row, ValueError for a caller's nonsense.
    """

    def __init__(
        self,
        lines: Line | Sequence[Line],
        *,
        context: int,
        rows: int,
        seed: int,
        mode: Mode = "windows",
        end_of_text: int,
        weights: Sequence[float] | None = None,
        chat: ChatTokens | None = None,
    ) -> None:
        """`chat` None: every token is learned, of chats too."""
        lines = lines if isinstance(lines, Sequence) else (lines,)
        if context < 1 or rows < 1:
            raise ValueError(f"context and rows must be at least 1, got {context} and {rows}")
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
        if chat is not None and mode == "windows":
            raise ValueError("who speaks is known in whole documents only: not in mode windows")
        if len(weights or [1]) != len(lines):
            raise ValueError(f"one weight for each of {len(lines)} lines is wanted, got {weights}")
        for line in lines:
            if len(line) <= context:
                raise CorpusError(
                    f"{line.path}: {len(line)} tokens, one row needs {context + 1} (context + 1).",
                    "Give more text, or make model.context smaller.",
                )
        self.context = context
        self.rows = rows
        self._kept_apart = mode == "packed"
        self._mixture = Mixture(weights or [1])
        # the first line's seed is the seed itself: alone, a line gives the same rows as in a mixture
        self._seeds = [seed if number == 0 else scramble(seed + number) for number in range(len(lines))]
        self._cuts: list[_Windows | _Packed] = [
            _Windows(line, context, own) if mode == "windows" else _Packed(line, context, own, end_of_text, chat)
            for line, own in zip(lines, self._seeds, strict=True)
        ]
        self.cuts = Cuts()
        for cut in self._cuts:
            if isinstance(cut, _Packed):
                self.cuts.add(cut.cuts)

    @property
    def rows_per_epoch(self) -> int:
        return sum(cut.rows for cut in self._cuts)

    @property
    def batches_per_epoch(self) -> float:
        """May be broken: the batch at the edge of two epochs has rows of both."""
        return self.rows_per_epoch / self.rows

    def epoch(self, index: int) -> float:
        """How many epochs are done before batch `index`."""
        return index * self.rows / self.rows_per_epoch

    def batch(self, index: int, part: range | None = None) -> Batch:
        """Batch `index`; with `part` only these of its rows."""
        if index < 0:
            raise ValueError(f"index must not be negative, got {index}")
        wanted = range(self.rows) if part is None else part
        x = np.empty((len(wanted), self.context), np.int64)
        y = np.empty((len(wanted), self.context), np.int64)
        documents = np.zeros((len(wanted), self.context), np.int64)
        for lane, number in enumerate(wanted):
            source, turn = self._mixture.place(index * self.rows + number)
            cut, seed = self._cuts[source], self._seeds[source]
            epoch, turn = divmod(turn, cut.rows)
            row = shuffled(turn, cut.rows, _key(seed, epoch, 0))
            cut.fill(epoch, row, x[lane], y[lane], documents[lane])
        return Batch(x, y, documents if self._kept_apart else None)


class _Windows:
    """Windows that do not overlap, at another offset in each epoch."""

    def __init__(self, line: Line, context: int, seed: int) -> None:
        self._line, self._context, self._seed = line, context, seed
        self.rows = max(1, len(line) // context - 1)

    def start(self, epoch: int, row: int) -> int:
        """Where a window starts; every legal start comes up in some epoch."""
        free = len(self._line) - self.rows * self._context
        offset = (scramble(_key(self._seed, epoch, 1)) * free) >> 64
        return offset + row * self._context

    def fill(self, epoch: int, row: int, x: Tokens, y: Tokens, documents: Tokens) -> None:
        start = self.start(epoch, row)
        tokens = self._line.read(start, start + self._context + 1)
        x[:], y[:] = tokens[:-1], tokens[1:]


class _Packed:
    """Documents packed into rows. 24 bytes a document are kept, with `chat` 32."""

    def __init__(self, line: Line, context: int, seed: int, end_of_text: int, chat: ChatTokens | None) -> None:
        self._line, self._context, self._seed, self._end, self._chat = line, context, seed, end_of_text, chat
        self.cuts = Cuts()
        self._heads: dict[int, tuple[int, int]] = {}  # of later stretches of a chat: how it begins
        edges = _pieces(line, context, end_of_text) if chat is None else _documents(line, end_of_text)
        self._starts, self._stops = edges[:-1], edges[1:]
        if chat is not None:
            self._cut_chats(chat)
        sizes = self._stops - self._starts
        for piece, (start, stop) in self._heads.items():
            sizes[piece] += stop - start
        self._order, self._edges = _pack(sizes, context, seed)
        self.rows = len(self._edges) - 1
        if not self.rows:
            raise CorpusError(
                f"{line.path}: no question fits into {context} tokens with its reply.", "Make model.context larger."
            )

    def _cut_chats(self, chat: ChatTokens) -> None:
        """Documents longer than a row: chats between turns, texts anywhere."""
        starts: list[int] = []
        stops: list[int] = []
        done = 0
        for number in np.flatnonzero(self._stops - self._starts > self._context).tolist():
            starts += self._starts[done:number].tolist()
            stops += self._stops[done:number].tolist()
            done = number + 1
            start, stop = int(self._starts[number]), int(self._stops[number])
            if not is_chat(self._line.read(start, start + 2), chat):
                starts += range(start, stop, self._context)
                stops += [*range(start + self._context, stop, self._context), stop]
                continue
            found, cuts = stretches(self._line.read(start, stop), self._context, chat)
            self.cuts.add(cuts)
            for stretch in found:
                self._heads[len(starts)] = start, start + stretch.head
                starts.append(start + stretch.start)
                stops.append(start + stretch.stop)
        if done:
            self._starts = np.array([*starts, *self._starts[done:].tolist()], np.int64)
            self._stops = np.array([*stops, *self._stops[done:].tolist()], np.int64)

    def fill(self, epoch: int, row: int, x: Tokens, y: Tokens, documents: Tokens) -> None:
        x[:], y[:] = self._end, IGNORED
        first, last = int(self._edges[row]), int(self._edges[row + 1])
        filled = 0
        for turn in range(last - first):
            key = _key(self._seed, epoch, 2 + row)
            piece = int(self._order[first + shuffled(turn, last - first, key)])
            start, stop = int(self._starts[piece]), int(self._stops[piece])
            # the token after the last of a document is the <|endoftext|> of the next one
            tokens = self._line.read(start, min(stop + 1, len(self._line)))
            size = stop - start
            if piece in self._heads:
                head = self._line.read(*self._heads[piece])
                tokens, size = np.concatenate((head, tokens)), size + len(head)
            if len(tokens) == size:
                tokens = np.append(tokens, self._end)
            place = slice(filled, filled + size)
            x[place], y[place] = tokens[:-1], tokens[1:]
            if self._chat is not None:
                y[place] = np.where(learned(x[place], y[place], self._chat), y[place], IGNORED)
            filled += size
            documents[filled:] = turn + 1


def _pieces(line: Line, context: int, end_of_text: int) -> Tokens:
    """Where the pieces of at most `context` tokens start, and the end of the last: (pieces + 1,)."""
    edges = _documents(line, end_of_text)
    starts, sizes = edges[:-1], np.diff(edges)
    parts = -(-sizes // context)
    inner = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    return np.append(np.repeat(starts, parts) + inner * context, len(line))


def _documents(line: Line, end_of_text: int) -> Tokens:
    """Where the documents start, and the end of the last: (documents + 1,)."""
    found = [np.zeros(1, np.int64)]
    for start in range(0, len(line), CHUNK):
        found.append(start + np.flatnonzero(line.read(start, min(start + CHUNK, len(line))) == end_of_text))
    return np.append(np.unique(np.concatenate(found)), len(line))


def _pack(sizes: Tokens, context: int, seed: int) -> tuple[Tokens, Tokens]:
    """Best-fit decreasing: pieces by row (pieces,), and where each row begins in that list (rows + 1,)."""
    lots = _scrambled(_keys(seed, len(sizes), 3))
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


def _scrambled(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """scramble() of each number; whole numbers of 64 bits wrap around by themselves."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@lru_cache(1024)  # every row of an epoch asks for the same two
def _key(seed: int, number: int, use: int) -> int:
    return scramble(scramble(scramble(seed & _MASK) ^ number) ^ use)


def _keys(seed: int, count: int, use: int) -> npt.NDArray[np.uint64]:
    """_key() of the numbers below `count`."""
    numbers = np.arange(count, dtype=np.uint64)
    return _scrambled(_scrambled(np.uint64(scramble(seed & _MASK)) ^ numbers) ^ np.uint64(use))
