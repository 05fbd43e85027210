"""Text on the command line becomes settings, or two clear lines."""

from __future__ import annotations

import io
import sys

import pytest

from tinychat import cli, options
from tinychat.engine.knobs import KNOBS
from tinychat.engine.lists import LISTS
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.errors import UsageError


def settings(given: dict[str, str | list[str]], preset: str | None = None) -> SamplingParams:
    return options.settings(preset, given, default="neutral", seed=3)


def test_settings_lay_options_over_the_preset() -> None:
    assert settings({"top_p": "0.5"}, "story") == PRESETS["story"].with_(top_p=0.5, seed=3)


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="no preset 'stroy'") as error:
        settings({}, "stroy")
    assert "Did you mean story?" in error.value.hint


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
def test_a_value_that_is_none_of_the_knobs_names_the_knob_and_its_rule(knob) -> None:
    rule = "one of" if knob.choices else "between"
    with pytest.raises(UsageError, match=f"{knob.name} must be {rule}"):
        settings({knob.name: "sideways" if knob.choices else str(knob.low - 1)})


@pytest.mark.parametrize("command", ["sample", "play"])
def test_every_knob_and_list_is_an_option(command: str) -> None:
    flags = {flag for option in cli.command(command).params for flag in option.opts}
    assert {each.flag for each in (*KNOBS, *LISTS)} | {"-t", "--order", "--preset", "--seed"} <= flags


def test_pairs_need_an_equals_sign_and_numbers() -> None:
    assert options.pairs("--force", ["3=7", "0=2"], int) == {3: 7, 0: 2}
    assert options.pairs("--logit-bias", ["3=-inf"], float) == {3: float("-inf")}
    for bad in ("3", "a=1", "1=x", "-1=2", "="):
        with pytest.raises(UsageError, match="--force"):
            options.pairs("--force", [bad], int)


def test_a_schedule_keeps_the_commas_of_an_order() -> None:
    found = options.schedule(["4:top-p=0.5,order=top_p,top_k,temperature=1", "9:seed=8"], SamplingParams())
    assert found == {4: {"top_p": 0.5, "order": "top_p,top_k", "temperature": 1.0}, 9: {"seed": 8}}


def test_a_schedule_is_checked_against_the_settings_before_it() -> None:
    with pytest.raises(UsageError, match="leaves out top_k"):
        options.schedule(["4:order=top_p"], SamplingParams(top_k=5))
    with pytest.raises(UsageError, match="--at '4:top_p=7': top_p must be between"):
        options.schedule(["4:top_p=7"], SamplingParams())


@pytest.mark.parametrize("bad", ["", "x:top_p=1", "4", "4:top_p", "4:nonsense=1", "-1:top_p=1", "4:{"])
def test_a_malformed_schedule_says_the_form(bad: str) -> None:
    with pytest.raises(UsageError, match="--at") as error:
        options.schedule([bad], SamplingParams())
    assert "--at 30:temperature" in error.value.hint
    assert "invalid literal" not in error.value.what


def test_a_schedule_says_which_number_is_none() -> None:
    with pytest.raises(UsageError, match=r"top_k must be a whole number, got '1\.5'"):
        options.schedule(["4:top_k=1.5"], SamplingParams())
    with pytest.raises(UsageError, match="top_p must be a number, got 'half'"):
        options.schedule(["4:top_p=half"], SamplingParams())


class _Stdin(io.TextIOWrapper):
    def __init__(self, data: bytes, *, tty: bool = False) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


def test_stdin_comes_before_the_prompt_and_loses_one_newline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Stdin("Grüße\n\n".encode()))
    assert options.read_prompt(" and more") == "Grüße\n and more"


def test_a_terminal_is_never_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Stdin(b"typed", tty=True))
    assert options.read_prompt("hello") == "hello"
    with pytest.raises(UsageError, match="nothing to continue"):
        options.read_prompt(None)


def test_an_option_that_is_no_text_is_refused() -> None:
    assert options.checked_text("--stop", "Grüße 😀") == "Grüße 😀"
    with pytest.raises(UsageError, match="--stop is no UTF-8 text \\(character 2\\)"):
        options.checked_text("--stop", b"ab\xff".decode("utf-8", "surrogateescape"))  # as a shell hands it over


def test_stdin_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Stdin(b"ab\xff"))
    with pytest.raises(UsageError, match="no UTF-8 text \\(byte 2\\)"):
        options.read_prompt("")
