"""What to open on the play screen, and how a session with it begins: plain values, no Textual."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from tinychat import files
from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams
from tinychat.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """`name` to `step` are known once the file has been looked at."""

    path: Path | None = None  # the model; None: the one of the session
    run: Path | None = None  # the run folder it is in, when a person named that: it is followed
    session: Path | None = None  # a saved one to go on with
    compare: Path | None = None  # the model of the second lane
    name: str = ""  # as the header says it
    context: int = 0
    command_name: str = ""  # of the model in a command; "" for the one that ships
    digest: str = ""
    step: int = 0
    machine: Machine = field(default_factory=Machine)
    params: SamplingParams
    bad_words: tuple[str, ...] = ()  # as text; added to those of params
    negative: str | None = None  # as text; in place of negative_ids of params
    prompt: str = ""
    score: tuple[str, str] | None = None  # a text to score at once, and its name
    chat: bool = False
    pauses: int | None = None  # pause tokens before each reply; None: as many as it was trained with
    lesson: str = ""  # to begin with
    max_tokens: int = 256
    rate: float | None = 30.0  # tokens a second; None is no limit
    fixed_seed: bool = False


def command_name(path: Path) -> str:
    """How a command names this model: not at all if it is the shipped one, from here if it lies below this folder."""
    with contextlib.suppress(UsageError):
        if path.samefile(files.asset(files.SHIPPED)):
            return ""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path.resolve())


def shown_name(run: Path | None, file: str, step: int) -> str:
    """The model in the header: a run by its name and how far it is, else the file."""
    return file if run is None else f"{run.resolve().name} step {step}"
