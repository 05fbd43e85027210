"""The candidates panel as text drawn, at many sizes, and under a mouse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from tinychat.engine.trace import Candidate, Odds, Step
from tinychat.tui.lineview import row_text
from tinychat.tui.palette import GLYPHS, Look
from tinychat.tui.widgets.candidates import CandidatesView
from tinychat.tui.widgets.dart import dart_rows

PLAIN = Look("ascii", "none")


def view_of(moon: Any, *, look: Look = PLAIN, selected: int = 0, step: bool = True) -> CandidatesView:
    view = CandidatesView(look)
    view.show(moon.odds, step=moon.step if step else None, label=moon.label, selected=selected)
    return view


def screen(view: CandidatesView, width: int, height: int) -> list[str]:
    return [row_text(row, width).rstrip() for row in view.rows(width, height)]


def test_raw_and_final_stand_side_by_side_with_who_was_cut_by_whom(moon: Any) -> None:
    assert screen(view_of(moon, selected=3), 58, 9) == [
        "   # token           raw% final%                       50%",
        '   1 " bright"       21.4   36.5 ###########=======',
        '   2>" pale"         13.0   19.6 ######====',
        '   3 " silver"        9.8   13.7 #####==',
        '|  4 " full"          7.7   10.2 ####=',
        '   5 " low"           6.1     -- x top-p',
        '   6 " red"           4.9    5.8 ##=',
        '   7 " thin"          4.1    4.6 ##',
        "     others          33.0    9.6 (50250 tokens)",
    ]


def test_a_long_rank_moves_no_column(moon: Any) -> None:
    odds = replace(moon.odds, candidates=(*moon.odds.candidates, replace(moon.odds.candidates[4], token=9, rank=31375)))
    view = CandidatesView(PLAIN)
    view.show(odds, step=None, label=moon.label)
    rows = screen(view, 58, 40)
    assert rows[13][:5] == " 3137"
    assert rows[13][rows[5].index("6.1") :] == rows[5][rows[5].index("6.1") :]


def test_the_count_of_the_others_is_whole_or_short(moon: Any) -> None:
    for width in range(30, 70):
        row = next(row for row in screen(view_of(moon), width, 9) if "others" in row)
        assert row.split()[3:] in ([], ["50250"], ["(50250", "tokens)"])


def test_a_low_panel_gives_all_its_rows_to_candidates(moon: Any) -> None:
    rows = screen(view_of(moon), 58, 5)
    assert len(rows) == 5
    assert rows[-1].startswith("   4")


def test_others_are_all_that_is_not_shown(moon: Any) -> None:
    for height in (9, 10, 20, 40):
        view = view_of(moon)
        others = next(row for row in screen(view, 70, height) if "others" in row).split()
        shown = [moon.odds.candidates[i] for i in range(12) if view.candidate_under(i + 1) is not None]
        assert float(others[1]) == pytest.approx(100 - 100 * sum(c.raw for c in shown), abs=0.06)
        assert int(others[3].lstrip("(")) == moon.odds.vocab_size - len(shown)


def test_the_selected_row_is_always_in_view_and_so_is_the_chosen_one(moon: Any) -> None:
    view = view_of(moon)
    for selected in [*range(12), *reversed(range(12))]:
        view.selected = selected
        rows = screen(view, 60, 8)
        assert len([row for row in rows if row.startswith("|")]) == 1
        assert len([row for row in rows if '>"' in row]) == 1
        assert len(rows) == len(set(rows))


def test_a_selection_beyond_the_last_is_the_last(moon: Any) -> None:
    view = view_of(moon, selected=99)
    assert view.selected == 11
    view.selected = -5
    assert view.selected == 0


def test_the_dart_falls_into_the_slice_of_the_drawn_token(moon: Any) -> None:
    rows = screen(view_of(moon), 60, 14)
    dart, slices, scale = rows[-3:]
    at = dart.index("*")
    assert at == int(0.417 * 60)
    assert dart[at:] == "* u 0.417"
    left, right = slices.index("pale"), slices.index("silver")
    assert left - 3 <= at < right
    assert scale.split() == ["0", "0.365", "0.561", "1"]
    assert scale.index("0.365") == round(0.365 * 60)


def test_slices_follow_each_other_in_the_order_of_the_draw(moon: Any) -> None:
    slices = screen(view_of(moon), 100, 14)[-2]
    words = [word for word in slices.replace("|", "=").split("=") if word]
    assert words[:4] == ["bright", "pale", "silver", "full"]


def test_before_a_draw_there_are_slices_but_no_dart(moon: Any) -> None:
    top, slices, scale = dart_rows(moon.odds, None, moon.label, 60, GLYPHS["ascii"], plain=True)
    assert top == ()
    assert "bright" in row_text(slices, 60)
    assert row_text(scale, 60).split() == ["0", "1"]


def test_a_token_forced_against_the_settings_has_no_slice(moon: Any) -> None:
    forced = replace(moon.step, token=4, forced=True, final=0.0, low=0.0, high=0.0)
    top, slices, _ = dart_rows(moon.odds, forced, moon.label, 60, GLYPHS["ascii"], plain=True)
    assert top == ()
    assert "low" not in row_text(slices, 60)


@pytest.mark.parametrize("u", [0.0, 0.5, 0.999, 0.99999999])
def test_the_number_of_the_dart_stays_inside(moon: Any, u: float) -> None:
    step = replace(moon.step, u=u)
    for width in (12, 13, 30, 80):
        top = row_text(dart_rows(moon.odds, step, moon.label, width, GLYPHS["unicode"], plain=False)[0], width)
        assert f"{u:.3f}" in top
        assert "▼" in top


shares = st.lists(st.floats(0, 1), min_size=1, max_size=70)


@given(shares, st.integers(1, 60), st.integers(1, 30), st.booleans(), st.integers(0, 70))
def test_every_row_has_the_width_of_the_view_whatever_the_odds(
    weights: list[float], width: int, height: int, plain: bool, selected: int
) -> None:
    total = sum(weights) or 1.0
    raw = [weight / total for weight in weights]
    final = [share if index % 3 else 0.0 for index, share in enumerate(raw)]
    odds = Odds(
        position=0, vocab_size=len(raw) + 9, entropy=1.0, varentropy=1.0, final_entropy=1.0, temperature=1.0,
        stages=(), kept=sum(share > 0 for share in final),
        candidates=tuple(
            Candidate(token=i, logit=0.0, raw=raw[i], final=final[i], rank=i + 1, cut_by=None if final[i] else "top_k")
            for i in range(len(raw))
        ),
    )  # fmt: skip
    step = Step(odds=odds, token=len(raw) - 1, lane=0, forced=False, raw=raw[-1], final=final[-1], raw_rank=1,
                final_rank=1, surprisal=1.0, u=0.5, low=0.4, high=0.6, time_s=0.1)  # fmt: skip
    view = CandidatesView(PLAIN if plain else Look())
    view.show(odds, step=step, label=lambda token: "猫\x1b[2J" * token, selected=selected)
    rows = view.rows(width, height)
    assert len(rows) <= height
    for row in rows:
        strip = view.make_strip(row, width)
        assert strip.cell_length == width
        assert "\x1b" not in strip.text


def test_without_odds_the_panel_says_so() -> None:
    view = CandidatesView(PLAIN)
    view.show(None, step=None, label=str)
    assert screen(view, 30, 5) == ["no odds here"]


class CandidatesApp(App[None]):
    def __init__(self, moon: Any) -> None:
        super().__init__()
        self.view = CandidatesView()
        self.moon = moon
        self.heard: list[tuple[str, int]] = []

    def compose(self) -> ComposeResult:
        yield self.view

    def on_mount(self) -> None:
        self.view.show(self.moon.odds, step=self.moon.step, label=self.moon.label)

    def on_candidates_view_selected(self, message: CandidatesView.Selected) -> None:
        self.heard.append(("selected", message.index))

    def on_candidates_view_taken(self, message: CandidatesView.Taken) -> None:
        self.heard.append(("taken", message.token))


async def test_a_click_selects_and_a_double_click_takes(moon: Any) -> None:
    app = CandidatesApp(moon)
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        await pilot.click(CandidatesView, offset=(10, 3))
        assert app.heard == [("selected", 2)]
        await pilot.double_click(CandidatesView, offset=(10, 5))
        assert app.heard == [("selected", 2), ("selected", 4), ("taken", 4)]
        await pilot.click(CandidatesView, offset=(10, 0))
        assert app.heard[-1] == ("taken", 4)


async def test_the_wheel_moves_the_selection(moon: Any) -> None:
    app = CandidatesApp(moon)
    async with app.run_test(size=(60, 8)) as pilot:
        await pilot.pause()
        app.view.move(1)
        app.view.move(-9)
        app.view.move(99)
        await pilot.pause()
        assert app.heard == [("selected", 1), ("selected", 0), ("selected", 11)]


def test_the_likeliest_stay_in_sight_when_an_unlikely_token_was_drawn(moon: Any) -> None:
    view = view_of(moon)
    step = replace(moon.step, token=11)
    view.show(moon.odds, step=step, label=moon.label, selected=11)
    assert [row[1:5].strip("> ") for row in screen(view, 60, 7)[1:]] == ["1", "2", "3", "4", "5", "12"]
    view.show(moon.odds, step=step, label=moon.label, selected=9)
    view.show(replace(moon.odds, position=14), step=None, label=moon.label, selected=0)
    assert "bright" in screen(view, 60, 7)[1]
