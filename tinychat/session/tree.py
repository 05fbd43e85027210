"""The token tree: every token that was ever shown, in branches that share what they have in common.

A branch is what was added after it left its parent at `fork`. Nothing is ever removed: rewinding starts a
sibling, and undo and redo are moves between branches. `path` is the current branch from the first token on, as
flat columns, so that a screen reads 100,000 tokens without walking anything. Nothing here knows text or settings.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tinychat.engine.packing import FATES, MOST_BITS, Glances, pack_step, unpack_step
from tinychat.engine.trace import Step
from tinychat.session.records import Records

PROMPT, DRAWN, FORCED, SEARCHED = 0, 1, 2, 3
MOST_MOVES = 64  # of which it is known what they left in place
KIND_NAMES: tuple[Literal["prompt", "drawn", "forced", "searched"], ...] = ("prompt", "drawn", "forced", "searched")


@dataclass(slots=True)
class Column:
    """Tokens in order, one array for each thing a screen needs of all of them; the whole record stays packed."""

    ids: array[int] = field(default_factory=lambda: array("I"))
    kinds: bytearray = field(default_factory=bytearray)
    surprisal: array[float] = field(default_factory=lambda: array("f"))  # bits, of the raw odds
    prob: array[float] = field(default_factory=lambda: array("f"))  # final
    entropy: array[float] = field(default_factory=lambda: array("f"))  # bits, raw
    final_entropy: array[float] = field(default_factory=lambda: array("f"))
    rank: array[int] = field(default_factory=lambda: array("I"))  # raw, from 1; 0 for a prompt token
    setting: array[int] = field(default_factory=lambda: array("I"))  # whatever number the session gave
    fate: bytearray = field(default_factory=bytearray)  # of a guess at the token: its place in packing.FATES
    lane: array[int] = field(default_factory=lambda: array("H"))  # whose dart it was drawn with
    packed: Records = field(default_factory=Records)

    def __len__(self) -> int:
        return len(self.ids)

    def append(self, token: int, kind: int, step: Step | None, setting: int, packed: bytes | None) -> None:
        self.ids.append(token)
        self.kinds.append(kind)
        self.surprisal.append(min(step.surprisal, MOST_BITS) if step else 0.0)
        self.prob.append(step.final if step else 0.0)
        self.entropy.append(step.odds.entropy if step else 0.0)
        self.final_entropy.append(step.odds.final_entropy if step else 0.0)
        self.rank.append(step.raw_rank if step else 0)
        self.setting.append(setting)
        self.fate.append(FATES.index(step.drafted) if step else 0)
        self.lane.append(step.lane if step else 0)
        self.packed.append(packed)

    def restore(self, ids: Sequence[int], kinds: bytes, setting: Sequence[int], seen: Glances) -> None:
        """Add tokens that were kept elsewhere, with what a glance at their records says; these go to `packed`."""
        self.ids.extend(ids)
        self.kinds.extend(kinds)
        self.surprisal.frombytes(seen.surprisal)
        self.prob.frombytes(seen.final)
        self.entropy.frombytes(seen.entropy)
        self.final_entropy.frombytes(seen.final_entropy)
        self.rank.frombytes(seen.raw_rank)
        self.setting.extend(setting)
        self.fate.extend(seen.fate)
        self.lane.frombytes(seen.lane)

    def seen(self, start: int, stop: int) -> Glances:
        """The columns from `start` to `stop` that say what a glance at the records says."""
        return Glances(
            raw_rank=self.rank[start:stop].tobytes(), final=self.prob[start:stop].tobytes(),
            surprisal=self.surprisal[start:stop].tobytes(), entropy=self.entropy[start:stop].tobytes(),
            final_entropy=self.final_entropy[start:stop].tobytes(), fate=bytes(self.fate[start:stop]),
            lane=self.lane[start:stop].tobytes(),
        )  # fmt: skip

    def extend(self, other: Column, stop: int, start: int = 0) -> None:
        """Add the tokens of another column from `start` to `stop`."""
        self.ids.extend(other.ids[start:stop])
        self.kinds.extend(other.kinds[start:stop])
        self.surprisal.extend(other.surprisal[start:stop])
        self.prob.extend(other.prob[start:stop])
        self.entropy.extend(other.entropy[start:stop])
        self.final_entropy.extend(other.final_entropy[start:stop])
        self.rank.extend(other.rank[start:stop])
        self.setting.extend(other.setting[start:stop])
        self.fate.extend(other.fate[start:stop])
        self.lane.extend(other.lane[start:stop])
        self.packed.extend(other.packed, start, stop)

    def fresh(self) -> Column:
        """An empty column that keeps its records where this one does."""
        return Column(packed=Records(self.packed.store))


@dataclass(slots=True)
class Branch:
    """What was added after leaving `parent` when that had `fork` tokens (counted from the very first)."""

    number: int
    parent: int | None
    fork: int
    own: Column = field(default_factory=Column)
    label: str = ""  # a person's name for it
    hidden: bool = False  # left out of lists, with all that grew from it; nothing is deleted
    stop: str = ""  # why it ended, in the engine's word; "" while it can go on

    @property
    def length(self) -> int:
        """Tokens from the very first to the last of this branch."""
        return self.fork + len(self.own)


@dataclass(frozen=True, slots=True)
class Versions:
    """What there is after the first `fork` tokens of the path: a branch for each, and which of them the path takes."""

    fork: int
    numbers: tuple[int, ...]
    at: int


class Tree:
    """Branches, and the one we stand on. Positions count from the first token of the path."""

    def __init__(self) -> None:
        self.branches: list[Branch] = [Branch(0, None, 0)]
        self.current = 0
        self.path = self.branches[0].own.fresh()
        self.moves = 0  # grows with every change of branch, so that a screen knows when to draw all of it again
        self._undo: list[int] = []
        self._redo: list[int] = []
        self._unpacked: tuple[int, int, Step] | None = None
        self._shared: dict[int, int] = {}  # by number of the move: tokens that the path before and after it begin with

    @classmethod
    def restored(cls, branches: list[Branch], *, current: int, undo: Iterable[int], redo: Iterable[int]) -> Tree:
        """A tree as it was kept elsewhere; ValueError for branches that hang on nothing, or moves to none."""
        for number, branch in enumerate(branches):
            room = 0
            if number:
                if branch.parent is None or not 0 <= branch.parent < number:
                    raise ValueError(f"branch {number} hangs on no earlier one")
                room = branches[branch.parent].length
            if not 0 <= branch.fork <= room:
                raise ValueError(f"branch {number} leaves its parent where that has no token")
        tree = cls()
        tree.branches, tree._undo, tree._redo = branches, list(undo), list(redo)
        for number in (current, *tree._undo, *tree._redo):
            if not 0 <= number < len(branches):
                raise ValueError(f"there is no branch {number}")
        tree._stand_on(current)
        return tree

    @property
    def undo_path(self) -> tuple[int, ...]:
        """The branches that undo leads back to, the latest last."""
        return tuple(self._undo)

    @property
    def redo_path(self) -> tuple[int, ...]:
        """The branches that redo leads to, the first last."""
        return tuple(self._redo)

    def __len__(self) -> int:
        return len(self.path)

    @property
    def branch(self) -> Branch:
        return self.branches[self.current]

    @property
    def reply_start(self) -> int:
        """The position after the last token that was given and not chosen."""
        return self.path.kinds.rfind(PROMPT) + 1

    def append(self, token: int, *, kind: int, step: Step | None = None, setting: int = 0) -> None:
        """Add one token to the end of the current branch."""
        packed = pack_step(step) if step is not None else None
        branch = self.branch
        branch.stop = ""
        branch.own.append(token, kind, step, setting, packed)
        self.path.extend(branch.own, len(branch.own), len(branch.own) - 1)

    def step(self, position: int) -> Step | None:
        """The whole record of a position of the path; None for a prompt token."""
        packed = self.path.packed[position]
        if packed is None:
            return None
        if self._unpacked is None or self._unpacked[:2] != (self.moves, position):
            self._unpacked = (self.moves, position, unpack_step(packed))
        return self._unpacked[2]

    def rewind(self, length: int) -> bool:
        """Go on from the first `length` tokens; the tail stays as a branch. False when there is no tail."""
        if not 0 <= length <= len(self):
            raise ValueError(f"length must be between 0 and {len(self)}, got {length}")
        if length == len(self):
            return False
        parent = self.branch
        while parent.parent is not None and length <= parent.fork:
            parent = self.branches[parent.parent]
        left = self.branch
        if len(left.own) == 0 and left.parent is not None:
            # a branch that never got a token is moved instead of leaving an empty one behind
            left.parent, left.fork = parent.number, length
            self._stand_on(left.number)
        else:
            self.branches.append(self._new_branch(parent.number, length))
            self._move(len(self.branches) - 1)
        return True

    def part(self) -> None:
        """Go on from here in a branch of its own, so that undo comes back to this very place."""
        if len(self.branch.own):
            self.branches.append(self._new_branch(self.current, len(self)))
            self._move(len(self.branches) - 1)

    def give(self, ids: Iterable[int], *, keep: int = 0) -> None:
        """Make the path the given prompt tokens, keeping what is already prompt (at least `keep`)."""
        wanted = list(ids)
        shared, kinds, have = keep, self.path.kinds, self.path.ids
        while shared < min(len(wanted), len(self)) and kinds[shared] == PROMPT and have[shared] == wanted[shared]:
            shared += 1
        self.rewind(shared)
        for token in wanted[shared:]:
            self.append(token, kind=PROMPT)

    def written(self) -> list[Branch]:
        """The branches that have tokens of their own, oldest first."""
        return [branch for branch in self.branches if len(branch.own)]

    def listed(self) -> list[int]:
        """The branches that a person is told of: the first one, and what is not hidden, as far as it has a token.

        One without a token is among them where we stand on it, or where another one grew from it.
        """
        hidden, line, shown, parents = self.hidden(), self.line(), list[int](), set[int]()
        for branch in reversed(self.branches):  # children come first
            number = branch.number
            if branch.parent is not None:
                if number in hidden and number not in line:
                    continue
                if not len(branch.own) and number != self.current and number not in parents:
                    continue
                parents.add(branch.parent)
            shown.append(number)
        return shown[::-1]

    def go(self, number: int) -> bool:
        """Stand on another branch; undo leads back."""
        if number == self.current:
            return False
        self._move(number)
        return True

    def hidden(self) -> set[int]:
        """The branches that are hidden, by themselves or by one that they grew from."""
        found: set[int] = set()
        for branch in self.branches:  # parents come first
            if branch.hidden or branch.parent in found:
                found.add(branch.number)
        return found

    def line(self) -> set[int]:
        """The branches that the path goes through."""
        return {number for number, _ in self._line(self.current)}

    def versions(self, position: int | None = None) -> Versions | None:
        """The siblings at the last fork of the path that is not behind `position`; if there is none, at the next one.

        `position` None is the end of the path. None where the path has no fork.
        """
        hidden, forks = self.hidden(), dict[int, list[int]]()
        line = dict(self._line(self.current))  # branch of the path -> where the path leaves it
        for branch in self.branches:
            parent, fork = branch.parent, branch.fork
            if parent is None or parent not in line or fork > line[parent]:
                continue
            on_path = branch.number in line
            if on_path or (len(branch.own) and branch.number not in hidden):
                forks.setdefault(fork, []).append(branch.number)
        found: list[Versions] = []
        for fork, numbers in forks.items():
            parent = self.branches[numbers[0]].parent
            assert parent is not None, "the first branch is no child"
            if self.branches[parent].length > fork and (parent not in hidden or line[parent] > fork):
                numbers.insert(0, parent)
            taken = [
                at for at, number in enumerate(numbers) if number in line and (number != parent or line[number] > fork)
            ]
            if len(numbers) > 1 and taken:
                found.append(Versions(fork, tuple(numbers), taken[-1]))
        if not found:
            return None
        behind = [each for each in found if position is None or each.fork <= position]
        return max(behind, key=lambda each: each.fork) if behind else min(found, key=lambda each: each.fork)

    def sibling(self, delta: int, position: int | None = None) -> Versions | None:
        """Go to the next (1) or the previous (-1) version, round and round, where we last were in it.

        The versions as they are seen from there; None where there is no other.
        """
        versions = self.versions(position)
        if versions is None:
            return None
        at = (versions.at + delta) % len(versions.numbers)
        self.go(self._latest(versions.numbers[at], versions.fork))
        return Versions(versions.fork, versions.numbers, at)

    def _latest(self, head: int, fork: int) -> int:
        """The branch that was stood on last among `head`, behind its token `fork`, and all that grew from that."""
        hidden = self.hidden()
        for number in (self.current, *reversed(self._undo), *reversed(self._redo)):
            at: int | None = number
            below = self.branches[head].length + 1  # where the way up leaves `head`
            while at is not None and at != head:
                below, at = self.branches[at].fork, self.branches[at].parent
            if at == head and below > fork and number not in hidden:
                return number
        return head

    def undo(self) -> bool:
        """Back to the branch before the last move. Nothing is lost; redo goes forth again."""
        if not self._undo:
            return False
        self._redo.append(self.current)
        self._stand_on(self._undo.pop())
        return True

    def redo(self) -> bool:
        if not self._redo:
            return False
        self._undo.append(self.current)
        self._stand_on(self._redo.pop())
        return True

    def ids_of(self, number: int) -> list[int]:
        """All token ids from the first to the last of a branch."""
        ids: list[int] = []
        for at, stop in reversed(self._line(number)):
            branch = self.branches[at]
            ids += branch.own.ids[: stop - branch.fork]
        return ids

    def _new_branch(self, parent: int, fork: int) -> Branch:
        return Branch(len(self.branches), parent, fork, self.path.fresh())

    def _move(self, number: int) -> None:
        self._undo.append(self.current)
        self._redo.clear()
        self._stand_on(number)

    def _stand_on(self, number: int) -> None:
        before, after = (self._line(each)[::-1] for each in (self.current, number))
        shared = 0
        for (one, left), (other, gone) in zip(before, after, strict=False):
            if one != other:
                break
            shared = min(left, gone)
            if left != gone:
                break
        shared = min(shared, len(self.path))
        self.current = number
        self.path = self._column(number)
        self.moves += 1
        self._shared[self.moves] = shared
        self._shared.pop(self.moves - MOST_MOVES, None)

    def shared_since(self, moves: int) -> int:
        """How many tokens the path begins with as it did when `moves` had this value; 0 where that is long ago."""
        return min((self._shared.get(each, 0) for each in range(moves + 1, self.moves + 1)), default=len(self))

    def _line(self, number: int) -> list[tuple[int, int]]:
        """The branches from this one down to the first, each with the length at which the way leaves it."""
        line: list[tuple[int, int]] = []
        at, stop = number, self.branches[number].length
        while True:
            branch = self.branches[at]
            line.append((at, min(stop, branch.length)))
            if branch.parent is None:
                return line
            at, stop = branch.parent, branch.fork

    def _column(self, number: int) -> Column:
        column = self.branches[0].own.fresh()
        for at, stop in reversed(self._line(number)):
            branch = self.branches[at]
            column.extend(branch.own, stop - branch.fork)
        return column
