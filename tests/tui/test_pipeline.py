"""The pipeline panel as text drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tinychat.engine.orders import ORDERS, STAGE_NAMES
from tinychat.engine.params import SamplingParams
from tinychat.tui.lineview import row_text
from tinychat.tui.palette import Look
from tinychat.tui.widgets.pipeline import PipelineView, stage_title

PLAIN = Look("ascii", "none")


def screen(view: PipelineView, width: int, height: int) -> list[str]:
    return [row_text(row, width).rstrip() for row in view.rows(width, height)]


def view_of(moon: Any, **changes: Any) -> PipelineView:
    view = PipelineView(changes.pop("look", PLAIN))
    options = {"step": moon.step, "params": moon.params, "label": moon.label} | changes
    view.show(options.pop("odds", moon.odds), **options)
    return view


def test_each_stage_tells_what_it_kept_and_what_became_of_the_token(moon: Any) -> None:
    assert screen(view_of(moon), 54, 9) == [
        "stage (default)          keep  mass% H bit     p(pale)",
        "raw logits              50257  100.0  4.85        13.0",
        "rep penalty 1.10        50257  100.0  4.86        13.6",
        "temperature 0.80        50257  100.0  3.66        17.2",
        "top-k off                   -      -     -           -",
        "top-p 0.88                  9   88.1  2.64        19.6",
        "min-p off                   -      -     -           -",
        "30 more off",
        'draw u=0.417 in [0.365,0.561) -> " pale"',
    ]


def test_a_high_panel_shows_every_stage_of_the_order(moon: Any) -> None:
    rows = screen(view_of(moon), 60, len(STAGE_NAMES) + 3)
    titles = [stage_title(stage, moon.params).replace("σ", "sigma") for stage in moon.params.stages]
    assert [row[:22].strip() for row in rows[2:-1]] == titles


@pytest.mark.parametrize("height", range(6, 20))
def test_stages_that_act_are_shown_before_those_that_are_off(moon: Any, height: int) -> None:
    rows = screen(view_of(moon), 60, height)
    assert len(rows) <= height
    text = "\n".join(rows)
    assert all(
        stage in text for stage in ("raw logits", "rep penalty 1.10", "temperature 0.80", "top-p 0.88", "draw u=")
    )


def test_stages_stand_in_the_order_they_act(moon: Any) -> None:
    rows = screen(view_of(moon, params=moon.params.with_(order="llama.cpp")), 60, 20)
    names = [row[:22].strip() for row in rows]
    assert names[0] == "stage (llama.cpp)"
    assert names.index("temperature 0.80") > names.index("top-p 0.88")


@pytest.mark.parametrize("order", ORDERS)
def test_every_named_order_is_named(moon: Any, order: str) -> None:
    assert f"({order})" in screen(view_of(moon, params=moon.params.with_(order=order)), 60, 9)[0]


@pytest.mark.parametrize(
    ("params", "step", "words"),
    [
        ({"temperature": 0.0}, {}, 'greedy: the likeliest, no draw " pale"'),
        ({}, {"forced": True}, 'forced by you: " pale"'),
        ({}, {"forced": True, "final": 0.0}, 'forced by you: " pale", which the settings had cut'),
    ],
)
def test_the_last_row_says_how_the_token_was_chosen(moon: Any, params: Any, step: Any, words: str) -> None:
    view = view_of(moon, params=moon.params.with_(**params), step=replace(moon.step, **step))
    assert screen(view, 60, 9)[-1] == words


def test_before_a_choice_it_says_how_many_could_be_drawn(moon: Any) -> None:
    assert screen(view_of(moon, step=None), 60, 9)[-1] == "next token: 9 could be drawn"


def test_settings_that_leave_nothing_are_named(moon: Any) -> None:
    assert "no token is left" in screen(view_of(moon, step=None, odds=replace(moon.odds, kept=0)), 60, 9)[-1]


def test_a_stage_that_cut_the_token_says_so(moon: Any) -> None:
    stages = (*moon.odds.stages[:3], replace(moon.odds.stages[3], chosen=0.0))
    rows = screen(view_of(moon, odds=replace(moon.odds, stages=stages)), 60, 9)
    assert next(row for row in rows if row.startswith("top-p")).endswith("cut")


def test_bars_grow_with_the_tokens_share(moon: Any) -> None:
    stages = tuple(
        replace(view, chosen=share) for view, share in zip(moon.odds.stages, (0.1, 0.4, 0.7, 1.0), strict=True)
    )
    rows = screen(view_of(moon, odds=replace(moon.odds, stages=stages), bars=True), 110, 9)
    lengths = [row.count("#") for row in rows if "#" in row]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == 4


@pytest.mark.parametrize("width", range(1, 120))
def test_every_row_has_the_width_of_the_view(moon: Any, width: int) -> None:
    for bars in (False, True):
        view = view_of(moon, look=Look(), bars=bars, label=lambda token: "猫\x1b\n" * 9)
        for row in view.rows(width, 9):
            strip = view.make_strip(row, width)
            assert strip.cell_length == width
            assert strip.text.isprintable()


def test_titles_carry_the_values_as_typed() -> None:
    params = SamplingParams(temperature=0.8125, top_k=40, top_p=0.9, logit_bias={3: 1.0, 5: -2.0}, top_n_sigma=1)
    assert stage_title("temperature", params) == "temperature 0.8125"
    assert stage_title("top_k", params) == "top-k 40"
    assert stage_title("top_p", params) == "top-p 0.90"
    assert stage_title("logit_bias", params) == "logit bias x2"
    assert stage_title("min_p", params) == "min-p off"


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_every_stage_has_a_title_on_and_off(stage: str) -> None:
    assert stage_title(stage, SamplingParams()).endswith(" off") or stage == "temperature"


def test_a_title_joins_what_works_in_one_stage() -> None:
    assert stage_title("temperature", SamplingParams(temperature_mode="edt")) == "temperature 1.00 edt"
    assert stage_title("mirostat", SamplingParams(mirostat="v2")) == "mirostat v2"
    assert stage_title("allowed", SamplingParams(allowed_ids=(1, 2, 3), banned_ids=(4,))) == "allowed ids x3 x1"
    assert stage_title("grammar", SamplingParams(regex="[a-z]+")) == "regex [a-z]+"


def test_a_long_list_of_stages_scrolls_to_its_end_and_back(moon: Any) -> None:
    stages = tuple(replace(moon.odds.stages[1], name=name) for name in ("raw", *STAGE_NAMES[:12]))
    view = view_of(moon, odds=replace(moon.odds, stages=stages))
    before = screen(view, 60, 9)
    view.scroll_rows(100)
    after = screen(view, 60, 9)
    assert before[0].startswith("stage (default), 6 below ")
    assert after[0].startswith("stage (default), 6 above ")
    assert screen(view, 48, 9)[0].startswith("stage, 6 above ")
    assert after[-1] == before[-1]
    assert after[-2].split()[0] == stage_title(STAGE_NAMES[11], moon.params).split()[0]
    view.scroll_rows(-100)
    assert screen(view, 60, 9) == before
