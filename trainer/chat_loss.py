"""Which tokens of a chat are learned, and how a chat that is longer than a row is cut.

Both are read off the tokens: control tokens come from the chat format alone and never from text, so they say who
speaks. Nothing here knows files or models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinychat.text.chat import PAUSE
from tinychat.text.tokenizer import Tokenizer

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChatTokens:
    """Ids of the control tokens; `pause` is -1 where the vocabulary has none."""

    system: int
    user: int
    assistant: int
    end: int
    pause: int = -1

    @staticmethod
    def of(tokenizer: Tokenizer) -> ChatTokens | None:
        """None for a vocabulary without role tokens."""
        if not tokenizer.has_chat:
            return None
        ids = tokenizer.specials
        return ChatTokens(
            ids["<|system|>"], ids["<|user|>"], ids["<|assistant|>"], ids["<|end|>"], pause=ids.get(PAUSE, -1)
        )

    @property
    def marks(self) -> list[int]:
        """The tokens at which it changes who speaks."""
        return [self.system, self.user, self.assistant, self.end]


class Stretch(NamedTuple):
    """Tokens `start` to `stop` of a chat, with its first `head` tokens before them."""

    head: int
    start: int
    stop: int


@dataclass(slots=True)
class Cuts:
    """What became of chats that are longer than a row."""

    chats: int = 0  # longer than a row
    stretches: int = 0  # made of them
    shortened: int = 0  # replies whose end is cut off: question and reply together are too long
    left_out: int = 0  # questions, with their replies, of which nothing fits

    def add(self, other: Cuts) -> None:
        self.chats += other.chats
        self.stretches += other.stretches
        self.shortened += other.shortened
        self.left_out += other.left_out

    def told(self, context: int) -> str:
        """In one line for a person; empty when nothing was cut."""
        if not self.chats:
            return ""
        many = "1 chat is" if self.chats == 1 else f"{self.chats} chats are"
        found = f"{many} longer than the context of {context}: cut between turns into {self.stretches}"
        if self.shortened:
            found += f"; {self.shortened} {'reply is' if self.shortened == 1 else 'replies are'} cut off at the end"
        if self.left_out:
            found += f"; {self.left_out} {'question' if self.left_out == 1 else 'questions'} too long, left out"
        return found


def learned(x: Tokens, y: Tokens, chat: ChatTokens) -> npt.NDArray[np.bool_]:
    """Which labels `y` of a document's tokens `x` (T,) are learned: those that the assistant says.

    Its <|end|> is one of them, pause tokens are not. Plain text has no roles and is learned whole.
    """
    marks = np.isin(x, chat.marks)
    if not marks.any():
        return np.ones(len(x), np.bool_)
    last = np.maximum.accumulate(np.where(marks, np.arange(len(x)), -1))
    said: npt.NDArray[np.bool_] = (last >= 0) & (x[last] == chat.assistant) & (y != chat.pause)
    return said


def is_chat(first: Tokens, chat: ChatTokens) -> bool:
    """Whether the first two tokens of a document begin a chat."""
    return len(first) > 1 and int(first[1]) in (chat.system, chat.user)


def stretches(tokens: Tokens, context: int, chat: ChatTokens) -> tuple[list[Stretch], Cuts]:
    """A long chat (T,) as stretches of at most `context` tokens, so that every reply comes once.

    Each takes as many questions with their replies as fit, after the chat's start and system message. A reply that does
    not fit even alone loses its end; a question that leaves no room for its reply is left out.
    """
    found: list[Stretch] = []
    cuts = Cuts(chats=1)
    starts = np.flatnonzero(tokens == chat.user)
    if not len(starts):
        return [], Cuts(chats=1, left_out=1)
    head = int(starts[0])
    room = context - head
    begin = -1
    ends = [*starts[1:].tolist(), len(tokens)]
    for start, end in zip(starts.tolist(), ends, strict=True):
        if begin >= 0 and end - begin <= room:
            found[-1] = found[-1]._replace(stop=end)
            continue
        stop = min(end, start + room)
        replies = np.flatnonzero(tokens[start : max(start, stop)] == chat.assistant)
        if end - start > room and not len(replies):
            cuts.left_out += 1
            begin = -1  # the next one must not follow what is not there
            continue
        cuts.shortened += end - start > room
        found.append(Stretch(head, start, stop))
        begin = start if stop == end else -1
    cuts.stretches = len(found)
    return found, cuts
