"""What a search found, as a person took it into the token tree: enough to find it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinychat.engine.params import SamplingParams
from tinychat.engine.search_params import SearchParams, scoring
from tinychat.session.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A hypothesis of a search over the path."""

    path: tuple[int, ...]  # all ids up to its last token
    start: int  # how many of them were there before
    params: SamplingParams  # in force when it was searched for
    spec: SearchParams
    rank: int = 0  # among the complete ones, best first, from 1; 0: the one that the search answers with
    complete: bool = True  # False: cut at a place where it did not end, or the search was stopped
    branch: int = 0  # of the tree that it was taken into

    @property
    def used(self) -> SamplingParams:
        """The settings that its tokens were recorded with."""
        return self.params if self.spec.samples else scoring(self.params)

    def to_dict(self, setting: int) -> dict[str, Any]:
        """What a file says: its ids are those of the branch, and its settings have a number there."""
        return {
            "branch": self.branch, "length": len(self.path), "start": self.start, "settings": setting,
            "spec": self.spec.to_dict(), "rank": self.rank, "complete": self.complete,
        }  # fmt: skip


def read_found(record: object, tree: Tree, settings: Sequence[SamplingParams]) -> Found:
    """The inverse of to_dict, for a file from anywhere; ValueError says what is wrong."""
    if not isinstance(record, dict):
        raise ValueError("what a search found must be an object")
    branch, length, start, setting, rank = (
        record.get(name) for name in ("branch", "length", "start", "settings", "rank")
    )
    if type(branch) is not int or not 0 <= branch < len(tree.branches):
        raise ValueError("what a search found is in no branch")
    if not (type(length) is type(start) is int and 0 <= start <= length <= tree.branches[branch].length):
        raise ValueError(f"what a search found is longer than branch {branch}")
    if type(setting) is not int or not 0 <= setting < len(settings):
        raise ValueError("what a search found has settings that are not there")
    if type(rank) is not int or rank < 0 or not isinstance(record.get("spec"), dict):
        raise ValueError("what a search found has no rank or no search")
    try:
        spec = SearchParams.from_dict(record["spec"])
    except TypeError as error:
        raise ValueError(f"what a search found: {error}") from None
    return Found(
        path=tuple(tree.ids_of(branch)[:length]), start=start, params=settings[setting], spec=spec, rank=rank,
        complete=record.get("complete") is True, branch=branch,
    )  # fmt: skip


# the others as the field
_FLAGS = {"method": "--search", "variant": "--beam-variant", "memory": "--search-memory", "phrases": "--phrase"}


def search_flags(spec: SearchParams) -> list[str]:
    """The search as words of a command line; what is as usual is left out, and so is max_tokens."""
    usual, words = SearchParams(), list[str]()
    for name, value in spec.to_dict().items():
        if name == "method" or (name != "max_tokens" and value != getattr(usual, name)):
            flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
            words += [word for each in (value if isinstance(value, list) else [value]) for word in (flag, str(each))]
    return words


def tail_of(found: Sequence[Found], ids: Sequence[int], reply_start: int) -> Found | None:
    """What a search can find again as the end of this path; None where more was drawn, or where it was cut."""
    for each in reversed(found):
        if each.complete and each.start >= reply_start and len(each.path) == len(ids) and each.path == tuple(ids):
            return each
    return None
