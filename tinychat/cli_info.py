"""`tinychat info`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from tinychat import files
from tinychat.options import Checkpoint


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
