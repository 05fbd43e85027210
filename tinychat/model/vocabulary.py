"""What the engine may know of a tokenizer: the bytes of every token and the ids that end a reply.

The engine works on ids; a few methods need to know which of them begin a block, end a reply or fit a grammar. Nothing
here encodes text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinychat.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Vocabulary:
    """`token_bytes[id]` is what the token adds to the text, maybe half a character.

    Empty for special tokens, which `specials` names, and for ids that say nothing. ValueError for an end id outside
    the vocabulary.
    """

    token_bytes: tuple[bytes, ...]
    end_ids: tuple[int, ...] = ()
    specials: Mapping[str, int] = field(default_factory=dict, hash=False)
    _found: dict[str, frozenset[int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for end in self.end_ids:
            if not 0 <= end < self.size:
                raise ValueError(f"end_ids must be ids of the {self.size} tokens, got {end}")

    @staticmethod
    def of(tokenizer: Tokenizer, size: int) -> Vocabulary:
        """Of a tokenizer, for a model with `size` rows.

        Rows without a token get no bytes; tokens without a row, which the model can never give, are left out.
        """
        known = min(size, tokenizer.vocab_size)
        texts = tuple(tokenizer.token_bytes(token) for token in range(known))
        ends = tuple(end for end in tokenizer.end_ids if end < size)
        specials = {name: token for name, token in tokenizer.specials.items() if token < size}
        return Vocabulary(texts + (b"",) * (size - known), ends, specials)

    @property
    def size(self) -> int:
        return len(self.token_bytes)

    def containing(self, text: str) -> frozenset[int]:
        """Tokens in whose bytes the text occurs; remembered, for a stage asks again at every token."""
        found = self._found.get(text)
        if found is None:
            if not text:
                raise ValueError("text must not be empty: every token would contain it")
            wanted = text.encode(errors="surrogatepass")
            found = frozenset(token for token, data in enumerate(self.token_bytes) if wanted in data)
            self._found[text] = found
        return found
