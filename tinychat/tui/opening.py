"""What to open on the play screen, and how a session with it begins: plain values, no Textual."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """`name`, `context` and `command_name` are known once the file has been looked at."""

    path: Path
    name: str = ""  # as the header says it
    context: int = 0
    command_name: str = ""  # of the model in a command; "" for the one that ships
    machine: Machine = field(default_factory=Machine)
    params: SamplingParams
    bad_words: tuple[str, ...] = ()  # as text; added to those of params
    negative: str | None = None  # as text; in place of negative_ids of params
    prompt: str = ""
    chat: bool = False
    max_tokens: int = 256
    rate: float | None = 30.0  # tokens a second; None is no limit
    fixed_seed: bool = False
