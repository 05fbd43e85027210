"""`tinychat runs`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from tinychat.errors import UsageError
from tinychat.options import one_of

AXES = ("step", "tokens", "minutes")


def runs(
    names: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER | compare RUN RUN...]", help="Where to look. Default: runs."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    by: Annotated[str, typer.Option("--by", metavar="AXIS", help="compare: over step, tokens or minutes.")] = "step",
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters only.")] = False,
) -> None:
    """List training runs, or compare some.

    State, losses, time and curve of each.

    \b
    tinychat runs
    tinychat runs compare runs/small runs/hot
    tinychat runs compare runs/small runs/hot --by minutes

    Losses are in nats per token: loss is the training loss, smoothed; best is the lowest held-out loss.
    """
    from trainer.runs import find
    from trainer.runs_door import Axis, compare, list_runs

    asked, names = bool(names), names or [Path("runs")]
    axis = one_of("--by", by, AXES)
    if names[0] == Path("compare"):
        compare(names[1:], axis=cast(Axis, axis), as_json=json_output, ascii_only=ascii_only)
        return
    if len(names) > 1:
        raise UsageError("runs lists one folder.", "To see several side by side:  tinychat runs compare RUN RUN")
    if axis != "step":
        raise UsageError("--by is for compare.", "Leave it out.")
    # before the first training there is no folder, which is nobody's mistake
    found = [] if not asked and not names[0].exists() else find(names[0])
    list_runs(found, names[0], as_json=json_output, ascii_only=ascii_only)
