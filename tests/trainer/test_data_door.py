"""`tinychat data`, as a person uses it: two commands, their words, their exit codes."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tinychat.cli_data import data
from tinychat.errors import CorpusError, RunBusyError, UsageError
from trainer import data_build, data_door
from trainer.data_door import run_build, run_inspect
from trainer.data_recipe import Recipe
from trainer.events import Event, Progress


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\n<|endoftext|>\n".join(f"the fox saw kite {number}" for number in range(400)))
    return path


def recipe(*sources: Path | str, **keys: Any) -> Recipe:
    return Recipe(sources=tuple(map(str, sources)), **{"vocab_size": 280, "workers": 0, **keys})


def test_build_tells_a_table_on_stdout_and_the_rest_on_stderr(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_build(recipe(text), tmp_path / "out", fresh=False, json_output=False, quiet=False) == 0
    said = capsys.readouterr()
    assert said.out.startswith("shards ")
    assert "400 documents" in said.out
    assert f'[data] text = "{tmp_path / "out"}"' in said.err
    assert run_build(recipe(text), tmp_path / "out", fresh=False, json_output=True, quiet=False) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["documents"] == 400
    assert "there already" in said.err
    assert run_build(recipe(text, seed=3), tmp_path / "out", fresh=True, json_output=False, quiet=True) == 0
    assert capsys.readouterr().err == ""


def test_ctrl_c_says_what_is_kept_and_the_same_command_goes_on(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_build, "BATCH_CHARS", 500)
    monkeypatch.setattr(data_build, "REPORT_S", 0.0)
    what = recipe(text, shard_tokens=1000)
    show, seen = data_door._Meter.show, []

    def press(self: Any, event: Progress) -> None:
        show(self, event)
        seen.append(event.what)
        if seen.count("encoding text") == 14:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(data_door._Meter, "show", press)
    out = tmp_path / "out"
    assert run_build(what, out, fresh=False, json_output=False, quiet=False) == 130
    said = capsys.readouterr()
    assert said.out == ""
    kept = int(said.err.partition("Stopped by Ctrl-C: ")[2].split()[0])
    assert kept >= 2
    assert "The same command goes on." in said.err
    shards = {file.name: file.stat().st_mtime_ns for file in out.glob("train-*.bin")}
    assert len(shards) == kept
    seen.append("encoding text")  # no more presses
    assert run_build(what, out, fresh=False, json_output=True, quiet=True) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 400
    assert all((out / name).stat().st_mtime_ns == when for name, when in shards.items())


def test_two_builds_in_one_folder_are_one_too_many(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunBusyError, match="making shards here"):
            run_build(recipe(text), out, fresh=False, json_output=False, quiet=True)


def test_what_cannot_work_is_refused_before_a_folder_is_made(text: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such file"):
        run_build(recipe(tmp_path / "typo.txt"), tmp_path / "out", fresh=False, json_output=False, quiet=True)
    with pytest.raises(UsageError, match="named twice"):
        run_build(recipe(text, text), tmp_path / "out", fresh=False, json_output=False, quiet=True)
    with pytest.raises(CorpusError, match="no such file or folder"):
        run_inspect(tmp_path / "out", samples=1, seed=0, json_output=False, ascii_only=False)
    assert not (tmp_path / "out").exists()


def test_shards_do_not_go_where_the_text_is(text: Path) -> None:
    before = sorted(text.parent.iterdir())
    with pytest.raises(UsageError, match="holds the text itself"):
        run_build(recipe(text.parent), text.parent, fresh=False, json_output=False, quiet=True)
    assert sorted(text.parent.iterdir()) == before


def test_a_training_run_is_left_alone(text: Path, tmp_path: Path) -> None:
    for name in ("config.toml", ".lock", "tokenizer.json"):
        (tmp_path / name).write_text("of a run")
    for out in (tmp_path, tmp_path / "data"):
        with pytest.raises(UsageError, match="holds a training run"):
            run_build(recipe(text), out, fresh=True, json_output=False, quiet=True)
    assert (tmp_path / "tokenizer.json").read_text() == "of a run"


def test_progress_is_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 111.0, 122.0, 133.0])
    monkeypatch.setattr(data_door.time, "monotonic", lambda: next(clock))
    meter = data_door._Meter(quiet=False)
    events: list[Event] = [
        Progress(what="encoding text", done=0, total=4_000_000, unit="bytes"),
        Progress(what="encoding text", done=1_000_000, total=4_000_000, unit="bytes"),
        Progress(what="reading text", done=0, total=0, unit="bytes"),
        Progress(what="reading text", done=2_200_000, total=0, unit="bytes"),
    ]
    for event in events:
        assert isinstance(event, Progress)
        meter.show(event)
    assert capsys.readouterr().err.splitlines() == [
        "encoding text  [....................]  0 kB of 4 MB",
        "encoding text  [#####...............]  1 MB of 4 MB  0.1 MB/s  0:33 left",
        "reading text ...",
        "reading text  2 MB  0.2 MB/s",
    ]


def test_the_command_itself_reads_a_pipe_and_inspects(tmp_path: Path) -> None:
    def tinychat(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tinychat", "data", *args],
            input=stdin, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
            env={**os.environ, "COLUMNS": "80"},
        )  # fmt: skip

    rows = "\n".join(json.dumps({"body": f"the owl \x1b[31m {number}"}) for number in range(200))
    built = tinychat(
        "build", "-", "-o", "out", "--format", "jsonl", "--field", "body", "--vocab-size", "300", stdin=rows
    )
    assert (built.returncode, "Traceback" in built.stderr) == (0, False)
    assert "200 documents" in built.stdout
    seen = tinychat("inspect", "out", "--ascii")
    assert seen.returncode == 0
    assert seen.stdout.isascii() or "␛" in seen.stdout
    assert "\x1b" not in seen.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-", "--format", "csv"], "is not known"),
        (["toy", "--format", "jsonl"], "--format is for stdin"),
        (["toy", "--tokenizer", "x", "--vocab-size", "300"], "contradict"),
    ],
)
def test_options_that_do_not_go_together_are_refused(args: list[str], said: str, tmp_path: Path) -> None:
    ended = CliRunner().invoke(data, ["build", *args, "-o", str(tmp_path / "out")])
    assert isinstance(ended.exception, UsageError)
    assert said in ended.exception.what
    assert not (tmp_path / "out").exists()
