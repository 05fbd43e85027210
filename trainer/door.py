"""The door of `tinychat train`: config, signals, display, exit code.

Mistakes in the config come out before torch is imported and before a folder is made. Nothing here trains.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from tinychat.errors import EXIT_OK, NumbersError, TinychatError, UsageError
from tinychat.text.terminal import one_line
from trainer import config_file
from trainer.beginning import with_own_beginning
from trainer.config import TrainConfig
from trainer.controls import Controls
from trainer.display import choose_display
from trainer.events import Stopped
from trainer.extend import longer
from trainer.hand import Hand
from trainer.keyboard import Keyboard
from trainer.launch import Left, is_first, launched
from trainer.resume import look_first
from trainer.run_folder import RunFolder, refuse_busy
from trainer.signals import EXIT_CODES, StopFlag, caught_signals
from trainer.summary import Commands
from trainer.watchdog import Watchdog, end_now
from trainer.wishes import Wishes


def run_train(
    config_path: Path | None,
    *,
    run: Path | None = None,
    extend: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    fresh: bool = False,
    overrides: Sequence[str] = (),
    plain: bool = False,
    ascii_only: bool = False,
) -> int:
    """Train by the config and show it; the exit code (0, or 128 + the signal that stopped it). Raises TinychatError.

    `out` defaults to runs/<name of the config>; `run` instead is a run folder to go on with by its own config, `extend`
    how much longer it is to be. `plain` forces lines where a dashboard would be shown,
    `ascii_only` draws it without other signs.
    """
    try:
        task = _task(config_path, run, extend, out, resume, fresh, overrides)
        return _train(task, fresh, plain, ascii_only)
    except (UsageError, NumbersError, Left) as error:
        if is_first():
            raise
        return error.exit_code  # the first process says the same
    except TinychatError as error:
        if is_first():
            raise
        raise type(error)(f"Process {launched('RANK', 0)}: {error.what}", error.hint) from error


@dataclass(frozen=True, slots=True)
class _Task:
    """What is trained, where, and by which name it is shown."""

    config: TrainConfig
    folder: Path
    name: str
    go_on: str  # options that go on with it
    resume: bool


def _task(
    config_path: Path | None,
    run: Path | None,
    extend: str | None,
    out: Path | None,
    resume: bool,
    fresh: bool,
    overrides: Sequence[str],
) -> _Task:
    if run is None:
        if config_path is None:
            raise UsageError(
                "Nothing says what to train.",
                "Name a config:  tinychat train --config assets/small.toml   Or a run:  tinychat train --resume RUN",
            )
        if extend is not None:
            raise UsageError("--extend needs a run.", "Name its folder:  tinychat train --extend 500 RUN")
        folder = out if out is not None else Path("runs") / config_path.stem
        sets = "".join(f" --set {quote(override)}" for override in overrides)
        go_on = f"--config {quote(str(config_path))}{sets} --out {quote(str(folder))} --resume"
        config = with_own_beginning(config_file.load(config_path, overrides))
        return _Task(config, folder, config_path.stem, go_on, resume)
    if config_path is not None or out is not None or fresh:
        raise UsageError(
            f"{run} is a run to go on with: its own config and folder count.", "Leave --config, --out and --fresh out."
        )
    if not resume and extend is None:
        raise _no_wish(run)
    if not (run / "config.toml").is_file():
        raise UsageError(f"There is no run in {run} to go on with.", "See what there is:  tinychat runs")
    given = [*(longer(run, extend) if extend is not None else ()), *overrides]
    config = config_file.load(run / "config.toml", given, look=False)
    return _Task(config, run, run.resolve().name, f"--resume {quote(str(run))}", True)


def _no_wish(named: Path) -> UsageError:
    """What is wrong with a bare argument: a run, a config or a text, by what it is."""
    if (named / "config.toml").is_file():
        return UsageError(f"{named}: go on with it, or make it longer?", "Add --resume, or --extend 500.")
    if named.suffix == ".toml":
        return UsageError(f"{named} is no run folder.", f"A config is an option:  --config {quote(str(named))}")
    if not named.exists():
        return UsageError(f"There is no run in {named}.", "See what there is:  tinychat runs")
    text = quote(f"data.text={named}")
    return UsageError(
        f"{named} is no run folder.", f"To train on its text:  tinychat train --config assets/small.toml --set {text}"
    )


def _train(task: _Task, fresh: bool, plain: bool, ascii_only: bool) -> int:
    config, folder = task.config, task.folder
    flag, wishes = StopFlag(), Wishes()
    alone = launched("WORLD_SIZE", 1) == 1  # several processes are steered by nobody
    reason = ""
    if is_first():  # the others come while the first one holds it
        refuse_busy(folder)
    look_first(config, folder, resume=task.resume, fresh=fresh)
    commands = _commands(task)
    display = choose_display(
        commands=commands,
        plain=plain,
        ascii_only=ascii_only,
        log_every=config.run.log_every,
        hand=Hand(Keyboard(), Controls(wishes, flag, can_sample=_can_sample(config)), flag) if alone else None,
    )
    # Threads that spin while they wait for each other starve on a machine that others use too: two of them then ran at
    # 1,400 to 3,300 tokens/s instead of 4,400 to 8,700. OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with caught_signals(flag), display:
        display.waiting("loading torch")
        from trainer.loop import train  # here: importing torch takes seconds

        events = train(config, out=folder, resume=task.resume, fresh=fresh, stop=flag, name=task.name, wishes=wishes)
        log = RunFolder(folder, locked=False).log if is_first() else None
        dog = Watchdog(
            config.run.watchdog * 60, log, display.alarm, asleep=lambda: flag.wakes,
            end=lambda: end_now(display.give_back, f"Ended in the middle of a step.\nGo on: {commands.go_on}"),
        )  # fmt: skip
        with dog, closing(events):
            for event in events:
                dog.beat(event)
                display.show(event)
                if isinstance(event, Stopped):
                    reason = event.reason
    return EXIT_CODES.get(reason, EXIT_OK)


def _can_sample(config: TrainConfig) -> bool:
    return bool(config.sample.prompts or config.sample.chats)


def _commands(task: _Task) -> Commands:
    config = task.config
    begins = [*config.sample.prompts, *config.sample.chats, ""][0]
    chat = "--chat " if begins and not config.sample.prompts else ""
    program = _program()
    processes = launched("LOCAL_WORLD_SIZE", 1)
    together = program if processes == 1 else f"torchrun --nproc-per-node {processes} -m tinychat"
    return Commands(
        go_on=f"{together} train {task.go_on}",
        extend=f"{together} train --extend 500 {quote(str(task.folder))}",
        program=program,
        # one line, whatever the prompt: it is to be copied
        sample=f"{chat}--prompt {quote(one_line(begins.strip().partition(chr(10))[0]))}",
    )


def _program() -> str:
    """How tinychat is called here: by its name where the shell finds it, else as it was started."""
    if shutil.which("tinychat"):
        return "tinychat"
    started = Path(sys.argv[0])
    return quote(str(started)) if started.name == "tinychat" else f"{quote(sys.executable)} -m tinychat"
