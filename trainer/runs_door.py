"""`tinychat runs`: the runs of a folder as a table, or several of them side by side.

Nothing here reads files (runs.py does).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from tinychat.errors import UsageError
from tinychat.text.terminal import one_line
from trainer import figures
from trainer.config_file import differences
from trainer.plot_runs import LETTERS, STYLES, plot_runs, sparkline
from trainer.runs import Moment, Point, Run, read
from trainer.signals import ASKED

SCHEMA = "tinychat.runs/1"
SPARK = 16  # characters of the curve in the table
KEPT = 400  # points of a curve in JSON
HEIGHT = 18

Axis = Literal["step", "tokens", "minutes"]


def list_runs(runs: Sequence[Run], folder: Path, *, as_json: bool, ascii_only: bool) -> None:
    """Print the runs of `folder`."""
    if as_json:
        print(json.dumps({"schema": SCHEMA, "runs": [_record(run) for run in runs]}))
        return
    if not runs:
        print(one_line(f"There is no run in {folder}: tinychat train makes one."), file=sys.stderr)
        return
    console, ascii_only = _console(ascii_only)
    width = max(4, min(24, max(len(run.name) for run in runs)))
    head = f"{'run':<{width}}  {'state':<9} {'steps':>13} {'loss':>6} {'best':>6} {'time':>8}  curve"
    console.print(Text(head, style="dim"))
    for run in runs:
        row = Text(f"{one_line(run.name)[:width]:<{width}}  ", no_wrap=True)
        row.append(f"{run.state:<9}", style={"running": "green", "cut off": "magenta"}.get(run.state, ""))
        row.append(f" {f'{run.step}/{run.steps}':>13} {figures.loss(run.loss):>6} {figures.loss(run.best_loss):>6}")
        row.append(f" {figures.duration(run.elapsed_s):>8}  ")
        row.append(sparkline(_curve(run, "step"), SPARK, ascii_only=ascii_only), style="cyan")
        console.print(row)
        console.print(Text(f"{'':<{width}}  {one_line(_second(run))}", style="dim"))


def compare(names: Sequence[Path], *, axis: Axis, as_json: bool, ascii_only: bool) -> None:
    """Print the curves of some runs in one plot, their figures, and the settings in which they differ."""
    if not 2 <= len(names) <= len(LETTERS):
        raise UsageError(
            f"{len(names)} run{'s' * (len(names) != 1)} to compare.", f"Name two to {len(LETTERS)} run folders."
        )
    runs = [read(name) for name in names]
    if as_json:
        print(json.dumps({"schema": SCHEMA, "runs": [_record(run) for run in runs], "differences": _settings(runs)}))
        return
    console, ascii_only = _console(ascii_only)
    lines = plot_runs(
        [_curve(run, axis) for run in runs], width=min(console.width, 120), height=HEIGHT, ascii_only=ascii_only
    )
    console.print(Text(f"smoothed training loss over {axis if axis != 'step' else 'steps'}", style="dim"))
    for line in lines:
        console.print(line)
    width = max(len(run.name) for run in runs)
    head = f"  {'':<{width}} {'steps':>8} {'tokens':>7} {'time':>8} {'loss':>6}"
    head += f" {'held out':>8} {'best':>6} {'bits/byte':>9}"
    console.print(Text(head, style="dim"))
    for number, run in enumerate(runs):
        row = Text(f"{LETTERS[number]} ", style=STYLES[number], no_wrap=True)
        row.append(f"{one_line(run.name):<{width}} {run.step:>8} {figures.count(run.tokens):>7}", style="none")
        row.append(f" {figures.duration(run.elapsed_s):>8} {figures.loss(run.loss):>6}", style="none")
        row.append(f" {figures.loss(run.valid_loss):>8} {figures.loss(run.best_loss):>6}", style="none")
        row.append(f" {figures.loss(run.bits_per_byte):>9}", style="none")
        console.print(row)
    settings = _settings(runs)
    if settings:
        console.print(Text("settings that differ", style="dim"))
    for key, values in settings.items():
        told = "   ".join(f"{LETTERS[number]} {value}" for number, value in enumerate(values))
        console.print(Text(f"  {key:<24} {one_line(told)}"))


class _Piped(Console):
    """Rich ends with 1 and no word when the reader of a pipe has gone; here the door says how that ends."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _console(ascii_only: bool) -> tuple[Console, bool]:
    console = _Piped(highlight=False, soft_wrap=True)
    return console, ascii_only or not (console.encoding or "").lower().startswith("utf")


def _second(run: Run) -> str:
    """The line below: what it is, and what to know about its state."""
    state = {
        "running": f"{run.why}; " if run.why else "",
        "stopped": f"by {'a key' if run.why == ASKED else run.why}; ",
        "cut off": "no process has it; ",
        "empty": "before its first step; ",
        "finished": "by its time limit; " if run.why == "time limit" else "",
    }[run.state]
    size = f"{figures.count(run.parameters)} parameters, " if run.parameters else ""
    return f"{state}{size}{run.summary}"


def _curve(run: Run, axis: Axis) -> list[Point]:
    return [(_place(moment, axis), moment.loss) for moment in run.moments]


def _place(moment: Moment, axis: Axis) -> float:
    return {"step": moment.step, "tokens": moment.tokens, "minutes": moment.elapsed_s / 60}[axis]


def _settings(runs: Sequence[Run]) -> dict[str, list[str]]:
    """table.key -> its value in each run, wherever they are not all the same."""
    first = runs[0].config
    if first is None:
        return {}
    keys: dict[str, list[str]] = {}
    for number, run in enumerate(runs[1:], start=1):
        if run.config is None:
            continue
        for key, here, there in differences(first, run.config):
            keys.setdefault(key, [here] * len(runs))[number] = there
    return dict(sorted(keys.items()))


def _record(run: Run) -> dict[str, Any]:
    stride = max(1, len(run.moments) // KEPT)
    return {
        "name": run.name,
        "path": str(run.path),
        "state": run.state,
        "reason": run.why if run.state != "running" else "",
        "pid": run.pid,
        "step": run.step,
        "steps": run.steps,
        "parameters": run.parameters,
        "tokens": run.tokens,
        "elapsed_s": run.elapsed_s,
        "loss": run.loss,
        "valid_loss": run.valid_loss,
        "best_loss": run.best_loss,
        "bits_per_byte": run.bits_per_byte,
        "summary": run.summary,
        "curve": [[moment.step, moment.loss] for moment in run.moments[::stride]],
        "held_out": [[moment.step, loss] for moment, loss in run.valid],
    }
