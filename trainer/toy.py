"""The toy language: a small English-like world to train on, with its own entropy and its own marks.

Document i is a pure function of (seed, i), so any part of a corpus can be made again. Nothing here knows tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tinychat.text.chat import Message
from trainer.document import Document
from trainer.toy_chats import Chat, chat
from trainer.toy_check import Verdict, share_well_formed, well_formed
from trainer.toy_dice import Dice, Weighted
from trainer.toy_stories import story

__all__ = [
    "CHAT_SHARE",
    "Entropy",
    "Question",
    "Verdict",
    "document",
    "documents",
    "measure_entropy",
    "questions",
    "share_well_formed",
    "well_formed",
]

CHAT_SHARE = 0.35
_SHARES = 1 << 20  # the share of chats is kept in these units, so that it is a whole-number draw


@dataclass(frozen=True)
class Entropy:
    """What the generator's choices cost, averaged over documents of one kind."""

    documents: int
    bits: float
    bytes: int

    @property
    def bits_per_document(self) -> float:
        return self.bits / self.documents if self.documents else 0.0

    @property
    def bits_per_byte(self) -> float:
        return self.bits / self.bytes if self.bytes else 0.0


@dataclass(frozen=True)
class Question:
    """A chat up to a question, and the answers that count as right."""

    messages: tuple[Message, ...]
    accepted: tuple[str, ...]

    def accepts(self, answer: str) -> bool:
        """Whether an answer is right, word for word."""
        return answer.strip() in self.accepted


def documents(seed: int, count: int, *, chat_share: float = CHAT_SHARE) -> Iterator[Document]:
    """The first `count` documents: stories as text, chats as messages. ValueError when the share is not in [0, 1]."""
    for index in range(count):
        made, _ = document(seed, index, chat_share=chat_share)
        yield made


def document(seed: int, index: int, *, chat_share: float = CHAT_SHARE) -> tuple[Document, float]:
    """Document `index` of a seed, and the bits of the choices that made it (the choice of story or chat included)."""
    dice = Dice(seed, index)
    drawn = _story_or_chat(dice, chat_share)
    origin = f"toy:{seed}:{index}"
    if isinstance(drawn, Chat):
        return Document(None, drawn.messages(), origin), dice.bits
    return Document(drawn, None, origin), dice.bits


def measure_entropy(seed: int, count: int, *, chat_share: float = CHAT_SHARE) -> dict[str, Entropy]:
    """Monte-Carlo estimate of the entropy of "stories", "chats" and "all" over `count` documents.

    The mean of -log2 p of the drawn choices is an unbiased estimate of the entropy of a *derivation*. Where two
    derivations give one text this bounds the entropy of the text from above, so a perfect model can lie a little
    below it. Bytes are those of the story, or of the message texts of a chat joined by newlines; control tokens
    are not counted. The choice of story or chat counts for "all" only.
    """
    sums = {"stories": [0, 0.0, 0], "chats": [0, 0.0, 0], "all": [0, 0.0, 0]}
    for index in range(count):
        dice = Dice(seed, index)
        is_chat = _is_chat(dice, chat_share)
        before = dice.bits
        text = chat(dice).text() if is_chat else story(dice)
        for name, bits in (("chats" if is_chat else "stories", dice.bits - before), ("all", dice.bits)):
            sums[name][0] += 1
            sums[name][1] += bits
            sums[name][2] += len(text)
    return {name: Entropy(int(documents), bits, int(size)) for name, (documents, bits, size) in sums.items()}


def questions(seed: int, count: int) -> Iterator[Question]:
    """`count` questions whose right answers are known, each with the chat before it."""
    index = found = 0
    while found < count:
        drawn = chat(Dice(seed, index))
        index += 1
        messages = drawn.messages()
        ends = range(2 if drawn.system else 1, len(messages), 2)
        for turn, end in zip(drawn.turns, ends, strict=True):
            if turn.accepted and found < count:
                found += 1
                yield Question(messages[:end], turn.accepted)


def _story_or_chat(dice: Dice, chat_share: float) -> str | Chat:
    return chat(dice) if _is_chat(dice, chat_share) else story(dice)


def _is_chat(dice: Dice, chat_share: float) -> bool:
    if not 0 <= chat_share <= 1:
        raise ValueError(f"chat_share must be between 0 and 1, got {chat_share}")
    share = round(chat_share * _SHARES)
    if share in (0, _SHARES):
        return share == _SHARES
    return Weighted([True, False], [share, _SHARES - share]).draw(dice)
