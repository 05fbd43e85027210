"""The fan: some continuations of one text, in one batch, each on the darts of another lane.

asked     ids, prompt_len, params, state, darts (a list of lanes), count
answered  as lanes.py does: {"lanes", "sizes", "stops", "trouble"} and a blob; lane i throws the darts of darts[i]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tinychat.engine.beside import read_state
from tinychat.engine.jobs.lanes import Going, play
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk, Reply
from tinychat.engine.twins import draws_alone, twin_of

MOST = 64


def answer(desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
    """As the file's head says; ValueError for no darts, more than MOST or the same twice."""
    darts = [int(dart) for dart in values["darts"]]
    if not 1 <= len(set(darts)) == len(darts) <= MOST:
        raise ValueError(f"darts must be 1 to {MOST} different lanes, got {len(darts)}")
    draws_alone(desk.engine)
    ids, prompt_len, state = list(values["ids"]), int(values["prompt_len"]), read_state(values.get("state"))
    params, count = SamplingParams.from_dict(values["params"]), int(values["count"])
    lanes = [
        Going(index=index, ids=ids, prompt_len=prompt_len, params=params, left=count, dart=dart, state=state)
        for index, dart in enumerate(darts)
    ]
    yield from play(desk.engine, twin_of(desk.engine, "fan", len(lanes)), lanes)
