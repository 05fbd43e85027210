"""What a person at the keyboard has a run do between two steps. With several processes nobody steers.

A new rate takes effect with the step that follows, and is saved at once: a kill must not undo what a person saw done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from trainer.checkpoints import Progressed
from trainer.distributed import Agreed
from trainer.events import Continued, Event, Paused, Progress, RateScaled
from trainer.schedule import Schedule
from trainer.signals import StopFlag
from trainer.wishes import Wishes, scaled

WAIT_S = 0.05  # between two looks at the keys while paused


class Steered(Protocol):
    """What of a run can be steered."""

    now: Progressed
    wishes: Wishes
    stop: Agreed

    def save(self, *, last: bool) -> Iterator[Event]: ...
    def sample(self) -> Iterator[Event]: ...
    def tick(self) -> float: ...


def heed(run: Steered, rates: Schedule) -> Iterator[Event]:
    """Do what was wished since the last step; a pause lasts in here."""
    step, wishes = run.now.step, run.wishes
    if wishes.rate != 1.0:  # not while paused: this step may be saved by then, with the rate it had
        times, wishes.rate = wishes.rate, 1.0
        scale = scaled(run.now.rate_scale, times)
        if scale != run.now.rate_scale:
            run.now = replace(run.now, rate_scale=scale)
            yield RateScaled(step=step, scale=scale, lr=rates.rate(step) * scale)
            wishes.save = True
    yield from _once(run)
    if not wishes.paused or run.stop.reason is not None:
        return
    yield Paused(step=step)
    run.tick()
    held = 0.0
    while wishes.paused and run.stop.reason is None:
        started = time.monotonic()
        time.sleep(WAIT_S)
        held += time.monotonic() - started
        _skip(run)
        yield Progress(what="", done=0, total=0, unit="")  # whoever shows the run looks at the keys
        yield from _once(run)
    wishes.paused = False
    yield Continued(step=step, seconds=held)


def _once(run: Steered) -> Iterator[Event]:
    wishes = run.wishes
    if wishes.sample and run.stop.reason is None:
        yield from run.sample()
    if wishes.save and run.stop.reason is None:
        yield from run.save(last=False)
    wishes.sample = wishes.save = False


def _skip(run: Steered) -> None:
    """No clock counts what has passed."""
    flag: StopFlag = run.stop.own
    flag.suspended = True
    run.tick()
