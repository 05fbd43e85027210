"""What became of a candidate in every stage, asked of the engine when a record does not say it, and remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinychat.engine.params import SamplingParams
from tinychat.engine.wire import Answer
from tinychat.session.place import place_of
from tinychat.tui.player import Player

KIND = "fate"
MOST = 512  # that are remembered


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one token: probability and rank (0 when cut) after each stage, by name; the first is the raw one."""

    token: int
    probs: dict[str, float]
    ranks: dict[str, int]


class Fates:
    """`news` is called when an answer has come."""

    def __init__(self, news: Callable[[], None]) -> None:
        self.news = news
        self._known: dict[tuple[Any, ...], Fate] = {}
        self._asked: tuple[Any, ...] | None = None

    def of(self, player: Player, *, position: int, params: SamplingParams, token: int, lane: int = 0) -> Fate | None:
        """The fate of a token at a position of the path; None until it is known. Nothing is asked while tokens come."""
        key = (player.session.tree.moves, position, params, token, lane)
        fate = self._known.get(key)
        if fate is None and key != self._asked and position and not player.running:
            if player.state != "paused":
                return None
            values = place_of(player.session, position)
            values |= {"params": params.to_dict(), "tokens": [token], "lane": lane}
            self._asked = key

            def hear(answer: Answer) -> None:
                for probs, ranks in answer.values.get("fates", ()):
                    stages = answer.values["stages"]
                    if len(self._known) >= MOST:
                        self._known.clear()
                    self._known[key] = Fate(token, dict(zip(stages, probs, strict=True)),
                                            dict(zip(stages, ranks, strict=True)))  # fmt: skip
                    self.news()
                if answer.done and self._asked == key:
                    self._asked = None if key in self._known else key  # what failed is not asked again and again

            player.ask(KIND, values, hear)
        return fate
