"""The one place where what a person wants meets what the engine does.

It keeps the session and the decoder in step: every change of the path becomes SetContext, every frame becomes
tokens in the tree. Frames that were made before the last change of path bring tokens nobody asked for any more and
are dropped. Nothing here knows Textual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from tinychat.engine.breaks import Condition, Met
from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds
from tinychat.engine.wire import (
    Answer,
    Ask,
    Command,
    Drop,
    Finish,
    Force,
    Frame,
    Open,
    Pause,
    Run,
    SetBreaks,
    SetContext,
    SetParams,
    SetRate,
    SetWatch,
    StepOnce,
)
from tinychat.session.session import Session


class Decoder(Protocol):
    """What a decode worker can do; the tests play a scripted one."""

    def send(self, command: Command) -> int: ...
    def fileno(self) -> int: ...
    def read(self) -> list[Frame]: ...
    def close(self) -> None: ...
    @property
    def alive(self) -> bool: ...


class Player:
    """A session being played by a decoder."""

    def __init__(self, session: Session, decoder: Decoder, *, context: int, rate: float | None = 30.0) -> None:
        self.session = session
        self.decoder = decoder
        self.context = context  # tokens the model can hold
        self.rate = rate  # tokens a second; None for as fast as it goes
        self.state = "loading"
        self.stop: str | None = None  # why it stands still
        self.odds: Odds | None = None  # of the next token; None while running
        self.error: tuple[str, str] | None = None
        self.facts: dict[str, Any] = {}
        self.tokens_per_s = 0.0
        self.prefill_s = 0.0
        self._drawn_with = session.params  # what the engine used for its last token
        self._pending: list[tuple[int, SamplingParams]] = []  # settings that wait for their first token
        self.refused: tuple[str, str] | None = None  # settings that the engine could not use; the screen takes it away
        self._opened: Open | None = None
        self._listeners: dict[str, tuple[int, Callable[[Answer], None]]] = {}  # by kind, for the question in hand
        self.met: tuple[Met, ...] = ()  # those that the last token met, while it stands still
        self.recorded = False  # there is no engine: what is there is looked at
        self._params_seq = 0  # of the last settings sent
        self._context_seq = 0
        self._last_seq = 0

    @property
    def running(self) -> bool:
        """Whether tokens are coming or have been asked for and not refused."""
        return self._wants_tokens and self.state != "failed"

    _wants_tokens = False

    @property
    def breaks(self) -> tuple[Condition, ...]:
        """Breakpoints that are on."""
        return self.session.tools.breaks

    @property
    def watch(self) -> tuple[int, ...]:
        """Tokens that every record lists."""
        return self.session.tools.watch

    @property
    def overflows(self) -> bool:
        """Whether the path is longer than what the model can hold: then it is not sent, and nothing can be drawn."""
        return len(self.session.tree) > self.context

    # to the engine

    def open(self, path: str, *, machine: Machine, end_ids: tuple[int, ...]) -> None:
        """Load a checkpoint; commands sent meanwhile wait in order."""
        self._opened = Open(path, machine, end_ids=end_ids)
        self._send(self._opened)
        if self.breaks:
            self._send(SetBreaks(self.breaks))
        if self.watch:
            self._send(SetWatch(self.watch))
        self._params_seq = self._send(SetParams(self.session.params))
        self.sync()

    def open_or_go_on(self, path: str, *, machine: Machine, end_ids: tuple[int, ...], old: Player | None) -> None:
        """As `open`; but where the player before has this very checkpoint open on this decoder, it stays open."""
        wanted = Open(path, machine, end_ids=end_ids)
        stays = old is not None and old.decoder is self.decoder and old._opened == wanted
        if old is None or not stays or old.state in ("loading", "failed"):
            self.open(path, machine=machine, end_ids=end_ids)
            return
        self._opened, self.facts, self.state = wanted, old.facts, "paused"
        self._context_seq = self._send(Pause())  # what was under way belongs to the session before
        if self.breaks != old.breaks:
            self._send(SetBreaks(self.breaks))
        if self.watch != old.watch:
            self._send(SetWatch(self.watch))
        self._params_seq = self._send(SetParams(self.session.params))
        self.sync()

    def reopen(self, decoder: Decoder) -> None:
        """The same checkpoint and path again, after a failure; `decoder` is another one when the old one has died."""
        assert self._opened is not None, "what was never opened cannot have failed"
        self.decoder = decoder
        self.state, self.error, self.facts = "loading", None, {}
        self._pending.clear()
        self._drawn_with = self.session.params
        self.open(self._opened.path, machine=self._opened.machine, end_ids=self._opened.end_ids)

    def replace_model(self, path: str, *, context: int) -> None:
        """Another checkpoint with the same tokenizer under the text, which stays; `context` as it can hold."""
        assert self._opened is not None, "there is one to replace"
        self.context = context
        self.state, self.error, self.facts = "loading", None, {}
        self._pending.clear()
        self._drawn_with = self.session.params
        self.open(path, machine=self._opened.machine, end_ids=self._opened.end_ids)

    def sync(self) -> None:
        """Make the engine hold the path of the session. It stands still afterwards."""
        context = self.session.context()
        self.odds, self.stop, self.met, self._wants_tokens = None, None, (), False
        if self._pending:
            self._drawn_with = self._pending[-1][1]
            self._pending.clear()
        if not context.ids:
            return  # nothing to stand on: there are no odds before the first token
        if self.overflows:
            self.stop, self._context_seq = "overflow", self._send(Pause())
            return
        self._context_seq = self._send(SetContext(tuple(context.ids), context.prompt_len, context.state))

    def run(self) -> None:
        """Draw until an end, or max_tokens more."""
        if self.overflows:
            return
        self.stop, self.met = None, ()
        self._wants_tokens = True
        self._send(Run(self.session.max_tokens, self.rate))

    def pause(self) -> None:
        if self.state == "loading":
            self._wants_tokens = False  # nothing comes yet that would tell
        self._send(Pause())

    def step(self, count: int = 1) -> None:
        if self.overflows:
            return
        self.stop, self.met = None, ()
        self._wants_tokens = True
        self._send(StepOnce(count))

    def set_params(self, params: SamplingParams) -> None:
        """Settings for the very next token."""
        self.session.params = params
        self._params_seq = self._send(SetParams(params))

    def set_breaks(self, conditions: Sequence[Condition]) -> None:
        """Stop behind tokens that meet any of these."""
        self.session.tools.breaks = tuple(conditions)
        self._send(SetBreaks(self.breaks))

    def set_watch(self, ids: Sequence[int]) -> None:
        """List these tokens in every record from now on."""
        self.session.tools.watch = tuple(ids)
        self._send(SetWatch(self.watch))

    def set_rate(self, rate: float | None) -> None:
        self.rate = rate
        self._send(SetRate(rate))

    def take(self, position: int, token: int) -> bool:
        """Put `token` at a position of the reply. False when it stands there already; the old tail stays a branch."""
        path = self.session.tree.path
        if position < len(path):
            if path.ids[position] == token:
                return False
            self.session.rewind(position)
            self.sync()
        elif self.running:
            self.pause()
        if self.overflows:
            return False
        self._send(Force(token))
        return True

    def ask(self, kind: str, values: dict[str, Any], listener: Callable[[Answer], None]) -> int:
        """A question beside the run; `listener` gets the parts of its answer as they come, the last one `done`."""
        seq = self.decoder.send(Ask(kind, values))  # no wish about the run: its frames are not waited for
        self._listeners[kind] = (seq, listener)
        return seq

    def drop(self, kind: str) -> None:
        """No more answers of this kind."""
        if self._listeners.pop(kind, None) is not None:
            self.decoder.send(Drop(kind))

    def finish(self, kind: str) -> None:
        """The answer of this kind is to come to its end with what there is."""
        if kind in self._listeners:
            self.decoder.send(Finish(kind))

    def write(self, position: int, ids: Sequence[int]) -> None:
        """These tokens from a position on, as if a person had chosen each; what stood there stays a branch."""
        self.session.rewind(position)
        self.sync()
        for token in ids:
            self._send(Force(token))

    def speculate(self, plan: dict[str, Any] | None, listener: Callable[[Answer], None]) -> None:
        """Guess ahead as `plan` says, from the next token on; None not at all. The listener hears whether it goes."""

        def hear(answer: Answer) -> None:
            if "plan" in answer.values:
                self.session.machine = replace(self.session.machine, speculation=plan)
                if self._opened is not None:
                    self._opened = replace(self._opened, machine=replace(self._opened.machine, speculation=plan))
            listener(answer)

        self.ask("speculate", {"plan": plan}, hear)

    def close(self) -> None:
        self.decoder.close()

    # from the engine

    def receive(self, frames: Iterable[Frame]) -> int:
        """Take frames in; the number of tokens they added to the path."""
        added = 0
        for frame in frames:
            added += self._take_in(frame)
        return added

    def _take_in(self, frame: Frame) -> int:
        added = 0
        for answer in frame.answers:
            self._hear(answer)
        self.state, self.error = frame.state, frame.error or (self.error if frame.state == "failed" else None)
        self.facts = frame.facts or self.facts
        self.tokens_per_s, self.prefill_s = frame.tokens_per_s, frame.prefill_s or self.prefill_s
        if frame.in_force is not None and frame.seq >= self._params_seq:  # nothing newer is under way
            self.session.params, self.refused = frame.in_force, frame.error
        if frame.seq < self._context_seq:
            # its tokens and positions belong to a path we have left; its last settings are still in force
            if frame.params_at:
                self._drawn_with = frame.params_at[-1][1]
            return 0
        self._pending.extend(frame.params_at)
        for step in frame.steps:
            while self._pending and self._pending[0][0] <= step.position:
                self._drawn_with = self._pending.pop(0)[1]
            added += self.session.chosen(step, self._drawn_with)
        self.met = frame.met or (self.met if not frame.steps else ())
        if frame.seq >= self._last_seq and frame.state in ("ready", "paused", "failed"):
            self._wants_tokens = False
        self.stop = "overflow" if self.overflows else frame.stop
        if frame.stop not in (None, "paused", "break") and frame.length == len(self.session.tree):
            self.session.tree.branch.stop = frame.stop
        self.odds = frame.odds if frame.length == len(self.session.tree) else None
        return added

    def _hear(self, answer: Answer) -> None:
        seq, listener = self._listeners.get(answer.kind, (0, None))
        if listener is not None and seq == answer.seq:  # not of a question that is asked no more
            if answer.done:
                del self._listeners[answer.kind]
            listener(answer)

    def _send(self, command: Command) -> int:
        self._last_seq = self.decoder.send(command)
        return self._last_seq
