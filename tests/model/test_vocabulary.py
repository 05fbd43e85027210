"""What the engine is told of a tokenizer."""

from __future__ import annotations

import pytest

from tinychat.model.vocabulary import Vocabulary
from tinychat.text.tokenizer import SPECIALS, Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the fox saw the moon, été\n    été\n" * 30], vocab_size=300)


def test_the_bytes_of_the_tokens_are_the_text(tokenizer: Tokenizer) -> None:
    vocabulary = Vocabulary.of(tokenizer, tokenizer.vocab_size)
    text = "the été 🦊\n  moon"
    assert b"".join(vocabulary.token_bytes[token] for token in tokenizer.encode(text)) == text.encode()
    assert vocabulary.size == tokenizer.vocab_size
    assert any(text and not _is_whole(text) for text in vocabulary.token_bytes), "half characters are tokens too"


def test_specials_have_no_bytes_and_the_ends_are_the_tokenizers(tokenizer: Tokenizer) -> None:
    vocabulary = Vocabulary.of(tokenizer, tokenizer.vocab_size)
    assert all(vocabulary.token_bytes[tokenizer.specials[name]] == b"" for name in SPECIALS)
    assert set(vocabulary.end_ids) == {tokenizer.specials["<|endoftext|>"], tokenizer.specials["<|end|>"]}


def test_rows_without_a_token_have_no_bytes(tokenizer: Tokenizer) -> None:
    size = tokenizer.vocab_size
    vocabulary = Vocabulary.of(tokenizer, size + 20)
    assert vocabulary.size == size + 20
    assert vocabulary.token_bytes[size:] == (b"",) * 20
    assert vocabulary.token_bytes[:size] == Vocabulary.of(tokenizer, size).token_bytes


def test_tokens_without_a_row_are_left_out(tokenizer: Tokenizer) -> None:
    vocabulary = Vocabulary.of(tokenizer, 3)
    assert vocabulary.size == 3
    assert vocabulary.end_ids == (tokenizer.specials["<|endoftext|>"],), "the other one is beyond the model"


def test_texts_are_found_in_the_bytes() -> None:
    vocabulary = Vocabulary((b"\n", b"a\n", b"\n ", b" ", b"\t  ", b" a", b"", b"\xc3", b"\xa9b", "é".encode()), (6,))
    assert vocabulary.containing("a") == {1, 5}
    assert vocabulary.containing("\n") == {0, 1, 2}
    assert vocabulary.containing("é") == {9}, "half a character is not the character"
    assert vocabulary.containing("x") == frozenset()
    assert vocabulary.containing("\ud800") == frozenset(), "half a surrogate pair is in no text"


def test_a_text_is_looked_for_once() -> None:
    class Counted(bytes):
        asked = 0

        def __contains__(self, other: object) -> bool:
            Counted.asked += 1
            return super().__contains__(other)  # type: ignore[operator]

    vocabulary = Vocabulary((Counted(b"ab"), b"b"))
    assert vocabulary.containing("a") == vocabulary.containing("a") == {0}
    assert Counted.asked == 1


def test_an_empty_text_and_an_end_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Vocabulary((b"a",)).containing("")
    for end in (1, -1):
        with pytest.raises(ValueError, match="end_ids"):
            Vocabulary((b"a",), (end,))


def test_the_same_tokens_are_the_same_vocabulary() -> None:
    one, other = Vocabulary((b"a", b"b"), (1,)), Vocabulary((b"a", b"b"), (1,))
    one.containing("a")
    assert one == other
    assert hash(one) == hash(other)


def _is_whole(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
