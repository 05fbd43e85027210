"""The screen's benchmark: what a terminal shows, the slow line, and what is over its bar."""

from __future__ import annotations

import random
import sys
from typing import Any

import pyte
import pytest

from tinychat.bench.screen import CASES, KNOB, calibration_ms
from tinychat.bench.screen_cells import Cells
from tinychat.bench.screen_pty import Line, Terminal, usage
from tinychat.bench.screen_table import over, render

SIZE = (20, 6)


def _shown(data: bytes, pieces: int) -> list[str]:
    cells = Cells(*SIZE)
    for start in range(0, len(data), pieces):
        cells.feed(data[start : start + pieces])
    return cells.lines()


@pytest.mark.parametrize("seed", range(20))
def test_the_grid_is_that_of_another_terminal(seed: int) -> None:
    """Against pyte, on random sequences of those that Textual and tmux send, in pieces of any length."""
    chance = random.Random(seed)
    parts = []
    for _ in range(60):
        one, two = chance.randint(1, 6), chance.randint(1, 20)
        parts.append(
            chance.choice(
                [
                    f"\x1b[{one};{two}H", f"\x1b[{one}A", f"\x1b[{one}B", f"\x1b[{one}C", f"\x1b[{one}D",
                    f"\x1b[{two}G",
                    f"\x1b[{one}d", "\x1b[K", "\x1b[1K", "\x1b[2K", f"\x1b[{one}X", f"\x1b[{one}P", f"\x1b[{one}@",
                    "\x1b[38;5;9;1mred\x1b[0m",
                    "word", "│─▏╭", "\r", "\n", "\x1b7\x1b[5;5H~\x1b8", "\x1b[?25l", "\x1bM",
                    f"\x1b[{one}L", f"\x1b[{one}M", "\x1b]0;title\x07", "\x1b[J",
                ]
            )
        )  # fmt: skip
        if parts[-1] in ("word", "│─▏╭") or "red" in parts[-1]:
            parts[-1] = f"\x1b[{one};{min(two, 12)}H" + parts[-1]  # not over the edge, where terminals differ
    data = "".join(parts).encode()
    other = pyte.Screen(*SIZE)
    pyte.ByteStream(other).feed(data)
    assert _shown(data, 1000) == list(other.display)
    assert _shown(data, chance.randint(1, 7)) == list(other.display)


def test_a_region_scrolls_alone() -> None:
    rows = "".join(f"\x1b[{n};1H{n}" for n in range(1, 7))
    region = _shown(f"{rows}\x1b[2;4r\x1b[4;1H\n".encode(), 5)
    assert [line.strip() for line in region] == ["1", "3", "4", "", "5", "6"]
    assert [line.strip() for line in _shown(f"{rows}\x1b[2;4r\x1b[2;1H\x1bM".encode(), 5)] == [
        "1",
        "",
        "2",
        "3",
        "5",
        "6",
    ]
    assert [line.strip() for line in _shown(f"{rows}\x1b[2S".encode(), 5)] == ["3", "4", "5", "6", "", ""]


def test_a_wide_character_takes_two_cells_and_a_repeat_repeats() -> None:
    assert _shown("一a\x1b[3b".encode(), 99)[0] == "一aaaa" + " " * 14


def test_questions_to_the_terminal_are_told() -> None:
    cells = Cells(*SIZE)
    cells.feed(b"\x1b[?2026$p\x1b[c")
    assert cells.asked == ["?2026$p", "c"]


PROGRAM = """
import sys, termios, tty
tty.setraw(0)
print("here", flush=True)
key = sys.stdin.read(1)
print("got " + key, flush=True)
sys.stdin.read(1)
"""


@pytest.mark.parametrize("line", [Line(), Line(bytes_per_s=2000, round_trip_s=0.02)])
def test_a_program_is_seen_and_gets_its_keys(line: Line) -> None:
    command = [sys.executable, "-c", PROGRAM]
    with Terminal(command, (40, 10), environ={"TERM": "xterm"}, line=line) as terminal:
        assert terminal.wait(20, lambda cells: "here" in cells.lines()[0]) is not None
        pressed = terminal.press(b"x")
        seen = terminal.wait(20, lambda cells: "got x" in "".join(cells.lines()))
        assert seen is not None
        assert seen - pressed >= line.round_trip_s
        if found := usage(terminal.pid).rss:
            assert found[terminal.pid] > 1_000_000
    assert terminal.sent > 0


def test_a_program_that_ends_is_noticed() -> None:
    with Terminal([sys.executable, "-c", ""], (40, 10), environ={}, line=Line()) as terminal:
        assert terminal.wait(20, lambda cells: False) is None
        assert terminal.closed


def test_the_value_of_a_knob_is_found_on_the_screen() -> None:
    found = KNOB.search("││>T temperature  0.85 ────────●━───")
    assert found is not None
    assert found[1] == "0.85"
    assert KNOB.search("││temperature 0.85  1534") is None


def _result(p95: float = 10.0, *, missed: int = 0, calibration: float = 5.0) -> dict[str, Any]:
    from dataclasses import asdict

    case = next(each for each in CASES if each.cpu is not None)
    return {
        "case": asdict(case), "presses": 60, "missed": missed, "latency_ms": {"p50": 5.0, "p95": p95, "max": p95},
        "first_frame_s": 0.5, "cpu_share": 0.2, "engine_cpu_share": 0.9, "rss_bytes": 70_000_000,
        "bytes_per_s": 300_000.0, "others_cores": 0.05, "calibration_ms": calibration,
    }  # fmt: skip


def test_over_is_said_and_a_slower_machine_may_take_longer() -> None:
    bars = {"first_frame_s": 0.7, "rss_bytes": 120e6, "calibration_ms": 5.0}
    assert over(_result(), bars) == []
    assert over(_result(30.0), bars) == ["over: 200 tokens/s, 120x36: p95 30.0 ms, bar 25.0 ms"]
    assert over(_result(30.0, calibration=10.0), bars) == []
    busy = _result(30.0) | {"others_cores": 1.25}
    assert over(busy, bars)[0].endswith("bar 25.0 ms; others kept 1.2 cores busy")
    assert over(_result(missed=2), bars) == ["over: 200 tokens/s, 120x36: 2 of 60 presses were never seen"]


def test_the_table_fits_80_columns() -> None:
    from io import StringIO

    from rich.console import Console

    out = Console(file=StringIO(), width=80)
    out.print(
        render(
            {
                "cases": [_result(300.0)], "presses": 60, "machine": {"cpu": "a", "cpus": 2, "calibration_ms": 5.0},
                "bars": {"first_frame_s": 0.7, "rss_bytes": 120e6, "calibration_ms": 5.0},
            }
        )
    )  # fmt: skip
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "over: 200 tokens/s, 120x36: p95 300 ms" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_calibration_takes_some_time() -> None:
    assert calibration_ms() > 0
