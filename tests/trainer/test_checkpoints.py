"""The newest whole checkpoint is always found, whatever was killed, torn or full; one run at a time writes a folder."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinychat import files
from tinychat.errors import RunBusyError, StorageError
from tinychat.model.checkpoint import expected_tensors, inspect
from tinychat.model.config import ModelConfig
from tinychat.text.chat import TEMPLATE
from tinychat.text.tokenizer import Tokenizer
from trainer import checkpoints
from trainer.checkpoints import Playable, Progressed, Surroundings
from trainer.events import Progress, Saved, Warned
from trainer.run_folder import Log, claim, refuse_busy

HERE = Surroundings(tokenizer="t", data="d", threads=1, device="cpu", torch="2", optimizer="plain", micro_rows=4)


@pytest.fixture(scope="module")
def playable() -> Playable:
    tokenizer = Tokenizer.train(["some words"], vocab_size=262)
    config = ModelConfig(vocab_size=tokenizer.vocab_size, width=8, layers=1, heads=2, context=8)
    return Playable(config=config, tokenizer_json=tokenizer.to_json(), chat_template=TEMPLATE)


def _save(root: Path, playable: Playable, step: int, keep: int = 2) -> Path:
    weights = {name: np.full(shape, step, np.float32) for name, shape in expected_tensors(playable.config).items()}
    return checkpoints.save(
        root,
        weights=weights,
        state={"rng/cpu": np.arange(10, dtype=np.uint8), "step/a": np.array([float(step)], np.float32)},
        playable=playable,
        progress=Progressed(step=step, steps=100, tokens=step * 7, best_loss=1.5),
        surroundings=HERE,
        training={},
        keep=keep,
    )


def test_what_was_saved_comes_back(tmp_path: Path, playable: Playable) -> None:
    folder = _save(tmp_path / "checkpoints", playable, 20)
    found, broken = checkpoints.newest(tmp_path / "checkpoints")
    assert found is not None
    assert (found.progress, found.surroundings, broken) == (
        Progressed(step=20, steps=100, tokens=140, best_loss=1.5),
        HERE,
        [],
    )
    assert found.weights()["embedding.weight"][0, 0] == 20
    assert found.state()["step/a"] == [20.0]
    assert inspect(folder / "model.safetensors").step == 20


def test_the_newest_is_newest_by_step_not_by_name_or_time(tmp_path: Path, playable: Playable) -> None:
    for step in (1_000_000, 999_999):
        folder = _save(tmp_path, playable, step)
    os.utime(folder / "manifest.json", (2e9, 2e9))
    found, _ = checkpoints.newest(tmp_path)
    assert found is not None
    assert found.progress.step == 1_000_000


def test_only_the_newest_are_kept(tmp_path: Path, playable: Playable) -> None:
    for step in (10, 20, 30, 40):
        _save(tmp_path, playable, step, keep=3)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["step-000020", "step-000030", "step-000040"]


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", [_truncate, _flip, Path.unlink], ids=["torn", "flipped", "missing"])
def test_a_broken_checkpoint_is_told_and_passed_over(
    name: str, damage: Callable[[Path], None], tmp_path: Path, playable: Playable
) -> None:
    _save(tmp_path, playable, 10)
    newest = _save(tmp_path, playable, 20)
    if name == "manifest.json" and damage is not Path.unlink:
        (newest / name).write_text('{"version": 1, "step": 20')
    else:
        damage(newest / name)
    found, broken = checkpoints.newest(tmp_path)
    assert found is not None
    assert found.progress.step == 10
    assert len(broken) == 1
    assert "step-000020: passed over" in broken[0]


def test_a_newer_manifest_version_is_refused_by_number(tmp_path: Path, playable: Playable) -> None:
    manifest = _save(tmp_path, playable, 10) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 2}))
    assert checkpoints.newest(tmp_path) == (
        None,
        [f"{tmp_path}/step-000010: passed over, its version is 2, this tinychat knows 1"],
    )


def test_a_write_that_fails_at_any_point_leaves_the_older_checkpoint(
    tmp_path: Path, playable: Playable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call of a save that can fail on a full disk, one after another."""
    calls = 0

    def failing(real: Callable[..., object], fail_at: int) -> Callable[..., object]:
        def call(*args: object, **keywords: object) -> object:
            nonlocal calls
            calls += 1
            if calls == fail_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **keywords)

        return call

    real = {name: getattr(os, name) for name in ("fsync", "replace", "fchmod")}
    total, told = 0, set()
    for fail_at in range(1, 60):
        root = tmp_path / str(fail_at)
        root.mkdir()
        _save(root, playable, 10)
        calls = 0
        with monkeypatch.context() as patch:
            for name, function in real.items():
                patch.setattr(os, name, failing(function, fail_at))
            try:
                _save(root, playable, 20)
                total = calls
                break
            except StorageError as error:
                told.add(error.what.partition("disk is full")[1])
        found, _ = checkpoints.newest(root)
        assert found is not None
        # the very last call may come after the rename of the manifest: then the new one is whole, and that is fine
        assert found.progress.step in (10, 20)
        checkpoints.sweep(root)
        assert not list(root.rglob(files.TEMP_PREFIX + "*"))
        _save(root, playable, 20)
        again, broken = checkpoints.newest(root)
        assert again is not None
        assert (again.progress.step, broken) == (20, [])
    assert total >= 6
    assert told == {"disk is full"}


def test_a_kill_at_any_point_of_a_save_leaves_a_whole_checkpoint(tmp_path: Path, playable: Playable) -> None:
    """A forked child dies at the n-th call that changes the disk, for every n."""
    outcomes = set()
    for fatal in range(1, 80):
        root = tmp_path / str(fatal)
        for step in (10, 20):
            _save(root, playable, step)
        child = os.fork()
        if child == 0:
            _die_at(fatal)
            _save(root, playable, 30)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        checkpoints.sweep(root)
        found, broken = checkpoints.newest(root)
        assert found is not None
        assert broken == []
        outcomes.add(found.progress.step)
        assert not list(root.rglob(files.TEMP_PREFIX + "*"))
        if os.WIFEXITED(status):
            break
    else:
        pytest.fail("a save makes more calls than were tried")
    assert outcomes == {20, 30}


def _die_at(fatal: int) -> None:
    calls = 0

    def deadly(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **keywords: object) -> object:
            nonlocal calls
            calls += 1
            if calls == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **keywords)

        return call

    for name in ("open", "fsync", "replace", "unlink", "mkdir", "rmdir"):
        setattr(os, name, deadly(getattr(os, name)))


def test_an_unfinished_checkpoint_is_swept(tmp_path: Path, playable: Playable) -> None:
    _save(tmp_path, playable, 10)
    (_save(tmp_path, playable, 20) / "manifest.json").unlink()
    (tmp_path / "step-000010" / f"{files.TEMP_PREFIX}x").write_text("left")
    assert checkpoints.sweep(tmp_path) == 2
    assert [folder.name for folder in tmp_path.iterdir()] == ["step-000010"]


def test_saving_over_a_step_that_is_there_replaces_it(tmp_path: Path, playable: Playable) -> None:
    folder = _save(tmp_path, playable, 10)
    (folder / "state.safetensors").write_bytes(b"broken")
    _save(tmp_path, playable, 10)
    assert checkpoints.newest(tmp_path)[1] == []


def test_differences_of_surroundings_are_named() -> None:
    assert HERE.differences(HERE) == []
    assert HERE.differences(replace(HERE, threads=2, torch="3")) == ["threads was 1, is 2", "torch was 2, is 3"]


HOLD = (
    "import sys, time; from pathlib import Path; from trainer.run_folder import claim\n"
    "with claim(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_is_refused_at_once_and_told_who_holds_the_folder(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    started = time.monotonic()
    with pytest.raises(RunBusyError, match=f"pid {holder.pid} on .*, since 20") as caught, claim(tmp_path):
        pass
    assert caught.value.exit_code == 5
    assert time.monotonic() - started < 1


def test_a_busy_folder_is_seen_without_taking_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(RunBusyError, match=f"pid {holder.pid} on "):
        refuse_busy(tmp_path)
    refuse_busy(tmp_path / "none")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    refuse_busy(tmp_path)
    assert not (tmp_path / "none").exists()


def test_the_lock_dies_with_its_holder(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with claim(tmp_path) as folder:
        assert folder.locked


def test_a_file_system_without_locks_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with claim(tmp_path) as folder:
        assert not folder.locked


def test_fresh_removes_the_run_and_nothing_else(tmp_path: Path, playable: Playable) -> None:
    with claim(tmp_path) as folder:
        _save(folder.checkpoints, playable, 10)
        folder.config.write_text("")
        (tmp_path / "notes.txt").write_text("mine")
        folder.clear()
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "notes.txt"]


def test_the_log_drops_later_steps_and_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path, keep_until=None)
    for step in range(1, 6):
        assert log.write(Warned(step=step, message="x")) is None
    log.write(Progress(what="x", done=0, total=0, unit=""))
    log.close()
    with path.open("a") as file:
        file.write('{"event": "warned", "step": 3, "mess')
    log = Log(path, keep_until=3)
    log.write(Saved(step=4, path=tmp_path, best=False, seconds=0.0))
    log.close()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(record["event"], record["step"]) for record in records] == [
        ("warned", 1),
        ("warned", 2),
        ("warned", 3),
        ("saved", 4),
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_the_log_its_lines_and_is_told_once(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl", keep_until=None)
    log._file = open("/dev/full", "a", buffering=1)  # noqa: SIM115
    first, second = (log.write(Warned(step=step, message="x")) for step in (1, 2))
    assert first is not None
    assert "disk is full" in first.what
    assert second is None
    shutil.rmtree(tmp_path)
