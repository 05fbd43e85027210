"""What the model and the settings say about every token of the vocabulary, at one place of a text.

values  ids (all before the place), prompt_len, params, state (of the samplers there, or null), lane (0 if left out)
answer  read: tokens computed so far, while there are more; then stages (names, the raw row first), kept (of each),
        log_total (raw probability = e^(logit - log_total)) and a blob: see PARTS
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinychat.engine.beside import read, read_state
from tinychat.engine.observe import Observation
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk, Reply

NOBODY = 255
# of the blob, one after the other, each with an entry a token: raw logits and final probabilities (f32), the stage that
# cut it as its place in `stages` or NOBODY (u8), the tokens by falling raw and by falling final odds, and the raw ranks
# of the tokens (u32)
PARTS = ("<f4", "<f4", "u1", "<u4", "<u4", "<u4")


def answer(desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
    """ValueError and TinychatError as Engine.look raises them."""
    seen = yield from look(desk, values)
    raw = seen.rows[0]
    stages, kept = [row.name for row in seen.rows], [row.kept for row in seen.rows]
    yield Reply({"stages": stages, "kept": kept, "log_total": raw.reference + math.log(raw.total)}, blob=_columns(seen))


def look(desk: Desk, values: Mapping[str, Any]) -> Generator[Reply, None, Observation]:
    """What the model and the settings say at the place; replies `read` on the way."""
    params = SamplingParams.from_dict(values["params"])
    ids = [int(token) for token in values["ids"]]
    reader = read(desk.engine, ids, prompt_len=values["prompt_len"], state=read_state(values["state"]))
    for twin in reader:
        if not twin.is_computed():
            yield Reply({"read": twin.runner.held(0)})
    return twin.look(params, draw_lane=values.get("lane", 0))


def _columns(seen: Observation) -> bytes:
    logits, final = seen.raw_logits, seen.final
    size = logits.size
    everyone = np.arange(size)
    cut, left = np.full(size, NOBODY, dtype=np.uint8), np.ones(size, dtype=bool)
    for number, row in enumerate(seen.rows):
        gone = left & ~row.inside(everyone)
        cut[gone] = number
        left &= ~gone
    by_raw = np.argsort(-logits, kind="stable")
    by_final = by_raw[np.argsort(-final[by_raw], kind="stable")]  # what is cut goes by its raw odds
    ranks = np.empty(size, dtype=np.int64)
    ranks[by_raw] = everyone + 1
    columns: tuple[NDArray[Any], ...] = (logits, final, cut, by_raw, by_final, ranks)
    return b"".join(column.astype(kind).tobytes() for column, kind in zip(columns, PARTS, strict=True))
