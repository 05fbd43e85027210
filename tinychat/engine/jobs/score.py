"""What the model thinks of every token of a text, chunk by chunk, as `tinychat score` says it.

values  ids, at least two
answer  first: the place of the first token of this chunk; sums: the fields of its Score; and a blob: see totals.COLUMNS
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from tinychat.engine.questions import Desk, Reply
from tinychat.engine.score import score
from tinychat.engine.totals import COLUMNS

FED = 256  # tokens of a pass, or one window where that is longer: a run beside it waits for one


def answer(desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
    """ValueError for ids that are none, NumbersError where the model gives no numbers."""
    ids = [int(token) for token in values["ids"]]
    if len(ids) < 2:
        raise ValueError("a score needs two tokens: the first has nothing before it")
    model = desk.engine.runner.model
    cuda = desk.engine.runner.device.type == "cuda"
    for chunk in score(model, ids, fed=None if cuda else FED):
        blob = b"".join(getattr(chunk, name).astype(kind).tobytes() for name, kind in COLUMNS)
        yield Reply({"first": int(chunk.position[0]), "sums": asdict(chunk.score)}, blob=blob)
