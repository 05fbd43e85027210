"""`tinychat runs` tells the state of every run from its files, whatever a crash left of them."""

from __future__ import annotations

import io
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest

from trainer import runs, runs_door
from trainer.config_file import dumps, parse
from trainer.plot_runs import SHARED, plot_runs, sparkline
from trainer.run_folder import claim


def _step(step: int, loss: float) -> dict[str, Any]:
    return {"event": "trainstep", "step": step, "smooth_loss": loss, "tokens": step * 10, "elapsed_s": step / 2}


def _run(path: Path, records: list[dict[str, Any]], *overrides: str, tail: str = "") -> Path:
    path.mkdir(parents=True)
    (path / "config.toml").write_text(dumps(parse("", name="x", overrides=overrides)))
    (path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records) + tail)
    return path


def _whole(reason: str | None, *, last: int = 8, floor: float = 1.0) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [{"event": "started", "step": 0, "steps": 8, "parameters": 1234}]
    records += [_step(step, floor + 1 / step) for step in range(1, last + 1)]
    records.append({"event": "evaluated", "step": last, "loss": floor + 0.5, "bits_per_byte": 0.7})
    if reason is not None:
        ended = {"step": last, "steps": 8, "elapsed_s": last / 2, "tokens": last * 10, "best_loss": floor + 0.5}
        records.append({"event": "stopped", "reason": reason, **ended})
    return records


@pytest.mark.parametrize(
    ("reason", "state", "why"),
    [
        ("finished", "finished", "finished"),
        ("already finished", "finished", "finished"),
        ("time limit", "finished", "time limit"),
        ("SIGTERM", "stopped", "SIGTERM"),
        (None, "cut off", ""),
    ],
)
def test_the_state_is_how_it_ended(reason: str | None, state: str, why: str, tmp_path: Path) -> None:
    run = runs.read(_run(tmp_path / "a", _whole(reason)))
    assert (run.state, run.why, run.step, run.steps, run.parameters) == (state, why, 8, 8, 1234)
    assert (run.loss, run.valid_loss, run.best_loss) == (1.125, 1.5, 1.5)


def test_a_run_that_was_gone_on_with_is_not_stopped_any_more(tmp_path: Path) -> None:
    run = runs.read(_run(tmp_path / "a", [*_whole("SIGINT", last=4), _step(5, 1.2)]))
    assert (run.state, run.step) == ("cut off", 5)


def test_the_process_that_has_the_folder_is_named(tmp_path: Path) -> None:
    import os

    path = _run(tmp_path / "a", _whole(None))
    with claim(path):
        run = runs.read(path)
        assert (run.state, run.pid) == ("running", os.getpid())
    assert runs.read(path).state == "cut off"


def test_torn_lines_and_a_broken_config_hide_no_run(tmp_path: Path) -> None:
    path = _run(tmp_path / "a", _whole(None), tail='{"event": "trainst\nnot json\n[1]\n{"event": "trainstep"}\n')
    (path / "config.toml").write_text("[train\n")
    run = runs.read(path)
    assert (run.step, run.config, run.summary) == (8, None, "its config cannot be read")


def test_a_long_log_is_read_in_blocks_and_tells_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _run(tmp_path / "a", [*[_step(step, 1 + 1 / step) for step in range(1, 4000)], *_whole("finished")[-1:]])
    whole = runs.read(path)
    monkeypatch.setattr(runs, "END_BYTES", 4000)
    monkeypatch.setattr(runs, "BLOCKS", 16)
    monkeypatch.setattr(runs, "BLOCK_BYTES", 2000)
    part = runs.read(path)
    assert (part.state, part.step, part.loss) == (whole.state, whole.step, whole.loss)
    steps = [moment.step for moment in part.moments]
    assert steps == sorted(set(steps))
    assert steps[0] == 1
    assert 200 < len(steps) < 1000
    assert max(late - early for early, late in itertools.pairwise(steps)) < 400


def test_the_table_and_the_comparison(tmp_path: Path, tinychat: Any) -> None:
    first = _run(tmp_path / "runs" / "low", _whole("finished"), "train.steps=8", "train.lr=1e-3")
    second = _run(tmp_path / "runs" / "high", _whole("SIGTERM", last=6, floor=2.0), "train.steps=8", "train.lr=4e-3")
    (tmp_path / "runs" / "other").mkdir()
    listed = tinychat("runs", tmp_path / "runs")
    assert listed.code == 0
    assert "other" not in listed.text
    lines = listed.text.splitlines()
    low = next(line for line in lines if line.startswith("low"))
    assert low.split()[1:6] == ["finished", "8/8", "1.125", "1.500", "0:04"]
    assert any("by SIGTERM; 1.23k parameters" in line for line in lines)
    told = tinychat("runs", "compare", first, second, "--ascii")
    assert told.code == 0
    assert "train.lr" in told.text
    assert "A 0.001   B 0.004" in told.text
    assert all(ord(letter) < 128 for letter in told.text)
    found = tinychat("runs", "compare", first, second, "--json").json
    assert found["differences"] == {"train.lr": ["0.001", "0.004"]}
    assert found["runs"][1]["curve"][-1] == [6, 2 + 1 / 6]


def test_before_the_first_training_there_is_nothing_to_list(
    tmp_path: Path, tinychat: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = tinychat("runs")
    assert (told.code, told.text) == (0, "")
    assert "There is no run in runs" in told.err
    assert tinychat("runs", "--json").json == {"schema": "tinychat.runs/1", "runs": []}
    assert tinychat("runs", "runs").code == 2, "a folder that was named is missed"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "{a}"], "1 run to compare"),
        (["{a}", "{a}"], "runs lists one folder"),
        (["none"], "there is no such folder"),
        (["compare", "{a}", "none"], "there is no run"),
        (["{a}", "--by", "tokens"], "--by is for compare"),
    ],
)
def test_what_cannot_be_shown_is_said(words: list[str], message: str, tmp_path: Path, tinychat: Any) -> None:
    path = _run(tmp_path / "a", _whole("finished"))
    told = tinychat("runs", *[word.format(a=path) for word in words])
    assert told.code == 2
    assert message in told.err


def test_every_curve_has_its_letter_and_meeting_ones_a_star() -> None:
    falling = [(float(step), 3 - step / 50) for step in range(100)]
    flat = [(float(step), 2.0) for step in range(100)]
    lines = [line.plain for line in plot_runs([falling, flat], width=60, height=12, ascii_only=True)]
    assert len(lines) == 12
    drawn = "\n".join(lines)
    assert {"A", "B", SHARED} <= set(drawn)
    assert lines[0].count("A") > 0
    assert "B" not in lines[0]
    assert plot_runs([[(1.0, math.nan)]], width=60, height=12, ascii_only=True)[0].plain == "there is no step yet"


def test_a_sparkline_falls_as_the_curve_does() -> None:
    curve = [(float(step), 1 + 5 / (step + 1)) for step in range(200)]
    line = sparkline(curve, 10, ascii_only=False)
    heights = ["▁▂▃▄▅▆▇█".index(letter) for letter in line]
    assert len(heights) == 10
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == 7
    assert heights[-1] == 0
    assert sparkline([], 10, ascii_only=True) == ""


class _Gone(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError


def test_a_reader_that_has_gone_is_told_to_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", _Gone())
    console, _ = runs_door._console(ascii_only=False)
    with pytest.raises(BrokenPipeError):  # rich would end with 1 instead of 141
        console.print("a run")
