"""The whole vocabulary at one place of the text, as the engine surveyed it: columns of numbers, one entry a token.

Plain arrays; only what is looked at becomes a number of Python's.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinychat.text.tokenizer import Tokenizer

ORDERS = ("raw", "final", "id")
NOBODY = 255
AT_A_TIME = 4000  # tokens whose names are looked through before keys are heard again
_ITEMS = ("f", "f", "B", "I", "I", "I")  # as jobs/survey.py sends them


@dataclass(frozen=True, slots=True)
class Entry:
    """One token. Probabilities are shares of 1."""

    token: int
    rank: int  # raw
    logit: float  # raw
    raw: float
    final: float
    cut_by: str | None


class Survey:
    """The answer of a survey. ValueError for one whose parts do not fit."""

    def __init__(self, values: Mapping[str, Any], blob: bytes) -> None:
        self.stages: tuple[str, ...] = tuple(values["stages"])
        self.kept: tuple[int, ...] = tuple(values["kept"])
        self._log_total = float(values["log_total"])
        sizes = [array(item).itemsize for item in _ITEMS]
        self.size, rest = divmod(len(blob), sum(sizes))
        if rest or not self.size:
            raise ValueError(f"a survey of {len(blob)} bytes is cut or overlong")
        parts, at = [], 0
        for item, size in zip(_ITEMS, sizes, strict=True):
            part = array(item)
            part.frombytes(blob[at : at + size * self.size])
            parts.append(part)
            at += size * self.size
        self._logits, self._final, self._cut, self._by_raw, self._by_final, self._ranks = parts

    def order(self, name: str) -> Sequence[int]:
        """All tokens in one of ORDERS."""
        return {"raw": self._by_raw, "final": self._by_final}.get(name) or range(self.size)

    def entry(self, token: int) -> Entry:
        """All that is known of one token."""
        cut, logit = self._cut[token], self._logits[token]
        raw = math.exp(logit - self._log_total) if logit > -math.inf else 0.0
        by = None if cut == NOBODY else self.stages[cut]
        return Entry(token, self._ranks[token], logit, raw, self._final[token], by)


class Names:
    """What can be looked for in a vocabulary: the text of every token, made once, in parts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._texts: list[str] = []

    def matches(self, wanted: str, order: Sequence[int]) -> Iterator[list[int]]:
        """The tokens with this text in them, in any case; `#12` is a token by its number. Part by part, all so far."""
        found: list[int] = []
        if wanted.startswith("#") and wanted[1:].isdecimal():
            number = int(wanted[1:])
            yield [number] if number < len(order) else []
            return
        wanted = wanted.casefold()
        size = len(order)
        while len(self._texts) < size:
            first = len(self._texts)
            self._texts += [self._text(token) for token in range(first, min(first + AT_A_TIME, size))]
            yield found
        texts = self._texts
        for start in range(0, size, AT_A_TIME):
            found += [token for token in order[start : start + AT_A_TIME] if wanted in texts[token]]
            yield found

    def _text(self, token: int) -> str:
        known = self.tokenizer
        if token >= known.vocab_size:
            return ""
        if known.is_special(token):
            return known.label(token).casefold()
        return known.token_bytes(token).decode("utf-8", "replace").casefold()
