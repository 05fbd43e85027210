"""`tinychat bench --screen`: from a pressed key to the screen that shows it, on the real playground in a terminal.

A case is a size, a pace and a line. A knob is turned at random moments, and the clock stops when the new value stands
on the screen that a terminal would show.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinychat.bench import machine, quiet
from tinychat.bench.numbers import quantile
from tinychat.bench.progress import Progress
from tinychat.bench.screen_pty import Line, Terminal, Usage, usage
from tinychat.errors import TinychatError

SCHEMA = "tinychat.bench-screen/1"
SMALL, MIDDLE, LARGE = (80, 24), (120, 36), (200, 60)
FAST, SLOW = Line(), Line(bytes_per_s=200_000, round_trip_s=0.06)
PRESSES, QUICK_PRESSES = 60, 12  # of a key, in each case
TIMEOUT_S, START_S, PAUSE_S = 3.0, 60.0, 0.08
CALIBRATION_MS = 5.0  # the loop below on the machine that the bars were set on
KNOB = re.compile(r">T temperature +(\d\.\d\d) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is measured, and how long it may take, in ms on the reference machine; None: nobody has set a bar."""

    name: str
    size: tuple[int, int] = MIDDLE
    rate: int | None = 30  # tokens a second, 0 as fast as it goes; None: nothing runs
    loading: bool = False  # pressed while the engine is still being loaded
    tmux: bool = False
    line: Line = FAST
    p95_ms: float | None = None
    max_ms: float | None = None
    cpu: float | None = None  # share of a core


CASES = (
    Case(name="idle", rate=None, p95_ms=12),
    Case(name="while the model loads", rate=None, loading=True, p95_ms=25, max_ms=60),
    Case(name="30 tokens/s", size=SMALL, p95_ms=25),
    Case(name="30 tokens/s", p95_ms=25),
    Case(name="30 tokens/s", size=LARGE, p95_ms=35),
    Case(name="200 tokens/s", rate=200, p95_ms=25, max_ms=60, cpu=0.35),
    Case(name="as fast as it can", size=SMALL, rate=0, p95_ms=35),
    Case(name="as fast as it can", rate=0, p95_ms=35),
    Case(name="as fast as it can", size=LARGE, rate=0, p95_ms=35),
    Case(name="in tmux, as fast as it can", rate=0, tmux=True, p95_ms=25),
    Case(name="200 kB/s, 60 ms round trip", rate=0, line=SLOW, p95_ms=200),
)
FIRST_FRAME_S, RSS_BYTES = 0.7, 120e6


def run(model: Path, *, presses: int, as_json: bool) -> int:
    """Measure all cases, then print; the exit code."""
    results = []
    with Progress(len(CASES)) as progress:
        for case in CASES:
            size = f"{case.size[0]} x {case.size[1]}"
            if case.tmux and shutil.which("tmux") is None:
                progress.say(f"{case.name}: there is no tmux here")
                continue
            progress.say(f"{case.name}, {size}")
            results.append(measure(case, model, presses))
            progress.step()
    result = {
        "schema": SCHEMA,
        "command": machine.command_line(),
        "machine": machine.facts() | {"calibration_ms": calibration_ms()},
        "presses": presses,
        "cases": results,
        "bars": {"first_frame_s": FIRST_FRAME_S, "rss_bytes": RSS_BYTES, "calibration_ms": CALIBRATION_MS},
    }
    if as_json:
        print(json.dumps(result))
    else:
        from tinychat.bench.screen_table import print_screen

        print_screen(result)
    return 0


def measure(case: Case, model: Path, presses: int) -> dict[str, Any]:
    """One case, in as many starts of the program as its presses need."""
    found = _Figures()
    watch = quiet.Watch()
    own = 0.0
    with tempfile.TemporaryDirectory(prefix="tinychat-bench-") as folder:
        while found.presses < presses and found.starts < (8 if case.loading else 1):
            found.starts += 1
            command = _command(case, model, folder)
            try:
                with Terminal(command, case.size, environ=_environ(folder), line=case.line) as terminal:
                    own += _one_start(terminal, case, presses, found)
            finally:
                if case.tmux:
                    subprocess.run(["tmux", "-S", f"{folder}/tmux", "kill-server"], capture_output=True, check=False)
    others, watched = watch.rest()
    if found.first_frame_s is None:
        raise TinychatError(f"The playground did not come up ({case.name}).", "Try:  tinychat play")
    wall = max(found.window_s, 1e-9)
    return {
        "case": asdict(case),
        "presses": found.presses,
        "missed": found.missed,
        "latency_ms": _quantiles(found.latencies),
        "first_frame_s": found.first_frame_s,
        "cpu_share": found.cpu_s / wall if found.cpu_s is not None else None,
        "engine_cpu_share": found.engine_cpu_s / wall if found.engine_cpu_s is not None else None,
        "rss_bytes": found.rss,
        "bytes_per_s": found.bytes / wall,
        "others_cores": None if others is None or case.tmux else max(0.0, others - own / watched),
        "calibration_ms": calibration_ms(),
    }


class _Figures:
    """What the starts of one case add up to."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.presses = self.missed = self.starts = self.bytes = 0
        self.window_s = 0.0
        self.first_frame_s: float | None = None
        self.cpu_s: float | None = None
        self.engine_cpu_s: float | None = None
        self.rss: int | None = None


def _one_start(terminal: Terminal, case: Case, presses: int, found: _Figures) -> float:
    """Press until there are enough; the CPU seconds that the program's processes took in all."""
    shown = terminal.wait(START_S, lambda cells: any("1 Prompt" in line for line in cells.lines()))
    if shown is None:
        raise TinychatError(f"The playground did not come up ({case.name}).", "Try:  tinychat play")
    first = shown - terminal.started
    found.first_frame_s = first if found.first_frame_s is None else min(first, found.first_frame_s)
    terminal.press(b"\x1b")  # leaves the prompt
    terminal.wait(0.3 + case.line.round_trip_s)
    # knobs are there as soon as the tokenizer is
    _until(terminal, lambda text: "OPENING" not in text and (case.loading or "LOADING" not in text))
    terminal.press(b"T")
    for _ in range(9):  # on a small screen the knobs stand behind other panels
        if terminal.wait(0.3 + case.line.round_trip_s, lambda cells: _value(cells.lines()) is not None) is not None:
            break
        if _value(terminal.cells.lines()) is not None:
            break
        terminal.press(b"\t")
    else:
        raise TinychatError(
            f"The knobs could not be found on the screen ({case.name}).", "This is a mistake in tinychat."
        )
    chance = random.Random(7)
    before, sent, begun = usage(terminal.pid), terminal.sent, time.perf_counter()
    for press in _turns(terminal, case, presses - found.presses):
        was = _value(terminal.cells.lines())
        pressed = terminal.press(press)
        at = terminal.wait(TIMEOUT_S, lambda cells, was=was: _value(cells.lines()) not in (was, None))  # type: ignore[misc]
        found.presses += 1
        if at is None:
            found.missed += 1
        else:
            found.latencies.append((at - pressed) * 1000)
        terminal.wait(chance.uniform(0.5, 1.5) * PAUSE_S)
    after = usage(terminal.pid)
    found.window_s += time.perf_counter() - begun
    found.bytes += terminal.sent - sent
    if not case.tmux:  # tmux runs the program in a process of its own, outside the tree
        ui, engine = _shares(terminal.pid, before, after)
        found.cpu_s, found.engine_cpu_s = (found.cpu_s or 0.0) + ui, (found.engine_cpu_s or 0.0) + engine
        found.rss = max(found.rss or 0, after.rss.get(terminal.pid, 0))
    return sum(after.cpu_s.values())


def _turns(terminal: Terminal, case: Case, count: int) -> Iterator[bytes]:
    """Keys that turn the knob up and down, while the text runs if it is to run."""
    for number in range(count):
        if terminal.closed:
            return
        text = "\n".join(terminal.cells.lines())
        if case.loading and "LOADING" not in text:
            return
        if case.rate is not None and "RUNNING" not in text:
            terminal.press(b"r" if number else b" ")  # the text has come to its end: the same again
            _until(terminal, lambda text: "RUNNING" in text)
            terminal.wait(PAUSE_S)
        yield b"=" if number % 2 == 0 else b"-"


def _until(terminal: Terminal, seen: Any) -> None:
    text = "\n".join(terminal.cells.lines())
    if not seen(text) and terminal.wait(START_S, lambda cells: seen("\n".join(cells.lines()))) is None:
        raise TinychatError("The playground did not go on.", "Try:  tinychat play")


def _value(lines: list[str]) -> str | None:
    """The temperature as the knobs' panel shows it."""
    return next((found[1] for line in lines if ">T" in line and (found := KNOB.search(line))), None)


def _shares(pid: int, before: Usage, after: Usage) -> tuple[float, float]:
    """CPU seconds of the screen's process, and of those below it."""
    spent = {each: cpu - before.cpu_s.get(each, 0.0) for each, cpu in after.cpu_s.items()}
    return spent.get(pid, 0.0), sum(cpu for each, cpu in spent.items() if each != pid)


def _command(case: Case, model: Path, folder: str) -> list[str]:
    words = [sys.executable, "-m", "tinychat", "play", str(model), "-p", "Once upon a time", "--seed", "7"]
    words += ["--preset", "story", "--min-tokens", "400", "-n", "4000"]
    if case.rate is not None:
        words += ["--rate", str(case.rate)]
    if case.line.bytes_per_s:
        words += ["--bandwidth", str(case.line.bytes_per_s // 2000)]  # half of the line, as over SSH
    if case.tmux:
        words = ["tmux", "-S", f"{folder}/tmux", "-f", "/dev/null", "new-session", shlex.join(words)]
    return words


def _environ(folder: str) -> dict[str, str]:
    """As it is, in a terminal of many colours; what the program writes goes with the folder."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TMUX", "TINYCHAT_", "SSH_"))}
    for name in ("CONFIG", "DATA", "STATE"):
        environ[f"XDG_{name}_HOME"] = f"{folder}/{name.lower()}"
    environ.pop("NO_COLOR", None)
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has been compiled
    return environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


def _quantiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"p50": quantile(values, 0.5), "p95": quantile(values, 0.95), "max": max(values)}


def calibration_ms() -> float:
    """A fixed loop of Python, the best of five: how fast this machine is just now."""
    best = 1e9
    for _ in range(5):
        began, total = time.perf_counter(), 0
        for each in range(100_000):
            total += each
        best = min(best, time.perf_counter() - began)
    return best * 1000
