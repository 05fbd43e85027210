"""A run so far, as few points as a screen can show: a run of a million steps must not fill the memory.

Nothing here knows screens.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from trainer.events import Probed

MOST = 4096  # points of one series; above, neighbours are joined
MOST_PROBES = 128

Point = tuple[float, float]


class Series:
    """(step, value), each the mean over `stride` steps; the stride doubles whenever there are too many."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._stride, self._sum, self._count = 1, 0.0, 0

    def add(self, step: int, value: float) -> None:
        self._sum, self._count = self._sum + value, self._count + 1
        if self._count < self._stride:
            return
        self.points.append((step, self._sum / self._count))
        self._sum, self._count = 0.0, 0
        if len(self.points) >= MOST:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [(late[0], (early[1] + late[1]) / 2) for early, late in pairs]
            self._stride *= 2


class Curve:
    """Smoothed training loss and held-out loss over steps, with gradient norm, rate and speed; and the probes."""

    def __init__(self) -> None:
        self._train = Series()
        self.gradient, self.rate, self.speed = Series(), Series(), Series()
        self.valid: list[Point] = []
        self.probes: list[Probed] = []

    @property
    def train(self) -> list[Point]:
        return self._train.points

    def add_train(self, step: int, loss: float) -> None:
        self._train.add(step, loss)

    def add_rest(self, step: int, *, gradient: float, rate: float, speed: float) -> None:
        """What a training step tells beside its loss."""
        self.gradient.add(step, gradient)
        self.rate.add(step, rate)
        self.speed.add(step, speed)

    def add_valid(self, step: int, loss: float) -> None:
        self.valid.append((step, loss))
        if len(self.valid) >= MOST:
            del self.valid[::2]

    def add_probe(self, probe: Probed) -> None:
        """Odds after another prompt begin a history of their own."""
        if self.probes and self.probes[-1].prompt != probe.prompt:
            self.probes.clear()
        self.probes.append(probe)
        if len(self.probes) >= MOST_PROBES:
            del self.probes[:-1:2]

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
            kind = record["event"]
            if kind == "trainstep":
                step = int(record["step"])
                self.add_train(step, float(record["smooth_loss"]))
                self.add_rest(
                    step,
                    gradient=float(record["grad_norm"]),
                    rate=float(record["lr"]),
                    speed=float(record["tokens_per_s"]),
                )
            elif kind == "evaluated":
                self.add_valid(int(record["step"]), float(record["loss"]))
            elif kind == "probed":
                known = {field.name: record[field.name] for field in fields(Probed)}
                top = tuple((str(text), float(share)) for text, share in known["top"])
                self.add_probe(Probed(step=int(known["step"]), prompt=str(known["prompt"]), top=top))
        except (ValueError, TypeError, KeyError):
            return
