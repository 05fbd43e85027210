"""The token stream as text drawn: wrapping, marks, cursor, notes, following; and the widget under a mouse."""

from __future__ import annotations

import math
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.geometry import Region

from tinychat.tui.lineview import row_text
from tinychat.tui.palette import Look
from tinychat.tui.widgets.stream import StreamToken, StreamView

PLAIN = Look("ascii", "none")
PIECES = [
    " the",
    " moon",
    "beam",
    "\n",
    " ",
    "",
    "猫",
    "e\u0301",
    "\u0301",
    "\t",
    "🐈",
    " \n x",
    "supercalifragilistic",
    ".",
]


def drawn(text: str, bits: float = 0.5, *, kind: str = "drawn", moved: str = "") -> StreamToken:
    return StreamToken(text, kind, bits, 2**-bits, bits, 1 + int(bits), moved)  # type: ignore[arg-type]


def given_token(text: str) -> StreamToken:
    return StreamToken(text, "prompt", math.nan, math.nan, math.nan, 0)


tokens = st.lists(
    st.builds(
        drawn,
        st.sampled_from(PIECES),
        st.sampled_from([0.1, 2.0, 4.0, 9.0]),
        kind=st.sampled_from(["prompt", "drawn", "forced"]),
        moved=st.sampled_from(["", "", "T 0.80"]),
    ),
    max_size=20,
)


def view_of(items: list[StreamToken], look: Look = PLAIN, *, marks: bool = False) -> StreamView:
    view = StreamView(look)
    view.marks = marks
    view.set_tokens(items)
    return view


def screen(view: StreamView, width: int, height: int) -> list[str]:
    return [row_text(row, width).rstrip() for row in view.rows(width, height)]


MOON = [given_token("The"), given_token(" cat"), *map(drawn, [" mat", " and"], [2, 0.5]), drawn(" looked", 4),
        drawn(" out", 7), drawn(" at", 0.1, kind="forced"), drawn(" the", 0.1, moved="T 0.70"), drawn(" moon", 1.5),
        drawn("."), drawn("\n"), drawn("She")]  # fmt: skip


def test_marks_stand_under_the_first_letter_of_their_token() -> None:
    view = view_of(MOON, marks=True)
    assert screen(view, 40, 6) == [
        "The cat mat and looked out at<T 0.70>",
        "        :   .   *      #   ^",
        "the moon.",
        "!   :   ..",
        "She_",
        ".",
    ]


def test_marks_come_by_themselves_where_there_is_no_colour() -> None:
    assert StreamView(PLAIN).marks
    assert not StreamView(Look("ascii", "16")).marks


@pytest.mark.parametrize(
    ("mode", "marks"),
    [
        ("surprisal", ".:*#"),
        ("entropy", ".:*#"),
        ("probability", ".:*#"),
        ("rank", ".::*"),
        ("source", ""),
        ("off", ""),
    ],
)
def test_each_mode_marks_its_own_number(mode: str, marks: str) -> None:
    view = view_of([drawn(letter, bits) for letter, bits in zip("abcd", [0.5, 2, 4, 8], strict=True)], marks=True)
    view.mode = mode  # type: ignore[assignment]
    assert screen(view, 40, 2)[1] == marks


def test_source_mode_tells_prompt_forced_and_drawn_apart() -> None:
    view = view_of([given_token("a"), drawn("b"), drawn("c", kind="forced")], marks=True)
    view.mode = "source"
    assert screen(view, 40, 2)[1] == ". ^"


def test_the_selected_token_is_bracketed_without_moving_text() -> None:
    view = view_of(MOON)
    plain = screen(view, 60, 2)[0]
    view.cursor = 3
    assert screen(view, 60, 2)[0] == plain.replace(" and ", "[and]")


def test_the_selected_token_is_reversed_and_its_leading_space_is_not() -> None:
    view = view_of(MOON, Look())
    view.cursor = 3
    pieces = view.rows(60, 2)[0]
    assert [text for text, role in pieces if role.endswith("cursor")] == ["and"]


def test_half_a_character_borrows_the_cell_of_the_whole() -> None:
    view = view_of([drawn("a"), drawn(""), drawn(""), drawn("猫"), drawn("")], Look())
    for cursor, text in ((1, "猫"), (2, "猫"), (4, " ")):
        view.cursor = cursor
        (marked,) = [text for text, role in view.rows(60, 1)[0] if role.endswith("cursor")]
        assert marked.strip() in text
        assert marked


def test_a_knob_dragged_over_tokens_is_noted_once_at_the_last() -> None:
    view = view_of([drawn("a"), drawn(" b", moved="T 0.80"), drawn(" c", moved="T 0.90"), drawn(" d")])
    assert screen(view, 60, 1) == ["a b<T 0.90> c d_"]
    view.truncate(2)
    assert screen(view, 60, 1) == ["a<T 0.80> b_"]
    view.append([drawn(" e", moved="T 1.00")])
    assert screen(view, 60, 1) == ["a b<T 1.00> e_"]
    view.notes = False
    assert screen(view, 60, 1) == ["a b e_"]


def test_a_long_note_is_cut() -> None:
    view = view_of([drawn("a"), drawn("b", moved="T 0.80, " * 20)])
    assert len(screen(view, 100, 1)[0]) < 40


def test_the_caret_stands_at_the_end_and_leaves_with_the_cursor() -> None:
    view = view_of([drawn("ab")])
    assert screen(view, 20, 1) == ["ab_"]
    view.cursor = 0
    assert "_" not in screen(view, 20, 1)[0]
    view.live = True
    assert screen(view, 20, 1)[0].endswith("_")


def test_nothing_yet_shows_what_to_do() -> None:
    view = view_of([])
    view.placeholder = "Enter runs"
    assert screen(view, 20, 2) == ["Enter runs", ""]
    view.append([drawn("a")])
    assert screen(view, 20, 2) == ["a_", ""]


@given(tokens, st.integers(1, 60), st.booleans(), st.booleans())
def test_every_row_is_exactly_as_wide_as_the_view(
    items: list[StreamToken], width: int, marks: bool, plain: bool
) -> None:
    view = view_of(items, PLAIN if plain else Look(), marks=marks)
    view.cursor = len(items) // 2 if len(items) % 2 else None
    for row in view.rows(width, 7):
        strip = view.make_strip(row, width)
        assert strip.cell_length == width
        assert not any(char in "\n\t\x1b" for char in strip.text)


@given(tokens, st.integers(1, 7), st.integers(1, 40), st.booleans())
def test_appending_and_cutting_equal_setting_the_whole(
    items: list[StreamToken], size: int, width: int, marks: bool
) -> None:
    grown = view_of([], marks=marks)
    grown.rows(width, 9)
    for first in range(0, len(items), size):
        part = items[first : first + size]
        grown.append([*part, drawn("never", moved="K 3"), drawn(" was")])
        grown.truncate(first + len(part))
    assert screen(grown, width, 9) == screen(view_of(items, marks=marks), width, 9)
    assert repr([grown.token(i).text for i in range(grown.count)]) == repr([item.text for item in items])


@given(tokens, tokens)
def test_setting_other_tokens_leaves_nothing_of_the_old(old: list[StreamToken], new: list[StreamToken]) -> None:
    view = view_of(old)
    view.rows(20, 9)
    view.set_tokens(new)
    assert screen(view, 20, 9) == screen(view_of(new), 20, 9)


@given(tokens, st.integers(2, 60), st.booleans())
def test_the_cell_of_a_token_maps_back_to_it(items: list[StreamToken], width: int, marks: bool) -> None:
    view = view_of(items, Look(), marks=marks)
    for index in range(view.count):
        view.cursor = index
        view.rows(width, 8)
        # look for the highlighted cells of each row, and click on them
        for y, row in enumerate(view.rows(width, 8)):
            x = 0
            for text, role in row:
                if role.endswith("+cursor") and items[index].text and "\n" not in items[index].text:
                    assert view.token_under(x, y) == index
                    assert view.token_under(x, y + marks) == index
                x += cell_len(text)


def test_hostile_text_never_reaches_a_strip() -> None:
    view = view_of([drawn("\x1b[2J\u202e", moved="\x1b]0;x\x07"), drawn("[red]no[/red]")], Look())
    view.placeholder = "\x1b[31m"
    text = "".join(view.make_strip(row, 60).text for row in view.rows(60, 3))
    assert text.isprintable()
    assert "[red]no[/red]" in text


class StreamApp(App[None]):
    def __init__(self, view: StreamView) -> None:
        super().__init__()
        self.view = view
        self.moved: list[int | None] = []

    def compose(self) -> ComposeResult:
        yield self.view

    def on_stream_view_cursor_moved(self, message: StreamView.CursorMoved) -> None:
        self.moved.append(message.index)


def shown(view: StreamView) -> list[str]:
    width, height = view.size
    return [strip.text.rstrip() for strip in view.render_lines(Region(0, 0, width, height))]


async def test_a_click_selects_the_token_under_it() -> None:
    app = StreamApp(view_of(MOON, Look()))
    async with app.run_test(size=(40, 6)) as pilot:
        await pilot.click(StreamView, offset=(9, 0))
        assert app.view.token(app.view.cursor or 0).text == " mat"
        await pilot.click(StreamView, offset=(30, 5))
        assert app.view.cursor is None
        assert app.moved == [2, None]


async def test_the_cursor_moves_by_token_and_by_line_and_leaves_past_the_end() -> None:
    app = StreamApp(view_of(MOON))
    async with app.run_test(size=(40, 6)) as pilot:
        view = app.view
        view.move(-1)
        assert view.cursor == 11
        view.move(0, -1)
        assert view.token(view.cursor).text == " the"
        view.move(0, -1)
        assert view.cursor == 0
        view.move(3)
        assert view.cursor == 3
        view.move(0, 9)
        assert view.cursor is None
        view.home()
        view.end()
        await pilot.pause()
        assert app.moved == [11, 7, 0, 3, None, 0, None]


async def test_the_end_is_followed_until_the_person_looks_elsewhere() -> None:
    app = StreamApp(view_of([drawn(f" word{i}") for i in range(300)], Look("ascii")))
    async with app.run_test(size=(40, 8)) as pilot:
        view = app.view
        await pilot.pause()
        assert "word299_" in shown(view)[-1]
        view.append([drawn(" fresh")])
        assert "fresh_" in "".join(shown(view))
        view.home()
        assert "word0" in shown(view)[0]
        before = shown(view)
        view.append([drawn(" later")] * 20)
        assert [row.rstrip("| ") for row in shown(view)] == [row.rstrip("| ") for row in before]
        view.end()
        assert "later_" in "".join(shown(view))
        view.page(-1)
        view.append([drawn(" unseen")])
        assert "unseen" not in "".join(shown(view))


async def test_following_by_pages_scrolls_seldom() -> None:
    view = view_of([])
    view.page_follow = True
    view.marks = False
    app = StreamApp(view)
    async with app.run_test(size=(40, 9)) as pilot:
        await pilot.pause()
        tops = []
        for i in range(200):
            view.append([drawn(f" word{i}")])
            rows = shown(view)
            assert f"word{i}_" in "".join(rows)
            tops.append(rows[0].rstrip("|_ "))
        assert len(set(tops[100:])) <= 7  # seventeen lines more, by threes


async def test_a_resize_keeps_the_place_and_the_cursor() -> None:
    app = StreamApp(view_of([drawn(f" word{i}") for i in range(500)], Look("ascii")))
    async with app.run_test(size=(60, 8)) as pilot:
        app.view.cursor = 100
        await pilot.pause()
        for size in ((30, 8), (90, 4), (12, 3), (60, 8)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert app.view.cursor == 100
            assert "word100]" in " ".join(shown(app.view))


async def test_moving_the_cursor_repaints_two_lines_only() -> None:
    app = StreamApp(view_of([drawn(f" word{i}") for i in range(40)], Look()))
    async with app.run_test(size=(40, 12)) as pilot:
        view = app.view
        view.cursor = 2
        await pilot.pause()
        before = view.render_lines(Region(0, 0, 40, 12))
        view.cursor = 30
        await pilot.pause()
        after = view.render_lines(Region(0, 0, 40, 12))
        assert sum(a is not b for a, b in zip(before, after, strict=True)) <= 3  # and the line of the caret


async def test_an_append_costs_the_same_after_a_hundred_thousand_tokens() -> None:
    rng = random.Random(0)
    words = [f" w{rng.randrange(1000)}" for _ in range(100_000)]
    view = view_of([drawn(word) for word in words], Look())
    app = StreamApp(view)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        best = math.inf
        for _ in range(20):
            start = time.perf_counter()
            view.append([drawn(" and")] * 7)
            view.render_lines(Region(0, 0, 120, 36))
            best = min(best, time.perf_counter() - start)
        assert best < 0.010  # measured 0.3 ms; a layout of the whole text costs 75
