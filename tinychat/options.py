"""The options that several doors share, and how their text becomes settings.

Nothing here imports torch or textual: it is read for --help.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tinychat.engine.knobs import Knob
from tinychat.engine.lists import ListSetting
from tinychat.engine.orders import ORDERS
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.engine.stopping import StopRules
from tinychat.engine.themes import THEME_OF, THEMES
from tinychat.errors import TinychatError, UsageError
from tinychat.machine_options import MACHINE_NAMES, SPECULATION_NAMES
from tinychat.option_groups import spread
from tinychat.quick_options import QuickCommand
from tinychat.search_options import SEARCH_NAMES
from tinychat.session.presets import find_preset, own_presets
from tinychat.session.spelling import SETTINGS, read_changes, read_flags

Given = dict[str, str | list[str]]  # setting -> words of the command line


def preset_names(incomplete: str) -> list[str]:
    """For the shell's completion: presets that begin so, your own too where their file is right."""
    with contextlib.suppress(TinychatError):
        return [name for name in (*PRESETS, *own_presets()) if name.startswith(incomplete)]
    return [name for name in PRESETS if name.startswith(incomplete)]


def session_names(incomplete: str) -> list[str]:
    """For the shell's completion: saved sessions that begin so, the newest first, and last."""
    from tinychat.session.saved import saved

    with contextlib.suppress(TinychatError, OSError):
        names = ["last", *(each.name or each.path.stem for each in saved())]
        return [name for name in names if name.startswith(incomplete)]
    return []


# readable=False: whether a file can be read is said by its reader, which has the exit code for it
_CHECKPOINT: dict[str, Any] = {
    "metavar": "PATH", "readable": False, "help": "A checkpoint or a run folder; the shipped model if left out.",
}  # fmt: skip
Model = Annotated[Path | None, typer.Option("-m", "--model", **_CHECKPOINT)]
Checkpoint = Annotated[Path | None, typer.Argument(**_CHECKPOINT)]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        autocompletion=preset_names,
        help=f"Where the settings start: {', '.join(PRESETS)}, or one of yours.",
    ),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="0 to 2**64 - 1; drawn and reported if left out.")
]
MaxTokens = Annotated[int, typer.Option("-n", "--max-tokens", metavar="N", min=0, help="Stop after this many tokens.")]
Order = Annotated[
    str | None,
    typer.Option("--order", metavar="NAMES", help=f"{', '.join(ORDERS)}, or stages joined by commas."),
]

BadWord = Annotated[
    list[str] | None,
    typer.Option("--bad-word", metavar="TEXT", help="A phrase that may not come whole; may be repeated."),
]
Negative = Annotated[
    str | None, typer.Option("--negative", metavar="TEXT", help="Guidance: the prompt to move away from, as text.")
]
PauseTokens = Annotated[
    int | None,
    typer.Option(
        "--pause-tokens", metavar="N", min=0, max=1024, help="Pause tokens before each reply of a chat.",
        show_default="as it was trained",
    ),
]  # fmt: skip

MOST_LANES = 1 << 16  # a record keeps the lane in two bytes
SHORT = {"temperature": "-t"}  # the one knob that has a letter


class SettingsCommand(QuickCommand):
    """A command whose help has a section for each theme of settings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        titles = ("Arguments", "Options", "Machine", *THEMES, "Speculation", "Search")
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in titles}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                sections[_section(param)].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _section(param: Any) -> str:
    if (setting := SETTINGS.get(param.name or "")) is not None:
        return THEME_OF[setting.stage]
    for title, names in (("Search", SEARCH_NAMES), ("Speculation", SPECULATION_NAMES), ("Machine", MACHINE_NAMES)):
        if param.name in names:
            return title
    return "Arguments" if param.param_type_name == "argument" else "Options"


def _option(setting: Knob | ListSetting) -> Any:
    flags = [SHORT[setting.name]] if setting.name in SHORT else []
    if isinstance(setting, ListSetting):
        return typer.Option(*flags, setting.flag, metavar=setting.metavar, help=setting.help)
    metavar = "NAME" if setting.choices else "N" if setting.whole else "X"
    choices = f" One of {', '.join(setting.choices)}." if setting.choices else ""
    neutral = f" Neutral: {setting.text(setting.neutral)}."
    return typer.Option(*flags, setting.flag, metavar=metavar, help=setting.help + choices + neutral)


def _annotation(setting: Knob | ListSetting) -> Any:
    many = isinstance(setting, ListSetting) and setting.many
    return Annotated[list[str] | None if many else str | None, _option(setting)]


with_settings = spread("given", {name: _annotation(setting) for name, setting in SETTINGS.items()})


def draw_seed() -> int:
    """A seed short enough to be typed again."""
    return int.from_bytes(os.urandom(4), "little")


def settings(
    preset: str | None,
    given: Mapping[str, str | list[str]],
    *,
    default: str,
    seed: int,
    order: str | None = None,
) -> SamplingParams:
    """The preset with what was given on the command line laid over it."""
    base = find_preset(preset or default)
    try:
        values = read_flags(given)
        if (schema := values.get("json_schema", "")).startswith("@"):
            values["json_schema"] = read_text_file("--json-schema", schema[1:])
        if order is not None:
            values["order"] = order
        return base.with_(**values, seed=seed)
    except ValueError as error:
        raise UsageError(f"{error}.") from error


def read_text_file(option: str, path: str) -> str:
    """The text of a file named after an @."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError(f"{option} @{path}: {reason}.", "Name a file that can be read.") from error


def one_of(option: str, given: str, choices: tuple[str, ...]) -> str:
    """The value of an option that has few; UsageError for any other."""
    if given not in choices:
        raise UsageError(f"{option} {given!r} is not known.", f"Choose one of {', '.join(choices)}.")
    return given


def read_prompt(prompt: str | None) -> str:
    """stdin first, then --prompt, as other tools join them; never waits on a terminal."""
    piped = ""
    if not sys.stdin.isatty():
        try:
            piped = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"stdin is no UTF-8 text (byte {error.start}).", "Convert it first:  iconv -t UTF-8"
            ) from error
        piped = piped.removesuffix("\n")
    elif prompt is None:
        raise UsageError(
            "There is nothing to continue.",
            'Give a prompt:  tinychat sample --prompt "Once upon a time"   or pipe one in.',
        )
    return piped + checked_text("--prompt", prompt or "")


def checked_text(option: str, text: str) -> str:
    """The text of an option; UsageError when its bytes were no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{option} is no UTF-8 text (character {error.start}).", "Set a UTF-8 locale, or pipe the text in."
        ) from None
    return text


def texts(option: str, given: list[str] | None) -> tuple[str, ...]:
    """The texts of a repeated option, checked."""
    return tuple(checked_text(option, text) for text in given or ())


def stop_rules(max_seconds: float | None, repeat: str | None, below: float | None) -> StopRules:
    """The rules of `--max-seconds`, `--stop-repeat N:M` and `--stop-below`."""
    left, _, right = (repeat or "0:0").partition(":")
    try:
        ngram, times = int(left), int(right)
    except ValueError:
        raise UsageError(
            f"--stop-repeat {repeat!r} is not of the form N:M.", "For example, 8 tokens 3 times:  --stop-repeat 8:3"
        ) from None
    rules: dict[str, dict[str, Any]] = {
        "--max-seconds": {"max_seconds": max_seconds},
        "--stop-repeat": {"repeat_ngram": ngram, "repeat_times": times},
        "--stop-below": {"min_confidence": below or 0.0},
    }
    found = StopRules()
    for option, values in rules.items():
        try:
            found = replace(found, **values)
        except ValueError as error:
            raise UsageError(f"{option}: {error}.") from error
    return found


def pairs(option: str, given: list[str], kind: type) -> dict[int, Any]:
    """`I=X` options as a mapping."""
    found = {}
    for text in given:
        left, equals, right = text.partition("=")
        try:
            if not equals:
                raise ValueError
            found[int(left)] = kind(right)
        except ValueError:
            raise UsageError(f"{option} {text!r} is not of the form I=X.", f"For example:  {option} 12=3") from None
        if int(left) < 0:
            raise UsageError(f"{option} {text!r}: {left} is below 0.", "Count from 0.")
    return found


def lanes(given: list[str]) -> dict[int, int]:
    """`N` and `I:N` options as token of the reply -> lane."""
    found = {}
    for text in given:
        place, colon, lane = text.rpartition(":")
        if not (lane.isdecimal() and (place.isdecimal() if colon else True)) or int(lane) >= MOST_LANES:
            what = f"--lane {text!r} is not of the form N or I:N, with N below {MOST_LANES}."
            raise UsageError(what, "For example:  --lane 3   or from token 12 on  --lane 12:3")
        found[int(place or 0)] = int(lane)
    return found


def id_list(option: str, given: str) -> tuple[int, ...]:
    """`ID,ID,...` as ids."""
    try:
        ids = tuple(int(part) for part in given.split(","))
    except ValueError:
        raise UsageError(f"{option} {given!r} is no list of ids.", f"For example:  {option} 0,12,7") from None
    if min(ids) < 0:
        raise UsageError(f"{option}: {min(ids)} is below 0.", "Count from 0.")
    return ids


def schedule(given: list[str], params: SamplingParams) -> dict[int, dict[str, Any]]:
    """`I:name=x,name=x` and `I:{"name": x}` options, each checked against the settings before it."""
    found: dict[int, dict[str, Any]] = {}
    for text in given:
        place, colon, changes = text.partition(":")
        try:
            if not colon or not place.strip().isdecimal():
                raise ValueError
            found.setdefault(int(place), {}).update(read_changes(changes))
        except ValueError as error:
            if "must be" in str(error):
                raise UsageError(f"--at {text!r}: {error}.") from None
            raise UsageError(
                f"--at {text!r} is not of the form I:NAME=X,NAME=X{f' ({error})' if str(error) else ''}.",
                'For example:  --at 30:temperature=0.7,top_p=0.9   or  --at \'30:{"regex": "[a-z ,]+"}\'',
            ) from None
    for index in sorted(found):
        try:
            params = params.with_(**found[index])
        except (TypeError, ValueError) as error:
            raise UsageError(f"--at {index}: {error}.") from error
    return found
