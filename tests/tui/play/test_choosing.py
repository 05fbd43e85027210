"""Lists that are searched by typing: names and descriptions, and nothing in them is read as markup."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rich.style import Style
from textual import events
from textual.command import CommandInput, CommandList, CommandPalette

from tinychat.tui.choosing import chooser, score
from tinychat.tui.commands import WORDS
from tinychat.tui.palette import Look

from .conftest import Play


async def _found(play: Play, query: str) -> list[str]:
    """The first lines of what the list shows for these words, once it has settled."""
    for character in query:
        await play.pilot.press("space" if character == " " else character)
    for _ in range(200):
        await play.pilot.pause()
        await asyncio.sleep(0.005)
        palette = play.app.screen
        assert isinstance(palette, CommandPalette)
        running = [each for each in palette.workers if not each.is_finished]
        if not running:
            break
    shown = palette.query_one(CommandList)
    return [str(option.prompt).split("\n")[0] for option in shown.options if option.id != "--no-matches"]


@pytest.mark.parametrize(
    ("query", "format_"),
    [("document", "md"), ("web", "html"), ("excel", "json"), ("pandas", "jsonl"), ("branches", "session.jsonl"),
     ("html", "html"), ("json excel", "json")],
)  # fmt: skip
async def test_a_format_is_found_by_what_it_is_for(start, query: str, format_: str) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space", "x")
        assert (await _found(play, query))[0] == format_


async def test_a_preset_is_found_by_its_settings(start) -> None:
    async with start() as play:
        await play.press("escape")
        play.screen.action_presets()
        await play.settle()
        assert "creative" in await _found(play, "--min-p")


async def test_an_action_is_found_by_what_it_does(start) -> None:
    async with start() as play:
        await play.press("escape", "ctrl+p")
        assert any(name.startswith("Export") for name in await _found(play, "html"))


async def test_a_part_of_a_name_comes_before_a_word_of_a_description(start) -> None:
    async with start() as play:
        await play.press("escape", "ctrl+p")
        assert (await _found(play, "export"))[0].startswith("Export")


async def test_the_palette_has_the_words_of_the_command_line(start) -> None:
    async with start() as play:
        await play.press("escape", "ctrl+p")
        listed = await _found(play, "")
        assert {f":{form}" for form in WORDS} <= set(listed)
        assert any(name.endswith("([ ])") or "[" in name for name in listed)  # a key is no markup


async def test_lessons_stay_in_their_order(start) -> None:
    from tinychat.lessons.catalogue import LESSONS

    async with start() as play:
        await play.press("escape")
        play.screen.action_lessons()
        await play.settle()
        assert [each.split()[0] for each in await _found(play, "")] == [lesson.name for lesson in LESSONS]


@pytest.mark.parametrize("value", ["[/a]", "[red]x", "[a-z ]+"])
async def test_a_setting_that_looks_like_markup_is_shown_as_it_is(start, value: str) -> None:
    async with start() as play:
        await play.press("escape")
        play.screen._perform(f"regex {value}")
        await play.settle()
        play.screen.action_settings()
        await play.settle()
        assert any(value in name for name in await _found(play, "regex"))


def test_every_word_of_the_query_begins_a_word() -> None:
    assert score("web page", "html  a web page that needs nothing else")
    assert score("page web", "html  a web page that needs nothing else")
    assert score("spread", "json  for scripts, (Spreadsheets)")
    assert not score("eb", "html  a web page")
    assert not score("web book", "html  a web page")
    assert not score("th", "html  the page that")  # too short to mean anything
    assert not score("", "html")


@pytest.mark.parametrize(
    ("theme", "colors"),
    [("tinychat", "truecolor"), ("tinychat-light", "256"), ("tinychat-16", "16"), ("tinychat-16-light", "16"),
     ("tinychat-plain", "none")],
)  # fmt: skip
async def test_the_chosen_line_and_the_caret_are_seen_in_every_theme(start, theme: str, colors: Any) -> None:
    async with start(look=Look("unicode", colors)) as play:
        play.app.theme = theme
        await play.press("escape", "ctrl+p")
        first, second = (await _found(play, ""))[:2]
        play.app.screen.query_one(CommandInput).cursor_blink = False  # else it is seen half of the time
        await play.settle()
        styles = {}
        for strip in play.rows():
            for segment in strip:
                for wanted in (first, second, "F"):  # the caret stands on the first letter of the invitation
                    if segment.text.strip() == wanted:
                        styles.setdefault(wanted, segment.style)
        chosen, other, caret = (styles[wanted] for wanted in (first, second, "F"))
        if colors in ("truecolor", "256"):
            assert chosen.bgcolor != other.bgcolor
        else:
            assert chosen.underline
            assert not other.underline
        assert caret.reverse
        if colors in (
            "16",
            "none",
        ):  # of an unknown ground only its own two colours are surely seen
            assert caret.color.is_default
            assert caret.bgcolor.is_default


@pytest.mark.parametrize("left_first", [False, True])
async def test_what_comes_twice_in_one_burst_is_done_once_and_not_at_all_behind_escape(start, left_first: bool) -> None:
    async with start() as play:
        await play.run_some()
        await play.press("space")
        done: list[str] = []
        palette = chooser([("one", lambda: done.append("one"), "the only one")], placeholder="which")
        play.app.push_screen(palette)
        await play.settle()
        assert await _found(play, "one") == ["one"]
        chosen = palette.query_one(CommandList).options[0]
        below = play.app.screen_stack[:-1]
        options = palette.query_one(CommandList)
        if left_first:
            palette._action_escape()
        for _ in range(2):
            palette.post_message(CommandList.OptionSelected(options, chosen, 0))
        await play.settle()
        assert play.app.screen_stack == below
        assert done == ([] if left_first else ["one"])


async def test_a_list_that_is_left_before_it_is_full_is_left(start) -> None:
    async with start() as play:
        await play.press("escape")
        for _ in range(5):
            play.app.action_command_palette()
            play.app.screen.dismiss()  # what it begins when it is mounted finds nothing
            await play.settle()
        assert play.app.screen_stack[-1] is play.screen


async def test_a_page_on_in_a_list_that_is_not_laid_out_yet_is_none(start) -> None:
    async with start() as play:
        await play.press("escape", "ctrl+p")
        palette = play.app.screen
        assert isinstance(palette, CommandPalette)
        options = palette.query_one(CommandList)
        options.display = False
        await play.settle()
        options.clear_options()
        options.add_option("new")
        options.highlighted = 0
        palette._action_command_list("page_down")
        assert options.highlighted == 0


async def test_a_click_on_a_line_that_is_gone_chooses_nothing(start) -> None:
    async with start() as play:
        await play.press("escape", "ctrl+p")
        await play.settle()
        palette = play.app.screen
        options = palette.query_one(CommandList)
        there = options.option_count
        assert there
        gone = Style.from_meta({"option": there})
        options.post_message(events.Click(options, 5, 5, 0, 0, 1, False, False, False, 5, 5, gone))
        await play.settle()
        assert play.app.screen is palette
