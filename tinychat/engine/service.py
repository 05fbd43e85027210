"""The engine's side of the wire: one loop that applies commands between tokens and sends frames.

The same loop runs in the child process and in a thread. It draws only while the client keeps up (outgoing.py).
Commands apply in order, between two tokens. Nothing here knows processes, text or screens, and torch comes in with
the engine that `open_engine` returns.
"""

from __future__ import annotations

import gc
import selectors
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tinychat.engine.breaks import Breaks, watchable
from tinychat.engine.channel import Channel
from tinychat.engine.decoder import Decoder
from tinychat.engine.outgoing import Outgoing
from tinychat.engine.pace import Pace
from tinychat.engine.params import SamplingParams
from tinychat.engine.questions import Desk, Questions
from tinychat.engine.stories import Stories
from tinychat.engine.trace import Odds, Step
from tinychat.engine.trial import Found, Trial, is_no_token
from tinychat.engine.wire import (
    Ack,
    Ask,
    Close,
    Command,
    Drop,
    Finish,
    Force,
    Frame,
    Open,
    Pause,
    Peek,
    ProtocolError,
    Run,
    SetBreaks,
    SetContext,
    SetParams,
    SetRate,
    SetWatch,
    State,
    StepOnce,
    Stop,
    decode_command,
    encode_frame,
)
from tinychat.errors import TinychatError

FRAME_S = 1 / 30  # between frames of a run: more is not seen, and costs the screen
STAYS = "The settings before it stay."


class Service:
    """One client, at most one open engine. `log` is where a person finds the traceback of an internal error."""

    def __init__(self, channel: Channel, open_engine: Callable[[Open], Decoder], *, log: Path | None = None) -> None:
        self._channel = channel
        self._open_engine = open_engine
        self._stories = Stories(log)
        self._engine: Decoder | None = None
        self._inbox: deque[tuple[int, Command]] = deque()
        self._closing = False
        # how things stand
        self._seq = 0
        self._state: State = "loading"
        self._stop: Stop | None = None
        self._trial = Trial()
        self._context: SetContext | None = None  # wanted, but not all of it is computed yet
        self._refusal: Exception | None = None  # of the last context: the engine holds another than the client thinks
        # the run
        self._left: int | None = None
        self._at_limit: Stop = "limit"
        self._pace = Pace()
        # the next frame
        self._steps: list[Step] = []
        self._params_at: list[tuple[int, SamplingParams]] = []
        self._params_unseen = False  # settings that no step shows yet
        self._error: tuple[str, str] | None = None
        self._in_force: SamplingParams | None = None
        self._facts: dict[str, Any] | None = None
        self._peek: Peek | None = None
        self._prefill_s = 0.0
        self._urgent = False  # do not wait for FRAME_S
        self._questions = Questions(self._stories.of_question)
        self._breaks = Breaks()
        self._outgoing = Outgoing(channel)

    def serve(self) -> None:
        """Work until Close or until the client is gone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            while not self._closing:
                timeout = self._idle_s()
                if timeout is None or timeout > 0:
                    events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._channel.waiting else 0)
                    selector.modify(self._channel, events)
                    selector.select(timeout)
                self._channel.flush()
                if not self._listen():
                    return
                while self._inbox and not self._closing:
                    self._seq, command = self._inbox.popleft()
                    self._guard(partial(self._apply, command))
                if self._context is not None:
                    self._guard(partial(self._set_context, self._context, self._is_called))
                else:
                    if self._may_draw() and time.monotonic() >= self._pace.due:
                        self._guard(self._draw)
                    if self._may_answer():
                        self._questions.advance()
                self._send_frame()

    # ---- commands ---------------------------------------------------------------------------------------------------

    def _listen(self) -> bool:
        """Take in what the client sent; False when it is gone or not to be understood."""
        try:
            for header, _ in self._channel.receive():
                seq, command = decode_command(header)
                if isinstance(command, Ack):
                    self._outgoing.acknowledged(command)
                else:
                    self._inbox.append((seq, command))
        except ProtocolError as error:
            self._state, self._error = "failed", (f"The engine was sent {error}.", "This is a mistake of ours.")
            self._channel.send(encode_frame(Frame(seq=self._seq, state="failed", error=self._error)))
            return False
        return not self._channel.closed

    def _apply(self, command: Command) -> None:
        if isinstance(command, Pause):
            if self._state == "running":
                self._halt("paused")
        elif isinstance(command, SetParams):
            self._trial.take(command.params)
            self._note_params()
        elif isinstance(command, SetRate):
            self._pace.set(command.rate)
            self._pace.hurry(time.monotonic())
        elif isinstance(command, Open):
            self._open(command)
        elif isinstance(command, Close):
            self._closing = True
        elif isinstance(command, Ask):
            self._questions.ask(self._seq, command, lambda: Desk(engine=self._opened(), params=self._trial.params))
        elif isinstance(command, Drop):
            self._questions.drop(command.kind)
        elif isinstance(command, Finish):
            self._questions.finish(command.kind)
        else:
            self._apply_to(self._opened(), command)
        self._urgent = self._urgent or self._state != "running"

    def _apply_to(self, engine: Decoder, command: Command) -> None:
        if self._refusal is not None and isinstance(command, (Run, StepOnce, Force, Peek)):
            raise self._refusal
        if isinstance(command, (Force, StepOnce)):
            self._context = None  # the engine pays what it owes by itself; the old wish would undo the new token
        if isinstance(command, SetContext):
            self._halt(None)
            self._prefill_s = 0.0
            self._steps.clear()  # of a context that is gone
            self._params_at.clear()
            self._breaks.take()
            self._set_context(command, lambda: True)
            if self._params_unseen:
                self._note_params()
        elif isinstance(command, Run):
            if command.limit is not None and command.limit < 1:
                raise ValueError(f"limit must be at least 1, got {command.limit}")
            if command.rate is not None:
                self._pace.set(command.rate)
            self._start(command.limit, "limit")
        elif isinstance(command, StepOnce):
            if command.count < 1:
                raise ValueError(f"count must be at least 1, got {command.count}")
            steps = self._state == "running" and self._at_limit == "paused"  # others are still to come
            self._start(command.count + (self._left or 0 if steps else 0), "paused")
            self._draw()  # now: a command that follows must find the token there
        elif isinstance(command, Force):
            self._keep(self._attempt(lambda: engine.force(command.token, self._trial.params)))
        elif isinstance(command, SetBreaks):
            self._breaks.set(command.conditions, engine)
        elif isinstance(command, SetWatch):
            engine.watch = watchable(command.ids, engine.facts()["vocab_size"])
        elif isinstance(command, Peek):
            self._peek = command
            self._urgent = True

    def _open(self, command: Open) -> None:
        self._questions.clear()
        self._engine = self._context = self._refusal = None
        gc.collect()  # the memory of the old model, before the new one needs it
        self._halt(None)
        self._state, self._error = "loading", None
        self._steps.clear()
        self._outgoing.send(Frame(seq=self._seq, state="loading"))
        started = time.monotonic()
        try:
            self._engine = self._open_engine(command)
            self._facts = self._engine.facts() | {"load_s": time.monotonic() - started}
            self._state = "ready"
        except BaseException:
            self._state = "failed"
            raise

    def _opened(self) -> Decoder:
        if self._engine is None:
            raise TinychatError("No model is open.", "Open one first.")
        return self._engine

    def _note_params(self) -> None:
        position = self._engine.length() if self._engine is not None else 0
        if self._params_at and self._params_at[-1][0] == position:
            self._params_at.pop()  # turned twice between two tokens: only the last one drew
        self._params_at.append((position, self._trial.params))
        self._params_unseen = True

    # ---- the run ----------------------------------------------------------------------------------------------------

    def _start(self, left: int | None, at_limit: Stop) -> None:
        if self._opened().length() == 0:
            raise TinychatError("There is nothing to go on from.", "Set a context first.")
        self._state, self._stop = "running", None
        self._left, self._at_limit = left, at_limit
        self._pace.start()
        self._urgent = True

    def _halt(self, stop: Stop | None) -> None:
        if self._engine is not None:
            self._state = "paused"
        self._stop, self._left = stop, None
        self._urgent = True

    def _may_draw(self) -> bool:
        return self._state == "running" and self._outgoing.takes_steps(len(self._steps))

    def _may_answer(self) -> bool:
        return bool(self._questions) and self._outgoing.takes_steps(0)

    def _set_context(self, wanted: SetContext, interrupt: Callable[[], bool]) -> None:
        """Compute the context, or some of it: then it stays wanted, and the loop comes back to it."""
        self._context = self._refusal = None  # an error must not be met again and again
        engine, started = self._opened(), time.monotonic()
        try:
            engine.set_context(wanted.ids, prompt_len=wanted.prompt_len, state=wanted.state, interrupt=interrupt)
        except Exception as error:
            self._refusal = error
            raise
        self._prefill_s += time.monotonic() - started
        if not engine.is_computed():
            self._context = wanted

    def _is_called(self) -> bool:
        return not self._listen() or bool(self._inbox)

    def _draw(self) -> None:
        engine = self._opened()
        if engine.stop_reason() == "context":
            self._halt("context")
            return
        try:
            step = self._attempt(lambda: engine.step(self._trial.params))
        except TinychatError as error:
            if not is_no_token(error):
                raise
            self._halt("no_legal_token")
            self._error = (error.what, error.hint)
            return
        self._pace.drew(time.monotonic())
        self._keep(step)
        if self._breaks.meets(engine, step) and self._state == "running":
            self._halt("break")
        if self._left is not None and self._state == "running":
            self._left -= 1
            if self._left == 0:
                self._halt(self._at_limit)

    def _attempt(self, action: Callable[[], Found]) -> Found:
        """Do it with the settings in force; that newer ones were refused is told with the next frame."""
        found, reason = self._trial.attempt(action)
        if reason is not None:
            self._in_force = self._trial.params
            self._note_params()
            self._error = (
                f"{reason}." if isinstance(reason, ValueError) else self._stories.of_command(reason)[0],
                STAYS,
            )
            self._urgent = True
        return found

    def _keep(self, step: Step) -> None:
        self._steps.append(step)
        if self._params_unseen:  # the first token of new settings is what the person waits for
            self._params_unseen, self._urgent = False, True
        stop = self._opened().stop_reason()
        if stop is not None:
            self._halt(stop)
        elif self._state != "running":
            self._stop = None

    # ---- frames -----------------------------------------------------------------------------------------------------

    def _idle_s(self) -> float | None:
        """How long there is nothing to do: 0 not at all, None until the client says something."""
        if self._context is not None:
            return 0.0
        now = time.monotonic()
        waits = [0.0] if self._may_answer() else []
        if self._may_draw():
            waits.append(self._pace.due - now)
        if (self._steps or self._questions.answered) and self._outgoing.takes_a_frame:
            waits.append(self._outgoing.sent_at + FRAME_S - now)
        return max(0.0, min(waits)) if waits else None

    def _send_frame(self) -> None:
        news = self._urgent or self._steps or self._questions.answered
        if not news or not self._outgoing.takes_a_frame or self._context is not None:
            return
        running = self._state == "running"
        urgent = self._urgent or self._questions.urgent
        if (running or self._questions.answered) and not urgent and time.monotonic() < self._outgoing.sent_at + FRAME_S:
            return
        odds = None
        if not running or self._peek is not None:
            odds = self._odds(None if self._peek is None else self._peek.token)
        frame = Frame(
            seq=self._seq,
            state=self._state,
            stop=self._stop,
            length=self._engine.length() if self._engine is not None else 0,
            steps=tuple(self._steps),
            odds=odds,
            params_at=tuple(self._params_at),
            in_force=self._in_force,
            error=self._error,
            facts=self._facts,
            tokens_per_s=self._pace.tokens_per_s,
            prefill_s=self._prefill_s,
            answers=self._questions.take(),
            met=self._breaks.take(),
        )
        self._outgoing.send(frame)
        self._steps.clear()
        self._params_at.clear()
        self._peek = self._facts = self._in_force = None
        self._urgent = False
        if self._state != "failed":
            self._error = None

    def _odds(self, token: int | None) -> Odds | None:
        found: list[Odds] = []
        engine = self._engine
        if engine is not None and engine.length() and self._refusal is None:
            self._guard(lambda: found.append(self._attempt(lambda: engine.peek(self._trial.params, token=token))))
        return found[0] if found else None

    def _guard(self, action: Callable[[], None]) -> None:
        """Do it; what goes wrong becomes the error of the next frame and ends a run, never the loop."""
        try:
            action()
            return
        except Exception as error:
            found = self._stories.of_command(error)
        if self._state != "failed" or self._error is None:  # the first reason is the one to act on
            self._error = found
        if self._state == "running":
            self._halt(None)
        self._urgent = True
