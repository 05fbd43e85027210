"""The worker's promises, in a thread and in a child process, on a tiny model with random weights."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tinychat.engine import service
from tinychat.engine.engine import Engine
from tinychat.engine.machine import Machine
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.engine.wire import (
    Command,
    Force,
    Frame,
    Open,
    Pause,
    Peek,
    Run,
    SetContext,
    SetParams,
    SetRate,
    StepOnce,
)
from tinychat.engine.worker import DecodeWorker, start_process, start_thread
from tinychat.errors import FileFormatError
from tinychat.model import checkpoint
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer, to_arrays
from tinychat.text.tokenizer import Tokenizer

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


@pytest.fixture
def room() -> Iterator[Room]:
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


# ---- opening ---------------------------------------------------------------------------------------------------------


def test_opening_says_loading_then_ready_with_facts(room: Room) -> None:
    client = room.client()
    client.do(Open("tiny", end_ids=()))
    assert [frame.state for frame in client.frames] == ["loading", "ready"]
    facts = client.frames[-1].facts
    assert facts is not None
    assert facts["parameters"] == MODEL.config.n_parameters()
    assert facts["device"] == "cpu"
    assert facts["load_s"] >= 0


def test_a_file_that_cannot_be_opened_is_said_and_stays_the_reason(room: Room) -> None:
    client = room.client()
    frame = client.do(Open("bad", end_ids=()), SetContext(PROMPT), Run())
    assert frame.state == "failed"
    assert frame.error == ("bad: this is no checkpoint.", "Name another.")
    assert client.do(SetParams(WARM)).error == frame.error
    assert client.do(Open("tiny", end_ids=())).state == "ready"


def test_commands_before_a_model_are_an_error_not_an_end(room: Room) -> None:
    client = room.client()
    seq = client.send(SetContext(PROMPT))
    frame = client.wait(lambda frame: frame.seq == seq)
    assert frame.error is not None
    assert frame.error[0] == "No model is open."
    client.do(Open("tiny", end_ids=()))
    frame = client.do(Run())
    assert frame.error is not None
    assert "context" in frame.error[1]


# ---- running ---------------------------------------------------------------------------------------------------------


def test_a_run_draws_what_the_engine_draws(room: Room) -> None:
    client = room.ready()
    frame = client.do(Run(limit=60))
    assert (frame.state, frame.stop, frame.length) == ("paused", "limit", 65)
    assert client.tokens == expected(60)
    assert [step.position for step in client.steps] == list(range(5, 65))
    assert frame.odds is not None
    assert frame.odds.position == 65
    assert frame.tokens_per_s > 0


def test_a_context_gives_odds_without_a_run(room: Room) -> None:
    client = room.client()
    frame = client.do(Open("tiny", end_ids=()), SetContext(PROMPT))
    engine = Engine(MODEL)
    engine.set_context(PROMPT)
    odds = engine.peek(SamplingParams())
    assert (frame.state, frame.stop, frame.length) == ("paused", None, 5)
    assert frame.odds is not None
    assert [c.token for c in frame.odds.candidates] == [c.token for c in odds.candidates]
    assert frame.prefill_s > 0


def test_frames_echo_the_last_command_and_never_go_back(room: Room) -> None:
    client = room.ready()
    last = 0
    for command in (SetParams(WARM), StepOnce(), Peek(3), Run(30), SetRate(50.0), Pause(), SetContext(PROMPT)):
        last = client.send(command)
        assert client.wait(lambda frame, last=last: frame.seq >= last).seq == last  # type: ignore[misc]
    seqs = [frame.seq for frame in client.frames]
    assert seqs == sorted(seqs)
    assert seqs[-1] == last


def test_settings_while_paused_give_new_odds_without_a_pass(room: Room) -> None:
    client = room.ready()
    assert room.engine is not None
    before = room.engine.runner.forwards
    for temperature in (0.0, 0.5, 2.0):
        frame = client.do(SetParams(WARM.with_(temperature=temperature)))
        assert frame.odds is not None
        assert frame.odds.temperature == temperature
        assert frame.params_at == ((5, WARM.with_(temperature=temperature)),)
    assert room.engine.runner.forwards == before


def test_settings_while_running_draw_the_very_next_token_and_say_which(room: Room) -> None:
    client = room.ready()
    client.send(Run(rate=300.0))
    changes = [WARM.with_(temperature=0.2 + 0.2 * index) for index in range(5)]
    for params in changes:
        client.wait(lambda frame: bool(frame.steps))
        seq = client.send(SetParams(params))
        frame = client.wait(lambda frame, seq=seq: frame.seq >= seq and bool(frame.params_at))  # type: ignore[misc]
        assert frame.steps[-1].odds.temperature == params.temperature
    client.do(Pause())
    schedule = {position: params for frame in client.frames for position, params in frame.params_at}
    assert list(schedule.values()) == changes
    engine, params = Engine(MODEL), WARM
    engine.set_context(PROMPT)
    for step in client.steps:
        params = schedule.get(step.position, params)
        assert step.odds.temperature == params.temperature
        assert engine.step(params).token == step.token


def test_many_turns_between_two_tokens_count_once(room: Room) -> None:
    client = room.ready()
    turns = [SetParams(WARM.with_(temperature=0.1 * index)) for index in range(1, 10)]
    client.do(*turns, StepOnce())
    seen = [entry for frame in client.frames for entry in frame.params_at]
    assert seen[-1] == (5, turns[-1].params)
    assert client.steps[0].odds.temperature == turns[-1].params.temperature


def test_pause_stops_and_nothing_more_comes(room: Room) -> None:
    client = room.ready()
    client.send(Run(rate=500.0))
    client.wait(lambda frame: len(client.steps) + len(frame.steps) > 5)
    frame = client.do(Pause())
    assert frame.stop == "paused"
    assert frame.length == 5 + len(client.steps)
    time.sleep(0.1)
    assert client.worker.read() == []
    count = len(client.steps)
    client.do(Run(limit=10))
    assert client.tokens == expected(count + 10)


def test_steps_are_drawn_one_by_one(room: Room) -> None:
    client = room.ready()
    frame = client.do(StepOnce())
    assert (frame.state, frame.stop, len(frame.steps), frame.length) == ("paused", "paused", 1, 6)
    client.do(StepOnce(4))
    assert client.tokens == expected(5)


def test_a_step_is_drawn_with_the_settings_before_it_not_those_after(room: Room) -> None:
    client = room.ready()
    client.do(StepOnce(), SetParams(WARM.with_(temperature=0.1)), StepOnce())
    assert [step.odds.temperature for step in client.steps] == [0.9, 0.1]


def test_a_forced_token_stands_and_the_run_goes_on_from_it(room: Room) -> None:
    client = room.ready()
    frame = client.do(Force(9))
    assert [(step.token, step.forced) for step in frame.steps] == [(9, True)]
    assert frame.odds is not None
    assert frame.odds.position == 6
    client.do(Run(limit=10))
    assert client.tokens == [9, *expected(10, prompt=(*PROMPT, 9))]


def test_a_forced_token_right_after_a_long_context_is_not_lost(room: Room) -> None:
    client = room.ready()
    prompt = tuple((5 * i) % 64 for i in range(600))
    frame = client.do(SetContext(prompt), Force(9), StepOnce())
    assert frame.length == 602
    assert client.tokens[0] == 9
    assert room.engine is not None
    assert room.engine.tokens()[:601] == [*prompt, 9]


def test_a_peek_answers_about_a_token_paused_or_running(room: Room) -> None:
    client = room.ready(record=4)
    frame = client.do(Peek(40))
    assert frame.odds is not None
    assert frame.odds.candidates[-1].token == 40
    assert frame.odds.stages[0].chosen is not None
    client.send(Run(rate=100.0))
    seq = client.send(Peek(41))
    frame = client.wait(lambda frame: frame.seq == seq)
    assert frame.state == "running"
    assert frame.odds is not None
    assert 41 in {candidate.token for candidate in frame.odds.candidates}


def test_rewinding_gives_the_same_tokens_again(room: Room) -> None:
    client = room.ready()
    client.do(Run(limit=40))
    first = client.tokens
    client.frames.clear()
    frame = client.do(SetContext((*PROMPT, *first[:10]), prompt_len=5))
    assert (frame.length, frame.stop) == (15, None)
    client.do(Run(limit=30))
    assert client.tokens == first[10:]


def test_a_new_context_while_running_brings_no_steps_of_the_old(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FRAME_S", 1000.0)
    client = room.ready()
    assert room.engine is not None
    client.send(Run())
    assert settled(room.engine) > 100  # drawn, and not yet sent
    seq = client.send(SetContext((9, 8)))
    client.wait(lambda frame: frame.seq == seq)
    client.do(Run(limit=5))
    late = [step for frame in client.frames if frame.seq >= seq for step in frame.steps]
    assert [step.position for step in late] == [2, 3, 4, 5, 6]
    assert [step.token for step in late] == expected(5, prompt=(9, 8))


def test_the_last_of_many_contexts_wins_however_long_they_are(room: Room) -> None:
    client = room.ready()
    long = [tuple((k * i) % 64 for i in range(1500)) for k in (3, 5, 7)]
    frame = client.do(*(SetContext(ids) for ids in long), SetParams(WARM.with_(seed=8)), Run(limit=3))
    assert frame.length == 1503
    assert client.tokens == expected(3, WARM.with_(seed=8), long[-1])
    assert [entry[0] for frame in client.frames for entry in frame.params_at] == [1500]


def test_a_long_context_gives_way_to_the_next_one(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    client = room.ready()
    assert room.engine is not None
    feed, widths = room.engine.runner.feed, []

    def slow_feed(rows: dict[int, list[int]]) -> dict[int, torch.Tensor]:
        widths.append(max(map(len, rows.values())))
        time.sleep(0.05)
        return feed(rows)

    monkeypatch.setattr(room.engine.runner, "feed", slow_feed)
    client.send(SetContext(tuple((3 * i) % 64 for i in range(1500))))
    while not widths:
        time.sleep(0.001)
    frame = client.do(SetContext((9, 8)))
    assert frame.length == 2
    assert sum(widths) < 1000  # of 1,500
    assert frame.odds is not None


# ---- why it stops ----------------------------------------------------------------------------------------------------


def test_an_end_id_stops_the_run_and_running_again_goes_past_it(room: Room) -> None:
    tokens = expected(40)
    end = tokens[12]
    first = tokens.index(end)
    client = room.ready(end_ids=(end,))
    frame = client.do(Run())
    assert (frame.stop, frame.length) == ("end", 5 + first + 1)
    assert client.tokens == tokens[: first + 1]
    client.do(StepOnce())
    assert client.tokens == tokens[: first + 2]


def test_a_full_context_stops_the_run(room: Room) -> None:
    client = room.ready(context=20)
    frame = client.do(Run())
    assert (frame.state, frame.stop, frame.length) == ("paused", "context", 20)
    assert client.do(Run()).stop == "context"
    assert client.do(StepOnce()).stop == "context"
    frame = client.do(Force(3))
    assert frame.error is not None
    assert "full" in frame.error[0]
    assert client.do(SetContext(PROMPT)).length == 5


def test_no_legal_token_stops_the_run_and_shows_why(room: Room) -> None:
    client = room.ready()
    nothing = WARM.with_(logit_bias=dict.fromkeys(range(64), -math.inf))
    frame = client.do(SetParams(nothing), Run())
    assert (frame.stop, frame.error, frame.length) == ("no_legal_token", None, 5)
    assert frame.odds is not None
    assert frame.odds.kept == 0
    client.do(SetParams(WARM), Run(limit=3))
    assert client.tokens == expected(3)


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (Force(64), "between 0 and 63"),
        (Peek(99), "99"),
        (Run(limit=0), "limit"),
        (Run(rate=0.0), "rate"),
        (SetRate(math.nan), "rate"),
        (StepOnce(0), "count"),
        (SetParams(WARM.with_(logit_bias={99: 1.0})), "99"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_command_that_cannot_be_is_an_error_and_changes_nothing(room: Room, command: Command, word: str) -> None:
    client = room.ready()
    frame = client.do(command)
    assert frame.error is not None
    assert word in frame.error[0]
    assert (frame.state, frame.length) == ("paused", 5)
    client.do(SetParams(WARM), Run(limit=5))
    assert client.tokens == expected(5)


@pytest.mark.parametrize(
    ("ids", "word"), [((1,) * 2001, "2001 tokens"), ((), "at least one"), ((64,), "between 0 and 63")]
)
def test_after_a_refused_context_nothing_is_drawn_from_the_old_one(room: Room, ids: tuple[int, ...], word: str) -> None:
    client = room.ready()
    seq = client.send(SetContext(ids), Run(limit=5), StepOnce(), Force(3), Peek(3))
    client.wait(lambda frame: frame.seq >= seq and frame.state == "paused")
    frame = client.do(Run(limit=5))
    assert client.steps == []
    assert all(frame.odds is None for frame in client.frames), "they would be about another text"
    assert frame.error is not None
    assert word in frame.error[0], "the reason stays in sight"
    client.do(SetContext(PROMPT), Run(limit=5))
    assert client.tokens == expected(5)


def test_numbers_that_broke_end_the_run_with_a_message(room: Room) -> None:
    model = a_model()
    client = room.ready(model=model)
    client.send(Run(rate=200.0))
    client.wait(lambda frame: bool(frame.steps))
    with torch.no_grad():
        model.norm.weight[0] = math.nan
    frame = client.wait(lambda frame: frame.state == "paused")
    assert frame.error is not None
    assert "NaN" in frame.error[0]
    assert client.do(SetParams(WARM)).error == frame.error  # as long as it is so
    with torch.no_grad():
        model.norm.weight[0] = 1.0
    assert client.do(SetParams(WARM)).error is None


def test_a_mistake_of_ours_is_told_and_its_story_is_in_the_log(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    client = room.ready()
    assert room.engine is not None

    def fall(params: SamplingParams) -> Step:
        raise RuntimeError("the cable is loose")

    monkeypatch.setattr(room.engine, "step", fall)
    frame = client.do(Run())
    assert frame.state == "paused"
    assert frame.error is not None
    assert "RuntimeError: the cable is loose" in frame.error[0]
    assert str(client.worker.log) in frame.error[1]
    assert "in fall" in client.worker.log.read_text()
    monkeypatch.undo()
    client.do(Run(limit=3))
    assert client.tokens == expected(3)


# ---- pace and credit -------------------------------------------------------------------------------------------------


def test_a_rate_is_kept_and_can_be_turned_on_the_run(room: Room) -> None:
    client = room.ready()
    started = time.monotonic()
    client.do(Run(limit=20, rate=100.0))
    assert 0.18 < time.monotonic() - started < 3
    client.send(Run(limit=200, rate=1.0))
    client.wait(lambda frame: bool(frame.steps))
    started = time.monotonic()
    client.send(SetRate(None))
    client.wait(lambda frame: frame.stop == "limit")
    assert time.monotonic() - started < 10
    assert client.tokens == expected(220)


def test_a_run_sends_no_more_frames_than_a_screen_can_show(room: Room) -> None:
    client = room.ready()
    started = time.monotonic()
    client.do(Run(limit=400))
    took = time.monotonic() - started
    assert len(client.steps) == 400
    assert len(client.frames) <= 30 * took + 3


def test_the_tokens_of_a_slow_run_do_not_wait_for_each_other(room: Room) -> None:
    client = room.ready()
    client.send(Run(rate=20.0))
    for _ in range(5):
        frame = client.wait(lambda frame: bool(frame.steps))
        assert len(frame.steps) <= 2


def test_a_client_that_does_not_read_stops_the_engine_after_some_frames(room: Room) -> None:
    client = room.ready()
    engine = room.engine
    assert engine is not None
    client.send(Run())
    length = settled(engine)
    assert length < 2000
    client.wait(lambda frame: frame.length > length + 20)  # reading goes on: so does the engine
    unread = client.frames[: service.CREDIT_FRAMES]
    assert length == 5 + sum(len(frame.steps) for frame in unread)  # nothing was drawn that was not sent
    assert client.tokens == expected(len(client.tokens))


def test_a_client_that_does_not_read_stops_the_engine_after_some_steps(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FRAME_S", 1000.0)
    client = room.ready()
    assert room.engine is not None
    client.send(Run())
    assert settled(room.engine) == 5 + service.CREDIT_STEPS


def test_a_client_that_does_not_read_is_still_heard(room: Room) -> None:
    client = room.ready(record=1)  # small frames: all that is sent is in the socket
    assert room.engine is not None
    client.send(Run())
    settled(room.engine)
    for index in range(50):
        client.send(SetParams(WARM.with_(seed=index)))
        time.sleep(0.001)
    last = client.send(SetContext((7,)))
    deadline = time.monotonic() + PATIENCE_S
    while room.engine.length() != 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert room.engine.length() == 1
    client.frames += client.worker.read()
    assert len(client.frames) <= service.CREDIT_FRAMES
    frame = client.wait(lambda frame: frame.seq == last)
    assert (frame.state, frame.length) == ("paused", 1)
    assert frame.params_at == ((1, WARM.with_(seed=49)),)


def test_the_first_token_of_new_settings_does_not_wait_for_the_tick(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FRAME_S", 5.0)
    client = room.ready()
    client.send(Run(rate=100.0))
    client.wait(lambda frame: bool(frame.steps))
    started = time.monotonic()
    client.send(SetParams(WARM.with_(temperature=0.3)))
    frame = client.wait(lambda frame: bool(frame.params_at))
    assert frame.steps[-1].odds.temperature == 0.3
    assert time.monotonic() - started < 4


# ---- the end ---------------------------------------------------------------------------------------------------------


def test_closing_ends_the_thread_in_mid_run(room: Room) -> None:
    client = room.ready()
    client.send(Run())
    client.wait(lambda frame: bool(frame.steps))
    client.worker.close()
    assert not client.worker.alive
    assert client.worker._thread is not None
    assert not client.worker._thread.is_alive()
    assert client.worker.read() == []
    assert client.worker.send(Pause()) > 0  # quietly


@pytest.fixture(scope="module")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = Tokenizer.train(["once upon a time there was a fox and a crow"] * 3, vocab_size=270)
    model = a_model(vocab_size=tokenizer.vocab_size, context=500)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.write(
        path,
        arrays=to_arrays(model.state_dict()),
        config=model.config,
        tokenizer_json=tokenizer.to_json(),
        chat_template="",
        step=17,
        training={},
    )
    return path


@contextlib.contextmanager
def a_process() -> Iterator[Client]:
    worker = start_process()
    try:
        yield Client(worker)
    finally:
        worker.close()


def is_running(pid: int) -> bool:
    """A process that is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def test_a_child_process_draws_what_an_engine_here_draws(checkpoint_path: Path) -> None:
    engine = Engine.open(checkpoint_path, device="cpu", threads=1)
    engine.set_context(PROMPT)
    tokens = [engine.step(WARM).token for _ in range(80)]
    with a_process() as client:
        frame = client.do(
            Open(str(checkpoint_path), ONE_CORE, end_ids=()), SetParams(WARM), SetContext(PROMPT), Run(limit=80)
        )
        assert client.tokens == tokens
        assert frame.stop == "limit"
        assert client.frames[0].state == "loading"
        facts = next(frame.facts for frame in client.frames if frame.facts)
        assert (facts["step"], facts["threads"], facts["dtype"]) == (17, 1, "float32")
        assert facts["digest"] == checkpoint.inspect(checkpoint_path).digest
        pid = client.worker.pid
        assert pid is not None
        # of a group of its own, so that a Ctrl-C in the terminal is not for it; and if it comes, it is ignored
        assert os.getsid(pid) != os.getsid(0)
        os.kill(pid, signal.SIGINT)
        client.frames.clear()
        client.do(SetContext(PROMPT), Run(limit=20))
        assert client.tokens == tokens[:20]

        bad = client.do(Open(str(checkpoint_path.parent), end_ids=()))
        assert bad.state == "failed"
        assert bad.error is not None
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert gone(pid)


def test_a_child_that_is_killed_is_noticed_and_named(checkpoint_path: Path) -> None:
    with a_process() as client:
        client.do(Open(str(checkpoint_path), ONE_CORE, end_ids=()), SetContext(PROMPT))
        client.send(Run(rate=50.0))
        client.wait(lambda frame: bool(frame.steps))
        assert client.worker.pid is not None
        os.kill(client.worker.pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        while client.worker.alive and time.monotonic() < deadline:
            select.select([client.worker], [], [], 0.1)
            client.frames += client.worker.read()
        assert not client.worker.alive
        frame = client.frames[-1]
        assert frame.state == "failed"
        assert frame.error is not None
        assert "killed" in frame.error[0]
        assert str(client.worker.log) in frame.error[1]
        assert client.worker.read() == []
        client.worker.send(Run())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the child in /proc")
def test_a_child_dies_with_its_parent_in_mid_run(checkpoint_path: Path) -> None:
    script = (
        "import sys, time, select\n"
        "from tinychat.engine.worker import start_process\n"
        "from tinychat.engine.machine import Machine\n"
        "from tinychat.engine.wire import *\n"
        "worker = start_process()\n"
        f"worker.send(Open({str(checkpoint_path)!r}, Machine(device='cpu', threads=1), end_ids=()))\n"
        "worker.send(SetContext((1, 2)))\n"
        "worker.send(Run(rate=20.0))\n"
        "while not any(frame.steps for frame in worker.read()): select.select([worker], [], [], 1)\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
    finally:
        parent.kill()
        parent.wait()
        if parent.stdout is not None:
            parent.stdout.close()
    assert gone(pid)


def test_the_screen_side_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, tinychat.engine.worker; print([m for m in ('torch', 'numpy', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
