"""Phrases as ids."""

from __future__ import annotations

import pytest

from tinychat.text.phrases import phrase_ids
from tinychat.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the fox saw the moon, été " * 30], vocab_size=300)


@pytest.mark.parametrize("phrase", ["fox", "the fox", "été", "Fox!", "🦊", "x"])
def test_a_phrase_is_found_in_a_text_wherever_it_stands(tokenizer: Tokenizer, phrase: str) -> None:
    spellings = phrase_ids(tokenizer, phrase)
    assert [tokenizer.decode(ids) for ids in spellings] == [phrase, " " + phrase]
    for text in (phrase, "the " + phrase, "moon\n" + phrase):
        ids = tuple(tokenizer.encode(text))
        assert any(ids[at : at + len(each)] == each for each in spellings for at in range(len(ids))), text


@pytest.mark.parametrize("phrase", [" fox", "\n", "  ", "\tfox"])
def test_a_phrase_that_begins_with_space_is_taken_as_it_is(tokenizer: Tokenizer, phrase: str) -> None:
    assert [tokenizer.decode(ids) for ids in phrase_ids(tokenizer, phrase)] == [phrase]


def test_names_of_special_tokens_are_plain_text(tokenizer: Tokenizer) -> None:
    for ids in phrase_ids(tokenizer, "<|end|>"):
        assert not any(tokenizer.is_special(token) for token in ids)


def test_an_empty_phrase_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="empty"):
        phrase_ids(tokenizer, "")
