"""Take turns: in every round each process measures once, so that what slows the machine slows all of them.

A generation counts when the rest of the machine was quiet meanwhile; otherwise it is repeated, as long as the patience
for it lasts. After that it counts as it is, and is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tinychat.bench.quiet import is_quiet

Tell = Callable[[str], None]


class Asked(Protocol):
    """What takes a question and answers: a process that measures."""

    def ask(self, question: dict[str, Any]) -> dict[str, Any]: ...


@dataclass(slots=True)
class Turns:
    """One process, the kinds of generation it runs in a round, and what they gave."""

    measurer: Asked
    kinds: Sequence[str]
    patience: int  # generations that may be dropped in all
    timings: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    dropped: int = 0
    noisy: int = 0  # that count although others were busy

    def round(self, tell: Tell, done: Callable[[], None]) -> None:
        """Each kind once; `done` after each."""
        for kind in self.kinds:
            self.timings.setdefault(kind, []).append(self._counted(kind, tell))
            done()

    def _counted(self, kind: str, tell: Tell) -> dict[str, Any]:
        while True:
            timing = self.measurer.ask({"kind": kind})
            if is_quiet(timing["rest_cores"], timing["wall_s"]):
                return timing
            if self.dropped >= self.patience:
                self.noisy += 1
                return timing
            self.dropped += 1
            tell(f"others used {timing['rest_cores']:.2f} cores: again")

    def counts(self) -> dict[str, Any]:
        """How many generations count, were dropped, or count although it was not quiet; None: nobody could tell."""
        all_timings = [timing for timings in self.timings.values() for timing in timings]
        watched = all(timing["rest_cores"] is not None for timing in all_timings)
        return {
            "generations": len(all_timings),
            "dropped": self.dropped if watched else None,
            "noisy": self.noisy if watched else None,
        }
