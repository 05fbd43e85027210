"""The checkpoints of a run that may still be training: which one to open, and whether a newer one has landed.

A look is a few stat calls; a header is read only when a file has changed. Checkpoints are replaced whole, so what is
there can always be opened. No torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path

from tinychat import files
from tinychat.errors import FileFormatError, StorageError
from tinychat.model.checkpoint import CheckpointInfo, inspect

NAMES = ("best.safetensors", "ckpt.safetensors")  # as a run folder has them: lowest held-out loss, latest


def is_training(run: Path) -> bool:
    """Whether the process that claimed this run folder last is alive, on this machine."""
    try:
        holder = json.loads((run / ".lock").read_text(encoding="utf-8"))
        if holder["host"] != socket.gethostname():
            return False
        os.kill(int(holder["pid"]), 0)  # signal 0: only asks
    except PermissionError:
        return True
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return False
    return True


def to_open(named: Path | None) -> Path:
    """The checkpoint a person means, as `files.find_checkpoint`; of a run that is training the newest.

    FileFormatError when there is none.
    """
    if named is None or not os.path.isdir(named) or not is_training(named):
        return files.find_checkpoint(named)
    found = [info for name in NAMES if (info := _looked_at(named / name)) is not None]
    if not found:
        raise FileFormatError(
            f"{named}: the run is training and has saved nothing yet.",
            "Wait for its first checkpoint, or press s in its display.",
        )
    return max(found, key=lambda info: info.step).path


class Follow:
    """A look at a run folder from time to time. `step` and `digest` are of the checkpoint that is open."""

    def __init__(self, run: Path, *, step: int, digest: str) -> None:
        self.run = run
        self._step, self._digest = step, digest
        self._seen: dict[str, tuple[int, int, int]] = {name: _state(run / name) for name in NAMES}
        self._landed: CheckpointInfo | None = None

    def look(self) -> CheckpointInfo | None:
        """The newest checkpoint that landed since the open one; None when there is none."""
        for name in NAMES:
            state = _state(self.run / name)
            if state == self._seen[name]:
                continue
            self._seen[name] = state
            info = _looked_at(self.run / name)
            if info is None or info.digest == self._digest:
                continue
            newest = self._landed.step if self._landed is not None else self._step
            if info.step > newest or info.step < self._step:  # fewer steps: the run has been started over
                self._landed = info
        return self._landed

    def opened(self, info: CheckpointInfo) -> None:
        """This one is open now."""
        self._step, self._digest, self._landed = info.step, info.digest, None


def _state(path: Path) -> tuple[int, int, int]:
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_mtime_ns, found.st_size
    return 0, 0, 0


def _looked_at(path: Path) -> CheckpointInfo | None:
    try:
        return inspect(path)
    except (FileFormatError, StorageError):
        return None
