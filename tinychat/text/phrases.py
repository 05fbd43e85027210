"""A phrase as token ids, in each spelling that it can begin with inside a text.

What a ban or a bias on words needs: tokenizers spell a word in one way after a space and in another at the start of a
line. Nothing here knows models or samplers.
"""

from __future__ import annotations

from tinychat.text.tokenizer import Tokenizer


def phrase_ids(tokenizer: Tokenizer, text: str) -> list[tuple[int, ...]]:
    """The ids of the phrase, without and with a space before it; ValueError when the phrase is empty.

    Only the tokenizer's own spellings: a model can still write the phrase in other pieces, or as part of a longer
    token. A phrase that begins with white space is taken as it is.
    """
    if not text:
        raise ValueError("a phrase must not be empty")
    spellings = [text] if text[0].isspace() else [text, " " + text]
    return list(dict.fromkeys(tuple(tokenizer.encode(spelling)) for spelling in spellings))
