"""The pace of a worker, its credit, and its end in a thread and in a child process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from workers import ONE_CORE, PATIENCE_S, PROMPT, WARM, Client, Room, a_model, expected, settled

from tinychat.engine import outgoing, service
from tinychat.engine.engine import Engine
from tinychat.engine.wire import (
    Open,
    Pause,
    Run,
    SetContext,
    SetParams,
    SetRate,
)
from tinychat.engine.worker import start_process
from tinychat.model import checkpoint
from tinychat.model.transformer import to_arrays
from tinychat.text.tokenizer import Tokenizer


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
    unread = client.frames[: outgoing.CREDIT_FRAMES]
    assert length == 5 + sum(len(frame.steps) for frame in unread)  # nothing was drawn that was not sent
    assert client.tokens == expected(len(client.tokens))


def test_a_client_that_does_not_read_stops_the_engine_after_some_steps(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FRAME_S", 1000.0)
    client = room.ready()
    assert room.engine is not None
    client.send(Run())
    assert settled(room.engine) == 5 + outgoing.CREDIT_STEPS


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
    assert len(client.frames) <= outgoing.CREDIT_FRAMES
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
