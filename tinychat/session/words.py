"""Text of a person as ids: prompts, forbidden words, the prompt to move away from.

Nothing here knows a model; what it gives goes into SamplingParams or to an engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinychat.engine.params import SamplingParams
from tinychat.text.chat import Message, render
from tinychat.text.phrases import phrase_ids
from tinychat.text.tokenizer import Tokenizer


def encode_prompt(
    tokenizer: Tokenizer, text: str, *, chat: bool = False, system: str = "", pauses: int = 0
) -> list[int]:
    """The ids a model sees: the document start and the text, or a chat with the reply opened, after `pauses`."""
    if not chat:
        return tokenizer.encode_document(text)
    turns = [Message("system", system)] if system else []
    return render([*turns, Message("user", text)], tokenizer, reply=True, pauses=pauses).ids


def with_words(
    params: SamplingParams,
    tokenizer: Tokenizer,
    *,
    bad_words: Sequence[str] = (),
    negative: str | None = None,
    chat: bool = False,
    system: str = "",
    pauses: int = 0,
) -> SamplingParams:
    """The settings with phrases added to `bad_words`, and `negative_ids` encoded as a prompt is.

    ValueError for an empty phrase.
    """
    changes: dict[str, object] = {}
    if bad_words:
        found = [ids for text in bad_words for ids in _shortest(phrase_ids(tokenizer, text))]
        changes["bad_words"] = [*params.bad_words, *found]
    if negative is not None:
        changes["negative_ids"] = encode_prompt(tokenizer, negative, chat=chat, system=system, pauses=pauses)
    return params.with_(**changes)


def _shortest(spellings: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Those that do not end in another one: whoever may not say that cannot come to the end of them."""
    return [ids for ids in spellings if not any(ids != other and ids[-len(other) :] == other for other in spellings)]
