"""Everything of a run that goes to disk while it trains: resumable checkpoints, the latest and the best weights.

A failed write is told and tried again at the next occasion; only the last one, or several in a row, end the run.
Weights that are not finite are never written. Nothing here knows when to save.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinychat import files
from tinychat.errors import FileFormatError, NumbersError, StorageError
from tinychat.model.checkpoint import CheckpointInfo, inspect
from trainer import checkpoints
from trainer.checkpoints import Playable, Progressed, Surroundings
from trainer.config import TrainConfig
from trainer.config_file import dumps
from trainer.events import Event, Saved, Warned
from trainer.launch import Left
from trainer.learner import Arrays, Learner, lower_rate
from trainer.run_folder import RunFolder

FAILURES = 3  # in a row, until the run gives up


class Keeper:
    """Writes for one run. `saved_at` is the step of the newest resumable checkpoint on disk, -1 for none.

    Of several processes the first writes, and all call these methods together: the weights may be in parts.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        learner: Learner,
        *,
        name: str,
        playable: Playable,
        surroundings: Surroundings,
        saved_at: int,
        base: CheckpointInfo | None = None,
    ) -> None:
        self.config, self.folder, self.learner, self.name = config, folder, learner, name
        self.ranks = learner.ranks
        self.playable, self.surroundings, self.saved_at = playable, surroundings, saved_at
        self.base = base
        self._latest_at = _step_of(folder.latest)  # a kill can come between the two files of a save
        self._failures = 0

    def is_saved(self, now: Progressed) -> bool:
        """Whether all of `now` is on disk."""
        saved = self.ranks.first and self.saved_at == now.step == self._latest_at and self.folder.latest.exists()
        return bool(self.ranks.max([saved])[0])

    def save(self, now: Progressed, *, last: bool) -> Iterator[Event]:
        """The resumable checkpoint, then the file that plays."""
        if self.ranks.first:
            yield from self._restore_folder(now)
        started = time.monotonic()
        weights, state, shown = self._finite_weights(now), self.learner.state(), None
        if self.learner.average is not None:
            with self.learner.looked_at():
                shown = self.learner.weights()
        error = self._write(now, weights, state, weights if shown is None else shown) if self.ranks.first else None
        fatal = error is not None and (last or self._failures >= FAILURES)
        failed, ended = self.ranks.max([error is not None, fatal])
        if error is not None and fatal:
            raise error
        if ended:
            raise Left("The first process of this run cannot save; its message says why.")
        if error is not None:
            yield _failed(error, now)
        if not failed:
            yield Saved(step=now.step, path=self.folder.latest, best=False, seconds=time.monotonic() - started)

    def _write(self, now: Progressed, weights: Arrays, state: Arrays, shown: Arrays) -> StorageError | None:
        try:
            if self.saved_at != now.step:  # never write over a whole one: a failure would leave none
                checkpoints.save(
                    self.folder.checkpoints,
                    weights=None if self.config.lora.rank else weights,
                    state=state,
                    playable=self.playable,
                    progress=now,
                    surroundings=self.surroundings,
                    training=self._facts(now),
                    keep=self.config.save.keep,
                )
                self.saved_at = now.step
            checkpoints.write_playable(self.folder.latest, shown, self.playable, now.step, self._facts(now))
        except StorageError as error:
            self._failures += 1
            return error
        self._failures, self._latest_at = 0, now.step
        return None

    def save_best(self, now: Progressed) -> Iterator[Event]:
        """The weights of the lowest held-out loss so far."""
        started = time.monotonic()
        with self.learner.looked_at():
            weights = self._finite_weights(now)
        if not self.ranks.first:
            return
        try:
            checkpoints.write_playable(self.folder.best, weights, self.playable, now.step, self._facts(now))
        except StorageError as error:
            yield _failed(error, now)
            return
        yield Saved(step=now.step, path=self.folder.best, best=True, seconds=time.monotonic() - started)

    def _restore_folder(self, now: Progressed) -> Iterator[Event]:
        """Somebody may have removed the run folder under the run: what --resume asks for first is its config."""
        if self.folder.config.exists():
            return
        try:
            self.folder.path.mkdir(parents=True, exist_ok=True)
            files.write_atomic(self.folder.config, dumps(self.config).encode())
        except (OSError, StorageError):
            return  # the save after this fails too, and tells
        self.saved_at = -1
        yield Warned(step=now.step, message=f"{self.folder.path} was removed while it was in use: it is made again")

    def _finite_weights(self, now: Progressed) -> Arrays:
        broken = self.learner.broken_weight()
        if broken is not None:
            raise NumbersError(f"Step {now.step}: {broken} is not finite any more.", lower_rate(self.config))
        return self.learner.weights()

    def _facts(self, now: Progressed) -> dict[str, Any]:
        """What the file says about its training; `tinychat info` shows it."""
        return {
            "run": self.name,
            "steps": now.steps,
            "tokens": now.tokens,
            "elapsed_s": round(now.elapsed_s, 3),
            "loss": now.mean_loss,
            "valid_loss": now.valid_loss,
            "valid_bits_per_byte": now.valid_bits,
            "best_loss": now.best_loss,
            **({"pause_tokens": self.config.data.pause_tokens} if self.config.data.pause_tokens else {}),
            "config": dumps(self.config),
        } | self._origin()

    def _origin(self) -> dict[str, Any]:
        """The checkpoint that the run started from, with what that one says of its own training."""
        if self.base is None:
            return {}
        base = self.base
        named = {"path": str(base.path), "digest": base.digest, "step": base.step, "training": base.training}
        return {"from": named}


def _step_of(path: Path) -> int:
    try:
        return inspect(path).step
    except FileFormatError:
        return -1


def _failed(error: StorageError, now: Progressed) -> Warned:
    return Warned(step=now.step, message=f"not saved: {error.what} Training goes on.")
