"""The person's own keys: names of keys, conflicts, and what config.toml may hold."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.keys import _character_to_key

from tinychat import files
from tinychat.errors import UsageError
from tinychat.tui.config import FILE, STARTS, THEME_NAMES, Taste, in_force, read_config, variable
from tinychat.tui.help import help_text
from tinychat.tui.helpline import help_row
from tinychat.tui.keymap import KeyProblem, play_bound, remapped
from tinychat.tui.keynames import caution, read_keys, read_shown, show_key, sign_key
from tinychat.tui.keys import ACTIONS
from tinychat.tui.keytest import owners, row
from tinychat.tui.lineview import row_text
from tinychat.tui.palette import Look
from tinychat.tui.theme import THEMES
from tinychat.tui.viewkeys import view_bound
from tinychat.tui.widgets.lines import key_at


def test_signs_have_textuals_names() -> None:
    for sign in string.punctuation + string.ascii_letters + string.digits:
        assert sign_key(sign) == _character_to_key(sign)
        if sign != ",":
            assert read_keys(sign) == (_character_to_key(sign),)


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ("ctrl+r, f6", ("ctrl+r", "f6")),
        ("Ctrl+R", ("ctrl+r",)),
        ("shift+r", ("R",)),
        ("?, question_mark", ("question_mark",)),
        ("comma", ("comma",)),
        ("ctrl++", ("ctrl+plus",)),
        ("shift+ctrl+up", ("ctrl+shift+up",)),
        ("esc, PgUp", ("escape", "pageup")),
    ],
)
def test_keys_are_read_as_people_write_them(written: str, keys: tuple[str, ...]) -> None:
    assert read_keys(written) == keys


@pytest.mark.parametrize(
    ("written", "said"),
    [("ctlr+r", "ctrl+r"), ("escpae", "escape"), ("", "by name"), ("a,,b", "by name"), ("f99", "no key 'f99'")],
)
def test_what_is_no_key_is_refused_with_the_nearest(written: str, said: str) -> None:
    with pytest.raises(ValueError, match="key") as refused:
        read_keys(written)
    assert said in str(refused.value)


def test_every_binding_of_ours_reads_back() -> None:
    for each in (*play_bound(), *view_bound()):
        for key in each.keys:
            assert read_keys(key) == (key,)
            assert show_key(key)


def test_every_binding_of_a_view_can_be_named_and_says_what_it_does() -> None:
    bound = view_bound()
    assert {"view.back", "view.leave"} <= {each.name for each in bound}
    for each in bound:
        assert each.title, each.name
        assert each.tip, each.name


def test_no_key_of_the_play_screen_does_two_things() -> None:
    seen: dict[str, str] = {}
    for each in play_bound():
        for key in each.keys:
            assert seen.setdefault(key, each.name) == each.name, key


def test_a_key_that_is_taken_is_refused_unless_its_owner_moves() -> None:
    with pytest.raises(KeyProblem, match=r"r is the key of rerun"):
        remapped({"regenerate": "r"}, play_bound())
    with pytest.raises(KeyProblem, match="key of"):
        remapped({"regenerate": "f6", "rerun": "f6"}, play_bound())
    keymap = remapped({"regenerate": "r", "rerun": "ctrl+r"}, play_bound())
    assert keymap.changed == {"play.regenerate": "r", "play.rerun": "ctrl+r"}


def test_the_keys_that_leave_and_find_actions_stay() -> None:
    with pytest.raises(KeyProblem, match="leave on every screen"):
        remapped({"regenerate": "ctrl+q"}, play_bound())
    assert remapped({"leave": "ctrl+q, f12"}, play_bound()).changed == {"play.leave": "ctrl+q,f12"}


def test_help_and_the_help_line_say_the_persons_keys() -> None:
    taste = Taste(keymap=remapped({"run": "f6", "left": "f7"}, play_bound()), enter_runs=False)
    text = help_text(ascii_only=True, taste=taste)
    assert "  F6 " in text
    assert "\n  Space " not in text
    line = row_text(help_row(120, editing=False, running=False, look=Look("ascii", "none"), taste=taste), 120)
    assert "F6 run" in line
    assert "F7 token" in line
    editing = row_text(help_row(80, editing=True, running=False, look=Look("ascii", "none"), taste=taste), 80)
    assert editing.startswith(" ^j run  Enter newline")


def test_keys_that_a_terminal_may_not_send_are_told() -> None:
    assert "Tab" in caution("ctrl+i")
    assert "Kitty" in caution("ctrl+shift+a")
    assert not any(caution(key) for each in ACTIONS for key in each.keys.split(",") if key != "f1")


def _write(text: str) -> Path:
    path = files.config_path(FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[keys]\n\nregenrate = 'f6'\n", ":3: keys.regenrate: there is no such action; did you mean regenerate?"),
        ("[keys]\nregenerate = 'r'\n", ":2: keys.regenerate: r is the key of rerun"),
        ("[keys]\nrun = 3\n", ":2: keys.run: must be a text"),
        ("[keys]\nview.bakc = 'x'\n", ":2: keys.view.bakc: there is no such action; did you mean view.back?"),
        ("[play]\nrte = 3\n", ":2: play.rte: there is no such key; did you mean rate?"),
        ("[play]\nrate = -1\n", ":2: play.rate: must be a number from 0 on"),
        ("[play]\nrate = true\n", ":2: play.rate: must be a number"),
        ("[play]\nmarks = 'maybe'\n", ":2: play.marks: must be true or false"),
        ("[play]\ntheme = 'tinychat-ligth'\n", "did you mean tinychat-light?"),
        ("[play]\npreset = 'stroy'\n", "Did you mean story?"),
        ("[paly]\n", ":1: paly: the file holds the tables"),
        ("[play\n", "no TOML"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_line_and_nearest(text: str, said: str) -> None:
    path = _write(text)
    with pytest.raises(UsageError) as refused:
        read_config().keymap((*play_bound(), *view_bound()))
    assert refused.value.what.startswith(str(path))
    assert said in refused.value.what


def test_a_flag_comes_before_the_environment_and_that_before_the_file() -> None:
    _write("[play]\nrate = 10\nmarks = true\n")
    config = read_config()
    assert in_force(config, {})["rate"] == 10
    assert in_force(config, {})["marks"] is True
    assert in_force(config, {"TINYCHAT_RATE": "20"})["rate"] == 20
    assert in_force(config, {"TINYCHAT_RATE": "20"}, {"rate": 30.0})["rate"] == 30
    with pytest.raises(UsageError, match="TINYCHAT_RATE: must be a number"):
        in_force(config, {"TINYCHAT_RATE": "fast"})
    with pytest.raises(UsageError, match="--theme: must be one of"):
        in_force(config, {}, {"theme": "dark"})


def test_every_start_value_is_one_its_own_rule_takes() -> None:
    for key, start in STARTS.items():
        if start.fallback not in (None, ""):
            assert start.read(start.fallback) == start.fallback
        assert variable(key) == f"TINYCHAT_{key.upper()}"
    assert tuple(each.name for each in THEMES) == THEME_NAMES


def test_the_key_test_says_what_a_key_does() -> None:
    keymap = remapped({"regenerate": "f6"}, play_bound())
    owner = owners(play_bound(), keymap)
    assert "Regenerate with a new seed (regenerate)" in row("f6", "\x1b[17~", owner)
    assert "nothing" in row("ctrl+r", "\x12", owner)
    assert "most terminals send Tab" in row("ctrl+i", "", owner)


def test_keys_and_paths_print_tables_and_json(tinychat) -> None:
    _write("[keys]\nregenerate = 'f6'\n")
    table = tinychat("keys").text
    assert "regenerate             F6 *" in table
    found = {each["name"]: each for each in tinychat("keys", "--json").json["keys"]}
    assert found["regenerate"]["keys"] == ["f6"]
    assert found["run"]["yours"] is False
    assert str(files.config_path(FILE)) in tinychat("paths").text
    assert tinychat("paths", "--json").json["play"]["rate"]["value"] == 30
    ended = tinychat("keys", "--test")
    assert ended.code == 2
    assert "terminal" in ended.err


@pytest.mark.parametrize(
    ("command", "wrong"), [("paths", "[play]\ntheme = 'light'\n"), ("keys", "[keys]\nnowhere = 'f6'\n")]
)
def test_what_the_hint_of_a_mistake_names_is_printed_in_spite_of_it(tinychat, command: str, wrong: str) -> None:
    as_ever = tinychat(command)
    assert as_ever.code == 0
    _write(wrong)
    ended = tinychat(command)
    assert ended.code == 2
    assert ended.text.replace("   (not there yet)", "") == as_ever.text.replace("   (not there yet)", "")
    assert ":2: " in ended.err
    assert "error" in tinychat(command, "--json").json


def test_the_shell_completes_names(tmp_path) -> None:
    from tinychat.cli_learn import lesson_names
    from tinychat.options import preset_names, session_names

    presets = files.config_path("presets.toml")
    presets.parent.mkdir(parents=True, exist_ok=True)
    presets.write_text("[presets.stormy]\ntemperature = 1.2\n", encoding="utf-8")
    assert preset_names("st") == ["story", "stormy"]
    presets.write_text("no toml [", encoding="utf-8")
    assert preset_names("st") == ["story"]
    assert session_names("l") == ["last"]
    assert lesson_names("top") == ["top-k", "top-p"]


@given(st.sampled_from(sorted({key for action in ACTIONS for key in action.keys.split(",")})))
def test_what_help_shows_of_a_key_is_read_back(key: str) -> None:
    assert read_shown(show_key(key)) == key


def test_a_place_in_a_line_of_help_means_a_key() -> None:
    line = " Space run  . step  ← → token  Enter 1-9 take  猫 - = knob  a text"
    places = {"Space": "space", "run": "space", "step": "full_stop", "→": "right", "token": "left", "take": "enter"}
    for word, key in places.items():
        assert key_at(line, line.index(word)) == key
    assert key_at(line, line.index("=") + 1) == "equals_sign"  # a wide character stands before it
    assert key_at(line, 0) is None
    assert key_at("nothing said here", 3) is None
    assert key_at("", 0) is None
