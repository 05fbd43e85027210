"""Every setting from the play screen: found by name, turned, typed, saved, refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinychat.engine.knobs import KNOBS
from tinychat.engine.lists import LISTS
from tinychat.engine.params import SamplingParams
from tinychat.engine.wire import SetContext, SetParams
from tinychat.files import config_path
from tinychat.session.presets import own_presets
from tinychat.session.spelling import SETTINGS
from tinychat.tui import commands
from tinychat.tui.widgets.knobs import KnobsView
from tinychat.tui.wording import label_of

SIZES = [(80, 24), (120, 40), (200, 60)]


async def find(play, name: str) -> None:
    """The list of all settings, and the first that is found by this name."""
    await play.press("a", *name, "down", "enter")


@pytest.mark.parametrize("size", SIZES)
async def test_a_knob_without_a_letter_is_found_turned_and_in_sight(start, size) -> None:
    async with start(editing=False, size=size) as play:
        await find(play, "mirostat_tau")
        assert play.screen.picked == "mirostat_tau"
        assert play.screen.tab == "knobs"
        await play.press("equals_sign")
        assert play.player.session.params.mirostat_tau == pytest.approx(5.1)
        assert "tau" in play.text()
        assert "5.10" in play.text()


async def test_a_choice_turns_with_the_keys_and_shows_its_words(start) -> None:
    async with start(editing=False, size=(80, 24)) as play:
        await find(play, "temperature_mode")
        await play.press("equals_sign", "equals_sign")
        assert play.player.session.params.temperature_mode == "edt"
        assert "edt" in play.text()
        assert "3 of 6" in play.text()
        assert "EDT theta" in play.text(), "what says how it works has a row"
        await play.press("0")
        assert play.player.session.params.temperature_mode == "fixed"


async def test_a_list_found_by_name_asks_for_its_value(start) -> None:
    async with start(editing=False) as play:
        await find(play, "banned_ids")
        assert play.screen.command_box.value == "banned_ids "
        await play.press("7", "comma", "9", "enter")
        assert play.player.session.params.banned_ids == (7, 9)
        assert "7,9" in play.text()


@pytest.mark.parametrize("each", [*KNOBS, *LISTS], ids=lambda each: each.name)
def test_every_setting_can_be_typed_by_its_name_and_switched_off(each) -> None:
    typed = {
        "logit_bias": "5=-2 7=-inf", "sequence_bias": "1,2=-2.5", "allowed_ids": "3,4", "banned_ids": "3",
        "bad_words": "1,2 3", "dry_breakers": '["\\n", ":"]', "regex": "[a-z ,]+", "json_schema": '{"type": "null"}',
        "negative_ids": "1,2", "synthid_keys": "3,5", "think_tags": "<a> </a>",
    }  # fmt: skip
    ends = {"entropy_low": "1", "entropy_high": "4"}
    value = typed.get(each.name) or ends.get(each.name) or each.text(each.at(each.span[1] or each.span[0]))
    for name in (each.name, each.name.replace("_", "-")):
        wish = commands.parse(f"{name} {value}", SamplingParams(), vocab_size=100)
        assert isinstance(wish, commands.Settings)
        assert wish.picked == each.name
        off = commands.parse(f"{name} off", wish.params, vocab_size=100)
        assert isinstance(off, commands.Settings)
        assert off.params == SamplingParams()


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("bad_words 1,2 3", "bad_words", ((1, 2), (3,))),
        ('bad_words [[1, 2], [3]]', "bad_words", ((1, 2), (3,))),
        ("regex a b, c", "regex", "a b, c"),
        ("dry_breakers x 'y z'", "dry_breakers", ("x", "y z")),
        ("logit_bias 5=1.5 6=-inf", "logit_bias", ((5, 1.5), (6, -float("inf")))),
        ("mirostat v2", "mirostat", "v2"),
    ],
)  # fmt: skip
def test_lists_are_typed_as_words_or_json(line: str, name: str, value: object) -> None:
    wish = commands.parse(line, SamplingParams(), vocab_size=100)
    assert isinstance(wish, commands.Settings)
    assert getattr(wish.params, name) == value


async def test_up_and_down_move_the_picked_knob_in_its_panel(start) -> None:
    async with start(editing=False) as play:
        await play.press("tab", "tab", "down", "down")
        assert play.screen.picked == "top_k"
        assert "> 5 Knobs" in play.text()
        await play.press("up")
        assert play.screen.picked == "top_p"
        for _ in range(9):
            await play.press("up")
        assert play.screen.picked == "temperature"


@pytest.mark.parametrize("size", SIZES)
async def test_the_picked_knob_is_in_sight_however_many_are_on(start, size) -> None:
    params = SamplingParams(
        seed=7, dry_multiplier=0.5, xtc_probability=0.5, mirostat="v2", temperature_mode="entropy", regex=".*",
        adaptive_target=0.5, smoothing_factor=0.3, guidance_scale=2.0, banned_ids=(9,),
    )  # fmt: skip
    async with start(editing=False, size=size, params=params) as play:
        await play.press("tab", "tab")
        names = [play.screen.picked]
        for _ in range(40):
            await play.press("down")
            if play.screen.picked == names[-1]:
                break
            names.append(play.screen.picked)
            label = label_of(SETTINGS[play.screen.picked]).replace("σ", "")
            assert any(">" in line and label in line for line in play.text().splitlines()), label
        on = {each.name for each in (*KNOBS, *LISTS) if getattr(params, each.name) != each.neutral}
        assert on <= set(names)
        assert {"dry_base", "mirostat_tau", "entropy_low", "adaptive_decay"} <= set(names), "in use with those"
        assert "edt_theta" not in names
        assert names[-1] == "regex"
        assert len(play.text().splitlines()) == size[1]


async def test_words_become_ids(start, tokenizer) -> None:
    async with start(editing=False) as play:
        await play.press("colon", *"bad-word", "space", *"moon", "enter")
        assert tuple(tokenizer.encode(" moon")) in play.player.session.params.bad_words
        await play.press("colon", *"negative", "space", *"moon", "enter")
        assert list(play.player.session.params.negative_ids) == tokenizer.encode_document("moon")


async def test_settings_are_kept_under_a_name_and_set_again(start) -> None:
    async with start(editing=False) as play:
        await play.press("colon", *"min_p", "space", *"0.1", "enter")
        await play.press("colon", *"save-preset", "space", *"mine", "enter")
        assert "preset mine saved in" in play.screen.notice[0]
        assert own_presets() == {"mine": SamplingParams(min_p=0.1)}
        assert "preset mine" in play.text()
        await play.press("colon", *"preset", "space", *"neutral", "enter")
        await play.press("colon", *"preset", "space", *"mine", "enter")
        assert play.player.session.params == SamplingParams(min_p=0.1, seed=7)
        await play.press("colon", *"save-preset", "space", *"story", "enter")
        assert "built-in" in play.screen.notice[0]


async def test_a_mistake_in_the_file_of_presets_is_told_at_the_start(start) -> None:
    path: Path = config_path("presets.toml")
    path.parent.mkdir(parents=True)
    path.write_text("[presets.x]\ntop_p = 7\n")
    async with start(editing=False) as play:
        assert "presets.x.top_p" in play.screen.notice[0]


async def test_refused_settings_are_told_and_the_knobs_stand_as_before(start) -> None:
    async with start(editing=False) as play:
        before = play.player.session.params
        await play.press("colon", *"regex", "space", "left_parenthesis", "enter")
        assert isinstance(play.decoder.sent[-1], SetParams)
        play.decoder.params = before
        play.decoder.frame(
            in_force=before, error=("regex cannot be used: unclosed group.", "The settings before stay.")
        )
        await play.settle()
        assert play.player.session.params == before
        assert "unclosed group" in play.text()


async def test_a_branch_goes_on_with_the_state_of_its_last_token(start) -> None:
    async with start() as play:
        await play.run_some(6)
        await play.press("space", "left", "left", "backspace")
        sent = [command for command in play.decoder.sent if isinstance(command, SetContext)][-1]
        step = play.player.session.tree.step(len(sent.ids) - 1)
        assert step is not None
        assert sent.state == step.state


@pytest.mark.parametrize("size", SIZES)
async def test_the_card_of_a_token_can_be_seen_at_every_size(start, size) -> None:
    async with start(size=size) as play:
        await play.run_some(6)
        await play.press("space", "left", "left")
        if size[0] < 160:
            await play.press("E")
        assert "10 Why this token" in play.text()
        assert "choice, with" in play.text()


def test_a_knob_row_fits_any_width() -> None:
    view = KnobsView()
    view.show(SamplingParams(mirostat="v2", regex="x" * 99), picked="mirostat")
    for width in range(1, 100):
        for row in view.rows(width, 20):
            assert view.make_strip(row, width).cell_length == width
