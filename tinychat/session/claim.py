"""The right to write a session file: one process at a time has it, and it goes with the process, whatever ends that.

Files are replaced when they are written, so the lock is on another one, in the state folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from pathlib import Path

from tinychat import files
from tinychat.errors import StorageError

SUFFIX = ".lock"
_TRIES, _WAIT_S = 5, 0.01  # somebody who only asks holds the lock for some microseconds


class Claim:
    """Held until `release`."""

    def __init__(self, path: Path | None, handle: int) -> None:
        self._path = path
        self._handle = handle

    def release(self) -> None:
        """Let others write the file."""
        if self._handle >= 0:
            if self._path is not None:
                with contextlib.suppress(OSError):
                    self._path.unlink()  # before the lock goes: who waits for it looks whether it is still this file
            os.close(self._handle)
            self._handle = -1


def claim(path: Path) -> Claim | None:
    """The right to write this file; None while somebody else has it, in another process or in this one."""
    try:
        lock = _folder() / (hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:24] + SUFFIX)
    except StorageError:
        return Claim(None, -1)  # nothing can be written there, no lock either: the first save will say so
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_WAIT_S)
        try:
            handle = _locked(lock)
        except OSError:
            return Claim(None, -1)
        if handle is not None:
            return Claim(lock, handle)
    return None


def is_claimed(path: Path) -> bool:
    """Whether somebody has it open now."""
    mine = claim(path)
    if mine is None:
        return True
    mine.release()
    return False


def sweep() -> None:
    """Remove the locks that killed processes left."""
    with contextlib.suppress(OSError, StorageError):
        for lock in _folder().glob("*" + SUFFIX):
            with contextlib.suppress(OSError):
                if (handle := _locked(lock)) is not None:
                    Claim(lock, handle).release()


def _locked(lock: Path) -> int | None:
    """An open file with the lock on it; None when somebody has it. OSError for a disk that cannot."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:
            os.close(handle)
            raise
        with contextlib.suppress(OSError):
            if os.stat(lock).st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)  # it was removed while we opened it


def _folder() -> Path:
    folder = files.state_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.storage_error(folder, error) from error
    return folder
