"""config.toml of the config folder: the person's own keys, and how the playground starts.

    [play]
    rate = 60
    enter = "newline"

    [keys]
    regenerate = "ctrl+r, f6"

Flags come before the environment (TINYCHAT_RATE, TINYCHAT_ENTER and so on), and that before the file. Nothing here
imports Textual.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinychat import files
from tinychat.errors import TinychatError, UsageError
from tinychat.session.presets import find_preset
from tinychat.tui.keymap import Bound, Keymap, KeyProblem, remapped
from tinychat.tui.modes import MODES, Mode

FILE = "config.toml"
THEME_NAMES = ("tinychat", "tinychat-light", "tinychat-16", "tinychat-16-light", "tinychat-plain")


@dataclass(frozen=True, slots=True)
class Start:
    """One key of [play]: what it is for, its rule, and its value when nobody says otherwise.

    `read` takes the value of the file or a text; ValueError.
    """

    help: str
    read: Callable[[Any], Any]
    fallback: Any = None


def _flag(value: Any) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


def _number(least: float, *, whole: bool) -> Callable[[Any], Any]:
    kind = "whole number" if whole else "number"

    def read(value: Any) -> Any:
        try:
            if isinstance(value, bool):
                raise ValueError
            number = (int if whole else float)(value)
            if number < least or (whole and not isinstance(value, str) and number != value):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"must be a {kind} from {least:g} on") from None
        return number

    return read


def _choice(*names: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in names:
            near = difflib.get_close_matches(str(value), names, n=1)
            raise ValueError(
                f"must be one of {', '.join(names)}, got {value!r}" + (f"; did you mean {near[0]}?" if near else "")
            )
        return str(value)

    return read


def _preset(value: Any) -> str:
    try:
        find_preset(str(value))
    except TinychatError as error:
        raise ValueError(f"{error.what} {error.hint}".rstrip(".")) from None
    return str(value)


STARTS: dict[str, Start] = {
    "rate": Start("tokens a second; 0 is as fast as it goes", _number(0, whole=False), 30.0),
    "max_tokens": Start("tokens to draw at most a run", _number(0, whole=True), 256),
    "preset": Start("where the settings start", _preset),
    "theme": Start("one of " + ", ".join(THEME_NAMES), _choice(*THEME_NAMES), ""),
    "tokens": Start("what colours the tokens: " + ", ".join(MODES), _choice(*MODES), "surprisal"),
    "marks": Start("marks under the tokens", _flag, False),
    "enter": Start("what Enter does in the prompt: run, or newline (then ^j runs)", _choice("run", "newline"), "run"),
    "ascii": Start("ASCII characters only", _flag, False),
    "color": Start("colours; false is no colour at all", _flag),
    "mouse": Start("false leaves the mouse to the terminal", _flag, True),
    "bandwidth": Start("output limit in kB/s", _number(1, whole=True)),
}


@dataclass(frozen=True, slots=True)
class Config:
    """What the file says, checked but for the keys: whose they are is known when all screens are."""

    path: Path
    play: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)  # `table.key` -> line

    def keymap(self, bound: tuple[Bound, ...]) -> Keymap:
        """The keys in force. UsageError with file and line."""
        try:
            return remapped(self.keys, bound)
        except KeyProblem as problem:
            raise self.mistake(f"keys.{problem.name}", problem.reason, "See:  tinychat keys") from None

    def mistake(self, key: str, rule: str, hint: str) -> UsageError:
        """The error for one key of the file."""
        line = self.lines.get(key)
        end = "" if rule.endswith("?") else "."
        return UsageError(f"{self.path}{f':{line}' if line else ''}: {key}: {rule}{end}", hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """How a person wants the play screen to be, besides the model and its settings."""

    keymap: Keymap = field(default_factory=Keymap)
    enter_runs: bool = True  # else Enter breaks the line and ctrl+j runs
    tokens: Mode = "surprisal"
    marks: bool = False


def read_config() -> Config:
    """The file as it is; an empty config where there is none. UsageError says file, line, key and rule."""
    path = files.config_path(FILE)
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except FileNotFoundError:
        return Config(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.", "Make it readable, or move it away.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: no TOML: {error}.", "See:  https://toml.io") from error
    config = Config(path, lines=_lines(text))
    for table, values in raw.items():
        if table not in ("play", "keys") or not isinstance(values, dict):
            raise config.mistake(table, "the file holds the tables [play] and [keys]", _PATHS)
    play = {}
    for key, value in raw.get("play", {}).items():
        try:
            play[key] = _start(key).read(value)
        except ValueError as error:
            raise config.mistake(f"play.{key}", str(error), _PATHS) from None
    keys = {}
    for name, value in _flat(raw.get("keys", {})):
        if not isinstance(value, str):
            raise config.mistake(f"keys.{name}", 'must be a text such as "ctrl+r, f6"', "See:  tinychat keys")
        keys[name] = value
    return Config(path, play, keys, config.lines)


_PATHS = "See:  tinychat paths"
_NONE: Mapping[str, Any] = {}


def in_force(config: Config, environ: Mapping[str, str], flags: Mapping[str, Any] = _NONE) -> dict[str, Any]:
    """Every key of [play]: by a flag, else the environment, else the file, else as ever. UsageError names the place."""
    values = {key: start.fallback for key, start in STARTS.items()} | dict(config.play)
    for key, start in STARTS.items():
        if text := environ.get(variable(key), ""):
            try:
                values[key] = start.read(text)
            except ValueError as error:
                raise UsageError(f"{variable(key)}: {error}.", "Change it, or unset it.") from None
    for key, value in flags.items():
        try:
            values[key] = STARTS[key].read(value)
        except ValueError as error:
            raise UsageError(f"--{key.replace('_', '-')}: {error}.") from None
    return values


def variable(key: str) -> str:
    """The environment variable of a key of [play]."""
    return f"TINYCHAT_{key.upper()}"


def _start(key: str) -> Start:
    if key not in STARTS:
        near = difflib.get_close_matches(key.replace("-", "_"), STARTS, n=1)
        guess = f"did you mean {near[0]}?" if near else f"there are {', '.join(STARTS)}"
        raise ValueError(f"there is no such key; {guess}")
    return STARTS[key]


def _flat(table: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """`view.back = "q"` is a table in a table; a binding's id has the dot too."""
    found: list[tuple[str, Any]] = []
    for name, value in table.items():
        found += _flat(value, f"{before}{name}.") if isinstance(value, dict) else [(before + name, value)]
    return found


def _lines(text: str) -> dict[str, int]:
    """Where each key stands, by a look at the lines."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            table = header[1].replace('"', "").replace(" ", "")
            found.setdefault(table, number)
        elif entry := re.match(r"\s*([\w.\-\"']+)\s*=", line):
            found.setdefault(f"{table}.{entry[1].strip(chr(34))}" if table else entry[1], number)
    return found
