"""What became of some tokens at one place of a text: probability and rank after every stage.

values  as survey.py, and tokens
answer  read, as there; then stages (names, the raw row first) and fates: per token [probability after each stage, rank
        after each stage (0 when cut)]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinychat.engine.jobs.survey import look
from tinychat.engine.questions import Desk, Reply
from tinychat.engine.rows import Row, probs_of


def answer(desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
    """ValueError and TinychatError as Engine.look raises them, ValueError for an id out of the vocabulary."""
    seen = yield from look(desk, values)
    rows, size = seen.rows, seen.odds.vocab_size
    for token in values["tokens"]:
        if not 0 <= token < size:
            raise ValueError(f"token must be from 0 to {size - 1}, got {token}")
    fates = [[probs_of(rows, token), ranks_of(rows, token)] for token in values["tokens"]]
    yield Reply({"stages": [row.name for row in rows], "fates": fates})


def ranks_of(rows: Sequence[Row], token: int) -> list[int]:
    """The token's rank in each row, from 1, ties by lower id; 0 where it is cut."""
    return [0 if (place := row.find(token)) is None else _rank(row.logits, place) for row in rows]


def _rank(logits: NDArray[np.float32], place: int) -> int:
    own = logits[place]
    return 1 + int(np.count_nonzero(logits > own)) + int(np.count_nonzero(logits[:place] == own))
