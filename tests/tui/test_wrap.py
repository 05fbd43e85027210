"""Word wrap by cells, against a plain reference that starts from nothing each time."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tinychat.tui.wrap import Shape, Wrap, cut_cells, shape_of

PIECES = [" ", "\n", "a", " the", " moon", "beam", "supercalifragilistic", "猫", " 窓", "e\u0301", "\u0301", "🐈", "",
          "\t", ". ", "  ", "x\ny", " \n", "\n\n", "né", "ｱ", "-"]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=25)
widths = st.integers(1, 30)


def reference(shapes: list[Shape], width: int) -> list[str]:
    """Greedy wrap of the joined text: a unit is a word, a wide character or a further space, and one blank may hang."""
    text = "".join(shape.display for shape in shapes)
    wide = "|".join(sorted({re.escape(char) for char in text if cell_len(char) == 2}, reverse=True)) or r"(?!)"
    units = re.findall(rf"((?:{wide})[\u0300-\u036f]*|(?:(?!{wide})[^ \n])+|(?= |\n)|)([ \n]?)", text)
    lines = [""]
    used = 0
    after_blank = True
    for word, blank in units:
        if not word and not blank:
            continue
        if not word and blank == " " and after_blank:  # a further space is a unit of its own, which nothing follows yet
            word, blank = " ", ""
        size = cell_len(word)
        if used + size > width and lines[-1]:
            lines.append("")
            used = 0
        while used + size > width:
            head = cut_cells(word, 0, width)
            lines[-1] += head
            lines.append("")
            word, used = cut_cells(word, width, size), 0
            size -= width
        lines[-1] += word + blank
        used += size + len(blank)
        after_blank = bool(blank)
        if blank == "\n":
            lines.append("")
            used = 0
    return lines


def lines_of(wrap: Wrap) -> list[str]:
    text = "".join(shape.display for shape in wrap.shapes)
    signs = text.replace("\n", "↵")
    lines = []
    for line in range(wrap.n_lines):
        start, stop = wrap.line_span(line)
        lines.append(cut_cells(signs, start, stop).replace("↵", "\n"))
    return lines


def laid_out(parts: list[str], width: int) -> Wrap:
    wrap = Wrap(width)
    wrap.append([shape_of(part) for part in parts])
    return wrap


def state(wrap: Wrap) -> tuple[object, ...]:
    return tuple(value for name, value in sorted(vars(wrap).items()))


@pytest.mark.parametrize(
    ("parts", "width", "lines"),
    [
        ([" the", " moon", "beam", " fell"], 9, [" the ", "moonbeam ", "fell"]),
        (["ab", "\n", "cd"], 9, ["ab\n", "cd"]),
        (["ab", "\n"], 9, ["ab\n", ""]),
        (["abcdefghij"], 4, ["abcd", "efgh", "ij"]),
        (["see ", "abcdefghij"], 4, ["see ", "abcd", "efgh", "ij"]),
        (["abcd", " ", "e"], 4, ["abcd ", "e"]),
        (["猫は", "窓の"], 5, ["猫は", "窓の"]),
        (["def f():\n", "    ", "return 1"], 12, ["def f():\n", "    return 1"]),
    ],
)
def test_lines_break_between_words_and_wide_characters(parts: list[str], width: int, lines: list[str]) -> None:
    assert lines_of(laid_out(parts, width)) == lines


@given(texts, st.integers(2, 30))
def test_lines_equal_those_of_a_plain_reference(parts: list[str], width: int) -> None:
    wrap = laid_out(parts, width)
    assert [line.rstrip("\n") for line in lines_of(wrap)] == [
        line.rstrip("\n") for line in reference(wrap.shapes, width)
    ]


@given(texts, widths)
def test_lines_cover_every_cell_and_stand_out_by_one_blank_at_most(parts: list[str], width: int) -> None:
    wrap = laid_out(parts, width)
    spans = [wrap.line_span(line) for line in range(wrap.n_lines)]
    assert spans[0][0] == 0
    assert spans[-1][1] == wrap.total
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    for (start, stop), line in zip(spans, lines_of(wrap), strict=True):
        assert stop - start <= width + 1
        assert stop - start <= width or line[-1:] in (" ", "\n")


@given(texts, widths, st.integers(1, 6))
def test_appending_in_parts_equals_appending_at_once(parts: list[str], width: int, size: int) -> None:
    grown = Wrap(width)
    for first in range(0, len(parts), size):
        before = lines_of(grown)
        changed = grown.append([shape_of(part) for part in parts[first : first + size]])
        assert lines_of(grown)[:changed] == before[:changed]
    assert state(grown) == state(laid_out(parts, width))


@given(texts, widths, st.integers(0, 25))
def test_truncating_equals_never_having_had_more(parts: list[str], width: int, count: int) -> None:
    cut = laid_out(parts, width)
    before = lines_of(cut)
    changed = cut.truncate(count)
    assert state(cut) == state(laid_out(parts[:count], width))
    assert lines_of(cut)[:changed] == before[:changed]


@given(texts, widths, widths)
def test_resizing_equals_laying_out_at_that_width(parts: list[str], width: int, other: int) -> None:
    wrap = laid_out(parts, width)
    wrap.resize(other)
    assert state(wrap) == state(laid_out(parts, other))


@given(texts, widths)
def test_every_cell_belongs_to_the_token_that_put_it_there(parts: list[str], width: int) -> None:
    wrap = laid_out(parts, width)
    for token in range(len(parts)):
        start, stop = wrap.token_span(token)
        assert stop - start == cell_len(wrap.shapes[token].display.replace("\n", " "))
        assert all(wrap.token_at(cell) == token for cell in range(start, stop))


def test_a_mark_that_would_join_the_token_before_gets_a_circle_of_its_own() -> None:
    assert shape_of("\u0301a").display == "\u25cc\u0301a"
    assert shape_of("e\u0301").display == "e\u0301"


def test_a_flood_of_marks_on_one_letter_is_cut() -> None:
    assert len(shape_of("a" + "\u0301" * 1000).display) < 12


def test_a_note_stands_before_the_text_and_its_mark_after_it() -> None:
    shape = shape_of(" pale", "<T 0.70>")
    assert shape.display == "<T 0.70> pale"
    assert (shape.note_cells, shape.anchor, shape.cells) == (8, 9, 13)


def test_half_of_a_wide_character_is_a_space() -> None:
    assert cut_cells("a猫b", 0, 2) == "a "
    assert cut_cells("a猫b", 2, 4) == " b"
