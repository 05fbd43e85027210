"""The odds after a text, under the settings in force.

values  ids, token (one to be listed, or null)
answer  read: tokens computed so far, while there are more; then a blob: packed Odds
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tinychat.engine.beside import read
from tinychat.engine.packing import pack_odds
from tinychat.engine.questions import Desk, Reply


def answer(desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
    """ValueError and TinychatError as Engine.peek raises them."""
    ids = [int(token) for token in values["ids"]]
    for twin in read(desk.engine, ids, prompt_len=len(ids), state=None):
        if twin.is_computed():
            yield Reply(blob=pack_odds(twin.peek(desk.params, token=values["token"])))
            return
        yield Reply({"read": twin.runner.held(0)})
