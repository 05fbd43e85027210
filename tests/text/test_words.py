"""Looking words up gives the ids that the native library gives, for every text and every way to cut."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.text import bytelevel, words
from tinychat.text.tokenizer import Tokenizer
from tinychat.text.tokenizer_file import Parts

TEXTS = [
    "the fox's 12 kites weren't 3000 über-old, it's  \n\n a “test” naïve 日本語 тест ٣٤ x²½ ",
    "WE'LL SEE\r\n\tthe end",
]


@pytest.fixture(scope="module", params=[*bytelevel.SPLIT_PATTERNS, bytelevel.GPT2_DIGITS])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    trained = Tokenizer.train(TEXTS * 30, vocab_size=400)
    parts = trained._parts
    return Tokenizer(Parts(tokens=parts.tokens, merges=parts.merges, specials=parts.specials, split=request.param))


def same(tokenizer: Tokenizer, texts: list[str]) -> None:
    found = tokenizer.word_encoder().encode(texts)
    assert [ids.tolist() for ids in found] == tokenizer.encode_batch(texts)


def test_the_texts_of_the_field(tokenizer: Tokenizer) -> None:
    same(
        tokenizer, [*TEXTS, "", " ", "\n\n", "a\n\nb", "  a", "a  ", "'", "''s", "don't'S", "<|endoftext|>", "a" * 500]
    )


def test_characters_at_the_edges_of_their_classes(tokenizer: Tokenizer) -> None:
    kinds = [unicodedata.category(chr(code))[0] for code in range(0x10000)]
    edges = {code + by for code in range(1, 0x10000) if kinds[code] != kinds[code - 1] for by in (-1, 0)}
    chars = [chr(code) for code in sorted(edges | set(range(0x3100))) if not 0xD800 <= code < 0xE000]
    same(tokenizer, ["".join(f"a{char}1{char} {char}" for char in chars[n : n + 64]) for n in range(0, len(chars), 64)])


def test_most_characters_need_no_help_of_the_library() -> None:
    encoder = Tokenizer.train(TEXTS, vocab_size=300).word_encoder()
    texts = [*TEXTS, "Ελληνικά עברית ไทย 한국어 ∀x∈ℝ — €5 …"]
    encoder.encode(texts)
    assert all(encoder._words(text) is not None for text in texts)


@given(texts=st.lists(st.text(max_size=40) | st.text("ab1 '\n\tst²é日\u00a0\u2028\x1c", max_size=20), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_text(texts: list[str]) -> None:
    same(_GPT2, [text for text in texts if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)])


_GPT2 = Tokenizer.train(TEXTS * 30, vocab_size=400)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST_WORDS", 50)
    encoder = _GPT2.word_encoder()
    for start in range(0, 2000, 40):
        texts = [f"word{number} " + "x" * 100 for number in range(start, start + 40)]
        assert [ids.tolist() for ids in encoder.encode(texts)] == _GPT2.encode_batch(texts)
        assert len(encoder._known) < 50 + 3 * 40 + 2
