"""Workers in threads on a tiny model with random weights, and a client that remembers all they say."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from tinychat.engine.engine import Engine
from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.engine.wire import (
    Command,
    Frame,
    Open,
    SetContext,
    SetParams,
)
from tinychat.engine.worker import DecodeWorker, start_thread
from tinychat.errors import FileFormatError
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

PROMPT = (1, 2, 3, 4, 5)
ONE_CORE = Machine(device="cpu", threads=1)
WARM = SamplingParams(temperature=0.9, seed=7)
PATIENCE_S = 30.0  # for a machine that is busy with other things; nothing here takes it


def a_model(vocab_size: int = 64, context: int = 2000) -> Transformer:
    model = Transformer(ModelConfig(vocab_size=vocab_size, context=context, width=32, layers=2, heads=4))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.2, generator=generator)
    return model.eval()


MODEL = a_model()


class Client:
    """A worker and all that it has said."""

    def __init__(self, worker: DecodeWorker) -> None:
        self.worker = worker
        self.frames: list[Frame] = []

    def send(self, *commands: Command) -> int:
        return [self.worker.send(command) for command in commands][-1]

    def wait(self, wanted: Callable[[Frame], bool]) -> Frame:
        """Read until a frame is as wanted; all that came stays in `frames`."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            select.select([self.worker], [], [], 0.05)
            got = self.worker.read()
            self.frames += got
            for frame in got:
                if wanted(frame):
                    return frame
            assert self.worker.alive, self.frames[-1].error
        raise AssertionError(f"no such frame; the last were {self.frames[-3:]}")

    def do(self, *commands: Command) -> Frame:
        """Send, and wait until it is done: the last command applied and nothing running."""
        seq = self.send(*commands)
        return self.wait(lambda frame: frame.seq >= seq and frame.state in ("ready", "paused", "failed"))

    @property
    def steps(self) -> list[Step]:
        return [step for frame in self.frames for step in frame.steps]

    @property
    def tokens(self) -> list[int]:
        return [step.token for step in self.steps]


class Room:
    """Workers in threads, with the engines that they opened."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.engine: Engine | None = None

    def client(self, *, model: Transformer = MODEL, **options: Any) -> Client:
        def open_engine(command: Open) -> Engine:
            if command.path == "bad":
                raise FileFormatError("bad: this is no checkpoint.", "Name another.")
            self.engine = Engine(model, end_ids=command.end_ids, **options)
            return self.engine

        client = Client(start_thread(open_engine))
        self.clients.append(client)
        return client

    def ready(self, *, end_ids: tuple[int, ...] = (), **options: Any) -> Client:
        """A client whose engine holds PROMPT."""
        client = self.client(**options)
        client.do(Open("tiny", end_ids=end_ids), SetParams(WARM), SetContext(PROMPT))
        client.frames.clear()
        return client


def a_room() -> Iterator[Room]:
    """For a fixture: a room whose workers are closed behind it."""
    it = Room()
    yield it
    for client in it.clients:
        client.worker.close()


def expected(count: int, params: SamplingParams = WARM, prompt: tuple[int, ...] = PROMPT) -> list[int]:
    engine = Engine(MODEL)
    engine.set_context(prompt)
    return [engine.step(params).token for _ in range(count)]


def settled(engine: Engine) -> int:
    """The length of a context that has stopped growing."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        length = engine.length()
        time.sleep(0.3)
        if length > 5 and engine.length() == length:
            return length
    raise AssertionError("the engine does not stop")
