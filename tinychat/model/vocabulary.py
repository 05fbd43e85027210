"""What the engine may know of a tokenizer: the bytes of every token and the ids that end a reply.

The engine works on ids; a few methods need to know which of them make a line, end a reply or fit a grammar. Nothing
here encodes text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tinychat.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Vocabulary:
    """`token_bytes[id]` is what the token adds to the text; empty for special tokens and ids that say nothing."""

    token_bytes: tuple[bytes, ...]
    end_ids: tuple[int, ...] = ()

    @staticmethod
    def of(tokenizer: Tokenizer, size: int) -> Vocabulary:
        """Of a tokenizer, for a model with `size` rows: rows without a token get no bytes."""
        known = min(size, tokenizer.vocab_size)
        texts = tuple(tokenizer.token_bytes(token) for token in range(known))
        return Vocabulary(texts + (b"",) * (size - known), tuple(tokenizer.end_ids))

    @property
    def size(self) -> int:
        return len(self.token_bytes)

    @cached_property
    def line_ends(self) -> frozenset[int]:
        """Tokens whose text ends a line."""
        return frozenset(token for token, text in enumerate(self.token_bytes) if text.endswith(b"\n"))

    @cached_property
    def indents(self) -> frozenset[int]:
        """Tokens that are nothing but spaces and tabs."""
        return frozenset(token for token, text in enumerate(self.token_bytes) if text and not text.strip(b" \t"))

    def containing(self, text: str) -> frozenset[int]:
        """Tokens in whose bytes the text occurs."""
        wanted = text.encode()
        return frozenset(token for token, found in enumerate(self.token_bytes) if wanted in found)
