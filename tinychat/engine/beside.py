"""A second engine for questions about places of the text: it borrows what the run has computed, and is kept.

Keys and values are copied from the lane of the run as far as the tokens are the same, so an answer about a token that
was drawn has the very bits that it was drawn from, and no text is read twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tinychat.engine.trace import SamplerState
from tinychat.engine.tracks import shared

if TYPE_CHECKING:
    from tinychat.engine.engine import Engine

_TWINS: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()


def read(engine: Engine, ids: Sequence[int], *, prompt_len: int, state: SamplerState | None) -> Iterator[Engine]:
    """The second engine after each chunk of `ids` that had to be computed; the last one holds them, with their odds.

    Raises what Engine.set_context raises.
    """
    twin = _TWINS.get(engine)
    if twin is None:
        twin = _TWINS[engine] = engine.twin(lanes=1)
    ids = list(ids)
    borrow(engine, twin, ids)
    while True:
        twin.set_context(ids, prompt_len=prompt_len, state=state, interrupt=lambda: True)
        yield twin
        if twin.is_computed():
            return


def borrow(engine: Engine, twin: Engine, ids: list[int]) -> None:
    """Have the twin hold what the engine's lane has cached of these ids, where that is more than its own."""
    held = min(shared(ids, engine.tokens()), engine.runner.held(0), len(ids) - 1)
    if held <= min(shared(ids, twin.tokens()), twin.runner.held(0)):
        return
    engine.is_computed()  # settles what runs ahead on the device
    track = twin._lanes[0].main
    track.tokens = ids[:held]
    track.looks.clear()
    track.runner.cache.adopt(engine.runner.cache, source=0, target=track.row, length=held)


def read_state(told: Mapping[str, Any] | None) -> SamplerState | None:
    """The samplers' state from plain values."""
    if told is None:
        return None
    sums = told["adaptive"]
    return SamplerState(told["mirostat"], None if sums is None else (sums[0], sums[1]))
