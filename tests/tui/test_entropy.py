"""Entropy over time as text drawn."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinychat.tui.lineview import row_text
from tinychat.tui.palette import Look
from tinychat.tui.widgets.entropy import EntropyView

PLAIN = Look("ascii", "none")


def view_of(
    values: list[float], cursor: int | None = None, second: list[float] | None = None, look: Look = PLAIN
) -> EntropyView:
    view = EntropyView(look)
    view.show(values, cursor, second or ())
    return view


def screen(view: EntropyView, width: int, height: int) -> list[str]:
    return [row_text(row, width).rstrip() for row in view.rows(width, height)]


def test_a_column_is_as_high_as_its_bits() -> None:
    assert screen(view_of([0.0, 1.0, 2.0, 3.0, 4.0], 2), 20, 5) == [
        " 4.0 |    #",
        " 3.0 |   ##",
        " 2.0 |  ###",
        " 1.0 | ####",
        "     +--^------ 1..5",
    ]


def test_parts_of_a_cell_show_as_lower_glyphs() -> None:
    assert screen(view_of([0.2, 0.4, 0.7, 1.0]), 20, 2)[0] == " 1.0 |..:#"


def test_block_glyphs_have_eight_heights() -> None:
    row = screen(view_of([step / 8 for step in range(9)], look=Look()), 20, 2)[0]
    assert row.endswith("┤ ▁▂▃▄▅▆▇█")


def test_what_settings_took_away_is_lighter() -> None:
    rows = screen(view_of([4.0, 4.0, 4.0], None, [4.0, 2.0, 0.0]), 20, 5)
    assert [row[6:9] for row in rows[:4]] == ["#::", "#::", "##:", "##:"]


@pytest.mark.parametrize(("cursor", "span"), [(None, "81..100"), (99, "81..100"), (0, "1..20"), (50, "41..60")])
def test_the_window_follows_the_cursor(cursor: int | None, span: str) -> None:
    rows = screen(view_of([1.0] * 100, cursor), 26, 5)
    assert span in rows[-1]
    if cursor is not None:
        first = int(span.split(".")[0])
        assert rows[-1].index("^") == 6 + cursor - first + 1


def test_the_axis_does_not_move_with_every_token() -> None:
    tops = {screen(view_of([top / 10]), 20, 5)[0][:4] for top in range(1, 181)}
    assert len(tops) <= 12


def test_a_high_panel_labels_some_rows_only() -> None:
    rows = screen(view_of([8.0] * 5), 20, 13)
    assert [row[:4] for row in rows[:-1]] == [" 8.0", "    ", " 6.7", "    ", " 5.3", "    ", " 4.0", "    ",
                                              " 2.7", "    ", " 1.3", "    "]  # fmt: skip


def test_the_mark_is_never_hidden_by_the_numbers() -> None:
    for cursor in range(20):
        assert "^" in screen(view_of([1.0] * 20, cursor), 26, 4)[-1]


values = st.lists(st.one_of(st.floats(0, 20), st.just(math.nan), st.just(math.inf)), max_size=80)


@given(values, values, st.integers(1, 60), st.integers(1, 14), st.one_of(st.none(), st.integers(0, 90)), st.booleans())
def test_every_row_has_the_width_of_the_view(
    bits: list[float], second: list[float], width: int, height: int, cursor: int | None, plain: bool
) -> None:
    view = view_of(bits, cursor, second, PLAIN if plain else Look())
    rows = view.rows(width, height)
    assert len(rows) <= height
    for row in rows:
        strip = view.make_strip(row, width)
        assert strip.cell_length == width
        assert strip.text.isprintable()
