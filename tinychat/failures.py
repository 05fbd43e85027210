"""How a command says that it failed: one JSON object on stdout where JSON was asked for, else two lines on stderr.

Nothing here knows the commands: what was asked for is noted while the command line is read.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass

from tinychat.errors import TinychatError, UsageError
from tinychat.text import terminal


@dataclass(slots=True)
class Asked:
    """What is known of the command line when something fails; the context object of the parser."""

    command: str = "tinychat"  # as it was typed, without its options
    schema: str = ""  # of the command's JSON; empty where it has none
    json: bool = False


def say(error: TinychatError, asked: Asked) -> int:
    """Say it; the exit code. A mistake in the options that has no hint of its own points to the command's help."""
    hint = error.hint
    if not hint and isinstance(error, UsageError):
        hint = f"See:  {asked.command} --help"
    if asked.json and asked.schema:
        body = {"what": error.what, "hint": hint, "exit_code": error.exit_code}
        print(json.dumps({"schema": asked.schema, "error": body}).replace("\x7f", "\\u007f"))
        return error.exit_code
    for line in (error.what, hint):
        if line:
            with contextlib.suppress(OSError, ValueError):
                print(terminal.clean(line, keep="\n"), file=sys.stderr)  # a list of mistakes has lines
    return error.exit_code
