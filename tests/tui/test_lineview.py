"""Painting rows: exact widths, no control character, only changed rows, and the app's own filters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.geometry import Region

from tinychat.tui.lineview import LineView, Row, fit, measured, merged, padded, row_text, safe
from tinychat.tui.palette import Look

HOSTILE = ["\x1b[2J", "\x1b]52;c;aGk=\x07", "\x9b31m", "\u202eevil", "\u200b", "\x00", "\r\n", "\x7f", "[bold]x[/]",
           "\ud800", "猫", "e\u0301", "🐈", "\t", "ok"]  # fmt: skip
texts = st.lists(st.sampled_from(HOSTILE), max_size=8).map("".join)


class Table(LineView):
    """Shows the rows it is given."""

    def __init__(self, rows: list[Row], look: Look | None = None) -> None:
        super().__init__(look)
        self.content = rows
        self.made: list[Row] = []

    def rows(self, width: int, height: int) -> list[Row]:
        return self.content

    def make_strip(self, row, width):  # type: ignore[no-untyped-def]
        self.made.append(tuple(row))
        return super().make_strip(row, width)


class TableApp(App[None]):
    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table

    def compose(self) -> ComposeResult:
        yield self.table


@given(texts, st.integers(1, 60))
def test_a_strip_is_as_wide_as_the_widget_and_has_no_control_character(text: str, width: int) -> None:
    strip = Table([]).make_strip([(text, "text"), (text, "chosen")], width)
    assert strip.cell_length == width
    assert sum(cell_len(segment.text) for segment in strip) == width
    assert all(ord(char) >= 32 and not 0x7F <= ord(char) < 0xA0 and char not in "\u202e\u200b" for char in strip.text)


@given(texts)
def test_markup_is_text(text: str) -> None:
    assert Table([]).make_strip([("[red]a[/red]", "text")], 12).text == "[red]a[/red]"


@given(texts, st.integers(0, 30), st.booleans())
def test_fitted_text_has_the_width_asked_for(text: str, width: int, right: bool) -> None:
    assert cell_len(fit(safe(text), width, more="…", right=right)) == width
    assert cell_len(row_text(padded(((text, "text"),), width), width)) == width


def test_neighbours_of_one_role_become_one_piece() -> None:
    assert merged([("a", "text"), ("b", "text"), ("", "cut"), ("c", "cut")]) == (("ab", "text"), ("c", "cut"))


async def test_only_rows_that_changed_are_made_again() -> None:
    table = Table([(("one", "text"),), (("two", "text"),), (("three", "text"),)])
    async with TableApp(table).run_test(size=(20, 3)) as pilot:
        await pilot.pause()
        table.made.clear()
        table.content = [(("one", "text"),), (("zwei", "text"),), (("three", "text"),)]
        table.redraw()
        await pilot.pause()
        assert table.made == [(("zwei", "text"),)]
        assert [strip.text.rstrip() for strip in table.render_lines(Region(0, 0, 20, 3))] == ["one", "zwei", "three"]


async def test_a_crop_shows_its_part_of_the_rows() -> None:
    table = Table([(("abcdef", "text"),), (("ghijkl", "text"),)])
    async with TableApp(table).run_test(size=(6, 2)):
        assert [strip.text for strip in table.render_lines(Region(2, 1, 3, 1))] == ["ijk"]


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark", "ansi-light"])
@pytest.mark.parametrize("colors", ["truecolor", "256", "16", "none"])
async def test_text_never_has_the_colour_of_its_ground(
    theme: str, colors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if colors == "none":
        monkeypatch.setenv("NO_COLOR", "1")
    row: Row = (("text", "text"), ("quiet", "quiet"), ("chosen", "chosen"), ("x", "slice_chosen"), ("y", "heat5"))
    table = Table([row], Look(colors=colors))  # type: ignore[arg-type]
    app = TableApp(table)
    app.theme = theme
    async with app.run_test(size=(40, 1)) as pilot:
        await pilot.pause()
        for segment in table.strip_at(0):
            style = segment.style
            assert style is not None
            if style.color is not None and not style.color.is_default:
                assert style.color != style.bgcolor, segment.text


async def test_a_new_look_and_a_new_theme_repaint_everything() -> None:
    table = Table([(("x", "chosen"),)])
    async with TableApp(table).run_test(size=(10, 1)) as pilot:
        await pilot.pause()
        before = next(iter(table.strip_at(0))).style
        table.look = Look(colors="none")
        await pilot.pause()
        plain = next(iter(table.strip_at(0))).style
        assert before is not None
        assert plain is not None
        assert before.color != plain.color
        table.look = Look()
        pilot.app.theme = "textual-light"
        await pilot.pause()
        light = next(iter(table.strip_at(0))).style
        assert light is not None
        assert light.color != before.color


def test_measured_text_is_the_safe_one_and_its_cells() -> None:
    for text in ("plain", "", "日本", "a\x1b[31m", "\u202eabc", "e\u0301"):
        assert measured(text) == (safe(text), cell_len(safe(text)))
