"""The options that say what an engine runs on, and how its tokens are guessed ahead.

Nothing here imports torch or textual: it is read for --help.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tinychat import files
from tinychat.engine.machine import SPECULATION_FIELDS, Machine
from tinychat.errors import UsageError
from tinychat.option_groups import spread

# option without dashes -> kind, metavar, help
_MACHINE: dict[str, tuple[type, str, str]] = {
    "device": (str, "NAME", "auto, cpu or cuda. Default: auto."),
    "dtype": (str, "NAME", "The number type of the weights: float32, bfloat16, float16, int8. Default: the file's."),
    "step": (
        str,
        "NAME",
        "What decodes: auto, native (C++ on the CPU, waited for), compiled (torch's compiler on CUDA, waited for) or "
        "eager (plain torch). Default: auto.",
    ),
    "threads": (int, "N", "CPU threads; chosen by size if left out."),
    "amateur": (Path, "PATH", "A smaller checkpoint with the same tokenizer, for --contrastive."),
}
_SPECULATION: dict[str, tuple[type, str, str]] = {
    "speculate": (str, "NAME", "Guess tokens ahead, several a pass: lookup (from the text), draft (by --draft), exit "
                               "(by the model's first layers)."),
    "draft": (Path, "PATH", "The checkpoint that guesses, with the same tokenizer."),
    "draft_length": (int, "N", "Guesses a pass at most. Default: 5."),
    "ngram": (int, "N", "lookup: the longest suffix that is looked for. Default: 3."),
    "exit_layer": (int, "N", "exit: so many layers guess; 0 is half of them. Default: 0."),
    "verify": (str, "NAME", "match: the tokens are those without guessing; residual: the same distribution with other "
                            "tokens, more guesses kept; typical (Medusa): still more kept, another distribution. "
                            "Default: match."),
}  # fmt: skip
MACHINE_NAMES, SPECULATION_NAMES = tuple(_MACHINE), tuple(_SPECULATION)
_READ_BY = {"ngram": ("lookup",), "exit_layer": ("exit",)}

with_machine = spread(
    "machine",
    {
        name: Annotated[
            kind | None,
            typer.Option("--" + name.replace("_", "-"), metavar=metavar, help=text),
        ]
        for name, (kind, metavar, text) in (_MACHINE | _SPECULATION).items()
    },
)


def read_machine(given: Mapping[str, Any]) -> Machine:
    """The machine that was asked for; UsageError for what cannot be, or would be ignored."""
    threads = given.get("threads")
    if threads is not None and not 1 <= threads <= 1024:
        raise UsageError(f"--threads must be from 1 to 1024, got {threads}.", "Leave it out to have them chosen.")
    helpers = {
        name: None if name not in given else str(files.find_checkpoint(given[name])) for name in ("amateur", "draft")
    }
    return Machine(
        device=given.get("device", "auto"), dtype=given.get("dtype"), step=given.get("step"), threads=threads,
        speculation=_speculation(given), **helpers,
    )  # fmt: skip


def _speculation(given: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = given.get("speculate")
    for name in SPECULATION_NAMES:
        flag = "--" + name.replace("_", "-")
        if name not in given:
            continue
        if kind is None:
            raise UsageError(f"{flag} is for speculation.", "Add --speculate lookup, draft or exit.")
        if kind not in _READ_BY.get(name, (kind,)):
            raise UsageError(f"{flag} is for --speculate {_READ_BY[name][0]}, not for {kind}.", "Leave it out.")
    if kind is None:
        return None
    if (kind == "draft") != ("draft" in given):
        raise UsageError("--speculate draft and --draft PATH go together.", "Give both, or guess by lookup or exit.")
    from tinychat.engine.speculate import Speculation  # numpy comes with it

    values = {field: given[name] for name, field in SPECULATION_FIELDS.items() if name in given}
    try:
        Speculation(**values)
    except ValueError as error:
        raise UsageError(f"--speculate: {error}.") from error
    return values
