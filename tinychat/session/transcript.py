"""The text of a path, token by token as a screen shows it, and whole as a person copies it.

A character that is split over tokens belongs to the token that completes it. Role tokens become headers. All
text leaves here through the terminal filter. Nothing here knows colours or widths.
"""

from __future__ import annotations

from tinychat.session.session import Session
from tinychat.session.tree import PROMPT, Column
from tinychat.text.stream import TextStream
from tinychat.text.terminal import clean
from tinychat.text.tokenizer import Tokenizer

LAST = 16  # tokens that may still have to do with the next one: a character has four bytes
HEADERS = {"<|system|>": "system  ", "<|user|>": "you  ", "<|assistant|>": "model  "}


class Speller:
    """Turns the tokens of one path, in order, into the pieces of text to show for them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._names = {number: name for name, number in tokenizer.specials.items()}
        self._stream = TextStream(tokenizer)
        self._started = False

    @classmethod
    def behind(cls, tokenizer: Tokenizer, path: Column, length: int) -> Speller:
        """A speller that has seen the first `length` tokens of a path: only the last few are spelled for it."""
        speller, start = cls(tokenizer), max(length - LAST, 0)
        speller._started = any(
            (name := speller._names.get(token)) is None or (name in HEADERS and kind == PROMPT)
            for token, kind in zip(path.ids[:start], path.kinds[:start], strict=True)
        )
        for i in range(start, length):
            speller.push(path.ids[i], given=path.kinds[i] == PROMPT)
        return speller

    def push(self, token: int, *, given: bool) -> str:
        """The text to show for this token; "" while a character is incomplete."""
        name = self._names.get(token)
        if name is None:
            self._started = True
            return clean(self._stream.push(token))
        # a special token ends whatever character was left half
        tail = clean(self._stream.finish())
        self._stream = TextStream(self._tokenizer)
        return tail + self._special(name, given=given)

    def _special(self, name: str, *, given: bool) -> str:
        if not given:
            return name  # the model drew it: say so
        if name in HEADERS:
            gap = "\n\n" if self._started else ""
            self._started = True
            return gap + HEADERS[name]
        if name in ("<|end|>", "<|endoftext|>"):
            return ""
        return name


def pieces(session: Session, start: int = 0) -> list[str]:
    """What to show for every token of the path from `start` on."""
    speller, path = Speller(session.tokenizer), session.tree.path
    return [speller.push(path.ids[i], given=path.kinds[i] == PROMPT) for i in range(len(path))][start:]


def reply_text(session: Session) -> str:
    """The reply, as the model wrote it, made safe for a terminal."""
    return clean(session.tokenizer.decode(session.tree.path.ids[session.reply_start :]))


def whole_text(session: Session) -> str:
    """Prompt and reply, or the whole conversation with its headers."""
    return "".join(pieces(session)).strip("\n")
