"""Several hypotheses on one model: rows of one cache that fork, grow and are read together.

A lane of a pool holds a hypothesis: the prompt and its tokens. `look` computes the odds of all named lanes in one pass.
Nothing here decides which hypothesis goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinychat.engine.engine import Engine
from tinychat.engine.observe import Observation, decide
from tinychat.engine.params import SamplingParams
from tinychat.engine.runner import Runner
from tinychat.engine.trace import Step
from tinychat.model.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Sight:
    """What comes after one hypothesis."""

    observation: Observation
    log_probs: NDArray[np.float64]  # (V,) nats, after the settings; -inf where cut
    params: SamplingParams
    time_s: float  # of the pass and the odds

    @property
    def is_dead_end(self) -> bool:
        """Whether the settings cut every token."""
        return self.observation.odds.kept == 0

    def step(self, token: int) -> Step:
        """The record of taking this token."""
        return decide(self.observation, self.params, token=token, time_s=self.time_s)


def log_probs(observation: Observation) -> NDArray[np.float64]:
    """Logarithms (V,) of the probabilities after the settings: log-softmax, -inf where cut."""
    return observation.rows[-1].log_probs(observation.odds.vocab_size)


class Paths:
    """A pool of `lanes` hypotheses; lane 0 begins as what lane 0 of the engine holds once it is `read`.

    `calls` counts the odds that were computed, one per hypothesis; `passes` the forward passes behind them.
    """

    def __init__(
        self,
        engine: Engine,
        params: SamplingParams,
        *,
        lanes: int,
        max_tokens: int,
        runner: Callable[[Runner], Runner] | None = None,
    ) -> None:
        self.params = params
        self.prompt = engine.tokens(0)
        self.prompt_len = engine.prompt_length(0)
        self.context = engine.context
        self.max_tokens = max_tokens
        self.end_ids = engine.end_ids
        self.lanes = lanes
        self.calls = 0
        negative = (
            len(tuple(params.negative_ids)) if params.is_on("guidance") else 0
        )  # its side pass has the reply after it
        length = min(engine.context, max(len(self.prompt), negative) + max_tokens)
        self.pool = engine.twin(lanes=lanes, context=length, runner=runner)
        self._used = [0] * lanes  # when each lane was last looked at, for `seat`
        self._clock = 0
        self._state = engine.state(0)

    def read(self, interrupt: Callable[[], bool] | None = None) -> bool:
        """Compute the prompt; False when `interrupt`, asked between its chunks, said True: then call again."""
        self.pool.set_context(self.prompt, prompt_len=self.prompt_len, state=self._state, interrupt=interrupt)
        return self.pool.is_computed()

    @property
    def vocabulary(self) -> Vocabulary:
        """What the tokens stand for; ValueError where that is not known."""
        if self.pool.vocabulary is None:
            raise ValueError("answers are text: the engine must know its vocabulary")
        return self.pool.vocabulary

    @property
    def passes(self) -> int:
        return self.pool.runner.forwards

    @property
    def longest(self) -> int:
        """How many tokens a hypothesis may get."""
        return min(self.max_tokens, self.context - len(self.prompt))

    def ending(self, ids: Sequence[int]) -> str | None:
        """Why a hypothesis of these tokens goes no further; None when it can."""
        if ids[-1] in self.end_ids:
            return "end"
        if self.pool.is_whole([*self.prompt[self.prompt_len :], *ids], self.params):
            return "grammar"
        if len(self.prompt) + len(ids) >= self.context:
            return "context"
        return "length" if len(ids) >= self.max_tokens else None

    def look(self, lanes: Sequence[int]) -> dict[int, Sight]:
        """The odds after each of these lanes; what they owe is one pass."""
        found = {}
        clock = time.perf_counter()
        for lane in lanes:
            seen = self.pool.look(self.params, lane=lane)
            now = time.perf_counter()
            found[lane] = Sight(seen, log_probs(seen), self.params, now - clock)
            clock = now
            self.calls += 1
        return found

    def compute(self, lane: int) -> None:
        """Pay the pass that the lane owes, and with it that of all lanes that owe one."""
        self.pool.set_context(self.pool.tokens(lane), prompt_len=self.prompt_len, lane=lane)

    def grow(self, choices: Sequence[tuple[int, int]]) -> list[int]:
        """Give each (lane, token) a lane of its own with the token appended; lanes nobody chose are given up.

        The first choice of a lane keeps it, further ones are forks.
        """
        chosen = {lane for lane, _ in choices}
        free = [lane for lane in range(self.lanes) if lane not in chosen]
        kept: set[int] = set()
        targets = []
        for lane, _ in choices:  # all forks come before any token
            target = lane if lane not in kept else free.pop(0)
            kept.add(lane)
            if target != lane:
                self.pool.fork(lane, target)
            targets.append(target)
        for target, (_, token) in zip(targets, choices, strict=True):
            self.pool.append(token, lane=target)
        return targets

    def seat(self, ids: Sequence[int]) -> int:
        """A lane that holds the prompt and these tokens: the lane that shares most is the source, the one that was
        looked at longest ago is given up. What no lane holds is computed again."""
        tokens = [*self.prompt, *ids]
        shares = [self._shares(lane, tokens) for lane in range(self.lanes)]
        source = max(range(self.lanes), key=shares.__getitem__)
        target = min(range(self.lanes), key=self._used.__getitem__)
        if target != source and shares[source] > shares[target]:
            self.pool.fork(source, target)
        self._clock += 1
        self._used[target] = self._clock
        self.pool.set_context(tokens, prompt_len=self.prompt_len, lane=target)
        return target

    def _shares(self, lane: int, tokens: Sequence[int]) -> int:
        held = self.pool.tokens(lane)
        for place, (one, other) in enumerate(zip(held, tokens, strict=False)):
            if one != other:
                return place
        return min(len(held), len(tokens))
