"""What the model and the settings say about every token of the vocabulary, at one place of a text.

values  ids (all before the place), prompt_len, params, state (of the samplers there, or null), tokens (whose fate is
        asked for), whole (whether all tokens are)
answer  read: tokens computed so far, while there are more; then stages (names, the raw row first), kept, fates: per
        token of `tokens` [probability after each stage, rank after each stage (0 when cut)], and with `whole` log_total
        (raw probability = e^(logit - log_total)) and a blob: see PARTS
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinychat.engine.beside import read, read_state
from tinychat.engine.observe import Observation
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk, Reply
from tinychat.engine.rows import Row, probs_of

NOBODY = 255
# of the blob, one after the other, each with an entry a token: raw logits and final probabilities (f32), the stage that
# cut it as its place in `stages` or NOBODY (u8), then the tokens by falling raw and by falling final odds (u32)
PARTS = ("<f4", "<f4", "u1", "<u4", "<u4")


def answer(desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
    """ValueError and TinychatError as Engine.look raises them."""
    params = SamplingParams.from_dict(values["params"])
    ids = [int(token) for token in values["ids"]]
    reader = read(desk.engine, ids, prompt_len=values["prompt_len"], state=read_state(values["state"]))
    for twin in reader:
        if not twin.is_computed():
            yield Reply({"read": twin.runner.held(0)})
    seen = twin.look(params)
    told: dict[str, Any] = {
        "stages": [row.name for row in seen.rows],
        "kept": [row.kept for row in seen.rows],
        "fates": [[probs_of(seen.rows, token), ranks_of(seen.rows, token)] for token in values["tokens"]],
    }
    if not values["whole"]:
        yield Reply(told)
        return
    raw = seen.rows[0]
    yield Reply(told | {"log_total": raw.reference + math.log(raw.total)}, blob=_columns(seen))


def ranks_of(rows: tuple[Row, ...], token: int) -> list[int]:
    """The token's rank in each row, from 1, ties by lower id; 0 where it is cut."""
    return [0 if (place := row.find(token)) is None else _rank(row.logits, place) for row in rows]


def _rank(logits: NDArray[np.float32], place: int) -> int:
    own = logits[place]
    return 1 + int(np.count_nonzero(logits > own)) + int(np.count_nonzero(logits[:place] == own))


def _columns(seen: Observation) -> bytes:
    logits, final = seen.raw_logits, seen.final
    size = logits.size
    everyone = np.arange(size)
    cut, left = np.full(size, NOBODY, dtype=np.uint8), np.ones(size, dtype=bool)
    for number, row in enumerate(seen.rows):
        gone = left & ~row.inside(everyone)
        cut[gone] = number
        left &= ~gone
    by_raw, by_final = np.argsort(-logits, kind="stable"), np.argsort(-final, kind="stable")
    columns: tuple[NDArray[Any], ...] = (logits, final, cut, by_raw, by_final)
    return b"".join(column.astype(kind).tobytes() for column, kind in zip(columns, PARTS, strict=True))
