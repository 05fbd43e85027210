"""The one filter between any text and any terminal, widget, log or error message.

What a terminal would obey, reorder or hide is shown as a visible sign; everything else passes unchanged. The rule
is per character, so text may be cut anywhere. Markup and colour are not known here: callers hand the result on
as plain content (rich.text.Text, textual Content), never as markup.
"""

from __future__ import annotations

import unicodedata
from functools import cache

KEEP = "\n\t"
MOST_MARKS = 8  # Vietnamese stacks 2 marks, Tibetan and cantillated Hebrew up to about 6

_HIDDEN_RANGES: tuple[tuple[int, int], ...] = (
    (0x0080, 0x009F),  # C1: 8-bit escape sequences
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),  # grapheme joiner
    (0x061C, 0x061C),  # Arabic letter mark (bidi)
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels, invisible
    (0x180B, 0x180F),  # Mongolian variation selectors and vowel separator
    (0x200B, 0x200F),  # zero-width space, joiners, bidi marks
    (0x2028, 0x202E),  # line and paragraph separator, bidi embeddings and overrides
    (0x2060, 0x206F),  # word joiner, invisible operators, bidi isolates, deprecated formats
    (0x3164, 0x3164),  # Hangul filler
    (0xD800, 0xDFFF),  # lone surrogates: no output encoding takes them
    (0xFDD0, 0xFDEF),  # noncharacters
    (0xFE00, 0xFE0F),  # variation selectors: they change a width after the fact, and can smuggle bytes
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # half-width Hangul filler
    (0xFFF0, 0xFFFB),  # interlinear annotation and unassigned ignorables; not U+FFFC and U+FFFD, which show
    (0x13430, 0x13455),  # Egyptian format controls
    (0x1BCA0, 0x1BCA3),  # shorthand format controls
    (0x1D173, 0x1D17A),  # musical format controls
    (0xE0000, 0xE0FFF),  # tag characters, more variation selectors
    *((plane + 0xFFFE, plane + 0xFFFF) for plane in range(0, 0x110000, 0x10000)),  # noncharacters
)


def _signs() -> dict[str, str]:
    signs = {chr(code): chr(0x2400 + code) for code in range(0x20)} | {"\x7f": "\u2421"}
    for first, last in _HIDDEN_RANGES:
        signs.update((chr(code), f"<U+{code:04X}>") for code in range(first, last + 1))
    return signs


@cache
def _signs_but(keep: str) -> dict[str, str]:
    """The sign of every character that must not pass."""
    if not set(keep) <= set(KEEP):
        raise ValueError(f"keep may hold newline and tab only, got {keep!r}")
    return {char: sign for char, sign in _signs().items() if char not in keep}


def clean(text: str, *, keep: str = KEEP) -> str:
    """`text` with every control, bidi, zero-width, tag and surrogate character as a visible sign.

    C0 controls and DEL become control pictures (U+2400 and on), the rest reads like <U+202E>. Only newline and tab
    may be kept. Idempotent, and clean(a) + clean(b) == clean(a + b).
    """
    if text.isascii() and text.isprintable() and keep in ("", KEEP):
        return text  # the table, some thousand signs, is made for text that may need it
    signs = _signs_but(keep)
    present = set(text)
    if signs.keys().isdisjoint(present):
        return text
    # every character of the text is in the table: a missing key would cost an exception each
    return text.translate({ord(char): signs.get(char, char) for char in present})


def one_line(text: str) -> str:
    """Like `clean`, with newlines and tabs as visible signs too."""
    return clean(text, keep="")


class CleanStream:
    """`clean` for text that arrives in pieces, which also bounds combining marks.

    A flood of marks on one letter slows terminals to a halt and climbs over the lines above. After MOST_MARKS in a
    row the next ones read like <U+0301>. The count goes on across pieces, so the joined output does not depend on
    where the text was cut. Idempotent.
    """

    def __init__(self, *, keep: str = KEEP) -> None:
        self._keep = keep
        self._marks = 0
        _signs_but(keep)  # a wrong `keep` fails here, not at the first push

    def push(self, text: str) -> str:
        """The next piece, safe to show."""
        text = clean(text, keep=self._keep)
        if text.isascii():  # no marks: the usual case
            self._marks = 0 if text else self._marks
            return text
        return "".join(map(self._bounded, text))

    def _bounded(self, char: str) -> str:
        if not is_mark(char):
            self._marks = 0
            return char
        self._marks += 1
        return char if self._marks <= MOST_MARKS else f"<U+{ord(char):04X}>"


def is_mark(char: str) -> bool:
    """Whether the character draws on the one before it (Unicode category M)."""
    return unicodedata.category(char)[0] == "M"
