"""The screen as a whole: sizes, colours, slow lines, and what must never happen to it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.color import Color
from textual.geometry import Region

from tinychat.engine.wire import Run, StepOnce
from tinychat.errors import FileFormatError
from tinychat.tui.app import run_play
from tinychat.tui.driver import ByteBudget, remote_rate
from tinychat.tui.keys import ACTIONS
from tinychat.tui.layouts import TABS, Wish, arrange, shape_of
from tinychat.tui.lineview import row_text
from tinychat.tui.opening import Opening, command_name
from tinychat.tui.palette import Look, styles
from tinychat.tui.playapp import PlayApp
from tinychat.tui.screen import PlayScreen
from tinychat.tui.status import command_row
from tinychat.tui.theme import THEMES, has_light_ground, theme_for
from tinychat.tui.titles import tab_names
from tinychat.tui.widgets.prompt import PromptBox

NO_COLOR = Look("ascii", "none")


@given(
    st.integers(0, 260),
    st.integers(0, 90),
    st.sampled_from(TABS),
    st.booleans(),
    st.integers(1, 40),
)
def test_panels_never_overlap_nor_leave_the_screen(width, height, tab, editing, lines) -> None:
    parts = arrange(width, height, Wish(tab=tab, editing=editing, prompt_lines=lines))
    whole = Region(0, 0, width, height)
    for name, part in parts.items():
        assert part in whole, name
        assert part.width > 0, name
        assert part.height > 0, name
        if name in (*TABS, "prompt", "stream", "why"):
            assert part.height >= 3, name
    for (one, first), (other, second) in itertools.combinations(parts.items(), 2):
        assert not first.overlaps(second), (one, other)


def test_the_three_sizes_get_their_layouts() -> None:
    sizes = {
        (80, 24): "narrow",
        (120, 40): "normal",
        (200, 60): "wide",
        (120, 24): "low",
        (60, 20): "tiny",
        (30, 9): "message",
    }
    assert {size: shape_of(*size) for size in sizes} == sizes
    share = {"candidates", "why", "tree"}  # one place
    for tab in share:
        assert {*TABS} - share | {tab} <= set(arrange(120, 40, Wish(tab=tab)))
    assert set(TABS) <= set(arrange(200, 60, Wish()))


def test_the_names_of_the_tabs_fit_the_narrowest_panel_that_shows_them() -> None:
    room = min(arrange(width, 24, Wish(tab="knobs"))["knobs"].width for width in (80, 100, 120)) - 4
    assert all(len(tab_names(tab)) <= room for tab in TABS)


async def test_a_resize_storm_while_it_runs_ends_in_a_whole_screen(start) -> None:
    sizes = [(1, 1), (3, 2), (20, 5), (39, 24), (40, 4), (60, 10), (79, 23), (80, 24), (100, 24), (121, 39), (200, 60)]
    async with start() as play:
        await play.press("enter")
        for width, height in [*sizes, *reversed(sizes), (120, 40)]:
            await play.pilot.resize_terminal(width, height)
            await play.draw(2)
        assert "2 Stream" in play.text()
        assert "raw logits" in play.text()
        assert play.player.session.reply_length == 2 * (2 * len(sizes) + 1)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_without_colour_everything_is_ascii_and_nothing_has_a_colour(start, tokenizer, size) -> None:
    answers = tokenizer.encode(" and looked at the moon, as cats do.")
    async with start(size=size, look=NO_COLOR, answers=answers) as play:
        await play.run_some()
        await play.press("space", "left", "left")
        assert play.text().isascii()
        styles = [segment.style for strip in play.rows() for segment in strip if segment.text.strip() and segment.style]
        coloured = [s for s in styles if any(c is not None and not c.is_default for c in (s.color, s.bgcolor))]
        assert coloured == []
        assert play.screen.stream.marks
        assert any(style.reverse or style.bold for style in styles)


@pytest.mark.parametrize("colors", ["truecolor", "256", "16"])
async def test_text_never_has_the_colour_of_its_ground(start, colors) -> None:
    async with start(look=Look("unicode", colors)) as play:
        await play.run_some()
        await play.press("space", "left")
        for strip in play.rows():
            for segment in strip:
                style = segment.style
                if style is None or not segment.text.strip() or style.color is None or style.bgcolor is None:
                    continue
                if set(segment.text) & set("▏▎▍▌▋▊▉█") or style.color.is_default:
                    continue
                assert style.color != style.bgcolor, segment


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
async def test_every_theme_draws_the_screen_the_help_and_the_palette(start, theme) -> None:
    async with start() as play:
        play.app.theme = theme
        await play.press("escape", "question_mark")
        assert "Keys" in play.text()
        await play.press("escape", "ctrl+p")
        await play.press(*"under")
        await play.press("escape")
        assert "2 Stream" in play.text()


async def test_the_help_names_every_action(start) -> None:
    from tinychat.tui.help import help_text

    text = help_text(ascii_only=True)
    assert text.isascii()
    for action in ACTIONS:
        assert action.title in text


def test_every_binding_has_an_id_and_a_tooltip_and_does_something() -> None:
    ids = [binding.id for binding in PlayScreen.BINDINGS]
    assert len(ids) == len(set(ids))
    for binding in PlayScreen.BINDINGS:
        assert binding.id
        assert binding.tooltip
        assert hasattr(PlayScreen, f"action_{binding.action.partition('(')[0]}")
    keys = [key for binding in PlayScreen.BINDINGS for key in binding.key.split(",")]
    assert len(keys) == len(set(keys)), "two actions on one key"
    # not deliverable, or another key in disguise
    assert not {"ctrl+i", "ctrl+m", "ctrl+h", "ctrl+left_square_bracket"} & set(keys)


async def test_markup_in_file_names_and_errors_is_shown_as_it_is(start) -> None:
    async with start(name="[bold]x[/nope].safetensors", size=(200, 60)) as play:
        assert "[bold]x[/nope]" in play.text()
        play.decoder.state = "failed"
        play.decoder.frame(error=("[red]bad[/blue] \x1b[31m", "[/hint]"))
        await play.settle()
        assert "[red]bad[/blue]" in play.text()
        assert "\x1b" not in play.text()


async def test_a_slow_line_holds_ticks_back_but_not_keys(start) -> None:
    budget = ByteBudget(1000)
    async with start(budget=budget) as play:
        await play.press("enter")
        budget.write(10_000_000)
        await play.draw(3)
        assert play.player.session.reply_length == 0
        assert budget.held_back > 0
        budget.rate = None
        await play.settle()
        assert play.player.session.reply_length == 3


def test_the_budget_is_a_token_bucket() -> None:
    budget = ByteBudget(1000)
    assert budget.allows(10.0)
    budget.write(1250)
    assert not budget.allows(10.5)
    assert budget.allows(11.1)


def test_only_remote_terminals_get_a_budget() -> None:
    assert remote_rate({}) is None
    assert remote_rate({"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}) == 100_000


async def test_the_mouse_turns_knobs_picks_tokens_and_candidates(start) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space")
        before = play.player.session.params.temperature
        await play.pilot.click("#knobs-view", offset=(36, 0))
        await play.settle()
        assert play.player.session.params.temperature != before
        await play.pilot.click("#stream-view", offset=(8, 0))
        await play.settle()
        assert play.screen.stream.cursor is not None
        await play.press("end")
        await play.pilot.click("#candidates-view", offset=(8, 3))
        await play.settle()
        assert play.screen.selected == 2


async def test_clicking_beside_the_prompt_leaves_edit(start) -> None:
    async with start() as play:
        assert play.screen.editing
        await play.run_some()
        await play.press("i")
        await play.pilot.click("#stream-view", offset=(3, 0))
        await play.settle()
        assert "INSPECT" in play.text()


async def test_a_command_line_paste_takes_one_clean_line(start) -> None:
    async with start(editing=False) as play:
        await play.press("colon")
        play.screen.command_box.post_message(events.Paste("t 0.5\x1b[31m\nseed 9"))
        await play.settle()
        assert play.screen.command_box.value == "t 0.5\u241b[31m"


def test_a_bad_file_is_refused_before_the_screen(tmp_path: Path) -> None:
    from tinychat.engine.params import SamplingParams

    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nonsense" * 10)
    with pytest.raises(FileFormatError) as caught:
        run_play(Opening(path=bad, params=SamplingParams()))
    assert caught.value.exit_code == 3


async def test_letters_typed_before_the_first_frame_are_typed_into_the_prompt(start) -> None:
    async with start(prompt="", typed_early="mom") as play:
        await play.settle()
        assert play.screen.prompt_box.text == "mom"
        assert play.player.session.mode == "completion"  # m is no key here


async def test_keys_that_come_in_one_bunch_find_who_they_are_for(start) -> None:
    async with start(prompt="the cat") as play:
        for key in ("escape", "K", "5", "enter", "colon", "t", "enter", "i", "s", "o"):
            play.app.post_message(events.Key(key, {"colon": ":", "enter": "\r", "escape": "\x1b"}.get(key, key)))
        await play.settle()
        assert play.player.session.params.top_k == 5
        assert play.screen.prompt_box.text == "the catso"
        for key in ("enter", "full_stop", "space"):
            play.app.post_message(events.Key(key, {"full_stop": ".", "enter": "\r", "space": " "}[key]))
        await play.settle()
        assert play.screen.prompt_box.text == "the catso"
        sent = [type(each) for each in play.decoder.sent]
        assert StepOnce in sent[sent.index(Run) :]


async def test_keys_are_not_held_for_a_box_that_has_gone(start, monkeypatch) -> None:
    async with start(prompt="the cat") as play:
        monkeypatch.setattr(PromptBox, "call_later", lambda *_: True)  # as a queue that nobody reads any more
        for key in ("escape", "K", "5", "enter"):
            play.app.post_message(events.Key(key, {"enter": "\r", "escape": "\x1b"}.get(key, key)))
        while play.player.session.params.top_k != 5:
            await play.pilot.pause(0.05)


async def test_the_first_screen_says_what_to_do_in_every_mode(start) -> None:
    async with start(prompt="") as play:
        assert "Type a beginning and press Enter" in play.text()
        assert "READY" in play.text()
        await play.press("escape", "m")
        assert "Type a message and press Enter" in play.text()
        await play.press("i", "h", "enter")
        await play.draw(2)
        assert "Type a message" not in play.text()


async def test_fast_text_moves_up_by_pages_and_readable_text_by_lines(start) -> None:
    async with start(rate=30.0) as play:
        await play.run_some()
        assert not play.screen.stream.page_follow
        await play.press("colon", *"rate", "space", "0", "enter")
        await play.draw(1)
        assert play.screen.stream.page_follow
    async with start(rate=30.0, budget=ByteBudget(100_000)) as play:
        await play.run_some()
        assert play.screen.stream.page_follow


def test_a_command_names_the_model_as_shortly_as_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "here" / "tinychat.safetensors"
    shipped.parent.mkdir()
    shipped.write_bytes(b"")
    monkeypatch.setattr("tinychat.files.asset", lambda name: shipped)
    assert command_name(shipped) == ""
    other = tmp_path / "here" / "my.safetensors"
    other.write_bytes(b"")
    assert command_name(other) == str(other)
    monkeypatch.chdir(tmp_path)
    assert command_name(other) == "here/my.safetensors"


def test_a_long_command_says_how_to_get_all_of_it() -> None:
    assert row_text(command_row("x" * 200, 80), 80).endswith("xx ... y copies all of it")
    assert row_text(command_row("x", 80), 80).rstrip() == " $ x"


async def test_the_ground_can_be_light_in_every_depth_of_colour(start) -> None:
    assert has_light_ground({"COLORFGBG": "0;default;15"})
    assert not has_light_ground({"COLORFGBG": "15;0"})
    assert not has_light_ground({})
    for colors, dark, light in (
        ("truecolor", "tinychat", "tinychat-light"), ("16", "tinychat-16", "tinychat-16-light"),
    ):  # fmt: skip
        look = Look("unicode", colors)
        assert (theme_for(look), theme_for(look, light=True)) == (dark, light)
        async with start(look=look) as play:
            play.app.action_other_ground()
            await play.run_some()
            assert play.app.theme == light
            assert play.screen.stream.style_of("heat3").color == styles(colors, dark=False)["heat3"].color
            play.app.action_other_ground()
            assert play.app.theme == dark


def test_neither_torch_nor_numpy_stand_between_a_person_and_the_first_frame() -> None:
    modules = "tinychat.cli, tinychat.model.checkpoint, tinychat.engine.worker, tinychat.tui.app, tinychat.tui.playapp"
    code = f"import sys, {modules}\nprint({{'torch', 'numpy'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


async def test_the_first_frame_needs_no_second_one(start, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[PlayApp] = []
    monkeypatch.setattr(PlayApp, "refresh_css", lambda app, **_: read.append(app))
    async with start() as play:
        assert play.app.theme == "tinychat"
        assert play.screen.styles.background == Color.parse(play.app.current_theme.background)
        assert play.screen.has_class("editing")
        assert play.screen.prompt_box.has_focus
    assert not read, "all styles would be worked out once more"


async def test_a_mistake_of_ours_is_not_told_as_a_story_on_the_terminal(start) -> None:
    def fail() -> None:
        raise ZeroDivisionError("ours")

    async def sitting() -> None:
        async with start() as play:
            apps.append(play.app)
            play.app.call_later(fail)
            await play.pilot.pause()

    apps: list[PlayApp] = []
    with pytest.raises(ZeroDivisionError):
        await sitting()
    assert isinstance(apps[0].failure, ZeroDivisionError)  # the door writes it to its file
    assert not apps[0]._exit_renderables
