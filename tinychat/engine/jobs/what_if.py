"""What-if: the reply on screen, drawn again on the same darts with other settings: where does it first differ?

    asked     ids, prompt_len, params, forced (positions a person chose), lanes (whose dart each token of the reply is)
    answered  {"done": n} while it goes on, then {"same": n} or
              {"position", "was", "token", "prob", "was_prob"}: final probabilities under the new settings

As if the settings had held from the reply's first token on; forced tokens stay forced. No token is drawn that the old
reply does not have, so one pass over the old reply says all: its raw logits are kept, and the next question costs no
pass. Settings that need more than the raw logits (other passes, a state, the vocabulary), and number types in which a
pass over many tokens differs from passes over one, are played token by token on a twin of the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from tinychat.engine.adaptive import STATEFUL
from tinychat.engine.context import Context
from tinychat.engine.engine import Engine, NoLegalToken
from tinychat.engine.observe import decide, observe
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk, Reply
from tinychat.engine.runner import Runner
from tinychat.engine.trace import Step
from tinychat.engine.tracks import CHUNK, shared
from tinychat.engine.twins import Clock, draws_alone, hold, twin_of

MOST_BYTES = 1 << 27  # of kept logits
_PASS = 32  # positions whose logits one pass gives
# stages that need no more than the logits and the ids before them
_PLAIN = frozenset((
    "allowed", "bad_words", "no_repeat_ngram", "encoder_no_repeat_ngram", "logit_bias", "sequence_bias", "repetition",
    "encoder_repetition", "frequency", "presence", "top_n_sigma", "temperature", "quadratic", "top_k", "typical",
    "top_p", "min_p", "epsilon", "eta", "tfs", "top_a", "top_h", "xtc",
))  # fmt: skip


def answer(desk: Desk, values: Mapping[str, Any]) -> Iterator[Reply]:
    """As the file's head says, with the step that differs; of a stateful chain with all steps up to it, because they
    cannot be drawn apart."""
    engine: Engine = desk.engine
    told = _Told(
        ids=list(values["ids"]),
        start=int(values["prompt_len"]),
        params=SamplingParams.from_dict(values["params"]),
        forced=frozenset(values.get("forced", ())),
        lanes=list(values.get("lanes", ())),
    )
    draws_alone(engine)
    clock = Clock()
    yield Reply({"done": 0})  # the pass comes after the commands that are waiting
    keeps_steps = is_stateful(told.params)
    steps: list[Step] = []
    done = 0
    try:
        for step in (_from_logits if _is_plain(engine, told) else _one_by_one)(engine, told):
            if step is not None:
                steps += [step] if keeps_steps else []
                if step.token != told.ids[told.start + done]:
                    yield Reply(_difference(step, told.ids[step.position]), tuple(steps or [step]))
                    return
                done += 1
            if step is None or clock.rings():
                yield Reply({"done": done}, tuple(steps))
                steps.clear()
    except NoLegalToken:
        yield Reply({"position": told.start + done, "was": told.ids[told.start + done], "token": None}, tuple(steps))
        return
    yield Reply({"same": done}, tuple(steps))


@dataclass(frozen=True, slots=True)
class _Told:
    """`start` is the position of the reply's first token."""

    ids: list[int]
    start: int
    params: SamplingParams
    forced: frozenset[int]
    lanes: list[int]

    def lane(self, position: int) -> int:
        at = position - self.start
        return self.lanes[at] if at < len(self.lanes) else 0


def is_stateful(params: SamplingParams) -> bool:
    """Whether a token depends on how those before it were drawn."""
    return any(params.is_on(stage) for stage in STATEFUL)


def _difference(step: Step, was: int) -> dict[str, Any]:
    old = next((each.final for each in step.odds.candidates if each.token == was), None)  # None: rare
    return {"position": step.position, "was": was, "token": step.token, "prob": step.final, "was_prob": old}


def _is_plain(engine: Engine, told: _Told) -> bool:
    weight = next(engine.runner.model.parameters())
    exact = weight.dtype in (torch.float32, torch.float64) and not engine.runner.model.int8
    room = len(told.ids) * engine.config.vocab_size * 4 <= MOST_BYTES
    modes = told.params.temperature_mode in ("fixed", "dynamic", "edt", "entropy")
    return exact and room and modes and frozenset(told.params.active) <= _PLAIN


def _one_by_one(engine: Engine, told: _Told) -> Iterator[Step | None]:
    """Each token as a run of its own would draw it."""
    twin = twin_of(engine, "what_if", 1)
    ids, params = told.ids, told.params
    for _ in hold(twin, ids[: told.start], prompt_len=told.start):
        yield None
    for position in range(told.start, len(ids)):
        if position in told.forced:
            step = twin.force(ids[position], params, draw_lane=told.lane(position))
        else:
            step = twin.step(params, draw_lane=told.lane(position))
        yield step


def _from_logits(engine: Engine, told: _Told) -> Iterator[Step | None]:
    """The same from kept logits."""
    trail = _trails.get(engine)
    if trail is None:
        trail = _trails[engine] = _Trail(
            Runner(engine.runner.model, length=engine.context, threads=engine.runner.threads)
        )
    ids = told.ids
    trail.hold(ids, told.start - 1)
    for position in range(told.start, len(ids)):
        while position - 1 not in trail.logits:
            trail.advance()
            yield None
        context = Context(ids[:position], told.start, lane=told.lane(position))
        seen = observe(trail.logits[position - 1], told.params, context, n=engine.record)
        token = ids[position] if position in told.forced else None
        if token is None and seen.odds.kept == 0:
            raise NoLegalToken(f"The settings cut every token at position {position}.", "")
        yield decide(seen, told.params, lane=told.lane(position), token=token, time_s=0.0)


@dataclass(slots=True)
class _Trail:
    """The raw logits of one path, by the position of the token they come after."""

    runner: Runner
    ids: list[int] = field(default_factory=list)
    first: int = 0  # from here on they are wanted
    logits: dict[int, Tensor] = field(default_factory=dict)

    def hold(self, ids: Sequence[int], first: int) -> None:
        """Be about this path, whose logits are wanted from `first` on."""
        keep = min(shared(ids, self.ids), self.runner.held(0))
        # what is cached without its logits is computed once more
        keep = next((at for at in range(first, keep) if at not in self.logits), keep)
        self.logits = {at: line for at, line in self.logits.items() if at < keep}
        self.runner.cache.cut(0, keep)
        self.ids, self.first = list(ids), first

    def advance(self) -> None:
        """One pass more."""
        at = self.runner.held(0)
        if at < self.first:
            self.runner.feed({0: self.ids[at : min(at + CHUNK, self.first)]})
            return
        found = self.runner.run({0: self.ids[at : at + _PASS]}, every=True)[0]
        self.logits.update(enumerate(found.logits, start=at))


_trails: WeakKeyDictionary[Engine, _Trail] = WeakKeyDictionary()
