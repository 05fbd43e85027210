"""Nothing a terminal would obey, reorder or hide passes the filter."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinychat.text.terminal import MOST_MARKS, CleanStream, clean, is_mark, one_line

ANY_TEXT = st.text(st.characters(codec=None, categories=None))  # surrogates too
NASTY = st.text(st.sampled_from("ab \n\t\x1b[]0;\x07\x9b\x7f\u202e\u2066\u200d\ufe0f\U000e0041\ud800\u0301é中🚀<U+>"))
SHOWN_FORMATS = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}  # signs around digits

PAYLOADS = {
    "clear screen": "\x1b[2J\x1b[H",
    "title": "\x1b]0;pwned\x07",
    "clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "link": "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "answerback": "\x05\x1b[c\x1b[6n\x1b[>q",
    "device control": "\x1bP+q544e\x1b\\\x1b_Gf=100\x1b\\",
    "eight-bit CSI": "\x9b31mred\x9b0m",
    "eight-bit OSC": "\x9d0;title\x9c",
    "overwrite": "password: \rhacked\x08\x08",
    "bell and shift": "\x07\x0e\x0f",
    "delete": "a\x7fb",
    "bidi override": "\u202egnp.exe\u202c",
    "bidi isolate": "\u2066a\u2069\u2067b\u2068c",
    "bidi marks": "\u200ea\u200fb\u061c",
    "separators": "a\u2028b\u2029c\x85d",
    "zero width": "a\u200bb\u200cc\u200dd\u2060e\ufefff",
    "tags": "".join(chr(0xE0000 + ord(char)) for char in "ignore all"),
    "selectors": "a" + "".join(chr(0xE0100 + n) for n in range(20)) + "\ufe0f\ufe00",
    "annotation": "\ufff9a\ufffab\ufffb",
    "surrogate": "a\ud83db\udc80",
    "noncharacters": "\ufffe\uffff\ufdd0\U0010ffff",
    "soft hyphen": "a\u00adb",
    "fillers": "\u115f\u1160\u3164\uffa0",
}


def harmless(text: str) -> bool:
    """What may reach a terminal, told from Unicode's own categories."""
    return all(
        char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs", "Cf", "Zl", "Zp") or ord(char) in SHOWN_FORMATS
        for char in text
    )


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_hostile_text_becomes_visible_signs(payload: str) -> None:
    shown = clean(payload)
    assert harmless(shown)
    assert shown != payload
    shown.encode("utf-8")  # any UTF-8 terminal takes it
    assert all(char in shown for char in payload if char.isascii() and char.isprintable())


def test_every_code_point_passes_harmless_or_becomes_a_sign_of_visible_characters() -> None:
    for code in range(0x110000):
        char = chr(code)
        shown = clean(char)
        assert harmless(shown)
        assert shown == char or shown.encode("ascii", "ignore") == f"<U+{code:04X}>".encode() or len(shown) == 1
        if unicodedata.category(char)[0] in "LNPS" and code not in (0x115F, 0x1160, 0x3164, 0xFFA0):
            assert shown == char  # letters, numbers, punctuation and symbols are never touched
        if "VARIATION SELECTOR" in unicodedata.name(char, "") or 0xE0000 <= code <= 0xE0FFF:
            assert shown != char
        if 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE:
            assert shown != char  # noncharacters


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "␛[31m"),
        ("\x00\x7f", "␀␡"),
        ("\x9b", "<U+009B>"),
        ("\u202e", "<U+202E>"),
        ("a\r\nb\tc", "a␍\nb\tc"),
        ("\U000e0041", "<U+E0041>"),
    ],
)
def test_signs_say_which_character_it_was(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(NASTY | ANY_TEXT, NASTY | ANY_TEXT)
def test_text_may_be_cut_anywhere(left: str, right: str) -> None:
    assert clean(left) + clean(right) == clean(left + right)


@given(NASTY | ANY_TEXT)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert harmless(clean(text))
    assert one_line(one_line(text)) == one_line(text)


def test_one_line_shows_newlines_and_tabs_as_signs() -> None:
    assert one_line("a\n\tb") == "a␊␉b"
    assert clean("a\n\tb") == "a\n\tb"
    assert clean("a\n\tb", keep="\n") == "a\n␉b"


def test_no_caller_can_keep_an_escape() -> None:
    with pytest.raises(ValueError, match="newline and tab"):
        clean("text", keep="\x1b")
    with pytest.raises(ValueError, match="newline and tab"):
        CleanStream(keep="\r")


def test_markup_is_left_alone() -> None:
    for text in ("[bold]x[/bold]", "[@click=app.quit]x[/]", "# title", "\\[", "<U+202E>"):
        assert clean(text) == text


@given(NASTY | ANY_TEXT | st.text(st.sampled_from("e\u0301\u0300"), min_size=10), st.integers(0, 30))
def test_a_stream_does_not_depend_on_where_it_was_cut(text: str, at: int) -> None:
    stream = CleanStream()
    pieces = stream.push(text[:at]) + stream.push("") + stream.push(text[at:])
    assert pieces == CleanStream().push(text)
    assert CleanStream().push(pieces) == pieces


def test_a_flood_of_marks_is_bounded() -> None:
    shown = CleanStream().push("e" + "\u0301" * 3000 + "x")
    assert shown.startswith("e" + "\u0301" * MOST_MARKS + "<U+0301><U+0301>")
    assert sum(map(is_mark, shown)) == MOST_MARKS
    vietnamese = unicodedata.normalize("NFD", "Tiếng Việt ở đây")
    assert CleanStream().push(vietnamese) == vietnamese


@pytest.mark.parametrize("text", ["plain text " * 100_000, "\x1b" * 1_000_000, "é\u202e" * 500_000, "中文字" * 330_000])
def test_a_megabyte_takes_no_time_to_notice(text: str) -> None:
    start = time.process_time()
    clean(text)
    assert time.process_time() - start < 2  # about 0.02 to 0.08 s; what grows with the square takes minutes
