"""What --resume needs, written so that the newest whole checkpoint is always known.

    checkpoints/step-000200/   model.safetensors   state.safetensors   manifest.json

The manifest comes last and holds a digest of every part, so a checkpoint is there once its manifest is. The newest
that verifies is chosen by step; broken ones are told and passed over. Nothing here knows torch.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat import files
from tinychat.model import checkpoint
from tinychat.model.config import ModelConfig
from tinychat.model.tensors import read_tensors, write_tensors

VERSION = 1
MODEL, STATE, MANIFEST = "model.safetensors", "state.safetensors", "manifest.json"

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """How far a run is: all that is no tensor. A resumed run continues these numbers exactly."""

    step: int = 0
    steps: int = 0  # how long the schedule is; fixed at the start
    tokens: int = 0
    elapsed_s: float = 0.0
    smooth_loss: float = 0.0  # moving sums, debiased by `smooth_weight`
    smooth_bits: float = 0.0
    smooth_weight: float = 0.0
    valid_loss: float | None = None
    valid_bits: float | None = None  # per byte
    best_loss: float | None = None
    evaluated_at: int = 0
    sampled_at: int = 0
    samples: int = 0
    worse: int = 0  # evaluations since the best one
    rate_scale: float = 1.0  # on the schedule's rates, by a person at the keyboard

    @property
    def mean_loss(self) -> float | None:
        """The debiased moving average."""
        return self.smooth_loss / self.smooth_weight if self.smooth_weight else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What must be the same for the same bits; `tokenizer`, `data`, `base` are digests and must be the same at all."""

    tokenizer: str
    data: str
    threads: int
    device: str
    torch: str
    optimizer: str
    micro_rows: int
    ranks: int = 1
    precision: str = "fp32"
    base: str = ""  # digest of the checkpoint that adapters belong to

    def differences(self, other: Surroundings) -> list[str]:
        """What `other`, the present, has otherwise, as a person reads it."""
        return [
            f"{field.name} was {getattr(self, field.name)}, is {getattr(other, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Playable:
    """What a checkpoint file needs beside the weights to play by itself."""

    config: ModelConfig
    tokenizer_json: str
    chat_template: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A checkpoint whose every part verified."""

    folder: Path
    progress: Progressed
    surroundings: Surroundings

    def weights(self) -> dict[str, npt.NDArray[np.generic]]:
        """None where only adapters are trained: those are in the state."""
        return checkpoint.read(self.folder / MODEL)[1] if (self.folder / MODEL).exists() else {}

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        return read_tensors(self.folder / STATE)[1]


def write_playable(path: Path, weights: Arrays, playable: Playable, step: int, training: Mapping[str, Any]) -> None:
    """One self-contained file that `tinychat play` opens."""
    checkpoint.write(
        path,
        arrays=weights,
        config=playable.config,
        tokenizer_json=playable.tokenizer_json,
        chat_template=playable.chat_template,
        step=step,
        training=dict(training),
    )


def save(
    root: Path,
    *,
    weights: Arrays | None,
    state: Arrays,
    playable: Playable,
    progress: Progressed,
    surroundings: Surroundings,
    training: Mapping[str, Any],
    keep: int,
) -> Path:
    """Write the checkpoint of `progress.step` below `root`, then drop all but the `keep` newest. Its folder.

    `weights` None: all that is trained is in `state`.
    Raises StorageError, with every older checkpoint untouched.
    """
    folder = root / f"step-{progress.step:06d}"
    try:
        _remove(folder)
        folder.mkdir(parents=True)
        files.sync_folder(root)
        if weights is not None:
            write_playable(folder / MODEL, weights, playable, progress.step, training)
        write_tensors(folder / STATE, state, {"kind": "tinychat training state", "step": str(progress.step)})
        manifest = {
            "version": VERSION,
            "step": progress.step,
            "files": {name: _digest(folder / name) for name in (MODEL, STATE) if weights is not None or name == STATE},
            "progress": asdict(progress),
            "surroundings": asdict(surroundings),
        }
        files.write_atomic(folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    except BaseException as error:
        with suppress(OSError):  # half a checkpoint is of no use and takes room, of which there may be too little
            _remove(folder)
        if isinstance(error, OSError):
            raise files.storage_error(folder, error) from error
        raise
    with suppress(OSError):  # an old one too many harms nobody, and the next start sweeps half a one
        for _, old in sorted(_folders(root), reverse=True)[keep:]:
            _remove(old)
    return folder


def newest(root: Path) -> tuple[Found | None, list[str]]:
    """The newest checkpoint that verifies, and why newer ones were passed over."""
    broken: list[str] = []
    for _, folder in sorted(_folders(root), reverse=True):
        try:
            return verified(folder), broken
        except (OSError, ValueError, TypeError, KeyError) as error:
            broken.append(f"{folder}: passed over, {_why(error)}")
    return None, broken


def sweep(root: Path) -> int:
    """Remove checkpoints that were never finished (no manifest) and temp files; their number."""
    removed = 0
    for _, folder in _folders(root):
        if not (folder / MANIFEST).exists():
            _remove(folder)
            removed += 1
        else:
            removed += files.sweep_temps(folder)
    return removed


def verified(folder: Path) -> Found:
    """The checkpoint in `folder`. OSError, ValueError, TypeError or KeyError when it is not whole."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    if manifest["version"] != VERSION:
        raise ValueError(f"its version is {manifest['version']}, this tinychat knows {VERSION}")
    if not isinstance(manifest["files"], dict) or not {STATE} <= manifest["files"].keys() <= {MODEL, STATE}:
        raise ValueError(f"{MANIFEST} names other files")
    for name, digest in manifest["files"].items():
        if digest != _digest(folder / name):
            raise ValueError(f"{name} is not what was written")
    progress = Progressed(**manifest["progress"])
    if progress.step != manifest["step"]:
        raise ValueError("its steps contradict each other")
    return Found(folder=folder, progress=progress, surroundings=Surroundings(**manifest["surroundings"]))


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{Path(str(error.filename)).name} is missing"
    if isinstance(error, json.JSONDecodeError):
        return f"{MANIFEST} is no JSON"
    if isinstance(error, KeyError):
        return f"{MANIFEST} lacks {error}"
    return str(error.strerror if isinstance(error, OSError) else error)


def _folders(root: Path) -> Iterator[tuple[int, Path]]:
    for folder in root.glob("step-*"):
        named = re.fullmatch(r"step-(\d+)", folder.name)
        if named and folder.is_dir() and not folder.is_symlink():
            yield int(named[1]), folder


def _remove(folder: Path) -> None:
    (folder / MANIFEST).unlink(missing_ok=True)  # first: half a removal must not look like a checkpoint
    if folder.exists():
        shutil.rmtree(folder)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
