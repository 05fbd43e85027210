"""Presets: the built-in ones, and the person's own in presets.toml of the config folder.

    [presets.mine]
    temperature = 0.9
    regex = "[a-z ,.]+"

A table holds settings of SamplingParams but no seed; what it leaves out is neutral. The file is only read when a name
is no built-in one, and saving keeps whatever else stands in it. Nothing here knows a screen.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

from tinychat import files
from tinychat.engine.knobs import Knob
from tinychat.engine.orders import checked_order
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.errors import UsageError
from tinychat.session.spelling import CHANGEABLE, SETTINGS, nearest

FILE = "presets.toml"
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_KEYS = frozenset(CHANGEABLE) - {"seed"}


def find_preset(name: str) -> SamplingParams:
    """The settings of a preset; UsageError for a name that is none, or for a mistake in the file."""
    if name in PRESETS:
        return PRESETS[name]
    own = own_presets()
    if name not in own:
        known = [*PRESETS, *own]
        near = difflib.get_close_matches(name, known, n=1)
        guess = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"There is no preset {name!r}.", f"{guess}Choose one of {', '.join(known)}.")
    return own[name]


def own_presets() -> dict[str, SamplingParams]:
    """The person's own, in the order of the file; none when there is no file. UsageError says file, key and rule."""
    path = files.config_path(FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.", "Make it readable, or move it away.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: no TOML: {error}.", "See:  https://toml.io") from error
    for key in raw:
        if key != "presets":
            raise _mistake(path, key, "the file holds tables [presets.NAME] and nothing else")
    tables = raw.get("presets", {})
    if not isinstance(tables, dict):
        raise _mistake(path, "presets", "it must hold tables [presets.NAME]")
    return {name: _read(path, name, table) for name, table in tables.items()}


def save_preset(name: str, params: SamplingParams) -> Path:
    """Write the settings under a name, in place of what had it; the file. Comments and other presets stay.

    UsageError for a name that cannot be one, or for a file that is no TOML; StorageError when it cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a preset.", "Use letters, digits, - and _.")
    if name in PRESETS:
        raise UsageError(f"{name} is a built-in preset.", "Choose another name.")
    import tomlkit  # only here: a reader does not pay for it
    from tomlkit.exceptions import TOMLKitError

    path = files.config_path(FILE)
    neutral, values = SamplingParams().to_dict(), params.to_dict()
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
        table = tomlkit.table()
        for key in CHANGEABLE:
            if key in _KEYS and values[key] != neutral[key]:
                table.add(key, values[key])
        if "presets" not in document:
            document.add("presets", tomlkit.table(is_super_table=True))
        document["presets"][name] = table
        text = tomlkit.dumps(document)
    except (OSError, ValueError, TypeError, TOMLKitError) as error:
        raise UsageError(f"{path}: {error}.", "Mend or move the file; nothing was changed.") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.storage_error(path.parent, error) from error
    files.write_atomic(path, text.encode())
    return path


def _read(path: Path, name: str, table: Any) -> SamplingParams:
    where = f"presets.{name}"
    if name in PRESETS:
        raise _mistake(path, where, "that is the name of a built-in preset")
    if not isinstance(table, dict):
        raise _mistake(path, where, "a preset is a table of settings")
    values = {}
    for key, value in table.items():
        name_of_it = key.replace("-", "_")
        if name_of_it not in _KEYS:
            raise _mistake(path, f"{where}.{key}", f"there is no such setting{nearest(name_of_it)}")
        try:
            values[name_of_it] = _checked(name_of_it, value)
        except ValueError as error:
            raise _mistake(path, f"{where}.{key}", str(error)) from None
    try:
        return SamplingParams(**values)
    except ValueError as error:  # two settings that do not go together
        raise _mistake(path, where, str(error)) from None


def _checked(name: str, value: Any) -> Any:
    setting = SETTINGS.get(name)
    if setting is None:
        return checked_order(value)
    if isinstance(setting, Knob):
        return setting.check(value)
    if isinstance(value, dict):  # a table of biases has its ids as keys, which TOML makes text
        value = {int(key) if key.isdecimal() else key: each for key, each in value.items()}
    return setting.check(name, value)


def _mistake(path: Path, key: str, rule: str) -> UsageError:
    end = "" if rule.endswith("?") else "."
    return UsageError(f"{path}: {key}: {rule}{end}", "The settings, and what each takes:  tinychat sample --help")
