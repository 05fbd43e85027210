"""`tinychat train`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinychat.errors import UsageError


def train(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run folder: with --resume or --extend, by its own config.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="TOML", help="What to train, on what, for how long.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="The run folder; runs/<config name> if left out."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in the folder stopped.")] = False,
    extend: Annotated[
        str | None,
        typer.Option("--extend", metavar="AMOUNT", help="Go on with RUN for 500 more steps, or 10m more minutes."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over: what the folder holds of an older run goes.")
    ] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. train.lr=1e-3.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Log lines instead of the live display.")] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters only.")] = False,
) -> None:
    """Train a model from text, live.

    \b
    tinychat train --config assets/small.toml
    tinychat train --config my.toml --set train.lr=1e-3 --out runs/hot
    tinychat train --resume runs/hot
    tinychat train --extend 500 runs/hot
    torchrun --nproc-per-node 2 -m tinychat train --config my.toml

    Ctrl-C saves and says how to go on.
    """
    if resume and fresh:
        raise UsageError("--resume and --fresh contradict each other.", "Choose one of them.")
    from trainer.door import run_train

    code = run_train(
        config,
        run=run,
        extend=extend,
        out=out,
        resume=resume,
        fresh=fresh,
        overrides=set_ or [],
        plain=plain,
        ascii_only=ascii_only,
    )
    raise typer.Exit(code)
