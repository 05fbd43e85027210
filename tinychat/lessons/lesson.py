"""A lesson: where it starts, and steps with a task that the session itself can tell is done. No screen, no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds, Step

if TYPE_CHECKING:  # it brings the tokenizer, and lessons are read for --help
    from tinychat.session.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How things stood when a step began."""

    params: SamplingParams
    branches: int
    branch: int

    @classmethod
    def of(cls, session: Session) -> Mark:
        return cls(params=session.params, branches=len(session.tree.branches), branch=session.tree.current)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a check looks at: the session, and what is under the cursor."""

    session: Session
    odds: Odds | None  # of the token under the cursor, or of the next one
    step: Step | None  # the record of the token under the cursor; None where the next one is meant
    position: int
    tab: str  # the panel that Up and Down act on
    then: Mark

    @property
    def params(self) -> SamplingParams:
        return self.session.params

    @property
    def kept(self) -> int:
        """Tokens that could be drawn at the cursor; 0 where nobody knows."""
        return 0 if self.odds is None else self.odds.kept

    @property
    def drawn(self) -> int:
        """Tokens of the reply."""
        return self.session.reply_length

    @property
    def used(self) -> SamplingParams:
        """The settings that the reply began with."""
        return self.session.reply_settings()[0]

    @property
    def drawn_with(self) -> SamplingParams:
        """The settings of the token under the cursor."""
        path = self.session.tree.path
        return self.params if self.step is None else self.session.settings[path.setting[self.position]]

    @property
    def is_new_branch(self) -> bool:
        """Whether another branch has been made since the step began, and we stand on it."""
        return self.session.tree.current != self.then.branch and len(self.session.tree.branches) > self.then.branches

    def steps(self) -> Iterator[Step]:
        """The records of the reply."""
        for position in range(self.session.reply_start, len(self.session.tree)):
            if (step := self.session.tree.step(position)) is not None:
                yield step

    def repeats(self, length: int = 6) -> int:
        """How often the reply's most frequent run of so many tokens stands in it."""
        ids = list(self.session.tree.path.ids[self.session.reply_start :])
        runs = Counter(tuple(ids[at : at + length]) for at in range(len(ids) - length + 1))
        return max(runs.values(), default=0)


@dataclass(frozen=True, slots=True)
class LessonStep:
    """One or two sentences, a task in a line, and whether it is done; without a check there is only to read on."""

    text: str
    task: str = ""
    check: Callable[[Scene], bool] | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """`after` is what the last step says when it is done."""

    name: str
    title: str
    prompt: str
    params: SamplingParams
    steps: tuple[LessonStep, ...]
    max_tokens: int = 240
    rate: float = 30.0
    machine: Machine = field(default_factory=Machine)


class Course:
    """A person in a lesson: which step, and whether its task is done."""

    def __init__(self, lesson: Lesson, session: Session) -> None:
        self.lesson = lesson
        self.at = 0
        self.done = False  # this step
        self.hinted = False
        self.then = Mark.of(session)

    @property
    def step(self) -> LessonStep:
        return self.lesson.steps[self.at]

    @property
    def is_over(self) -> bool:
        """Whether the last step is done."""
        return self.at == len(self.lesson.steps) - 1 and (self.done or self.step.check is None)

    @property
    def may_go_on(self) -> bool:
        return self.done or self.step.check is None

    def look(self, scene: Scene) -> bool:
        """Check the task; True when it has just been done. What is done stays done."""
        if self.done or self.step.check is None or not self.step.check(scene):
            return False
        self.done, self.hinted = True, False
        return True

    def go_on(self, session: Session) -> bool:
        """The next step; False at the end."""
        if self.at == len(self.lesson.steps) - 1:
            return False
        self.at, self.done, self.hinted, self.then = self.at + 1, False, False, Mark.of(session)
        return True
