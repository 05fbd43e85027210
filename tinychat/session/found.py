"""What a search found, as a person took it into the token tree: enough to find it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinychat.engine.params import SamplingParams
from tinychat.engine.search_params import SearchParams, scoring


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A hypothesis of a search over the path."""

    path: tuple[int, ...]  # all ids up to its last token
    start: int  # how many of them were there before
    params: SamplingParams  # in force when it was searched for
    spec: SearchParams
    rank: int = 0  # among the complete ones, best first, from 1; 0: the one that the search answers with
    complete: bool = True  # False: cut at a place where it did not end, or the search was stopped

    @property
    def used(self) -> SamplingParams:
        """The settings that its tokens were recorded with."""
        return self.params if self.spec.samples else scoring(self.params)


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
