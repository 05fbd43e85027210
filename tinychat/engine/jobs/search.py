"""A search beside the run, told as it grows.

values  spec (SearchParams.to_dict), ids, prompt_len, state (of the samplers after the ids, or null)
answer  read: tokens of the prompt computed so far, while there are more; then events (search_events.py), the last of
        them Done; asked to finish, it lets compete what is there
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from tinychat.engine.beside import read_state
from tinychat.engine.questions import Desk, Reply
from tinychat.engine.search import METHODS, paths_for
from tinychat.engine.search_events import to_plain
from tinychat.engine.search_params import SearchParams
from tinychat.engine.search_tree import SearchEvent

BATCH_S = 0.03  # a frame's time: events that come within it travel together
BATCH = 64


def answer(desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
    """Search with the settings in force. Raises what `search` raises."""
    spec = SearchParams.from_dict(values["spec"])
    base = desk.engine.twin(lanes=1)  # holds what the search starts from; it computes a chunk of it at most
    base.set_context(
        values["ids"], prompt_len=values["prompt_len"], state=read_state(values["state"]), interrupt=lambda: True
    )
    paths = paths_for(base, desk.params, spec, interrupt=lambda: True)
    while not paths.pool.is_computed():
        yield Reply({"read": paths.pool.runner.held(0)})
        paths.read(interrupt=lambda: True)
    waiting: list[SearchEvent] = []
    began = time.monotonic()
    for event in METHODS[spec.method](paths, spec, lambda: desk.patience.is_over):
        waiting.append(event)
        if len(waiting) >= BATCH or time.monotonic() - began >= BATCH_S:
            yield Reply(*to_plain(waiting))
            waiting, began = [], time.monotonic()
    yield Reply(*to_plain(waiting))
