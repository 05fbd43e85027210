"""Questions beside the run: what a client asks of the model that is not the next token, answered bit by bit.

A kind of question is a file of jobs/ with a generator `answer(desk, values)`. The service takes one reply of it between
two tokens, so the run goes on and commands are heard; a reply should take no more than some 50 ms. There is one
question of a kind at a time: a newer one ends the older. Jobs leave the lane of the run as it is: they decode on a twin
of the engine. Torch comes in with the job's file, when it is first asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pkgutil import iter_modules
from typing import Any

from tinychat.engine import jobs
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.engine.wire import Answer, Ask

Story = Callable[[Exception], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """A part of an answer: plain values, records, and bytes for arrays."""

    values: dict[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    blob: bytes = b""


@dataclass(slots=True)
class Patience:
    """How long a job may take."""

    is_over: bool = False  # it is asked to end with what it has


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a job may look at: the engine that is open (an Engine; `Any`, so that this file knows no torch)."""

    engine: Any
    params: SamplingParams  # in force when it was asked
    patience: Patience = field(default_factory=Patience)


Job = Callable[[Desk, Mapping[str, Any]], Iterator[Reply]]


def find_job(kind: str) -> Job:
    """The job of a kind; ValueError where there is none."""
    if kind not in {module.name for module in iter_modules(jobs.__path__)}:
        raise ValueError(f"there is no question {kind!r}")
    job: Job = importlib.import_module(f"{jobs.__name__}.{kind}").answer
    return job


class Questions:
    """The questions that are open, answered in turns. `story` makes an error a pair of what and what to do."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._open: dict[str, tuple[int, Iterator[Reply]]] = {}
        self._patience: dict[str, Patience] = {}  # of the last question of each kind
        self._answers: list[Answer] = []

    def __bool__(self) -> bool:
        """Whether there is one to work at."""
        return bool(self._open)

    @property
    def answered(self) -> bool:
        """Whether there are answers to take."""
        return bool(self._answers)

    @property
    def urgent(self) -> bool:
        """Whether one of them is a last one."""
        return any(answer.done for answer in self._answers)

    def ask(self, seq: int, question: Ask, desk: Callable[[], Desk]) -> None:
        """Begin; what the older question of its kind has still to say is not told any more."""
        self.drop(question.kind)
        try:
            given = desk()
            self._patience[question.kind] = given.patience
            self._open[question.kind] = (seq, find_job(question.kind)(given, question.values))
        except Exception as error:
            self._end(question.kind, seq, self._story(error))

    def drop(self, kind: str) -> None:
        """End the question of a kind without another word."""
        self._close(kind)
        self._answers = [answer for answer in self._answers if answer.kind != kind]

    def finish(self, kind: str) -> None:
        """Ask the question of a kind, if one is open, to end with what it has."""
        if kind in self._open:
            self._patience[kind].is_over = True

    def clear(self) -> None:
        """End all of them: the model they were asked of goes."""
        for kind, (seq, _) in list(self._open.items()):
            self._close(kind)
            self._end(kind, seq, ("The model was closed.", "Ask again."))

    def advance(self) -> None:
        """One part more of the question that has waited longest."""
        kind, (seq, replies) = next(iter(self._open.items()))
        del self._open[kind]
        try:
            reply = next(replies)
        except StopIteration:
            self._end(kind, seq, None)
        except Exception as error:
            self._end(kind, seq, self._story(error))
        else:
            self._open[kind] = (seq, replies)  # behind the others
            self._answers.append(
                Answer(kind=kind, seq=seq, values=reply.values, steps=reply.steps, blob=reply.blob, done=False)
            )

    def take(self) -> tuple[Answer, ...]:
        """The answers since the last call."""
        taken, self._answers = tuple(self._answers), []
        return taken

    def _close(self, kind: str) -> None:
        _, replies = self._open.pop(kind, (0, None))
        if replies is not None and hasattr(replies, "close"):
            replies.close()  # a generator's `finally` gives its memory back

    def _end(self, kind: str, seq: int, error: tuple[str, str] | None) -> None:
        self._answers.append(Answer(kind=kind, seq=seq, done=True, error=error))
