"""What is known of a run, for whoever shows it: the last event of each kind, and the curves. Nothing here draws."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from trainer.events import (
    Continued,
    Eased,
    Evaluated,
    Event,
    Paused,
    Probed,
    Progress,
    RateScaled,
    Sampled,
    Saved,
    Started,
    Stopped,
    TrainStep,
    Warned,
    from_record,
)
from trainer.history import Curve, Point

KEPT_WARNINGS = 5
SHOWN = ("loss", "learning rate", "gradient norm", "tokens per second")  # the curves there are, in turn


@dataclass(slots=True)
class View:
    """What a dashboard shows."""

    waiting: str = ""
    started: Started | None = None
    step: TrainStep | None = None
    evaluated: Evaluated | None = None
    best: Evaluated | None = None
    sampled: Sampled | None = None
    earlier: dict[str, Sampled] = field(default_factory=dict)  # by prompt, the sample before the last one
    saved: Saved | None = None
    progress: Progress | None = None
    stopped: Stopped | None = None
    warned: list[Warned] = field(default_factory=list)
    curve: Curve = field(default_factory=Curve)
    scale: float = 1.0  # of the rate
    paused: bool = False
    keys: bool = False  # whether somebody can press any
    note: str = ""  # the answer to a key
    shown: str = SHOWN[0]

    def take(self, event: Event) -> None:
        """Note what happened."""
        self.progress = event if isinstance(event, Progress) else None
        if isinstance(event, Saved | Sampled | Paused):
            self.note = ""  # what was asked for is done
        if isinstance(event, Started):
            self.started, self.scale = event, event.rate_scale
            if event.step:
                self.read_log(event.out / "log.jsonl")
        elif isinstance(event, TrainStep):
            self.step = event
            self.curve.add_train(event.step, event.smooth_loss)
            self.curve.add_rest(event.step, gradient=event.grad_norm, rate=event.lr, speed=event.tokens_per_s)
        elif isinstance(event, Evaluated):
            self.evaluated = event
            self.best = event if event.best else self.best
            self.curve.add_valid(event.step, event.loss)
        elif isinstance(event, Sampled):
            if self.sampled is not None:
                self.earlier[self.sampled.prompt] = self.sampled
            self.sampled = event
        elif isinstance(event, Probed):
            self.curve.add_probe(event)
        elif isinstance(event, Saved):
            self.saved = event
        elif isinstance(event, Warned):
            self.warned = [*self.warned, event][-KEPT_WARNINGS:]
        elif isinstance(event, Eased):
            self.warned = [each for each in self.warned if each.about != event.about]
        elif isinstance(event, Paused | Continued):
            self.paused = isinstance(event, Paused)
        elif isinstance(event, RateScaled):
            self.scale = event.scale
        elif isinstance(event, Stopped):
            self.stopped = event

    def read_log(self, path: Path) -> None:
        """What earlier sittings saw; a line that cannot be read is passed over."""
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    with contextlib.suppress(ValueError):
                        event = from_record(json.loads(line))
                        if isinstance(event, TrainStep | Evaluated | Sampled | Probed | Saved):
                            self.take(event)
        except OSError:
            return

    @property
    def warnings(self) -> list[str]:
        """What should still be known, oldest first."""
        return [each.message for each in self.warned]

    @property
    def planned(self) -> list[Point]:
        """(step, rate) that the schedule has in mind, at even distances over the run."""
        run = self.started
        if run is None or not run.planned_lr:
            return []
        apart = max(1, len(run.planned_lr) - 1)
        return [(place * run.steps / apart, rate * self.scale) for place, rate in enumerate(run.planned_lr)]
