"""The door of `tinychat data`: make shards, look at shards. Progress on stderr, what was asked for on stdout."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tinychat.errors import EXIT_OK, CorpusError, UsageError
from tinychat.text.terminal import one_line
from trainer import data_inspect, data_report, figures
from trainer.corpus import STDIN
from trainer.data_build import Interrupted, build
from trainer.data_recipe import Recipe, find, finished_parts
from trainer.events import Event, Progress
from trainer.run_folder import claim
from trainer.shards import HEADER_BYTES
from trainer.signals import EXIT_CODES, StopFlag, caught_signals

EVERY_S = 10.0  # between lines where stderr is no terminal
HOW = {"SIGINT": "Stopped by Ctrl-C", "SIGHUP": "The terminal went away"}  # others by their names

T = TypeVar("T")


def run_build(recipe: Recipe, out: Path, *, fresh: bool, json_output: bool, quiet: bool) -> int:
    """Make the folder, or go on making it; the exit code. Raises TinychatError."""
    if len(recipe.sources) != len(set(recipe.sources)):
        raise UsageError("A source is named twice.", "Name each once; data.weights of a training config repeat it.")
    if any(Path(source).is_dir() and Path(source).resolve() == out.resolve() for source in recipe.sources):
        raise UsageError(
            f"{out} holds the text itself; with shards in it, its name would mean them.", "Name another folder."
        )
    for reading in recipe.readings():  # before a folder is made
        if reading.source == STDIN and sys.stdin.isatty() and not quiet:
            print("reading stdin; Ctrl-D ends it", file=sys.stderr)
    for folder_of_run in (out, out.parent) if out.name == "data" else (out,):
        if (folder_of_run / "config.toml").exists() and (folder_of_run / ".lock").exists():
            raise UsageError(
                f"{folder_of_run} holds a training run, which has shards of its own.", "Name another folder."
            )
    flag = StopFlag()
    meter = _Meter(quiet=quiet)
    with caught_signals(flag), claim(out, doing="making shards"):
        folder = find(recipe, out, fresh=fresh)
        if folder is not None and not quiet:
            print("These shards are there already.", file=sys.stderr)
        try:
            folder = folder or _told(build(recipe, out, flag), meter)
        except Interrupted:
            meter.end()
            kept = finished_parts(out)
            told = f": {kept} finished shard{'s are' if kept > 1 else ' is'} kept" if kept else ""
            reason = flag.reason or "SIGINT"
            print(f"{HOW.get(reason, f'Stopped by {reason}')}{told}. The same command goes on.", file=sys.stderr)
            return EXIT_CODES[reason]
        finally:
            meter.end()
    facts = data_inspect.folder_facts(folder)
    _print(facts, data_report.summary(facts, _width()), json_output=json_output)
    if not json_output and not quiet:
        print(f'\nTrain on it:  [data] text = "{one_line(str(out))}"', file=sys.stderr)
    return EXIT_OK


def run_inspect(path: Path, *, samples: int, seed: int, json_output: bool, ascii_only: bool) -> None:
    """Everything about a folder of shards, or about one. Raises CorpusError where something is damaged."""
    meter = _Meter(quiet=False)
    try:
        if path.is_dir():
            facts = _told(data_inspect.inspect_folder(path, samples=samples, seed=seed), meter)
            shard = Path(facts["path"]) / (
                facts["boundaries"][0]["file"] if facts["boundaries"] else "train-00-00000.bin"
            )
        elif path.exists():
            facts, shard = _told(data_inspect.inspect_shard(path, samples=samples, seed=seed), meter), path
        else:
            raise CorpusError(f"{path}: no such file or folder.", "Name what  tinychat data build  made.")
    finally:
        meter.end()
    with shard.open("rb") as file:
        header = file.read(HEADER_BYTES)
    lines = [*data_report.summary(facts, _width())]
    lines += data_report.details(facts, header, _width(), ascii_only=ascii_only or not _is_utf8())
    _print(facts, iter(lines), json_output=json_output)


def _print(facts: dict[str, Any], lines: Iterator[str], *, json_output: bool) -> None:
    if json_output:
        print(json.dumps(facts).replace("\x7f", "\\u007f"))
        return
    for line in lines:
        print(line)


def _told(work: Generator[Event, None, T], meter: _Meter) -> T:
    """The end of the work, its progress shown."""
    while True:
        try:
            event = next(work)
        except StopIteration as ended:
            result: T = ended.value
            return result
        if isinstance(event, Progress):
            meter.show(event)


def _width() -> int:
    return min(120, shutil.get_terminal_size((80, 24)).columns)


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")


class _Meter:
    """One line that is drawn over itself on a terminal; a line now and then elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._live = quiet, sys.stderr.isatty()
        self._what, self._drawn = "", 0
        self._began = self._first = self._last = 0.0

    def show(self, event: Progress) -> None:
        now = time.monotonic()
        if event.what != self._what:
            self.end()
            self._what, self._began, self._first, self._last = event.what, now, event.done, 0.0
        if self._quiet or (not self._live and now - self._last < EVERY_S):
            return
        self._last = now
        line = self._line(event, now)
        try:
            if self._live:
                room = _width() - 1
                print("\r" + line[:room].ljust(min(room, self._drawn)), end="", file=sys.stderr, flush=True)
                self._drawn = len(line)
            else:
                print(line, file=sys.stderr, flush=True)
        except OSError:
            self._quiet = True

    def end(self) -> None:
        """Leave the line."""
        if self._live and self._drawn and not self._quiet:
            print("\r" + " " * min(self._drawn, _width() - 1) + "\r", end="", file=sys.stderr, flush=True)
        self._drawn = 0

    def _line(self, event: Progress, now: float) -> str:
        if not event.done and not event.total:
            return f"{event.what} ..."
        as_bytes = event.unit == "bytes"
        figure = figures.size if as_bytes else figures.count
        passed, gone = now - self._began, event.done - self._first
        rate = gone / passed if passed > 0.5 and gone > 0 else 0.0
        parts = [event.what]
        if event.total:
            filled = min(20, 20 * event.done // event.total)
            parts += [f"[{'#' * filled}{'.' * (20 - filled)}]", f"{figure(event.done)} of {figure(event.total)}"]
        else:
            parts.append(figure(event.done))
        if not as_bytes:
            parts.append(event.unit)
        if rate:
            parts.append(f"{rate / 1e6:.1f} MB/s" if as_bytes else f"{figures.count(rate)}/s")
            if event.total:
                parts.append(f"{figures.duration((event.total - event.done) / rate)} left")
        return "  ".join(parts)
