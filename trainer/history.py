"""The loss so far, as few points as a screen can show: a run of a million steps must not fill the memory.

Nothing here knows screens.
"""

from __future__ import annotations

import json
from pathlib import Path

MOST = 4096  # points; above, neighbours are joined


class Curve:
    """Smoothed training loss and held-out loss over steps."""

    def __init__(self) -> None:
        self.train: list[tuple[float, float]] = []
        self.valid: list[tuple[float, float]] = []
        self._stride, self._sum, self._count = 1, 0.0, 0

    def add_train(self, step: int, loss: float) -> None:
        """Points are means over `stride` steps, and the stride doubles whenever there are too many."""
        self._sum, self._count = self._sum + loss, self._count + 1
        if self._count < self._stride:
            return
        self.train.append((step, self._sum / self._count))
        self._sum, self._count = 0.0, 0
        if len(self.train) >= MOST:
            pairs = zip(self.train[::2], self.train[1::2], strict=True)
            self.train = [(late[0], (early[1] + late[1]) / 2) for early, late in pairs]
            self._stride *= 2

    def add_valid(self, step: int, loss: float) -> None:
        self.valid.append((step, loss))
        if len(self.valid) >= MOST:
            del self.valid[::2]

    def read_log(self, path: Path) -> None:
        """What earlier sittings wrote; a line that cannot be read is no point."""
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    self._read(line)
        except OSError:
            return

    def _read(self, line: str) -> None:
        try:
            record = json.loads(line)
            if record["event"] == "trainstep":
                self.add_train(int(record["step"]), float(record["smooth_loss"]))
            elif record["event"] == "evaluated":
                self.add_valid(int(record["step"]), float(record["loss"]))
        except (ValueError, TypeError, KeyError):
            return
