"""A saved session as something to go on with: where its model is, and whether that is still the same one.

The model is known by its digest. Where it is not to be found the session opens as a recording. No torch.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tinychat import files
from tinychat.engine.machine import Machine
from tinychat.errors import FileFormatError, StorageError, UsageError
from tinychat.model.checkpoint import CheckpointInfo, inspect
from tinychat.session.first_line import Summary
from tinychat.session.recall import Recording, load
from tinychat.session.saved import SUFFIX, autosave_folder, named_folder
from tinychat.text.terminal import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """A session, the model to go on with (None: there is none), and what a person should know about the two."""

    recording: Recording
    model: CheckpointInfo | None
    notice: str = ""


def is_session(path: Path) -> bool:
    """Whether a file is meant to be a session, and no checkpoint: by its name or its first bytes."""
    if not os.path.isfile(path):  # os.path: it answers False for a name that no file can have
        return False
    try:
        with path.open("rb") as file:
            return path.suffix == SUFFIX or file.read(9) == b'{"schema"'
    except OSError:
        return path.suffix == SUFFIX


def reopen(path: Path, named: Path | None = None, *, known: Iterable[Path] = ()) -> Reopened:
    """The session of a file, with the model `named` or else its own, looked for also among the `known` ones.

    FileFormatError for a damaged file, and for a named model with another tokenizer.
    """
    recording = load(path)
    model, notice = model_of(recording.summary, named, known=known)
    if model is not None and model.tokenizer_digest != recording.session.tokenizer.digest:
        raise FileFormatError(
            one_line(f"{model.path}: it has another tokenizer than the session {recording.summary.path.name}."),
            "Name the model that the session was drawn with, or leave it out.",
        )
    return Reopened(recording=recording, model=model, notice=" ".join(filter(None, (recording.dropped, notice))))


def model_of(
    summary: Summary, named: Path | None = None, *, known: Iterable[Path] = ()
) -> tuple[CheckpointInfo | None, str]:
    """The model to go on with, if there is one, and what to say about it. FileFormatError for a bad named one."""
    source = summary.source
    if named is not None:
        found = inspect(files.find_checkpoint(named))
        same = not source.digest or found.digest == source.digest
        return found, "" if same else "other weights than the session was drawn with: what comes now is theirs"
    own = Path(source.path) if source.path else None
    for path in filter(None, (own, *known, _shipped())):
        if (here := _looked_at(path)) is not None and here.digest == source.digest:
            return here, ""
    name = summary.path.stem if is_ours(summary.path) else str(summary.path)
    how = f"tinychat play MODEL --session {shlex.quote(name)}"
    if own is None:
        return None, one_line(f"to go on with a model:  {how}")
    gone = "has other weights now" if os.path.isfile(own) else "is not here"
    return None, one_line(f"{own.name} {gone}; to go on:  {how}")


def machine_for(recording: Recording, asked: Machine) -> Machine:
    """What to run on: as it was, but for what is asked for now. A device that may be missing here is chosen anew."""
    machine = recording.source.machine
    if machine.device != "cpu":
        machine = replace(machine, device="auto")
    wanted = {name: getattr(asked, name) for name in Machine.__dataclass_fields__}
    neutral = Machine()
    return replace(machine, **{name: value for name, value in wanted.items() if value != getattr(neutral, name)})


def is_ours(path: Path) -> bool:
    """Whether a session lies where we save: there it goes on in its own file, elsewhere in a copy."""
    try:
        return path.resolve().parent in (autosave_folder().resolve(), named_folder().resolve())
    except StorageError:
        return False


def _looked_at(path: Path) -> CheckpointInfo | None:
    try:
        return inspect(path)
    except (FileFormatError, StorageError):
        return None


def _shipped() -> Path | None:
    try:
        return files.asset(files.SHIPPED)
    except UsageError:
        return None
