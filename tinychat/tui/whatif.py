"""What-if: the question about the reply on screen under other settings, and its answer in words. No widgets here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.engine.wire import Answer
from tinychat.session.session import Session
from tinychat.session.tree import DRAWN, FORCED
from tinychat.tui import status


@dataclass(slots=True)
class WhatIf:
    """One question and what came back. `params` hold from the reply's start, on the draws the reply was made with."""

    params: SamplingParams
    moved: str  # what is other than in the reply, as in "T 1.20"
    start: int  # position of the reply's first token
    key: tuple[int, int]  # the path it is about: Tree.moves and length
    done: int = 0  # tokens found alike so far
    same: bool = False
    position: int | None = None  # of the first difference
    was: int = 0
    token: int | None = None  # None there: no token would be left
    steps: list[Step] = field(default_factory=list)  # the last one is that of the first difference
    error: str = ""

    @classmethod
    def about(cls, session: Session) -> WhatIf | None:
        """The question that the settings in force ask; None where they are those of the reply, or there is none."""
        tree, start = session.tree, session.reply_start
        kinds = tree.path.kinds[start:]
        if not kinds or bytes(kinds).strip(bytes((DRAWN, FORCED))):
            return None  # nothing, or what a search found
        base, changes = session.reply_settings()
        params = session.params.with_(seed=base.seed)
        if params == base and not changes:
            return None
        return cls(params, status.moves(base, params), start, (tree.moves, len(tree)))

    def values(self, session: Session) -> dict[str, Any]:
        """What the engine is asked."""
        path, end = session.tree.path, len(session.tree)
        changes = dict(session.lanes())
        lanes, lane = [], 0
        for at in range(end - self.start):
            lane = changes.get(at, lane)
            lanes.append(lane)
        forced = [at for at in range(self.start, end) if path.kinds[at] == FORCED]
        return {
            "ids": list(path.ids), "prompt_len": self.start, "params": self.params.to_dict(), "forced": forced,
            "lanes": lanes if changes else [],
        }  # fmt: skip

    def hear(self, answer: Answer) -> None:
        """Take a part of the answer in."""
        told = answer.values
        self.steps += answer.steps
        if answer.error is not None:
            self.error = " ".join(answer.error)
        self.done = told.get("done", self.done)
        self.same = self.same or "same" in told
        if "position" in told:
            self.position, self.was, self.token = told["position"], told["was"], told["token"]

    def is_about(self, session: Session) -> bool:
        """Whether the path is still the one it was asked of."""
        return self.key == (session.tree.moves, len(session.tree))

    def words(self, label: Callable[[int], str], *, arrow: str, short: bool = False) -> str:
        """One sentence, or as much of it as a status line has room for."""
        head = "what-if: " if short else f"what-if {self.moved or 'from the start'}, same draws: "
        if self.error:
            return f"what-if: {self.error}"
        if self.same:
            return head + "same text"
        if self.position is None:
            return head + f"{self.done} tokens alike so far" if self.done else ""
        place = self.position - self.start + 1
        if self.token is None:
            return head + f"no token is left at token {place}"
        change = f"'{label(self.was)}' {arrow} '{label(self.token)}'"
        if short:
            return head + f"token {place} {change} (w)"
        return head + f"first differs at token {place}: {change} (w branches)"
