"""A decoder without an engine: it stands behind a session that is looked at and not gone on with.

What the file knows is shown: at the end of a branch the odds of the token that another branch has there. What would
have to be drawn is refused, plainly.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any

from tinychat.engine.packing import unpack_step
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds
from tinychat.engine.wire import Answer, Ask, Command, Force, Frame, Open, Run, SetContext, SetParams, StepOnce
from tinychat.session.session import Session

NO_MODEL = "There is no model here: this is a recording"
_HINT = "Space replays it."


class RecordedDecoder:
    """Answers at once; `fileno` is readable as long as a frame waits."""

    def __init__(self, session: Session | None = None) -> None:
        """`session` None: it is still being read."""
        self._session = session
        self._params = SamplingParams() if session is None else session.params
        self._frames: deque[Frame] = deque()
        self._seq = 0
        self._length = 0
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)

    @property
    def alive(self) -> bool:
        return self._read_end >= 0

    def fileno(self) -> int:
        return self._read_end

    def close(self) -> None:
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

    def send(self, command: Command) -> int:
        self._seq += 1
        if isinstance(command, Open):
            self._answer(facts={"device": "recording"})
        elif isinstance(command, SetContext):
            self._length = len(command.ids)
            self._answer(odds=self._known_odds())
        elif isinstance(command, SetParams) and command.params != self._params:
            self._answer(in_force=self._params, error=(f"{NO_MODEL}.", "Settings change nothing."))
        elif isinstance(command, (Run, StepOnce, Force)):
            self._answer(error=(f"{NO_MODEL}.", _HINT))
        elif isinstance(command, Ask):
            answer = Answer(kind=command.kind, seq=self._seq, done=True, error=(f"{NO_MODEL}.", ""))
            self._answer(answers=(answer,))
        return self._seq

    def _answer(self, **values: Any) -> None:
        if self.alive:
            self._frames.append(Frame(seq=self._seq, state="paused", length=self._length, **values))
            os.write(self._write_end, b".")

    def _known_odds(self) -> Odds | None:
        """Those of the token that another branch has after the end of this one."""
        if self._session is None:
            return None
        tree = self._session.tree
        for branch in tree.branches:
            at = len(tree) - branch.fork
            packed = branch.own.packed[at] if 0 <= at < len(branch.own) else None
            if packed is not None and tree.ids_of(branch.number)[: len(tree)] == list(tree.path.ids):
                return unpack_step(packed).odds
        return None
