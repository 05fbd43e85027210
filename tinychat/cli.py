"""The doors: options in, one call out. Whatever is slow is imported inside the command that needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinychat import __version__, files
from tinychat.cli_bench import bench
from tinychat.cli_data import data
from tinychat.cli_keys import keys, paths
from tinychat.cli_learn import learn
from tinychat.cli_play import play, presets
from tinychat.cli_runs import runs
from tinychat.cli_sample import sample
from tinychat.cli_score import score
from tinychat.cli_sessions import sessions, transcript
from tinychat.cli_verify import verify
from tinychat.errors import UsageError
from tinychat.options import Checkpoint, SettingsCommand

app = typer.Typer(
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Train a small language model, then see and steer how every token is chosen.

    \b
    tinychat play                                the playground on a shipped model
    tinychat train --config small.toml           a model from text, live
    tinychat sample --prompt "Once upon a time"  the same engine, for scripts
    """,
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Say the version and leave.")] = False,
) -> None:
    if version:
        print(f"tinychat {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command(cls=SettingsCommand)(sample)
app.command()(score)
app.command(cls=SettingsCommand)(play)
app.command()(presets)
app.command()(learn)
app.command()(keys)
app.command()(paths)
app.command()(verify)
app.command()(sessions)
app.command()(transcript)
app.command()(runs)
app.command(cls=SettingsCommand)(bench)
app.add_typer(data, name="data")


@app.command()
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


@app.command()
def info(
    checkpoint: Checkpoint = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Say what a checkpoint is, every byte verified.

    Shape, parameters by part, bytes, KV cache, tokenizer, training, digests.
    """
    from tinychat.info import describe, print_table
    from tinychat.model import checkpoint as checkpoints

    facts, _ = checkpoints.read(files.find_checkpoint(checkpoint))
    if json_output:
        import json

        print(json.dumps(describe(facts)))
    else:
        print_table(describe(facts))


@app.command()
def corpus(
    documents: Annotated[int, typer.Option("--documents", "-n", metavar="N", min=1, help="How many documents.")] = 20,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Same seed, same text.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="A .txt or .jsonl file instead of stdout.")
    ] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a document, chats as messages.")] = False,
    entropy: Annotated[bool, typer.Option("--entropy", help="Measure the language's own entropy instead.")] = False,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Say how much of a text is well-formed; - is stdin.")
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option("--judge", metavar="MODEL", help="Sample stories and answers from a checkpoint and mark them."),
    ] = None,
) -> None:
    """Write, measure or mark the toy language.

    Stories and chats of a small world, with a grammar that can be checked.

    \b
    tinychat corpus --seed 1 --documents 3
    tinychat corpus --documents 20000 --out toy.jsonl
    tinychat corpus --entropy
    tinychat corpus --judge runs/small
    """
    if sum((entropy, check is not None, judge is not None)) > 1:
        raise UsageError("--entropy, --check and --judge are three different questions.", "Ask one at a time.")
    from trainer import toy_door

    if entropy:
        toy_door.print_entropy(seed=seed, count=documents)
    elif check is not None:
        toy_door.print_check(check)
    elif judge is not None:
        toy_door.print_judgement(files.find_checkpoint(judge), seed=seed, count=documents)
    else:
        toy_door.write(seed=seed, count=documents, out=out, jsonl=jsonl)
