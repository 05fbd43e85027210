"""`tinychat verify`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from tinychat.errors import UsageError
from tinychat.options import Model, session_names


def verify(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A session (its file, its name, or last), the output of sample --json or --jsonl, or - for stdin.",
            autocompletion=session_names,
        ),
    ],
    model: Model = None,
    device: Annotated[str | None, typer.Option("--device", metavar="NAME", help="auto, cpu or cuda.")] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", metavar="NAME", help="float32, bfloat16, float16 or int8; as it was.")
    ] = None,
    step: Annotated[str | None, typer.Option("--step", metavar="NAME", help="auto, native, compiled or eager.")] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, max=1024, help="CPU threads; chosen by size.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No notices on stderr.")] = False,
) -> None:
    """Draw again what was recorded: the same tokens?

    \b
    tinychat sample -p "The fox" --json --trace 5 > fox.json
    tinychat verify fox.json
    tinychat verify last
    tinychat verify session.jsonl -m runs/small

    Same prompt, settings, schedule, forced tokens and seed, on the model that the file names or on -m. Ends with 0 for
    `identical: N tokens`, with 1 for `diverged at token N`, shown with both distributions and the likely reason. Of a
    session the branch that it stands on is drawn again.
    """
    from tinychat.verify import door

    given = {"device": device, "dtype": dtype, "step": step, "threads": threads}
    overrides = {name: value for name, value in given.items() if value is not None}
    try:
        code = door.run(file, model=model, overrides=overrides, json_output=json_output, quiet=quiet)
    except ValueError as error:  # settings that the engine refuses, out of a file from anywhere
        raise UsageError(f"{error}.", "The file was made for another model, or changed.") from error
    raise typer.Exit(code)
