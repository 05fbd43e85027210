"""The folder of one training run: what lies where, who may write, and its log.

    config.toml        the exact settings                 ckpt.safetensors   latest weights, plays
    tokenizer.json     the vocabulary                     best.safetensors   lowest held-out loss, plays
    data/              token shards                       checkpoints/       what --resume needs
    log.jsonl          every event                        .lock              held by the kernel while a run writes
    tensorboard/       with run.tensorboard = true

Nothing here knows torch or what training is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO

from tinychat import files
from tinychat.errors import RunBusyError, StorageError, UsageError
from trainer.board import Board
from trainer.events import Event, Progress, as_record

TRIES, WAIT_S = 5, 0.01  # for a lock that somebody has
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class RunFolder:
    """Paths of a run; made by claim()."""

    def __init__(self, path: Path, *, locked: bool) -> None:
        self.path = path
        self.locked = locked  # False: the file system knows no locks
        self.config = path / "config.toml"
        self.tokenizer = path / "tokenizer.json"
        self.latest = path / "ckpt.safetensors"
        self.best = path / "best.safetensors"
        self.data = path / "data"
        self.checkpoints = path / "checkpoints"
        self.log = path / "log.jsonl"
        self.board = path / "tensorboard"

    @property
    def holds_checkpoint(self) -> bool:
        """Whether there is training to lose. Text that was prepared and then not used is none."""
        return self.latest.exists() or self.best.exists() or any(self.checkpoints.glob("step-*/manifest.json"))

    def sweep(self) -> int:
        """Remove what killed writers left; the number of things removed."""
        return sum(files.sweep_temps(folder) for folder in (self.path, self.data) if folder.is_dir())

    def clear(self) -> None:
        """Remove the run, and nothing that tinychat did not put here. The config goes last: until then it is a run."""
        for folder in (self.checkpoints, self.data, self.board):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.latest, self.best, self.log, self.tokenizer, self.config):
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def claim(path: Path, *, doing: str = "training") -> Iterator[RunFolder]:
    """The folder, made if missing, for this process alone until the block ends, however it ends.

    Raises RunBusyError naming who holds it, UsageError where no folder can be, or StorageError.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "a+", encoding="utf-8")  # noqa: SIM115  # closed below, with its lock
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{path}: there is a file of that name.", "Name another folder with --out.") from None
    except OSError as error:
        raise files.storage_error(path / ".lock", error) from error
    with lock:
        locked = _lock(lock, path, doing)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        try:
            os.ftruncate(lock.fileno(), 0)
            os.write(lock.fileno(), (json.dumps(holder) + "\n").encode())  # unbuffered: closing has nothing to write
        except OSError as error:
            raise files.storage_error(path / ".lock", error) from error
        yield RunFolder(path, locked=locked)


def refuse_busy(path: Path) -> None:
    """Raise RunBusyError where another process trains, as claim() would; nothing is taken or made."""
    try:
        lock = open(path / ".lock", encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError:
        return  # nobody was here, or claim() will say what is wrong
    with lock:
        _lock(lock, path, "training", fcntl.LOCK_SH)


def _lock(lock: IO[str], path: Path, doing: str, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        for again in reversed(range(TRIES)):
            try:
                # the kernel's lock, not a pid file: it dies with its holder
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not again:
                    raise
                time.sleep(WAIT_S)  # `tinychat runs` looks at a lock for some microseconds
    except BlockingIOError:
        lock.seek(0)
        raise RunBusyError(
            f"{path}: another process is {doing} here ({holder_of(lock.read())[1]}).",
            "Wait for it, stop it, or name another folder with --out.",
        ) from None
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise files.storage_error(path, error) from error
    return True


def holder_of(text: str) -> tuple[int, str]:
    """The process that a lock file names, 0 for none, and in words."""
    try:
        holder = json.loads(text)
        pid = int(holder["pid"])
        return pid, f"pid {pid} on {str(holder['host'])!a}, since {str(holder['since'])!a}".replace("'", "")
    except (ValueError, TypeError, KeyError):
        return 0, "it has not said which"


class Log:
    """log.jsonl: one line an event. A full disk costs lines, not the run: the first failure is told, once."""

    def __init__(
        self, path: Path, *, keep_until: int | None, done: Mapping[str, int] | None = None, board: Board | None = None
    ) -> None:
        """`keep_until` None begins a new log; else lines of later steps go, for those steps come again.

        `done` says of kinds of events until which step they are done: a stop can cut off what is due at its own step.
        What is written goes to `board` too.
        """
        self._told = False
        self._board = board
        kept = b"" if keep_until is None or not path.exists() else b"".join(_lines_until(path, keep_until, done or {}))
        files.write_atomic(path, kept)
        try:
            self._file: IO[str] = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  # closed by close()
        except OSError as error:
            raise files.storage_error(path, error) from error

    def write(self, event: Event) -> StorageError | None:
        """Append the event; the error when that fails for the first time."""
        if isinstance(event, Progress):
            return None
        try:
            self._file.write(json.dumps(as_record(event)) + "\n")
            if self._board is not None:
                self._board.take(event)
        except OSError as error:
            if not self._told:
                self._told = True
                return files.storage_error(Path(self._file.name), error)
        return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        if self._board is not None:
            with contextlib.suppress(OSError):
                self._board.close()


def _lines_until(path: Path, step: int, done: Mapping[str, int]) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            try:
                record = json.loads(line)
                if line.endswith(b"\n") and int(record["step"]) <= min(step, done.get(record["event"], step)):
                    yield line
            except (ValueError, TypeError, KeyError):
                continue  # torn by a kill
