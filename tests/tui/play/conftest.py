"""A scripted decoder behind the worker's protocol, and the play screen on it: no process, no torch, no clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, Odds, StageView, Step
from tinychat.engine.wire import Command, Force, Frame, Open, Pause, Run, SetContext, SetParams, StepOnce
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui.config import Taste
from tinychat.tui.driver import ByteBudget
from tinychat.tui.opening import Opening
from tinychat.tui.palette import Look
from tinychat.tui.playapp import PlayApp
from tinychat.tui.player import Player
from tinychat.tui.screen import PlayScreen


class FakeDecoder:
    """Commands act at once; tokens come when the test says `draw`. The text is a function of position and seed."""

    def __init__(self, tokenizer: Tokenizer, *, answers: list[int] | None = None) -> None:
        self.tokenizer = tokenizer
        self.answers = answers
        self.ids: list[int] = []
        self.params = SamplingParams()
        self.state, self.stop, self.left, self.seq = "loading", None, 0, 0
        self.sent: list[Command] = []
        self.closed = False
        self.alive = True
        self._frames: list[Frame] = []
        self._params_at: list[tuple[int, SamplingParams]] = []

    def fileno(self) -> int:
        return -1  # the screen asks in its tick, which the test calls

    def close(self) -> None:
        self.closed = True

    def read(self) -> list[Frame]:
        frames, self._frames = self._frames, []
        return frames

    def send(self, command: Command) -> int:
        self.seq += 1
        self.sent.append(command)
        if isinstance(command, Open):
            self.state = "ready"
            self.frame(facts={"device": "cpu", "dtype": "float32", "parameters": 1})
        elif isinstance(command, SetContext):
            self.ids, self.state, self.stop = list(command.ids), "paused", None
            # like the service: settings not yet seen hold from the new path's end, not from a place in the old one
            self._params_at = [(len(self.ids), self.params)] if self._params_at else []
            self.frame()
        elif isinstance(command, SetParams):
            self.params = command.params
            self._params_at.append((len(self.ids), command.params))
            if self.state != "running":
                self.frame()
        elif isinstance(command, Run):
            self.state, self.left = "running", command.limit or 10**9
            self.frame()
        elif isinstance(command, StepOnce):
            self.state, self.left = "running", command.count
            self.draw(command.count, at_limit="paused")
        elif isinstance(command, Pause):
            self.state, self.stop = "paused", "paused"
            self.frame()
        elif isinstance(command, Force):
            self.frame(steps=(self.chosen(command.token, forced=True),))
        return self.seq

    def draw(self, count: int, *, at_limit: str = "limit") -> None:
        """Draw up to `count` tokens of the run, as one frame."""
        steps = []
        while self.state == "running" and len(steps) < count and self.answers != []:
            steps.append(self.chosen(self.next_token()))
            self.left -= 1
            if steps[-1].token in (self.tokenizer.end_of_text, self.tokenizer.specials["<|end|>"]):
                self.state, self.stop = "paused", "end"
            elif self.left == 0:
                self.state, self.stop = "paused", at_limit
        self.frame(steps=tuple(steps))

    def frame(self, **more: Any) -> None:
        odds = self.odds() if self.state != "running" and self.ids else None
        self._frames.append(
            Frame(
                seq=self.seq,
                state=self.state,
                stop=self.stop,
                length=len(self.ids),
                odds=odds,
                tokens_per_s=30.0,
                params_at=tuple(self._params_at),
                **more,
            )
        )
        self._params_at.clear()

    def next_token(self) -> int:
        if self.answers is not None:
            return self.answers.pop(0)
        return 6 + (len(self.ids) * 7 + self.params.seed) % (self.tokenizer.vocab_size - 6)

    def odds(self, token: int | None = None) -> Odds:
        first = self.next_token() if self.answers is None else 40
        tokens = [first] + [6 + (first + i) % (self.tokenizer.vocab_size - 6) for i in range(1, 12)]
        if token is not None and token not in tokens:
            tokens.append(token)
        raw = [0.4 * 0.6**i for i in range(len(tokens))]
        return Odds(
            position=len(self.ids),
            vocab_size=self.tokenizer.vocab_size,
            candidates=tuple(
                Candidate(token=t, logit=-float(i), raw=raw[i], final=raw[i] * 1.1 if i < 8 else 0.0, rank=i + 1,
                          cut_by=None if i < 8 else "top_p")
                for i, t in enumerate(tokens)
            ),
            stages=(
                StageView(name="raw", kept=self.tokenizer.vocab_size, mass=1.0, entropy=3.0, chosen=0.4),
                StageView(name="temperature", kept=self.tokenizer.vocab_size, mass=1.0, entropy=2.5, chosen=0.45),
                StageView(name="top_p", kept=8, mass=0.95, entropy=2.0, chosen=0.5),
            ),
            entropy=3.0,
            varentropy=1.0,
            final_entropy=2.0,
            kept=8,
            temperature=self.params.temperature,
        )  # fmt: skip

    def chosen(self, token: int, *, forced: bool = False) -> Step:
        odds = self.odds(token)
        rank = next(c.rank for c in odds.candidates if c.token == token)
        step = Step(
            odds=odds, token=token, lane=0, forced=forced, raw=0.4, final=0.44, raw_rank=rank, final_rank=rank,
            surprisal=1.3, u=0.2, low=0.0, high=0.44, time_s=0.01,
        )  # fmt: skip
        self.ids.append(token)
        return step


@dataclass
class Play:
    """A running play screen, for a test to press keys on."""

    pilot: Pilot[int]
    app: PlayApp
    screen: PlayScreen
    decoder: FakeDecoder

    @property
    def player(self) -> Player:
        assert self.screen.player is not None
        return self.screen.player

    async def press(self, *keys: str) -> None:
        """Press, then let the screen take in what the decoder answered."""
        await self.pilot.press(*keys)
        await self.settle()

    async def draw(self, count: int) -> None:
        self.decoder.draw(count)
        await self.settle()

    async def run_some(self, count: int = 12) -> None:
        """The prompt, and the first tokens of its reply."""
        await self.press("enter")
        await self.draw(count)

    async def settle(self) -> None:
        await self.pilot.pause()
        self.screen.tick()
        await self.pilot.pause()

    def text(self) -> str:
        """The screen as text."""
        return "\n".join("".join(segment.text for segment in strip) for strip in self.rows())

    def rows(self) -> list[Any]:
        return list(self.app.screen._compositor.render_strips())


Start = Callable[..., AbstractAsyncContextManager[Play]]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the cat sat on the mat and looked at the moon, as cats do. "] * 4, vocab_size=290)


@pytest.fixture(scope="session")
def scripted() -> type[FakeDecoder]:
    return FakeDecoder


@pytest.fixture
def start(tokenizer: Tokenizer) -> Start:
    """`async with start(size=(80, 24), prompt=..., chat=...) as play:`"""

    @asynccontextmanager
    async def run(
        *,
        size: tuple[int, int] = (120, 40),
        prompt: str = "the cat",
        look: Look | None = None,
        answers: list[int] | None = None,
        budget: ByteBudget | None = None,
        editing: bool = True,
        name: str = "model.safetensors",
        restart: Callable[[], FakeDecoder] | None = None,
        typed_early: str = "",
        taste: Taste | None = None,
        **more: Any,
    ) -> AsyncIterator[Play]:
        decoder = FakeDecoder(tokenizer, answers=answers)
        opening = Opening(
            path=Path("model.safetensors"),
            name=name,
            context=256,
            prompt=prompt,
            **({"params": SamplingParams(seed=7)} | more),
        )
        app = PlayApp(
            opening, decoder, tokenizer=lambda: tokenizer, look=look or Look(), budget=budget or ByteBudget(None),
            restart=restart, taste=taste,
        )  # fmt: skip
        for character in typed_early:
            await app.on_event(events.Key(character, character))
        async with app.run_test(size=size) as pilot:
            screen = app.screen
            assert isinstance(screen, PlayScreen)
            for _ in range(50):
                await pilot.pause()
                if screen.player is not None:
                    break
            play = Play(pilot, app, screen, decoder)
            await play.settle()
            if not editing:
                await play.press("escape")
            yield play

    return run
