"""How long a run is. Steps, epochs, tokens: the smallest counts. Minutes stop a run, or alone set its steps.

The rate is a function of the step, so the number of steps is fixed once, before the first: with minutes alone it is
what a speed test says will fit, and it is kept in the checkpoint. With another limit beside them, minutes never change
the schedule; the run is told in time that its rate will not come down to the floor. Nothing here knows torch.
"""

from __future__ import annotations

import math

from trainer.config import TrainConfig

PART_OF_TIME = 0.93  # of the minutes are for steps: the rest is for evaluation, samples and saving


def limit_in_steps(config: TrainConfig, batches_per_epoch: float) -> int | None:
    """The smallest limit but the time, in steps; None when time is the only one."""
    train = config.train
    limits = []
    if train.steps is not None:
        limits.append(train.steps)
    if train.epochs is not None:
        limits.append(math.ceil(train.epochs * batches_per_epoch))
    if train.tokens is not None:
        limits.append(math.ceil(train.tokens / (config.rows_per_step * config.model.context)))
    return max(1, min(limits)) if limits else None


def steps_in_time(minutes: float, elapsed_s: float, step_s: float) -> int:
    """Steps that fit into what is left of the minutes."""
    return max(1, int((minutes * 60 - elapsed_s) * PART_OF_TIME / max(step_s, 1e-6)))


def late_message(config: TrainConfig, eta_s: float, elapsed_s: float, step: int, steps: int) -> str | None:
    """A warning when the time limit will come before the last step."""
    minutes = config.train.minutes
    if minutes is None or elapsed_s + eta_s <= minutes * 60 * 1.02:
        return None
    reached = step + int((steps - step) * max(0.0, minutes * 60 - elapsed_s) / eta_s)
    return (
        f"{steps} steps would take {(elapsed_s + eta_s) / 60:.1f} minutes, train.minutes = {minutes:g} ends the run"
        f" near step {reached}, before the rate is down; train.steps = {reached} would fit"
    )
