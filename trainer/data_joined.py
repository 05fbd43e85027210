"""Several shards as one line of tokens, with few files open however many there are.

Nothing here knows text or batches.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from tinychat.errors import CorpusError
from trainer.shards import Shard

MOST_OPEN = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """One shard of a line: where it is, and what its header must say."""

    path: Path
    tokens: int
    digest: str  # of its tokens


class Joined:
    """Shards one after another. `read` may be called from several threads."""

    def __init__(self, pieces: Sequence[Piece], *, path: Path, vocab_size: int, tokenizer_digest: str) -> None:
        """Every header is looked at; CorpusError where one is not what its piece says. `path` stands for all."""
        self.path = path
        self.pieces = tuple(pieces)
        self.vocab_size = vocab_size
        self._tokenizer_digest = tokenizer_digest
        self._starts = np.cumsum([0, *(piece.tokens for piece in pieces)])
        self._held: OrderedDict[int, Shard] = OrderedDict()
        self._lock = Lock()
        for number in range(len(self.pieces)):
            self._shard(number)

    @property
    def data_digest(self) -> str:
        """Of the tokens; that of the shard where there is only one."""
        digests = [piece.digest for piece in self.pieces]
        return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Tokens start to stop (stop - start,), across shards; as Shard.read."""
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"a range must lie in [0, {len(self)}], got [{start}, {stop})")
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        parts = []
        while start < stop:
            begin, end = int(self._starts[first]), int(self._starts[first + 1])
            if end > start:
                parts.append(self._shard(first).read(start - begin, min(stop, end) - begin))
                start = min(stop, end)
            first += 1
        if not parts:
            return np.empty(0, np.int64)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def verify(self) -> None:
        """Read every byte; CorpusError where something has changed."""
        for _ in self.chunks():
            pass

    def chunks(self) -> Iterator[npt.NDArray[np.int64]]:
        """All tokens, a chunk at a time; as verify() once the last has been taken."""
        for number in range(len(self.pieces)):
            yield from self._shard(number).chunks()

    def _shard(self, number: int) -> Shard:
        with self._lock:
            shard = self._held.pop(number, None) or self._opened(self.pieces[number])
            self._held[number] = shard
            if len(self._held) > MOST_OPEN:
                self._held.popitem(last=False)  # closed when the last reader has forgotten it
            return shard

    def _opened(self, piece: Piece) -> Shard:
        shard = Shard.open(piece.path, vocab_size=self.vocab_size, tokenizer_digest=self._tokenizer_digest)
        if len(shard) != piece.tokens or shard.data_digest != piece.digest:
            raise CorpusError(
                f"{piece.path}: not the shard that was made here ({len(shard)} tokens, digest"
                f" {shard.data_digest[:12]}; {piece.tokens} and {piece.digest[:12]} are on record).",
                "Make it again:  tinychat data build ... --fresh",
            )
        return shard
