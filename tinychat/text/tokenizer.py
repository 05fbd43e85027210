"""Byte-level BPE: text to token ids and back, with the exact bytes of every token.

Training and merging are the `tokenizers` library's (Sennrich et al. 2016, on bytes as in GPT-2); ids, special tokens
and the file are ours. Nothing here knows models, chats or screens.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from tinychat.errors import FileFormatError
from tinychat.text import bytelevel, tokenizer_file
from tinychat.text.characters import character_merges
from tinychat.text.terminal import is_mark, one_line
from tinychat.text.tokenizer_file import Parts

if TYPE_CHECKING:
    import numpy as np

    from tinychat.text.words import WordEncoder

SPECIALS = ("<|endoftext|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_SPECIALS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")

LABEL_CHARS = 32
_LABEL_SIGNS = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥"})
_BROKEN = re.compile("[\udc80-\udcff]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PIECE = re.compile(r"\s{0,256}\S{1,256}|\s{1,256}")
_LONG_SPACE = re.compile(r"\s{257}")
_LONG_WORD = 256  # characters

T = TypeVar("T")


class Tokenizer:
    """Text to ids and back. Immutable; encoding and decoding are safe from several threads."""

    def __init__(self, parts: Parts) -> None:
        assert parts.end_name is not None, "checked by the reader, given by train"
        self._parts = parts
        self._encoder = _encoder(parts)
        self._special_names = {number: name for name, number in parts.specials.items()}
        self.specials = dict(parts.specials)
        self.end_of_text = parts.specials[parts.end_name]
        self.vocab_size = len(parts.tokens) + len(parts.specials) + len(parts.names)
        self.has_chat = all(name in parts.specials for name in CHAT_SPECIALS)
        self._bytes = [b""] * self.vocab_size
        for token, number in parts.tokens.items():
            self._bytes[number] = bytelevel.to_bytes(token)
        for name, number in parts.names.items():
            self._bytes[number] = name.encode()

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
        """A tokenizer for these texts: ids 0 to 5 are SPECIALS, then the 256 bytes in order, then merges by priority.

        Deterministic: the same texts give the same tokenizer. A small corpus can run out of pairs that occur twice;
        then `vocab_size` of the result is smaller than asked for. ValueError below 262.
        """
        _enough(vocab_size)
        alphabet = list(bytelevel.CHAR_OF_BYTE.values())
        return cls._of(_train_merges(texts, size=vocab_size - len(SPECIALS), alphabet=alphabet))

    @classmethod
    def characters(cls, texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
        """One token for each character of these texts, the most frequent first; other text becomes its bytes.

        As in train(), ids 0 to 5 are SPECIALS, then the 256 bytes. ValueError below 262.
        """
        _enough(vocab_size)
        return cls._of(character_merges(texts, size=vocab_size - len(SPECIALS)))

    @classmethod
    def _of(cls, merges: list[tuple[str, str]]) -> Tokenizer:
        # two merges can give one token, so a dict keeps the first place of each
        tokens = dict.fromkeys([*(bytelevel.CHAR_OF_BYTE[byte] for byte in range(256)), *map("".join, merges)])
        return cls(
            Parts(
                tokens={token: number for number, token in enumerate(tokens, len(SPECIALS))},
                merges=merges,
                specials={name: number for number, name in enumerate(SPECIALS)},
            )
        )

    @classmethod
    def from_json(cls, text: str, *, origin: str = "tokenizer.json") -> Tokenizer:
        """The tokenizer of a tokenizer.json: ours, or a byte-level BPE one of the Hugging Face format.

        FileFormatError, naming `origin` and what is wrong, for everything else.
        """
        parts = tokenizer_file.parse(text, origin=origin)
        return _at_the_border(lambda: cls(parts), origin=origin)

    @classmethod
    def from_file(cls, path: Path) -> Tokenizer:
        """As `from_json`, from a regular file."""
        return cls.from_json(tokenizer_file.read_text(path), origin=str(path))

    def to_json(self) -> str:
        """The tokenizer as a tokenizer.json, always the same text for the same tokenizer."""
        return tokenizer_file.dump(self._parts)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `to_json()`, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def with_special(self, name: str) -> Tokenizer:
        """The tokenizer with one more control token behind the others, or itself where it has that one."""
        if name in self.specials or name in self._parts.names:
            return self
        return Tokenizer(replace(self._parts, specials={**self._parts.specials, name: self.vocab_size}))

    def is_special(self, token: int) -> bool:
        """Whether the token is a control token, which holds no text."""
        return token in self._special_names

    def encode(self, text: str) -> list[int]:
        """Ids of the text. Names of special tokens in it are plain characters; a lone surrogate counts as U+FFFD."""
        return self.encode_batch([text])[0]

    def encode_document(self, text: str) -> list[int]:
        """Ids of a document, and of a prompt to go on from: the document start, then the text."""
        return [self.end_of_text, *self.encode(text)]

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids that end a reply: the document's end, and the turn's end where there are chat roles."""
        turn_end = self.specials.get("<|end|>")
        return (self.end_of_text,) if turn_end is None else (self.end_of_text, turn_end)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, on all cores where TOKENIZERS_PARALLELISM allows."""
        whole = [text if text.isascii() else _SURROGATE.sub("\ufffd", text) for text in texts]
        return [encoding.ids for encoding in self._encoder.encode_batch_fast(whole)]

    def word_encoder(self) -> WordEncoder:
        """`encode_batch` for corpora: the same ids as arrays, several times faster. For one thread at a time."""
        from tinychat.text.words import WordEncoder  # here: it needs numpy

        pattern = bytelevel.SPLIT_PATTERNS.get(self._parts.split)
        if pattern is None or self._parts.nfc:
            return WordEncoder("", merge=self.encode_batch, whole=self.encode_batch)
        uncut = _encoder(self._parts, cut=False)
        return WordEncoder(
            pattern,
            merge=lambda words: [encoding.ids for encoding in uncut.encode_batch_fast(words)],
            whole=self.encode_batch,
        )

    def token_bytes(self, token: int) -> bytes:
        """The exact bytes of a token; none for a special. ValueError outside the vocabulary."""
        if not 0 <= token < self.vocab_size:
            raise ValueError(f"token must be from 0 to {self.vocab_size - 1}, got {token}")
        return self._bytes[token]

    def byte_lengths(self) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        """Bytes of each token, (V,) int32, for bits per byte."""
        import numpy as np  # here, so that a start without numbers does not pay for numpy

        return np.array([len(data) for data in self._bytes], dtype=np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The joined bytes as UTF-8, with U+FFFD for what is none. Specials contribute nothing."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def label(self, token: int) -> str:
        """One token on a screen: short, one line, nothing hidden.

        A special by its name, spaces as ␣, newlines as ↵, tabs as ⇥, broken UTF-8 as <E2 80>, a mark on a ◌.
        """
        if token in self._special_names:
            return one_line(self._special_names[token])
        text = self.token_bytes(token).decode("utf-8", errors="surrogateescape")
        text = _BROKEN.sub(_hex, text.translate(_LABEL_SIGNS))
        text = one_line(text if len(text) <= LABEL_CHARS else text[: LABEL_CHARS - 1] + "…")
        return "◌" + text if is_mark(text[0]) else text


def _enough(vocab_size: int) -> None:
    least = 256 + len(SPECIALS)
    if vocab_size < least:
        raise ValueError(f"vocab_size must be at least {least} (256 bytes and {len(SPECIALS)} specials)")


def _encoder(parts: Parts, *, cut: bool = True) -> tokenizers.Tokenizer:
    """The library's tokenizer for plain text only: it knows no special token, so no text can become one."""
    model = models.BPE(vocab=parts.tokens, merges=parts.merges, ignore_merges=parts.whole_words)
    encoder = tokenizers.Tokenizer(model)
    if parts.nfc:
        encoder.normalizer = normalizers.NFC()
    uncut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    encoder.pre_tokenizer = _pre_tokenizer(parts.split) if cut else uncut
    return encoder


def _pre_tokenizer(split: str) -> pre_tokenizers.PreTokenizer:
    if split == bytelevel.GPT2:
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if split == bytelevel.GPT2_DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    cut = pre_tokenizers.Split(tokenizers.Regex(bytelevel.SPLIT_PATTERNS[split]), "isolated")
    return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _train_merges(texts: Iterable[str], *, size: int, alphabet: list[str]) -> list[tuple[str, str]]:
    """The merges that the library learns, most frequent first; ties by the library's fixed order of the alphabet."""
    trainee = tokenizers.Tokenizer(models.BPE())
    trainee.pre_tokenizer = _pre_tokenizer(bytelevel.GPT2)
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=alphabet, special_tokens=[], show_progress=False
    )
    trainee.train_from_iterator(_pieces(texts), trainer)
    merges = json.loads(trainee.to_str())["model"]["merges"]
    return [(left, right) for left, right in merges]


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """The texts, with words beyond _LONG_WORD characters cut: training takes quadratic time in the longest word."""
    for text in texts:
        text = text if text.isascii() else _SURROGATE.sub("\ufffd", text)
        if max(map(len, text.split()), default=0) > _LONG_WORD or _LONG_SPACE.search(text):
            yield from _PIECE.findall(text)
        else:
            yield text


def _at_the_border(build: Callable[[], T], *, origin: str) -> T:
    """What `build` gives, with any failure of native code, panics included, as FileFormatError."""
    try:
        return build()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a Rust panic is no Exception
        raise FileFormatError(
            f"{one_line(origin)}: the tokenizer cannot be built ({one_line(str(error))[:200]}).", tokenizer_file.HINT
        ) from error


def _hex(match: re.Match[str]) -> str:
    """surrogateescape keeps broken byte 0xNN as U+DCNN."""
    return "<" + " ".join(f"{ord(char) - 0xDC00:02X}" for char in match[0]) + ">"
