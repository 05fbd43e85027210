"""How an engine chooses: by the C++ library where it is there and knows the settings, else by `observe` and `decide`.

Both give the same records to the last bit. Nothing here computes a pass or keeps a token.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from tinychat.engine.context import Context
from tinychat.engine.drafts import judge
from tinychat.engine.lanes import Lane
from tinychat.engine.native_choice import Chooser
from tinychat.engine.observe import Observation, decide, observe
from tinychat.engine.params import SamplingParams
from tinychat.engine.runner import Runner
from tinychat.engine.speculate import Speculation
from tinychat.engine.trace import Odds, Step


class Choices:
    """`record` is how many of the likeliest tokens every Odds lists."""

    def __init__(self, runner: Runner, record: int) -> None:
        self._runner, self._record, self._chooser = runner, record, Chooser(record)

    def observe(
        self,
        here: Lane,
        params: SamplingParams,
        context: Context,
        *,
        watch: Sequence[int] = (),
        token: int | None = None,
    ) -> Observation:
        """Of the lane's next position; its logits are there."""
        return observe(here.main.looks[0].logits, params, context, n=self._record, watch=watch, token=token)

    def odds(
        self, here: Lane, params: SamplingParams, context: Context, *, watch: Sequence[int], token: int | None
    ) -> Odds:
        """What `observe` says of it."""
        if token is None and not watch:
            found = self._chooser.look(self._runner.library, here.main.looks[0].logits, params, context)
            if found is not None:
                return found
        return self.observe(here, params, context, watch=watch, token=token).odds

    def dead_end(self, here: Lane, params: SamplingParams, context: Context) -> tuple[str, str]:
        """Which stage left no token, and what to do: two lines for a person."""
        stages = self.odds(here, params, context, watch=(), token=None).stages
        last = next(view.name for view in stages if view.kept == 0)
        what = f"The settings cut every token at position {context.place}: {last} left none."
        return what, "Loosen it, or what comes before it, or go back some tokens."

    def step(
        self,
        here: Lane,
        params: SamplingParams,
        context: Context,
        *,
        watch: Sequence[int],
        token: int | None,
        plan: Speculation | None,
    ) -> Step | None:
        """The choice of the lane's next token, drawn or this one, or of the guess there is; None where none is left."""
        started = time.perf_counter() - here.forward_s
        if token is None and not watch and not here.guesses:
            logits = here.main.looks[0].logits
            step = self._chooser.step(self._runner.library, logits, params, context, started=started)
            if step is not None:
                return step
        seen = self.observe(here, params, context, watch=watch)  # decide adds the token's rows
        if token is None and seen.odds.kept == 0:
            return None
        verdict = None
        if token is None and plan is not None and here.guesses:
            verdict = judge(here.guesses[0], plan, seen, params, context.lane)
        chosen = token if verdict is None else verdict.token
        step = decide(seen, params, lane=context.lane, token=chosen, time_s=time.perf_counter() - started)
        if verdict is not None:
            step = replace(step, forced=False, u=verdict.u, low=verdict.low, high=verdict.high)
        if here.guesses:
            right = step.token == here.guesses[0].token
            step = replace(step, drafted="accepted" if right else "rejected")
        return step
