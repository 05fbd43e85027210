"""Encoding whole corpora: words are cut by a regular expression and looked up, and only new ones are merged.

Byte-level BPE merges inside words only, so the ids of a text are those of its words in a row. A corpus has few
different words: looking them up is several times faster than merging them again. Python's `re` has no \\p{L}, so the
classes are spelled out, from what the Unicode tables of 2002 and of today agree on; a text with any other character
is left to the native library. Nothing here knows special tokens, files or shards.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint32]

MOST_WORDS = 1 << 19  # remembered at a time; then all are forgotten
LONG = 64  # characters: a longer word is merged anew each time
BLOCK = 1024  # characters whose classes are learned at once
_FOLDED = "\u017f\u212a"  # a long s and the sign for kelvin: libraries do not agree on their upper and lower case
_SPACES = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


class WordEncoder:
    """Texts to ids. `merge` gives the ids of words that are not to be cut, `whole` those of texts (the library's).

    Without a pattern all is left to `whole`. Not for several threads at once.
    """

    def __init__(
        self,
        pattern: str,
        *,
        merge: Callable[[list[str]], Sequence[Sequence[int]]],
        whole: Callable[[list[str]], Sequence[Sequence[int]]],
    ) -> None:
        self._pattern, self._merge, self._whole = pattern, merge, whole
        self._known: dict[str, bytes] = {}
        self._long: list[str] = []
        self._letters: list[str] = []  # ranges of a character class
        self._numbers: list[str] = []
        self._blocks: set[int] = set()
        self._strange: set[str] = set()
        self._learn({0})

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text, (tokens,) uint32. No lone surrogates, please."""
        if self._pattern:
            self._meet(texts)
        found = [self._words(text) for text in texts]
        self._look_up(found)
        known = self._known
        parts = [None if words is None else b"".join([known[word] for word in words]) for words in found]
        strange = [text for text, part in zip(texts, parts, strict=True) if part is None]
        merged = iter(self._whole(strange) if strange else ())
        return [np.array(next(merged), np.uint32) if part is None else np.frombuffer(part, np.uint32) for part in parts]

    def _words(self, text: str) -> list[str] | None:
        """The words of a text that has only characters whose class is known."""
        if not self._pattern:
            return None
        if not text.isascii() and not self._strange.isdisjoint(text):
            return None
        return self._cut.findall(text)

    def _meet(self, texts: Sequence[str]) -> None:
        """Learn what is new in the texts; all at once, as the expression is made anew."""
        present = {char for text in texts if not text.isascii() for char in set(text)}
        new = {ord(char) // BLOCK for char in present} - self._blocks
        if new:
            self._learn(new)

    def _look_up(self, found: Sequence[list[str] | None]) -> None:
        known = self._known
        if len(known) > MOST_WORDS:
            known.clear()
        while self._long:
            known.pop(self._long.pop(), None)
        wanted = {word for words in found if words is not None for word in words}
        missing = list(wanted - known.keys())
        if missing:
            for word, ids in zip(missing, self._merge(missing), strict=True):
                known[word] = np.array(ids, np.uint32).tobytes()
                if len(word) > LONG:
                    self._long.append(word)

    def _learn(self, blocks: set[int]) -> None:
        """Take in the classes of some blocks of characters."""
        for block in sorted(blocks):
            classes = [_class(chr(code)) for code in range(block * BLOCK, (block + 1) * BLOCK)]
            for name, ranges in (("L", self._letters), ("N", self._numbers)):
                ranges += _ranges([code for code, kind in enumerate(classes, block * BLOCK) if kind == name])
            self._strange.update(chr(code) for code, kind in enumerate(classes, block * BLOCK) if kind is None)
        self._blocks |= blocks
        letters, numbers = "".join(self._letters), "".join(self._numbers)
        self._cut = re.compile(_spelled(self._pattern, letters, numbers))


def _class(char: str) -> str | None:
    """ "L" letter, "N" number, "" neither, None where the tables differ or know nothing."""
    old, new = unicodedata.ucd_3_2_0.category(char), unicodedata.category(char)
    kinds = {category[0] if category[0] in "LN" else "" for category in (old, new)}
    if len(kinds) > 1 or "Cn" in (old, new) or new == "Cs" or char in _FOLDED:
        return None
    return kinds.pop()


def _ranges(codes: list[int]) -> list[str]:
    found: list[list[int]] = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return [f"\\U{first:08x}-\\U{last:08x}" for first, last in found]


def _spelled(pattern: str, letters: str, numbers: str) -> str:
    """The pattern with its classes spelled out, inside and outside of brackets."""
    spelled = []
    inside = False
    index = 0
    while index < len(pattern):
        for name, chars in (("\\p{L}", letters), ("\\p{N}", numbers), ("\\s", _SPACES), ("\\S", f"^{_SPACES}")):
            if pattern.startswith(name, index):
                assert not (inside and name == "\\S"), "no pattern of ours has this"
                spelled.append(chars if inside else f"[{chars}]")
                index += len(name)
                break
        else:
            char = pattern[index]
            inside = char == "[" or (inside and char != "]")
            size = 2 if char == "\\" else 1
            spelled.append(pattern[index : index + size])
            index += size
    return "".join(spelled)
