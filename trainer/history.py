"""A run so far, as few points as a screen can show: a run of a million steps must not fill the memory.

Nothing here knows screens.
"""

from __future__ import annotations

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
