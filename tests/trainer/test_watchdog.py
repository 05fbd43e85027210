"""A run that hangs is told of, and Ctrl-C ends it even where the main thread never comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from trainer.events import Eased, Event, Progress, Warned
from trainer.watchdog import ABOUT, Watchdog

STUCK = """
import ctypes, signal, sys, threading
from pathlib import Path
from trainer import watchdog
from trainer.signals import StopFlag, caught_signals
watchdog.ANSWER_S = watchdog.GRACE_S = 0.3
with caught_signals(StopFlag()):
    tell = lambda event: print(event.message, flush=True)
    end = lambda: watchdog.end_now(lambda: print("given back", flush=True), "last words")
    with watchdog.Watchdog(0, None, tell, end=end):
        print("stuck", flush=True)
        lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(128)
        lock(mutex)
        lock(mutex)  # waits for ever, and signals do not interrupt it
"""


def _dog(
    told: list[Event], log: Path | None = None, silence_s: float = 0.05, asleep: list[int] | None = None
) -> Watchdog:
    slept = asleep if asleep is not None else [0]
    return Watchdog(silence_s, log, told.append, asleep=lambda: slept[0], end=lambda: None)


def _until(reached, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_silence_is_told_once_on_the_screen_and_in_the_log_and_so_is_its_end(tmp_path: Path) -> None:
    told: list[Event] = []
    log = tmp_path / "log.jsonl"
    log.write_text("")
    with _dog(told, log) as dog:
        _until(lambda: told and log.read_text())
        dog.beat(Progress(what="saving", done=0, total=0, unit=""))
        _until(lambda: any(isinstance(event, Eased) for event in told) and "eased" in log.read_text())
    first = told[0]
    assert isinstance(first, Warned)
    assert first.about == ABOUT
    assert "nothing for" in first.message
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines][:2] == ["warned", "eased"]
    assert lines[0]["message"] == first.message


def test_who_goes_on_or_slept_is_not_told_of() -> None:
    told: list[Event] = []
    slept = [0]
    with _dog(told, silence_s=2.0, asleep=slept) as dog:
        for number in range(30):
            if number % 2:
                dog.beat(Progress(what="", done=0, total=0, unit=""))
            else:
                slept[0] += 1
            time.sleep(0.1)
    assert told == []


def test_no_log_is_made_where_the_run_made_none(tmp_path: Path) -> None:
    told: list[Event] = []
    with _dog(told, tmp_path / "log.jsonl"):
        _until(lambda: told)
    assert list(tmp_path.iterdir()) == []


def test_it_leaves_no_thread_and_no_wakeup_behind() -> None:
    with _dog([], silence_s=0.0):
        assert _awake()
    _until(lambda: not _awake())
    assert signal.set_wakeup_fd(-1) == -1


def _awake() -> bool:
    return any(thread.name == "watchdog" for thread in threading.enumerate())


def test_the_second_interrupt_ends_a_process_that_never_comes_back() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "stuck\n"
            process.send_signal(signal.SIGINT)
            assert "Ctrl-C again ends it now" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "given back\n"
            assert process.stdout.readline() == "last words\n"
            assert process.wait(timeout=30) == 130
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
