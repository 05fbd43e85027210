"""When a run of an engine's lanes goes through the pipeline that stays on the device, and how it comes back.

A run begins slowly, with the engine's own step, so that the first token waits for nothing. From the second token of the
same settings on the lanes that run decode in the pipeline of graphs.py. Whatever else is asked of the engine (other
settings, a look, a rewind) settles first: what the pipeline drew and was read is the lanes' text, and the logits after
it are kept, so that no pass is done twice. Where the device refuses, the slow step goes on, and `trouble` says why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from tinychat.engine.graphs import Pipeline, Row
from tinychat.engine.lanes import Lane
from tinychat.engine.params import SamplingParams
from tinychat.engine.passes import Passes
from tinychat.engine.trace import Step
from tinychat.engine.tracks import Look


@dataclass(frozen=True, slots=True)
class _Habit:
    """How a lane drew its last token, and how long it was then."""

    params: SamplingParams
    dice: int
    length: int


class Ahead:
    """One for each engine on a device that runs beside the host. `record` is the number of candidates.

    `compiled` sends the step through torch's compiler, and the first of each kind waits for it.
    """

    def __init__(self, passes: Passes, *, record: int, compiled: bool = False) -> None:
        self._passes = passes
        self._record = record
        self._compiled = compiled
        self._pipeline: Pipeline | None = None
        self._habits: dict[int, _Habit] = {}
        self._running: tuple[Lane, ...] = ()
        self._trouble = ""  # why there is no pipeline
        self._not_compiled = ""  # why there is one, but not compiled

    @property
    def state(self) -> str:
        """For people: on, or off and why; compiled, or not and why."""
        if self._trouble:
            return f"off: {self._trouble}"
        if not self._compiled:
            return "on"
        return f"on, not compiled: {self._not_compiled}" if self._not_compiled else "on, compiled"

    def take(self, here: Lane, params: SamplingParams, dice: int) -> Step | None:
        """The lane's next step; None where the engine must make it."""
        if here not in self._running:
            self.settle()
            if not self._begin(here, params, dice):
                return None
        assert self._pipeline is not None, "what runs has a pipeline"
        try:
            with torch.inference_mode():
                step = self._pipeline.take(here.index, params, dice)
        except ValueError:  # NaN: the slow step says where
            step = None
        except RuntimeError as error:  # a graph that could not be made; what was drawn before stands
            step = None
            self._trouble = _first_line(error)
        self._not_compiled = self._pipeline.trouble
        if step is None:
            self.settle()
            return None
        step = replace(step, state=here.state)  # nothing that runs there changes it
        here.main.tokens.append(step.token)
        here.states.append(here.state)
        here.ended, here.complete, here.forward_s = step.token in self._passes.end_ids, False, 0.0
        return step

    def drew(self, here: Lane, params: SamplingParams, dice: int) -> None:
        """The engine made a step of its own: the next one may go on from it here."""
        self._habits[here.index] = _Habit(params, dice, len(here.main.tokens))
        if self._pipeline is not None and not self._pipeline.is_for(self._passes.runner.cache):
            self._pipeline = None  # it would keep the old cache in memory

    def settle(self) -> None:
        """The lanes are what was read of them, and know what follows."""
        running, self._running = self._running, ()
        if self._pipeline is None or not running:
            return
        cache = self._passes.runner.cache
        for here in running:
            track = here.main
            cache.set_length(track.row, self._pipeline.written(here.index))
            cache.cut(track.row, len(track.tokens))  # what was not read might be NaN, and is zeroed
            logits = self._pipeline.row(here.index)
            if bool(torch.isfinite(logits).all()):
                track.looks, here.guesses = [Look(logits)], []
            else:
                track.reopen()
        self._pipeline.stop()
        if self._trouble:
            self._pipeline = None

    def _begin(self, here: Lane, params: SamplingParams, dice: int) -> bool:
        """Start with all lanes that have been running like this one."""
        if self._trouble or self._passes.speculation is not None:
            return False
        rows, lanes = {}, []
        for lane in self._passes.lanes:
            habit = self._habits.get(lane.index)
            if habit is None or habit.length != len(lane.main.tokens) or lane.ended or lane.sides:
                continue
            if lane is here and (habit.params, habit.dice) != (params, dice):
                return False
            if lane.main.owes_one:
                rows[lane.index] = Row(tuple(lane.main.tokens), lane.prompt_len, habit.params, habit.dice)
                lanes.append(lane)
        if here not in lanes or here.complete or params.is_on("grammar"):
            return False
        self._habits.clear()
        runner = self._passes.runner
        try:
            if self._pipeline is None or not self._pipeline.is_for(runner.cache):
                self._pipeline = None  # before there is a second one
                self._pipeline = Pipeline(runner.model, runner.cache, record=self._record, compiled=self._compiled)
            with torch.inference_mode():
                begun = self._pipeline.start(rows)
        except RuntimeError as error:  # a driver, a kernel or the memory: the engine's own step needs less
            self._trouble = _first_line(error)
            self._pipeline = None
            return False
        self._running = tuple(lanes) if begun else ()
        return begun


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
