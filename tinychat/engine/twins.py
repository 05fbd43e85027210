"""Engines beside the engine, for questions: kept from one question to the next, so that what they hold is not
computed again. They go with the engine they were made of.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

from tinychat.engine.engine import Engine
from tinychat.engine.trace import SamplerState
from tinychat.errors import UsageError

PART_S = 0.02  # how long a part of an answer may take: a command waits no longer than that

_kept: WeakKeyDictionary[Engine, dict[str, tuple[int, Engine]]] = WeakKeyDictionary()


def twin_of(engine: Engine, kind: str, lanes: int) -> Engine:
    """The twin for questions of this kind, with so many lanes; what its lanes hold is as it was left."""
    kept = _kept.setdefault(engine, {})
    have, twin = kept.get(kind, (0, None))
    if twin is None or have != lanes:
        kept.pop(kind, None)
        twin = None  # its memory goes before the new one needs it
        twin = engine.twin(lanes=lanes)
        kept[kind] = lanes, twin
    return twin


def hold(
    engine: Engine, ids: Sequence[int], *, prompt_len: int, lane: int = 0, state: SamplerState | None = None
) -> Iterator[None]:
    """Make a lane hold these ids; stops after each pass, so that a long prompt lets commands through."""
    engine.set_context(ids, prompt_len=prompt_len, lane=lane, state=state, interrupt=lambda: True)
    while not engine.is_computed(lane):
        yield
        engine.set_context(ids, prompt_len=prompt_len, lane=lane, state=state, interrupt=lambda: True)


def draws_alone(engine: Engine) -> None:
    """UsageError where the engine's draws depend on drafts, which a twin does not have."""
    plan = engine.speculation
    if plan is not None and plan.verify != "match":
        what = f"With --verify {plan.verify} the draws depend on the drafts: no other run has the same."
        raise UsageError(what, "Use --verify match, or no speculation.")


class Clock:
    """Says when a part of an answer is long enough."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def rings(self) -> bool:
        """Whether PART_S have gone by since the last ring."""
        now = time.monotonic()
        if now - self._since < PART_S:
            return False
        self._since = now
        return True
