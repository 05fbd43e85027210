"""The door of `tinychat verify`: which model, on what machine, and what is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinychat import files
from tinychat.engine.machine import Machine, open_engine
from tinychat.errors import FileFormatError, UsageError
from tinychat.sample_output import Notices
from tinychat.text.terminal import one_line
from tinychat.verify.check import verify
from tinychat.verify.claims import Case, read_case
from tinychat.verify.report import report, verdict_record

if TYPE_CHECKING:
    from tinychat.model.checkpoint import CheckpointInfo

SAME, OTHER = 0, 1  # exit codes


def run(name: str, *, model: Path | None, overrides: Mapping[str, Any], json_output: bool, quiet: bool) -> int:
    """Verify a file; the exit code. Errors are raised as TinychatError."""
    notices = Notices(quiet=quiet)
    case = read_case(_file_of(name))
    if not case.tokens:
        raise UsageError("The file holds no token that was drawn.", "There is nothing to verify.")
    from tinychat.model import checkpoint as checkpoints

    path = model_path(case, model)
    info = checkpoints.inspect(path)
    tokenizer = checkpoints.tokenizer_of(info)
    _check_ids(case, info)
    with notices.waiting("loading the model"):
        engine = open_engine(path, machine_for(case, overrides), end_ids=tokenizer.end_ids)
    with notices.waiting("drawing again"):
        verdict = verify(case, engine, tokenizer)
    verdict.notes += [case.lost] * bool(case.lost)
    if json_output:
        record = verdict_record(verdict, engine.facts())
        print(json.dumps(record, allow_nan=False).replace("\x7f", "\\u007f"))
    else:
        for note in verdict.notes:
            notices.say(note)
        for line in report(verdict):
            print(one_line(line))
    return SAME if verdict.difference is None else OTHER


def _file_of(name: str) -> str:
    """A file as it is named; of a word that is none, the saved session of that name."""
    if name == "-" or Path(name).exists() or Path(name).suffix or Path(name).parent != Path():
        return name
    from tinychat.session.saved import find

    return str(find(name))


def model_path(case: Case, named: Path | None) -> Path:
    """The model to draw with: the one named, the one the file names, or the shipped one where it is that."""
    if named is not None:
        return files.find_checkpoint(named)
    from tinychat.model import checkpoint as checkpoints

    path = Path(case.source.path)
    if case.source.path and path.is_file():
        return path
    shipped = files.find_checkpoint(None)
    if not case.source.path or checkpoints.inspect(shipped).digest == case.source.digest:
        return shipped
    raise FileFormatError(f"{path}: the model of this file is not here.", "Name it:  tinychat verify FILE -m PATH")


def machine_for(case: Case, overrides: Mapping[str, Any]) -> Machine:
    """As it was, but for what is asked for. Guesses that change no token are left out: they only save time."""
    machine = case.source.machine
    if machine.device != "cpu":
        machine = replace(machine, device="auto")
    if machine.speculation is not None and machine.speculation.get("verify", "match") == "match":
        machine = replace(machine, speculation=None, draft=None)
    return replace(machine, **overrides)


def _check_ids(case: Case, info: CheckpointInfo) -> None:
    """UsageError where the model has no such token, or no room."""
    for reply in case.replies:
        highest = max((*reply.before, *(claim.token for claim in reply.claims)))
        if highest >= info.config.vocab_size:
            raise UsageError(
                f"The file has token {highest}; {info.path} has {info.config.vocab_size}.",
                "Name the model it was made with:  tinychat verify FILE -m PATH",
            )
        length = len(reply.before) + len(reply.claims)
        if length > info.config.context:
            raise UsageError(
                f"The file has {length} tokens; {info.path} holds {info.config.context}.",
                "Name the model it was made with:  tinychat verify FILE -m PATH",
            )
