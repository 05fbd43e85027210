"""A decoder without an engine: it stands behind a session that is looked at and not gone on with.

What the file knows is shown: the odds of the token that comes next, and the reply once more, token by token at the pace
asked for. What would have to be drawn is refused, plainly.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tinychat.engine.packing import unpack_step
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds, Step
from tinychat.engine.wire import (
    Answer,
    Ask,
    Command,
    Force,
    Frame,
    Open,
    Pause,
    Run,
    SetContext,
    SetParams,
    SetRate,
    State,
    StepOnce,
)
from tinychat.session.session import Session
from tinychat.session.tree import Column
from tinychat.tui.ticking import TICK_S

NO_MODEL = "there is no model here: this is a recording"
FULL_PACE = 1000.0  # tokens a second where no pace is set


class RecordedDecoder:
    """Answers at once; `fileno` is readable as long as a frame waits."""

    def __init__(self, session: Session | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`session` None: it is still being read."""
        self._session = session
        self._params = SamplingParams() if session is None else session.params
        self._clock = clock
        self._frames: deque[Frame] = deque()
        self._seq = 0
        self._length = 0
        self._path: Column | None = None  # what is replayed, up to _stop
        self._stop = 0
        self._settings: Sequence[SamplingParams] = ()
        self._left = 0  # tokens that a run still shows
        self._rate: float | None = None
        self._shown_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)

    @property
    def alive(self) -> bool:
        return self._read_end >= 0

    def fileno(self) -> int:
        return self._read_end

    def close(self) -> None:
        self._halt()
        if self.alive:
            os.close(self._read_end)
            os.close(self._write_end)
            self._read_end = self._write_end = -1

    def read(self) -> list[Frame]:
        frames = list(self._frames)
        self._frames.clear()
        if self.alive and frames:
            os.read(self._read_end, len(frames))
        return frames

    def replay(self, path: Column, stop: int, settings: Sequence[SamplingParams]) -> None:
        """What runs and steps show from now on: this path, up to `stop`."""
        self._path, self._stop, self._settings = path, stop, settings

    def send(self, command: Command) -> int:
        self._seq += 1
        if isinstance(command, Open):
            self._answer(facts={"device": "recording"})
        elif isinstance(command, SetContext):
            self._halt()
            self._length = len(command.ids)
            self._answer(odds=self._next_odds())
        elif isinstance(command, SetParams) and command.params != self._params:
            self._answer(in_force=self._params, error=(f"{NO_MODEL}.", "Settings change nothing."))
        elif isinstance(command, SetRate):
            self._rate = command.rate
        elif isinstance(command, (Run, StepOnce)) and self._length < self._stop:
            count = command.limit if isinstance(command, Run) else command.count
            self._left = self._stop if count is None else count
            if isinstance(command, Run):
                self._rate = command.rate or self._rate
                self._shown_at = self._clock()
                self._answer(state="running")
                self._timer = asyncio.get_running_loop().call_later(TICK_S, self.tick)
            else:
                self._show(self._left)
        elif isinstance(command, (Run, StepOnce, Force)):
            self._answer(error=(f"{NO_MODEL}.", ""))
        elif isinstance(command, Pause):
            self._halt()
            self._answer(odds=self._next_odds())
        elif isinstance(command, Ask):
            answer = Answer(kind=command.kind, seq=self._seq, done=True, error=(f"{NO_MODEL}.", ""))
            self._answer(answers=(answer,))
        return self._seq

    def tick(self) -> None:
        """Show as many tokens of the run as it is time for."""
        self._timer = None
        rate = self._rate or FULL_PACE
        due = min(int((self._clock() - self._shown_at) * rate), self._left)
        if due:
            self._shown_at += due / rate
            self._show(due)
        if self._left:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self.tick)

    def _show(self, count: int) -> None:
        path, steps, changes = self._path, list[Step](), list[tuple[int, SamplingParams]]()
        assert path is not None, "only what was given is replayed"
        while len(steps) < count and self._length < self._stop:
            packed = path.packed[self._length]
            assert packed is not None, "a reply has records"
            steps.append(unpack_step(packed))
            changes.append((self._length, self._settings[path.setting[self._length]]))
            self._length += 1
        self._left = min(self._left - len(steps), self._stop - self._length)
        state: State = "running" if self._left else "paused"
        odds = None if self._left else self._next_odds()
        self._answer(state=state, steps=tuple(steps), params_at=tuple(changes), odds=odds)

    def _halt(self) -> None:
        self._left = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _answer(self, *, state: State = "paused", **values: Any) -> None:
        if self.alive:
            self._frames.append(Frame(seq=self._seq, state=state, length=self._length, **values))
            os.write(self._write_end, b".")

    def _next_odds(self) -> Odds | None:
        """Those of the token that comes next in the replay, or that another branch has after the end of this one."""
        if self._path is not None and self._length < self._stop:
            packed = self._path.packed[self._length]
            return None if packed is None else unpack_step(packed).odds
        if self._session is None:
            return None
        tree = self._session.tree
        for branch in tree.branches:
            at = len(tree) - branch.fork
            packed = branch.own.packed[at] if 0 <= at < len(branch.own) else None
            if packed is not None and tree.ids_of(branch.number)[: len(tree)] == list(tree.path.ids):
                return unpack_step(packed).odds
        return None
