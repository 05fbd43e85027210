"""Some replies side by side, in as few passes as possible: each lane with its own text, settings and darts.

    asked     lanes: a list of {ids, prompt_len, params, count} and, where they are not 0 and fresh, {dart, state}
    answered  {"lanes": [...], "sizes": [...]}: whose step is each of those in the blob, and its bytes (packing.py);
              {"stops": {lane: end, grammar, context or no_legal_token}}, {"trouble": {lane: words}}

`count` tokens are drawn of each lane. Lanes that are behind draw first, so that those of one length share their passes.
A question says all that a lane holds, and the twin remembers it: to go on, with these settings or others, is to ask
again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinychat.engine.beside import borrow, read_state
from tinychat.engine.engine import Engine, NoLegalToken
from tinychat.engine.packing import pack_step
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk, Reply
from tinychat.engine.trace import SamplerState
from tinychat.engine.tracks import shared
from tinychat.engine.twins import Clock, draws_alone, hold, twin_of
from tinychat.errors import NumbersError, OutOfMemoryError_, TinychatError

MOST_LANES = 4


def answer(desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
    """As the file's head says; ValueError for more lanes than MOST_LANES."""
    told = list(values["lanes"])
    if not 1 <= len(told) <= MOST_LANES:
        raise ValueError(f"lanes must be 1 to {MOST_LANES}, got {len(told)}")
    draws_alone(desk.engine)
    lanes = [
        Going(
            index=index,
            ids=list(each["ids"]),
            prompt_len=int(each["prompt_len"]),
            params=SamplingParams.from_dict(each["params"]),
            left=int(each["count"]),
            dart=int(each.get("dart", 0)),
            state=read_state(each.get("state")),
        )
        for index, each in enumerate(told)
    ]
    yield from play(desk.engine, twin_of(desk.engine, "lanes", len(lanes)), lanes)


@dataclass(slots=True, kw_only=True)
class Going:
    """A lane of a question, and how many tokens it still draws."""

    index: int
    ids: list[int]
    prompt_len: int
    params: SamplingParams
    left: int
    dart: int = 0
    state: SamplerState | None = None


def play(engine: Engine, twin: Engine, lanes: Sequence[Going]) -> Iterator[Reply]:
    """Draw of all lanes what they still have to; the engine is asked only for what it has computed of their texts."""
    borrow(engine, twin, lanes[0].ids)
    for lane in lanes:
        _seat(twin, lane, [each for each in lanes if each.index < lane.index])
        for _ in hold(twin, lane.ids, prompt_len=lane.prompt_len, lane=lane.index, state=lane.state):
            yield Reply()
    clock = Clock()
    steps: list[bytes] = []
    whose: list[int] = []
    stops: dict[str, str] = {}
    trouble: dict[str, str] = {}
    while going := [lane for lane in lanes if lane.left > 0]:
        shortest = min(twin.length(lane.index) for lane in going)
        for lane in going:
            if twin.length(lane.index) > shortest:
                continue
            lane.left -= 1
            try:
                step = twin.step(lane.params, lane=lane.index, draw_lane=lane.dart)
                steps.append(pack_step(step))
                whose.append(lane.index)
                reason: str | None = twin.stop_reason(lane.index)
            except NoLegalToken:
                reason = "no_legal_token"
            except (NumbersError, OutOfMemoryError_):
                raise
            except (TinychatError, ValueError) as error:  # of this lane's settings
                reason = "trouble"
                trouble[str(lane.index)] = (
                    f"{error.what} {error.hint}" if isinstance(error, TinychatError) else str(error)
                )
            if reason is not None:
                lane.left = 0
                stops[str(lane.index)] = reason
        if clock.rings():
            yield _reply(steps, whose, stops, trouble)
    yield _reply(steps, whose, stops, trouble)


def _reply(steps: list[bytes], whose: list[int], stops: dict[str, str], trouble: dict[str, str]) -> Reply:
    values = {
        "lanes": list(whose), "sizes": [len(step) for step in steps], "stops": dict(stops), "trouble": dict(trouble),
    }  # fmt: skip
    # packed here and looked into by who asked: thousands of steps a second are not unpacked on the way to be counted
    made = Reply(values, blob=b"".join(steps))
    for each in (steps, whose, stops, trouble):
        each.clear()
    return made


def _seat(twin: Engine, lane: Going, seated: Sequence[Going]) -> None:
    """Take from a lane that holds its text already what this one would have to compute."""
    own = shared(lane.ids, twin.tokens(lane.index))
    best = max(seated, key=lambda each: shared(lane.ids, each.ids), default=None)
    if best is not None and shared(lane.ids, best.ids) > own:
        twin.fork(best.index, lane.index)
