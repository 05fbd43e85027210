"""What others used meanwhile, and whose turn it is: the kernel's text, and a scripted process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tinychat.bench import machine, quiet
from tinychat.bench.floor import cache_size
from tinychat.bench.quiet import Watch, busy_ticks, is_quiet
from tinychat.bench.rounds import Turns

STAT = """cpu  100 20 30 5000 600 7 8 9 50 0
cpu0 100 20 30 5000 600 7 8 9 50 0
intr 12345
"""


def test_busy_is_all_but_idle_and_waiting_and_counts_guests_once() -> None:
    assert busy_ticks(STAT) == 100 + 20 + 30 + 7 + 8 + 9


@pytest.mark.parametrize("text", ["", "intr 5\n", "cpu\n", "cpu a b c d\n", "cpu0 1 2 3 4\n"])
def test_a_file_without_the_line_says_nothing(text: str) -> None:
    assert busy_ticks(text) is None


def test_an_old_kernel_has_fewer_columns() -> None:
    assert busy_ticks("cpu 1 2 3 4") == 6


def test_without_the_file_nobody_knows_and_all_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "STAT", tmp_path / "none")
    rest, wall = Watch().rest()
    assert rest is None
    assert wall > 0
    assert is_quiet(rest, wall)


def test_own_work_is_not_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counter moves by what we use and by half a second more: the half second is the others'."""
    monkeypatch.setattr(quiet, "STAT", stat := tmp_path / "stat")
    stat.write_text("cpu 1000 0 0 0 0 0 0 0\n")
    watch, own = Watch(), time.process_time()
    until = time.perf_counter() + 0.1
    while time.perf_counter() < until:
        pass
    ticks = round((time.process_time() - own + 0.5) * quiet.os.sysconf("SC_CLK_TCK"))
    stat.write_text(f"cpu {1000 + ticks} 0 0 0 0 0 0 0\n")
    rest, wall = watch.rest()
    assert rest is not None
    assert rest * wall == pytest.approx(0.5, abs=0.05)


def test_quiet_allows_for_the_coarseness_of_the_counter() -> None:
    assert is_quiet(0.14, 10.0)
    assert not is_quiet(0.16, 10.0)
    assert is_quiet(0.3, 0.1)  # two ticks in a tenth of a second are 0.2 cores
    assert not is_quiet(0.4, 0.1)


class Scripted:
    """A process that meets these others, one after another."""

    def __init__(self, rests: list[float | None]) -> None:
        self.rests = rests
        self.asked: list[str] = []

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(question["kind"])
        return {"rest_cores": self.rests.pop(0), "wall_s": 10.0, "number": len(self.asked)}


def played(rests: list[float | None], *, patience: int, rounds: int = 2) -> tuple[Turns, Scripted, list[str]]:
    process, told = Scripted(rests), []
    turns = Turns(process, ("a", "b"), patience)
    for _ in range(rounds):
        turns.round(told.append, lambda: None)
    return turns, process, told


def test_a_noisy_generation_is_dropped_and_repeated() -> None:
    turns, process, told = played([0.0, 0.9, 0.0, 0.0, 0.0], patience=4)
    assert process.asked == ["a", "b", "b", "a", "b"]
    assert [timing["number"] for timing in turns.timings["b"]] == [3, 5]
    assert turns.counts() == {"generations": 4, "dropped": 1, "noisy": 0}
    assert told == ["others used 0.90 cores: again"]


def test_when_patience_is_over_noise_counts_and_is_told() -> None:
    turns, process, _ = played([0.9] * 6, patience=2)
    assert process.asked == ["a", "a", "a", "b", "a", "b"]
    assert turns.counts() == {"generations": 4, "dropped": 2, "noisy": 4}


def test_where_nobody_can_tell_all_counts_and_that_is_said() -> None:
    turns, _, _ = played([None] * 4, patience=2)
    assert turns.counts() == {"generations": 4, "dropped": None, "noisy": None}


def test_the_machines_own_files_are_read() -> None:
    assert machine.meminfo_available("MemTotal: 9 kB\nMemAvailable:  2048 kB\n") == 2048 * 1024
    assert machine.meminfo_available("") is None
    assert machine.cpu_name("processor : 0\nmodel name\t: A Chip\nmodel name\t: B\n") == "A Chip"
    assert machine.cpu_name("") == ""
    assert [cache_size(text) for text in ("32768K\n", "36M", "512")] == [32 << 20, 36 << 20, 512]
    with pytest.raises(ValueError, match="invalid"):
        cache_size("none")
