"""The byte alphabet of byte-level BPE, and the few known ways to split a text before merging.

GPT-2 (Radford et al. 2019) writes each byte as one printable character, so that a vocabulary of bytes can be
kept as text. Nothing here knows a vocabulary, a file or the native library.
"""

from __future__ import annotations


def _alphabet() -> dict[int, str]:
    """Printable bytes stand for themselves; the other 68 take the characters from U+0100 on, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + n) for n, byte in enumerate(others)}


CHAR_OF_BYTE: dict[int, str] = _alphabet()
BYTE_OF_CHAR: dict[str, int] = {char: byte for byte, char in CHAR_OF_BYTE.items()}

# UTF-8 never holds these, so a vocabulary without them still encodes every text
NEVER_IN_UTF8 = frozenset({0xC0, 0xC1, *range(0xF5, 0x100)})

_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

GPT2 = "gpt2"
GPT2_DIGITS = "gpt2-digits"
SPLIT_PATTERNS: dict[str, str] = {
    GPT2: _GPT2,
    "llama3": _LETTERS + r"\p{N}{1,3}" + _REST,
    "qwen2": _LETTERS + r"\p{N}" + _REST,
}
"""Split name to regular expression. All are linear in the text; no other expression is ever run."""

KNOWN_REGEXES: dict[str, str] = {regex: name for name, regex in SPLIT_PATTERNS.items()} | {
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": GPT2,  # as OpenAI wrote it
}


def to_bytes(chars: str) -> bytes:
    """The bytes that `chars` stand for. KeyError where a character is not of the alphabet."""
    return bytes([BYTE_OF_CHAR[char] for char in chars])
