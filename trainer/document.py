"""One document of a corpus, as text or as a chat, and its tokens.

A document starts with <|endoftext|>, so that token both ends one document and starts the next. Nothing here knows
where documents come from.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinychat.text.chat import Message, render
from tinychat.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Document:
    """Text, or the messages of a chat. `continues` marks a later piece of a long text: it has no start of its own."""

    text: str | None
    messages: tuple[Message, ...] | None
    origin: str
    continues: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """What is to be encoded: the text, or that of each message."""
        return (self.text or "",) if self.messages is None else tuple(message.text for message in self.messages)

    @property
    def chars(self) -> int:
        return sum(map(len, self.texts))


def encode_document(document: Document, tokenizer: Tokenizer) -> list[int]:
    """The tokens of one document: <|endoftext|> first, unless it continues the one before."""
    if document.messages is not None:
        return render(document.messages, tokenizer, reply=False).ids
    text = document.text or ""
    return tokenizer.encode(text) if document.continues else tokenizer.encode_document(text)
