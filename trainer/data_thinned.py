"""A bounded sample of endless text, for the vocabulary. Nothing here knows documents or tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator


class Thinned:
    """A sample of texts with a bounded number of characters, spread evenly over however many come.

    Texts are kept by a fixed lot; whenever there are too many characters, the bar is halved.
    """

    def __init__(self, most: int) -> None:
        self._most, self._bar, self._chars, self._count = most, 1.0, 0, 0
        self._kept: list[tuple[float, str]] = []

    def add(self, text: str) -> None:
        for start in range(0, len(text), self._most // 8):  # one huge text must not be all or nothing
            self._add(text[start : start + self._most // 8])

    def _add(self, text: str) -> None:
        self._count += 1
        lot = _lot(self._count)
        if lot < self._bar:
            self._kept.append((lot, text))
            self._chars += len(text)
        while self._chars > self._most:
            self._bar /= 2
            self._kept = [(lot, text) for lot, text in self._kept if lot < self._bar]
            self._chars = sum(len(text) for _, text in self._kept)

    def texts(self) -> Iterator[str]:
        return (text for _, text in self._kept)


def _lot(number: int) -> float:
    """A fixed number in [0, 1)."""
    return int.from_bytes(hashlib.blake2b(f"0:{number}".encode(), digest_size=7).digest()) / 2**56
