"""What the list of branches says of each: its place in the tree, how it began, how it went and why it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tinychat.engine.params import SamplingParams
from tinychat.session.branches import Branches
from tinychat.session.session import Session
from tinychat.session.tree import PROMPT, Branch
from tinychat.text.terminal import clean
from tinychat.tui.status import moves

BEGINNING = 40  # characters of a prompt
_ENDS = {
    "end": "ended",
    "grammar": "ended",
    "context": "context full",
    "limit": "max tokens",
    "no_legal_token": "no token left",
}


@dataclass(frozen=True, slots=True)
class BranchRow:
    """One branch in words. `rails` are as in branches.Place."""

    number: int
    depth: int
    rails: tuple[bool, ...]
    last: bool
    goes_on: bool
    below: int
    label: str
    begins: str  # '@12 " pale"', or the first words of a prompt
    tokens: int
    perplexity: float | None
    settings: str
    end: str
    here: bool  # we stand on it
    on_path: bool


class BranchRows:
    """The rows of a session's tree, each made when it is asked for."""

    def __init__(self, session: Session, label: Callable[[int], str]) -> None:
        self.session = session
        self.branches = Branches(session.tree)
        self.running = False
        self._label = label
        self._known: dict[tuple[int, int], tuple[str, str]] = {}  # how a branch began; that stays

    def __len__(self) -> int:
        return len(self.branches.places)

    @property
    def total(self) -> int:
        """All branches, with those that are folded away."""
        return self.branches.total

    def refresh(self, *, running: bool) -> None:
        """Follow the tree; `running`: tokens are coming."""
        self.running = running
        self.branches.refresh()

    def row(self, index: int) -> BranchRow:
        """One row of the list."""
        place, tree = self.branches.places[index], self.session.tree
        branch = tree.branches[place.number]
        sums = self.branches.sums(branch.number)
        begins, settings = self._beginning(branch)
        here = branch.number == tree.current
        return BranchRow(
            number=branch.number, depth=place.depth, rails=place.rails, last=place.last, goes_on=place.goes_on,
            below=place.below, label=clean(branch.label, keep=""), begins=begins, tokens=sums.tokens,
            perplexity=sums.perplexity,
            settings=settings, end="runs" if here and self.running else self._end(branch), here=here,
            on_path=branch.number in self.branches.line,
        )  # fmt: skip

    def _end(self, branch: Branch) -> str:
        own = branch.own
        if len(own) and own.kinds[-1] != PROMPT and own.ids[-1] in self.session.tokenizer.end_ids:
            return "ended"
        return _ENDS.get(branch.stop, "")

    def _beginning(self, branch: Branch) -> tuple[str, str]:
        """How it begins, and the settings that differ from those of the text it left."""
        key, own = (branch.number, branch.fork), branch.own
        if key in self._known:
            return self._known[key]
        drawn = next((at for at, kind in enumerate(own.kinds) if kind != PROMPT), None)
        if not len(own):
            return "empty", ""
        if own.kinds[0] == PROMPT:
            begins = self._prompt(branch, len(own) if drawn is None else drawn)
        else:
            begins = f"@{self.branches.place_in_reply(branch)} {self._label(own.ids[0])}"
        if drawn is None:
            return begins, ""
        now = self.session.settings[own.setting[drawn]]
        before = self._settings_left(branch) or SamplingParams(seed=now.seed)
        self._known[key] = (begins, moves(before, now))
        return self._known[key]

    def _prompt(self, branch: Branch, stop: int) -> str:
        """The first words of what was given here."""
        tokenizer, ids = self.session.tokenizer, branch.own.ids[: min(stop, BEGINNING)]
        text = " ".join(clean(tokenizer.decode(ids)).split())
        goes_on = ".." if branch.fork > 1 and not tokenizer.is_special(ids[0]) else ""  # the words before are shared
        return f'"{goes_on}{text[:BEGINNING]}"' if text else "empty prompt"

    def _settings_left(self, branch: Branch) -> SamplingParams | None:
        """Those of the token that stands in this branch's place, else of the token before."""
        fork, at = branch.fork, branch.parent
        while at is not None:
            parent = self.session.tree.branches[at]
            for place in (fork - parent.fork, fork - parent.fork - 1):
                if 0 <= place < len(parent.own) and parent.own.kinds[place] != PROMPT:
                    return self.session.settings[parent.own.setting[place]]
            if fork > parent.fork:
                return None
            at = parent.parent
        return None
