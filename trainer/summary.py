"""The last words of a run: how it ended, its losses, where things lie, what to type next.

Nothing here writes to a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from rich.text import Text

from tinychat.text.terminal import one_line
from trainer import figures
from trainer.events import Stopped
from trainer.signals import ASKED
from trainer.view import View

HOW = {
    "finished": "Finished",
    "already finished": "This run is finished already",
    "time limit": "The time is up",
    "no better": "Ended early, as the held-out loss got no better",
    "already no better": "This run has ended early already: raise eval.patience to go on",
    "already time limit": "The time of this run is up already: raise train.minutes to go on",
    ASKED: "Stopped by a key",
    "SIGINT": "Stopped by Ctrl-C",
    "SIGTERM": "Stopped by SIGTERM",
    "SIGHUP": "Stopped because the terminal went away",
    "SIGUSR1": "Stopped by SIGUSR1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """What a person can type next, as this machine knows it."""

    go_on: str
    program: str = "tinychat"
    sample: str = "--prompt 'Once upon a time'"  # options of `tinychat sample`
    extend: str = ""


def summary(view: View, commands: Commands) -> list[Text]:
    """Lines for after the run, plain enough for a file."""
    end = view.stopped
    if end is None:
        return []
    lines = [Text(_headline(end), style="bold")]
    if end.loss is not None:
        lines.append(Text(_losses(view, end)))
    plays = end.best or end.saved
    files = []
    if end.best is not None:
        files.append((end.best, "lowest held-out loss"))
    if end.saved is not None:
        files += [(end.saved, "latest"), (end.saved.parent / "log.jsonl", "every step")]
    width = max((len(str(path)) for path, _ in files), default=0)
    lines += [Text(f"  {one_line(str(path)):<{width}}  {what}") for path, what in files]
    lines += [Text(f"! {one_line(message)}", style="magenta") for message in view.warnings]
    if _cut_short(end):
        lines.append(_command("Go on", commands.go_on))
    elif end.reason.startswith("already") and commands.extend:
        lines.append(_command("More", commands.extend))
    if plays is not None:
        name = quote(one_line(str(plays)))
        lines.append(_command("Play", f"{commands.program} play {name}"))
        lines.append(_command("Sample", f"{commands.program} sample -m {name} {commands.sample}"))
    return lines


def _headline(end: Stopped) -> str:
    how = HOW.get(end.reason, end.reason)
    if end.saved is None:
        return f"{how} before the first step: nothing is trained yet."
    steps = f"{end.step} steps" if end.step == end.steps else f"step {end.step} of {end.steps}"
    told = f"{how}: {steps}, {figures.count(end.tokens)} tokens, {figures.duration(end.elapsed_s)}."
    return f"{told} Everything is saved." if _cut_short(end) else told


def _cut_short(end: Stopped) -> bool:
    return end.reason == ASKED or end.reason.startswith("SIG")


def _losses(view: View, end: Stopped) -> str:
    told = f"loss {figures.loss(end.loss)} (smoothed)"
    if end.valid_loss is not None:
        told += f", held out {figures.loss(end.valid_loss)} (best {figures.loss(end.best_loss)})"
    if view.evaluated is not None:
        told += f", {view.evaluated.bits_per_byte:.3f} bits per byte"
    return told


def _command(what: str, command: str) -> Text:
    return Text.assemble((f"{what + ':':<8}", "dim"), (command, "bold"))
