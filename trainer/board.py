"""The run for TensorBoard, where `run.tensorboard = true`: losses, rate, gradient and speed over steps, and samples.

The package is an extra; log.jsonl is written with or without it. Nothing here knows training.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinychat.errors import UsageError
from trainer.config import TrainConfig
from trainer.events import Evaluated, Event, Sampled, TrainStep


def check(config: TrainConfig) -> None:
    """UsageError when the config wants what is not installed."""
    if config.run.tensorboard and find_spec("tensorboard") is None:
        raise UsageError(
            "run.tensorboard = true needs a package that is not installed.",
            "Install it:  pip install tensorboard   Or leave it out: log.jsonl holds the same numbers.",
        )


class Board:
    """Writes into `folder`. Steps after `step`, which come again, replace what an earlier sitting wrote of them."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        make: Any = SummaryWriter
        self._writer: Any = make(log_dir=str(folder), purge_step=step + 1)

    def take(self, event: Event) -> None:
        """Add the event if it has numbers or text."""
        if isinstance(event, TrainStep):
            self._add(event.step, "loss/train", event.loss)
            self._add(event.step, "loss/smoothed", event.smooth_loss)
            self._add(event.step, "train/rate", event.lr)
            self._add(event.step, "train/gradient norm", event.grad_norm)
            self._add(event.step, "train/tokens per second", event.tokens_per_s)
        elif isinstance(event, Evaluated):
            self._add(event.step, "loss/held out", event.loss)
            self._add(event.step, "bits per byte/held out", event.bits_per_byte)
        elif isinstance(event, Sampled):
            self._writer.add_text("sample", f"{event.prompt}{event.text}", event.step)

    def close(self) -> None:
        self._writer.close()

    def _add(self, step: int, name: str, value: float) -> None:
        self._writer.add_scalar(name, value, step)
