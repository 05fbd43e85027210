"""`tinychat keys` and `tinychat paths`: their options."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinychat import files
from tinychat.errors import UsageError
from tinychat.text import terminal

if TYPE_CHECKING:
    from tinychat.tui.keymap import Bound, Keymap

NAME_WIDTH, KEYS_WIDTH = 22, 14


def keys(
    test: Annotated[
        bool, typer.Option("--test", help="Press keys and see what the terminal sends, and what that does.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """List the keys of the playground, with yours in force.

    \b
    tinychat keys
    tinychat keys --test
    tinychat keys --json

    Change them in config.toml of the config folder (tinychat paths): under [keys] the name of an action and its keys,
    for example  regenerate = "ctrl+r, f6".
    """
    from tinychat.tui.config import read_config
    from tinychat.tui.keymap import Keymap, play_bound
    from tinychat.tui.viewkeys import view_bound

    bound = (*play_bound(), *view_bound())
    mistake: UsageError | None = None
    try:
        keymap = read_config().keymap(bound)
    except UsageError as error:
        if json_output or test:
            raise
        keymap, mistake = Keymap(), UsageError(error.what, "The table has the keys as they are without config.toml.")
    if test:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("--test needs a terminal for its keys.", "Leave --test out for the table.")
        from tinychat.tui.keytest import run_test

        run_test(bound, keymap)
        return
    rows = [_row(each, keymap) for each in bound]
    if json_output:
        print(json.dumps({"schema": "tinychat.keys/1", "keys": rows}))
        return
    for line in _table(rows):
        print(line)
    if mistake is not None:
        raise mistake


def _row(each: Bound, keymap: Keymap) -> dict[str, Any]:
    from tinychat.tui.keynames import caution

    now = keymap.changed.get(each.id)
    names = list(each.keys) if now is None else now.split(",")
    return {
        "name": each.name,
        "screen": each.screen,
        "keys": names,
        "yours": now is not None,
        "title": each.title,
        "tip": each.tip,
        "cautions": {name: why for name in names if (why := caution(name))},
    }


def _table(rows: list[dict[str, Any]]) -> list[str]:
    from tinychat.tui.keynames import show_key

    lines: list[str] = []
    screen = ""
    for row in rows:
        if row["screen"] != screen:
            screen = row["screen"]
            lines += ["", screen] if lines else [screen]
        shown = " ".join(map(show_key, row["keys"])) + (" *" if row["yours"] else "")
        lines.append(terminal.one_line(f"  {row['name']:<{NAME_WIDTH}} {shown:<{KEYS_WIDTH}} {row['title']}"))
        lines += [f"  {'':<{NAME_WIDTH}} {show_key(key)}: {why}" for key, why in row["cautions"].items()]
    if any(row["yours"] for row in rows):
        lines += ["", "* yours, in config.toml"]
    return lines


def paths(
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Say where files live, and what config.toml can hold.

    \b
    tinychat paths
    tinychat paths --json

    A flag comes before an environment variable, and that before config.toml.
    """
    from tinychat.session.presets import FILE as PRESETS_FILE
    from tinychat.tui.config import FILE, STARTS, Config, in_force, read_config, variable

    mistake: UsageError | None = None
    try:
        config = read_config()
    except UsageError as error:  # its hint leads here
        if json_output:
            raise
        config = Config(files.config_path(FILE))
        mistake = UsageError(error.what, "What it can hold stands above, as it is without the file.")
    places = {
        "config": files.config_path(FILE),
        "presets": files.config_path(PRESETS_FILE),
        "sessions": files.data_folder(),
        "state": files.state_folder(),
        "cache": files.cache_folder(),
        "model": _shipped(),
    }
    values = in_force(config, os.environ)
    if json_output:
        starts = {key: {"value": values[key], "variable": variable(key), "help": STARTS[key].help} for key in STARTS}
        print(json.dumps({"schema": "tinychat.paths/1", "paths": _plain(places), "play": starts}))
        return
    for name, place in _plain(places).items():
        there = "" if place is None or os.path.exists(place) else "   (not there yet)"
        print(terminal.one_line(f"{name:<9} {place or 'not installed'}{there}"))
    print(f"\nHow `tinychat play` starts: [play] in {FILE}, or the environment; a flag comes before both.")
    for key, start in STARTS.items():
        value = "" if values[key] in (None, "") else json.dumps(values[key])
        print(terminal.one_line(f"  {key:<11} {value:<12} {variable(key):<20} {start.help}"))
    print("\nYour keys: [keys], the name of an action and its keys; `tinychat keys` has the names.")
    if mistake is not None:
        raise mistake


def _shipped() -> Path | None:
    try:
        return files.asset(files.SHIPPED)
    except UsageError:
        return None


def _plain(places: Mapping[str, Path | None]) -> dict[str, str | None]:
    return {name: None if place is None else str(place) for name, place in places.items()}
