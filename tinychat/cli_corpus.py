"""`tinychat corpus`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinychat import files
from tinychat.errors import UsageError


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
