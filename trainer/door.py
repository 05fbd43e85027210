"""The door of `tinychat train`: config, signals, display, exit code.

Mistakes in the config come out before torch is imported and before a folder is made. Nothing here trains.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from shlex import quote

from tinychat.errors import EXIT_OK
from trainer import config_file
from trainer.display import choose_display
from trainer.events import Stopped
from trainer.signals import EXIT_CODES, StopFlag, caught_signals


def run_train(
    config_path: Path,
    *,
    out: Path | None = None,
    resume: bool = False,
    fresh: bool = False,
    overrides: Sequence[str] = (),
    plain: bool = False,
    ascii_only: bool = False,
) -> int:
    """Train by the config and show it; the exit code (0, or 128 + the signal that stopped it). Raises TinychatError.

    `out` defaults to runs/<name of the config>. `plain` forces lines where a dashboard would be shown,
    `ascii_only` draws it without other signs.
    """
    config = config_file.load(config_path, overrides)
    folder = out if out is not None else Path("runs") / config_path.stem
    flag = StopFlag()
    reason = ""
    display = choose_display(
        resume_command=_command(config_path, folder, overrides),
        plain=plain,
        ascii_only=ascii_only,
        log_every=config.run.log_every,
    )
    # Threads that spin while they wait for each other starve on a machine that others use too: two of them then ran at
    # 1,400 to 3,300 tokens/s instead of 4,400 to 8,700. OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with caught_signals(flag), display:
        display.waiting("loading torch")
        from trainer.loop import train  # here: importing torch takes seconds

        events = train(config, out=folder, resume=resume, fresh=fresh, stop=flag, name=config_path.stem)
        with closing(events):
            for event in events:
                display.show(event)
                if isinstance(event, Stopped):
                    reason = event.reason
    return EXIT_CODES.get(reason, EXIT_OK)


def _command(config_path: Path, folder: Path, overrides: Sequence[str]) -> str:
    """What a person types to go on."""
    sets = "".join(f" --set {quote(override)}" for override in overrides)
    return f"tinychat train --config {quote(str(config_path))}{sets} --out {quote(str(folder))} --resume"
