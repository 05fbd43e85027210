"""Every character that the text has is one token; any other text still comes back to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinychat.text.tokenizer import SPECIALS, Tokenizer

TEXT = "Zoë's 12 naïve 'fœx': 🦊 日本 — don't\n\tcafé 日"
MADE = Tokenizer.characters([TEXT], vocab_size=400)


def test_a_text_has_as_many_tokens_as_characters() -> None:
    ids = MADE.encode(TEXT)
    assert [MADE.token_bytes(token).decode() for token in ids] == list(TEXT)
    assert MADE.vocab_size <= 262 + 2 * sum(len(letter.encode()) > 1 for letter in set(TEXT)) + 2


def test_a_text_of_ascii_needs_no_more_than_bytes() -> None:
    assert Tokenizer.characters(["plain"], vocab_size=400).vocab_size == 256 + len(SPECIALS)


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    clean = text.encode("utf-8", errors="replace").decode()
    assert MADE.decode(MADE.encode(clean)) == clean


def test_it_is_read_back_from_its_file_and_encodes_corpora_alike() -> None:
    again = Tokenizer.from_json(MADE.to_json())
    assert again.encode(TEXT) == MADE.encode(TEXT)
    [words] = MADE.word_encoder().encode([TEXT])
    assert list(words) == MADE.encode(TEXT)


def test_too_small_a_vocabulary_keeps_the_frequent_characters() -> None:
    small = Tokenizer.characters(["é" * 9 + "日" * 3], vocab_size=263)
    assert [len(small.encode(letter)) for letter in "é日"] == [1, 3]
    with pytest.raises(ValueError, match="at least 262"):
        Tokenizer.characters(["a"], vocab_size=261)
