"""Who draws the lanes: the engine of the play screen, or another checkpoint in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinychat.engine.machine import Machine
from tinychat.engine.wire import Answer, Ask, Drop, Open
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui.lanes import KIND
from tinychat.tui.player import Decoder, Player


class PlayerHost:
    """The model on the play screen, asked beside its run."""

    is_main = True

    def __init__(self, player: Player, name: str) -> None:
        self.name = name
        self.tokenizer: Tokenizer = player.session.tokenizer
        self.context = player.context
        self._player = player

    def ask(self, values: dict[str, Any], listener: Callable[[Answer], None]) -> None:
        """A question; what is still out is answered no more."""
        self._player.ask(KIND, values, listener)

    def drop(self) -> None:
        self._player.drop(KIND)


class ModelHost:
    """A checkpoint on a decoder that it ends with `close`."""

    is_main = False

    def __init__(self, path: Path, machine: Machine, decoder: Decoder, tokenizer: Tokenizer, *, context: int) -> None:
        self.name = path.name
        self.tokenizer = tokenizer
        self.context = context
        self._decoder = decoder
        self._asked: tuple[int, Callable[[Answer], None]] | None = None
        alone = replace(machine, amateur=None, draft=None, speculation=None)
        decoder.send(Open(str(path), alone, end_ids=tokenizer.end_ids))
        if decoder.fileno() >= 0:
            asyncio.get_running_loop().add_reader(decoder.fileno(), self.read)

    @property
    def alive(self) -> bool:
        return self._decoder.alive

    def ask(self, values: dict[str, Any], listener: Callable[[Answer], None]) -> None:
        """As of PlayerHost; what went wrong with the model is the answer too."""
        self._asked = (self._decoder.send(Ask(KIND, values)), listener)
        if not self._decoder.alive:
            self._fail(("The other model's engine has ended.", "Open it again:  :model PATH"))

    def drop(self) -> None:
        if self._asked is not None:
            self._asked = None
            self._decoder.send(Drop(KIND))

    def read(self) -> None:
        """Take in what it says."""
        for frame in self._decoder.read():
            for answer in frame.answers:
                if self._asked is not None and answer.seq == self._asked[0]:
                    listener = self._asked[1]
                    if answer.done:
                        self._asked = None
                    listener(answer)
            if frame.state == "failed" and frame.error is not None:
                self._fail(frame.error)
        if not self._decoder.alive and self._decoder.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._decoder.fileno())

    def close(self) -> None:
        """End its process."""
        if self._decoder.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._decoder.fileno())
        self._decoder.close()

    def _fail(self, error: tuple[str, str]) -> None:
        if self._asked is not None:
            (seq, listener), self._asked = self._asked, None
            listener(Answer(kind=KIND, seq=seq, done=True, error=error))
