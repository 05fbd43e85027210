"""TOML files and `--set` into a checked TrainConfig, with all mistakes at once; and back into TOML.

Each mistake is file and line, key, reason, nearest known name. Nothing here knows what the keys mean.
"""

from __future__ import annotations

import difflib
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tinychat.errors import UsageError
from trainer import base
from trainer.config import TABLES, Table, TrainConfig, cross_problems

LARGEST_FILE = 1_000_000
SHOWN = 20  # mistakes listed; more help nobody


_WORDS = {  # pydantic's, and ours
    "Input should be": "must be",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "a text",
    "a valid boolean": "true or false",
    "a valid tuple": "a list",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    where: str  # "small.toml:12", or "--set train.lr=x"
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.reason}" if self.key else f"{self.where}: {self.reason}"


def load(path: Path, overrides: Sequence[str] = (), *, look: bool = True) -> TrainConfig:
    """The config of a file with `table.key=value` overrides on top; an empty value takes the key out.

    Raises UsageError with every mistake. Paths in [data] and [tokenizer] are relative to the folder one stands in.
    `look` as in parse().
    """
    return parse(_read(path), name=str(path), overrides=overrides, look=look)


def parse(text: str, *, name: str, overrides: Sequence[str] = (), look: bool = True) -> TrainConfig:
    """As load(), from TOML text; `name` stands for the file in messages.

    Without `look` nobody looks whether the checkpoint of train.from is there, and agrees.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _refused(name, [Mistake(*_syntax(name, str(error)))]) from None
    except RecursionError:
        raise _refused(name, [Mistake(name, "", "nested too deeply")]) from None
    lines = _lines(text)
    origins = {key: f"{name}:{line}" for key, line in lines.items()}
    mistakes: list[Mistake] = []
    for override in overrides:
        mistakes += _override(override, raw, origins)
    config = _check(raw, name, origins, mistakes, look=look)
    if config is None:
        raise _refused(name, mistakes)
    return config


def dumps(config: TrainConfig) -> str:
    """The config as TOML with its help as comments; loads back equal."""
    blocks = []
    for name, table in TABLES.items():
        rows = [f"[{name}]"]
        helps = table.helps()
        for key, value in getattr(config, name).values().items():
            entry = f"# {key} =" if value is None else f"{key} = {_toml(value)}"
            rows.append(f"{entry:<40}  # {helps[key]}")
        blocks.append("\n".join(rows) + "\n")
    return "\n".join(blocks)


def differences(old: TrainConfig, new: TrainConfig) -> list[tuple[str, str, str]]:
    """(table.key, old value, new value) wherever two configs differ."""
    found = []
    for name in TABLES:
        before, after = getattr(old, name).values(), getattr(new, name).values()
        found += [(f"{name}.{key}", str(before[key]), str(after[key])) for key in before if before[key] != after[key]]
    return found


def _read(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path}: is not a file.", "Name a config:  tinychat train --config assets/small.toml")
        if status.st_size > LARGEST_FILE:
            raise UsageError(f"{path}: {status.st_size} bytes are no config.", "Name a small TOML file.")
        raw = path.read_bytes()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise UsageError(f"{path}: {reason}.", "Name a config:  tinychat train --config assets/small.toml") from None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refused(
            str(path), [Mistake(f"{path}:{line}", "", f"byte {raw[error.start]:#04x} is not UTF-8")]
        ) from None


def _syntax(name: str, message: str) -> tuple[str, str, str]:
    found = re.search(r" \(at line (\d+), column (\d+)\)", message)
    if found is None:
        return name, "", f"not TOML: {message}"
    reason = message[: found.start()]
    if re.match(r"Cannot (overwrite|declare)", reason):  # its words for it say little
        reason = "this was given already"
    return f"{name}:{found[1]}", "", f"not TOML, column {found[2]}: {reason[:1].lower()}{reason[1:]}"


def _lines(text: str) -> dict[str, int]:
    """Line numbers of tables and table.keys; tomllib does not tell. Good for our flat tables, not for all of TOML."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        entry = re.match(r"\s*([\w.\-\"']+(?:\s*\.\s*[\w\-\"']+)*)\s*=", line)
        if header:
            table = re.sub(r"[\s\"']", "", header[1])
            found.setdefault(table, number)
        elif entry:
            key = re.sub(r"[\s\"']", "", entry[1])
            found.setdefault(f"{table}.{key}" if table else key, number)
    return found


def _override(text: str, raw: dict[str, Any], origins: dict[str, str]) -> list[Mistake]:
    name = f"--set {text}"
    path, equals, value = text.partition("=")
    table, dot, key = path.strip().partition(".")
    if not (equals and dot and key and table):
        return [Mistake(name, "", "must read table.key=value, as in  --set train.lr=1e-3")]
    try:
        parsed = tomllib.loads(f"value = {value}")
        held: Any = parsed["value"] if len(parsed) == 1 else value
    except (tomllib.TOMLDecodeError, RecursionError):
        held = value.strip()  # a bare word: no shell makes it easy to type the quotes of TOML
    target = raw.setdefault(table, {})
    if not isinstance(target, dict):
        return []  # the file's own mistake, reported there
    if value.strip():
        target[key] = held
    else:
        target.pop(key, None)  # back to its default
    origins[f"{table}.{key}"] = name
    origins.setdefault(table, name)
    return []


def _check(
    raw: Mapping[str, Any], name: str, origins: Mapping[str, str], mistakes: list[Mistake], *, look: bool
) -> TrainConfig | None:
    def where(key: str) -> str:
        return origins.get(key) or origins.get(key.split(".")[0]) or name

    tables: dict[str, Table] = {}
    for table in raw:
        if table not in TABLES:
            mistakes.append(Mistake(where(table), table, _unknown(table, TABLES, "table")))
    for table, kind in TABLES.items():
        given = raw.get(table, {} if table != "train" else {"steps": 1000})
        if not isinstance(given, Mapping):
            mistakes.append(Mistake(where(table), table, f"is a table: write [{table}] above its keys"))
            continue
        try:
            tables[table] = kind.model_validate(given)
        except ValidationError as error:
            found: dict[str, Mistake] = {}
            for detail in error.errors():
                key = str(detail["loc"][0]) if detail["loc"] else ""
                # one line per key: a union reports each of its arms
                found.setdefault(key, Mistake(where(f"{table}.{key}"), f"{table}.{key}", _reason(table, key, detail)))
            mistakes.extend(found.values())
    for table, key, reason in [*(base.settle(tables, raw) if look else ()), *cross_problems(tables)]:
        path = f"{table}.{key}" if key else table
        mistakes.append(Mistake(where(path), path, reason))
    return None if mistakes else TrainConfig(**tables)  # type: ignore[arg-type]  # each key holds its own table type


def _reason(table: str, key: str, detail: Any) -> str:
    if detail["type"] == "extra_forbidden":
        homes = [other for other, kind in TABLES.items() if key in kind.helps()]
        return f"unknown key; it belongs to [{homes[0]}]" if homes else _unknown(key, TABLES[table].helps(), "key")
    if detail["type"] in ("missing", "too_long"):  # every key has a default, so it is the end of a pair
        return f"must be a list of two numbers, got {list(detail['input'])!r}"[:300]
    message = str(detail["msg"])
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    if detail["type"] == "literal_error" and isinstance(detail["input"], str):
        close = _nearest(detail["input"], re.findall(r"'(.+?)'", message))
        return f"{message}, got {detail['input']!r}{close}"
    return f"{message}, got {detail['input']!r}"[:300]


def _unknown(name: str, known: Mapping[str, object], what: str) -> str:
    return f"unknown {what}{_nearest(name, list(known)) or '; known are ' + ', '.join(known)}"


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _refused(name: str, mistakes: list[Mistake]) -> UsageError:
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    rows = [_visible(str(mistake)) for mistake in sorted(mistakes, key=_line)[:SHOWN]]
    if len(mistakes) > SHOWN:
        rows.append(f"... and {len(mistakes) - SHOWN} more")
    return UsageError(
        f"{count} in the config:\n  " + "\n  ".join(rows), "Nothing was written. Mend the config and start again."
    )


def _line(mistake: Mistake) -> int:
    number = mistake.where.rpartition(":")[2]
    return int(number) if number.isdecimal() else 0


def _visible(text: str) -> str:
    return "".join(letter if letter.isprintable() else f"<{ord(letter):04X}>" for letter in text)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_escaped(letter) for letter in value) + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)  # the shortest digits that read back as the same float


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() else f"\\U{ord(letter):08X}"
