"""A text that is being scored: its ids, its sums so far, its most surprising tokens and where they stand."""

from __future__ import annotations

import numpy as np

from tinychat.engine.draw import likeliest
from tinychat.engine.score import Chunk, ScoredToken
from tinychat.engine.totals import Score
from tinychat.engine.watermarks import Found
from tinychat.text.tokenizer import Tokenizer


class ScoredDocument:
    """A text, its ids after the document start, and what is known of them so far."""

    def __init__(self, name: str, data: bytes, tokenizer: Tokenizer, *, most: int) -> None:
        self.name, self.data = name, data
        self.ids = tokenizer.encode_document(data.decode())
        self.score = Score()
        self._ends = np.cumsum(tokenizer.byte_lengths()[np.asarray(self.ids)], dtype=np.int64)
        whole = self._ends[-1] == len(data)
        self._spelled = data if whole else b"".join(map(tokenizer.token_bytes, self.ids))  # it was normalised
        self._most = most
        self.worst: list[ScoredToken] = []  # the most surprising, falling
        self.marks: dict[str, Found] = {}  # watermarks that were searched for

    def add(self, chunk: Chunk) -> None:
        """Take the next tokens into the sums, and the most surprising of them into the list."""
        self.score += chunk.score
        if self._most:
            found = [*self.worst, *(chunk.at(place) for place in likeliest(chunk.surprisal, self._most).tolist())]
            # the sort is stable: of equals the first stands
            self.worst = sorted(found, key=lambda token: -token.surprisal)[: self._most]

    def offset(self, position: int) -> int:
        """Bytes before the token at this place of the ids; of the normalised text, where a tokenizer normalises."""
        return int(self._ends[position - 1])

    def place(self, position: int) -> tuple[int, int]:
        """Line and column, both from 1 and in characters, of the first letter of a token, or of its blanks."""
        start, stop = self.offset(position), int(self._ends[position])
        blank = stop - start - len(self._spelled[start:stop].lstrip())
        at = start + (blank if blank < stop - start else 0)
        head = self._spelled[self._spelled.rfind(b"\n", 0, at) + 1 : at + 1]
        letters = sum(byte & 0xC0 != 0x80 for byte in head)  # a byte inside a character belongs to its first
        return 1 + self._spelled.count(b"\n", 0, at), max(letters, 1)

    def before(self, position: int, characters: int) -> str:
        """The end of the text before a token."""
        at = self.offset(position)
        return self._spelled[max(0, at - 4 * characters) : at].decode(errors="ignore")[-characters:]
