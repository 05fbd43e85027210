"""What runs there are below a folder: their state, losses and curve, read from their files and from nothing else.

A log of a long run is not read whole: its beginning, its end and blocks in between give the curve. Nothing here knows
torch or writes anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tinychat.errors import TinychatError, UsageError
from trainer.config import TrainConfig
from trainer.config_file import load
from trainer.run_folder import RunFolder, holder_of
from trainer.signals import ASKED

State = Literal["running", "finished", "stopped", "cut off", "empty"]
END_BYTES = 1 << 18  # read of a log in one piece, at its end
BLOCKS, BLOCK_BYTES = 192, 1 << 14  # read in between, of a log that is larger than all of them

Point = tuple[float, float]


@dataclass(slots=True, kw_only=True)
class Moment:
    """One training step of a log, as far as curves need it."""

    step: int
    loss: float  # smoothed
    tokens: int
    elapsed_s: float


@dataclass(slots=True, kw_only=True)
class Run:
    """One run as its files tell it. Losses in nats per token."""

    path: Path
    state: State = "empty"
    why: str = ""  # the reason of a stop, or who is running it
    pid: int | None = None
    step: int = 0
    steps: int = 0
    parameters: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0
    loss: float | None = None
    valid_loss: float | None = None
    best_loss: float | None = None
    bits_per_byte: float | None = None  # of the held-out text, at its last look
    written: float = 0.0  # the log's time on this machine's clock
    config: TrainConfig | None = None
    moments: list[Moment] = field(default_factory=list)
    valid: list[tuple[Moment, float]] = field(default_factory=list)  # held-out losses, and when

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def summary(self) -> str:
        """The settings that tell runs apart, in a few words."""
        if self.config is None:
            return "its config cannot be read"
        data, model, train = self.config.data, self.config.model, self.config.train
        text = Path(data.sources[0]).name + (f" +{len(data.sources) - 1}" if len(data.sources) > 1 else "")
        return (
            f"{text}, {model.layers} x {model.width}, context {model.context}, {train.tokens_per_step} tokens a step,"
            f" rate {train.lr:g}"
        )


def find(folder: Path) -> list[Run]:
    """The runs in `folder`, or `folder` itself if it is one; the one that wrote last comes first.

    UsageError where there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder.", "Name a folder of runs, or a run:  tinychat runs runs")
    if is_run(folder):
        return [read(folder)]
    with contextlib.suppress(OSError):
        runs = [read(each) for each in sorted(folder.iterdir()) if each.is_dir() and is_run(each)]
        return sorted(runs, key=lambda run: -run.written)
    raise UsageError(f"{folder}: may not be read.", "Name another folder.")


def is_run(folder: Path) -> bool:
    """Whether `tinychat train` made this folder."""
    return (folder / "config.toml").is_file() and ((folder / "log.jsonl").is_file() or (folder / "data").is_dir())


def read(path: Path) -> Run:
    """The run in `path`. UsageError where there is none."""
    if not is_run(path):
        raise UsageError(f"{path}: there is no run.", "Name a folder that `tinychat train` made; see:  tinychat runs")
    folder = RunFolder(path, locked=False)
    run = Run(path=path)
    with contextlib.suppress(OSError):
        run.written = folder.log.stat().st_mtime
    with contextlib.suppress(TinychatError):
        run.config = load(folder.config, look=False)  # where a run began may be gone by now
    ended = ""
    for record in _records(folder.log):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            ended = _take(run, record, ended)
    run.pid = _running(path)
    if run.pid is not None:
        run.state, run.why = "running", f"pid {run.pid}" if run.pid else ""
    elif ended:
        run.why = ended.removeprefix("already ")
        run.state = "stopped" if run.why.startswith("SIG") or run.why == ASKED else "finished"
    elif run.step:
        run.state = "cut off"
    return run


def _take(run: Run, record: dict[str, Any], ended: str) -> str:
    """Note what the record says; how the run has ended, if it has by now."""
    kind = record["event"]
    if kind == "started":
        run.steps, run.parameters = int(record["steps"]), int(record["parameters"])
    elif kind == "trainstep":
        moment = Moment(
            step=int(record["step"]),
            loss=float(record["smooth_loss"]),
            tokens=int(record["tokens"]),
            elapsed_s=float(record["elapsed_s"]),
        )
        run.step, run.tokens, run.elapsed_s, run.loss = moment.step, moment.tokens, moment.elapsed_s, moment.loss
        if not run.moments or moment.step > run.moments[-1].step:
            run.moments.append(moment)
    elif kind == "evaluated":
        loss = float(record["loss"])
        run.valid_loss, run.bits_per_byte = loss, float(record["bits_per_byte"])
        if math.isfinite(loss):
            run.best_loss = loss if run.best_loss is None else min(run.best_loss, loss)
        if run.moments and (not run.valid or run.moments[-1].step > run.valid[-1][0].step):
            run.valid.append((run.moments[-1], loss))
    elif kind == "stopped":
        run.step, run.steps, run.elapsed_s = int(record["step"]), int(record["steps"]), float(record["elapsed_s"])
        run.tokens = int(record["tokens"])
        if record["best_loss"] is not None:
            run.best_loss = float(record["best_loss"])
        return str(record["reason"])
    return ""


def _running(path: Path) -> int | None:
    """The process that holds the folder, 0 if it has not said which; None when nobody does."""
    try:
        handle = os.open(path / ".lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # for some microseconds only: a run that starts just then tries again
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(OSError, ValueError):
            return holder_of(os.read(handle, 4096).decode("utf-8", "replace"))[0]
        return 0
    except OSError:
        return None  # no locks on this file system: nobody can know
    finally:
        os.close(handle)
    return None


def _records(path: Path) -> Iterator[dict[str, Any]]:
    for line in _lines(path):
        try:
            record = json.loads(line)
        except ValueError:
            continue  # torn by a kill, or by where a block began
        if isinstance(record, dict):
            yield record


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size <= 2 * END_BYTES + BLOCKS * BLOCK_BYTES:
                file.seek(0)
                yield from file
                return
            for start in (0, *(size * block // BLOCKS for block in range(1, BLOCKS))):
                file.seek(start)
                yield from file.read(BLOCK_BYTES).splitlines()
            file.seek(size - END_BYTES)
            yield from file.read(END_BYTES).splitlines()
    except OSError:
        return
