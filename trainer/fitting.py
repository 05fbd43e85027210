"""How many rows fit into memory at once: found by trying, before any weight has moved.

Half as many give the same result in twice as many passes. Nothing here knows files.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import torch

from tinychat.engine.runner import is_out_of_memory
from tinychat.errors import OutOfMemoryError_
from trainer.config import TrainConfig
from trainer.learner import Learner


def fit_rows(learner: Learner, step: int) -> Iterator[str]:
    """Lower `learner.micro_rows` until the gradients of update `step` fit; yields what is to be told.

    Where the config names the rows, or several processes would have to agree, nothing is tried. OutOfMemoryError_ when
    not even one row fits.
    """
    if learner.config.train.micro_rows is not None or not learner.ranks.alone:
        return
    while not _fits(learner, step):
        rows = fewer(learner.config, learner.micro_rows)
        if rows is None:
            raise too_little(learner.config, learner.micro_rows)
        yield f"the memory is not enough for {learner.micro_rows} rows at once: {rows} now, with the same result"
        learner.micro_rows = rows


def fewer(config: TrainConfig, rows: int) -> int | None:
    """The most rows, at most half as many, that divide a step; None below one."""
    return next((less for less in range(rows // 2, 0, -1) if config.rows_per_step % less == 0), None)


def too_little(config: TrainConfig, rows: int) -> OutOfMemoryError_:
    """For a person, with what to do."""
    less = fewer(config, rows)
    return OutOfMemoryError_(
        f"The memory is not enough for {rows} row{'s' * (rows != 1)} of {config.model.context} tokens at once.",
        f"Compute fewer at a time, with the same result:  --resume --set train.micro_rows={less}"
        if less
        else "One row is the least: make model.context or the model smaller, or set train.recompute = true.",
    )


def _fits(learner: Learner, step: int) -> bool:
    reserved = []
    try:
        if learner.device.type == "cuda":  # the first update makes the moments: they need room too
            reserved = [torch.empty_like(weight) for weight in learner.model.parameters() for _ in range(2)]
        learner.gradients(step)
        fits = True
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        fits = False
    # only here: inside `except` the error still holds what the failed pass had made
    reserved.clear()
    learner.forget_gradients()
    if not fits:
        gc.collect()
        if learner.device.type == "cuda":
            torch.cuda.empty_cache()
    return fits
