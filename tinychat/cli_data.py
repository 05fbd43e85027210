"""`tinychat data build` and `tinychat data inspect`: their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from tinychat.errors import UsageError
from tinychat.options import one_of
from tinychat.quick_options import QuickCommand

data = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    help="""Make token shards of text, and look at them.

    \b
    tinychat data build texts/ chats.jsonl -o shards
    tinychat data inspect shards
    """,
)


@data.callback()
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@data.command(cls=QuickCommand)
def build(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Files, folders, globs of .txt, .md, .jsonl, .parquet; - is stdin; toy."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the shards go.")],
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", metavar="FILE", help="A tokenizer.json instead of a new vocabulary.")
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option("--vocab-size", metavar="N", min=262, max=200_000, help="Tokens of a new one. Default: 1024."),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option("--field", metavar="NAME", help="What rows call their text or chat. Default: text, messages."),
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="FORM", help="What stdin is: text or jsonl.")] = "text",
    held_out: Annotated[
        float,
        typer.Option("--held-out", metavar="SHARE", min=0, max=0.5, help="Share of the documents that is not trained."),
    ] = 0.02,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of who is held out, and of toy.")] = 1,
    shard_tokens: Annotated[
        int, typer.Option("--shard-tokens", metavar="N", min=1, help="Tokens of a shard, about.")
    ] = 1 << 24,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=0, max=256, help="Processes that encode. Default: the other cores."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over: shards in the folder are replaced.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Encode text into a folder of shards.

    \b
    tinychat data build texts/ chats.jsonl -o shards --vocab-size 4096
    tinychat data build news.parquet -o shards --field body
    zcat big.txt.gz | tinychat data build - -o shards

    Ctrl-C keeps the finished shards, and the same command goes on. A training config names the folder as data.text.
    """
    if tokenizer is not None and vocab_size is not None:
        raise UsageError("--tokenizer and --vocab-size contradict each other.", "Choose one of them.")
    form = one_of("--format", form, ("text", "jsonl"))
    if form != "text" and "-" not in sources:
        raise UsageError("--format is for stdin.", "Leave it out: the ending of a file says what it is.")
    from trainer.data_door import run_build
    from trainer.data_recipe import Recipe

    recipe = Recipe(
        sources=tuple(sources),
        field=field,
        form=cast(Literal["text", "jsonl"], form),
        tokenizer=tokenizer,
        vocab_size=vocab_size or 1024,
        valid_fraction=held_out,
        seed=seed,
        shard_tokens=shard_tokens,
        workers=workers,
    )
    raise typer.Exit(run_build(recipe, out, fresh=fresh, json_output=json_output, quiet=quiet))


@data.command(cls=QuickCommand)
def inspect(
    path: Annotated[Path, typer.Argument(metavar="FOLDER|SHARD", help="A folder of shards, a run folder, or a shard.")],
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=0, max=100, help="Documents shown of each source.")
    ] = 2,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Another seed, other documents.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII characters only.")] = False,
) -> None:
    """Check every byte of shards, and show what is in them.

    Counts, lengths of documents, samples as text, the bytes of the header and between documents.

    \b
    tinychat data inspect shards
    tinychat data inspect runs/small
    tinychat data inspect shards/train-00-00000.bin --samples 5
    """
    from trainer.data_door import run_inspect

    run_inspect(path, samples=samples, seed=seed, json_output=json_output, ascii_only=ascii_only)
