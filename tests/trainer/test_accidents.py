"""What people and disks do to a run folder costs no training: removed files, wrong names, too little room."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinychat import files
from tinychat.errors import CorpusError, NumbersError, OutOfMemoryError_, StorageError, TinychatError, UsageError
from tinychat.model.checkpoint import inspect
from tinychat.text.tokenizer import SPECIALS, Tokenizer
from trainer import checkpoints, loop
from trainer.config import TrainConfig
from trainer.config_file import parse
from trainer.evaluate import Score
from trainer.events import Event, Saved, Stopped, TrainStep, Warned
from trainer.learner import Learner
from trainer.loop import train

BASE = """
[tokenizer]
vocab_size = 280
[data]
valid_fraction = 0.1
[model]
context = 16
width = 16
layers = 1
heads = 2
[train]
steps = 6
tokens_per_step = 96
threads = 1
device = "cpu"
[sample]
every = 0
[save]
every = 2
"""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.jsonl"
    dice = random.Random(5)
    rows = [" ".join(dice.choices(["fox", "owl", "mill", "red", "ran"], k=dice.randint(4, 20))) for _ in range(60)]
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return path


def _config(text: Path, *overrides: str) -> TrainConfig:
    return parse(BASE, name="test", overrides=[f"data.text={text}", *overrides])


def _run(config: TrainConfig, out: Path, **keywords: Any) -> list[Event]:
    return list(train(config, out=out, **keywords))


def _warnings(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]


def _weights(out: Path) -> bytes:
    return (sorted((out / "checkpoints").iterdir())[-1] / "state.safetensors").read_bytes()


def _steps(events: list[Event], last: int) -> Iterator[TrainStep]:
    return (event for event in events if isinstance(event, TrainStep) and event.step <= last)


# --- before anything is written ----------------------------------------------------------------------------------


@pytest.mark.parametrize("override", ["data.text=typo.txt", "tokenizer.path=typo.json"])
def test_a_wrong_name_never_costs_the_run_that_fresh_would_replace(override: str, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _run(_config(text), out)
    before = _weights(out)
    with pytest.raises(TinychatError) as caught:
        _run(_config(text, override), out, fresh=True)
    assert "typo" in str(caught.value)
    assert _weights(out) == before


def test_the_door_refuses_before_a_folder_is_made(text: Path, tmp_path: Path) -> None:
    from trainer.door import run_train

    config = tmp_path / "a.toml"
    config.write_text(BASE)
    out = tmp_path / "run"
    with pytest.raises(CorpusError, match=r"typo\.txt"):
        run_train(config, out=out, overrides=["data.text=typo.txt"])
    with pytest.raises(UsageError, match="no run"):
        run_train(config, out=out, resume=True)
    assert not out.exists()


# --- the prepared text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_damaged_tokens_are_found_and_made_again(damage: str, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _run(_config(text, "train.steps=3"), out)
    shard = out / "data" / "train-00-00000.bin"
    whole = shard.read_bytes()
    if damage == "flip":
        shard.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1, whole[-1]]))
    else:
        shard.unlink()
    events = _run(_config(text), out, resume=True)
    assert any(shard.name in message and "made again" in message for message in _warnings(events))
    assert shard.read_bytes() == whole
    assert isinstance(events[-1], Stopped)
    assert events[-1].step == 6


def test_chats_need_a_vocabulary_with_roles(tmp_path: Path) -> None:
    model = Tokenizer.train(["the fox ran " * 20], vocab_size=270).to_json()
    plain = json.loads(model)
    plain["added_tokens"] = plain["added_tokens"][:1]
    plain["model"]["vocab"] = {
        name: number for name, number in plain["model"]["vocab"].items() if name[:2] != "<|" or name == SPECIALS[0]
    }
    numbers = {name: new for new, name in enumerate(plain["model"]["vocab"])}
    plain["model"]["vocab"] = numbers
    plain["added_tokens"][0]["id"] = numbers[SPECIALS[0]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    chats = tmp_path / "chats.jsonl"
    row = {"messages": [{"role": "user", "content": "the fox"}, {"role": "assistant", "content": "ran"}]}
    chats.write_text(json.dumps(row) + "\n")
    config = _config(chats, f"tokenizer.path={tmp_path / 'tokenizer.json'}")
    with pytest.raises(CorpusError, match=r"chats\.jsonl:1: a chat, for which .*tokenizer\.json has no role tokens"):
        _run(config, tmp_path / "run")


def test_a_run_goes_on_when_its_text_is_gone(text: Path, tmp_path: Path) -> None:
    for name in ("whole", "moved"):
        _run(_config(text, "train.steps=3"), tmp_path / name)
    _run(_config(text), tmp_path / "whole", resume=True)
    gone = _config(text)
    text.unlink()
    events = _run(gone, tmp_path / "moved", resume=True)
    assert any("Going on with the tokens of then" in message for message in _warnings(events))
    assert _weights(tmp_path / "moved") == _weights(tmp_path / "whole")


# --- while it runs -----------------------------------------------------------------------------------------------


def test_a_folder_removed_under_the_run_is_made_again_and_can_be_resumed(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    events: list[Event] = []
    for event in train(_config(text), out=out):
        events.append(event)
        if isinstance(event, TrainStep) and event.step == 3:
            shutil.rmtree(out)
    assert any("was removed while it was in use" in message for message in _warnings(events))
    longer = _run(_config(text, "train.steps=8"), out, resume=True)
    assert isinstance(longer[-1], Stopped)
    assert longer[-1].step == 8


@pytest.mark.parametrize("stale", [True, False])
def test_a_kill_between_the_two_files_of_the_last_save_is_made_good(stale: bool, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    latest = out / "ckpt.safetensors"
    older = b""
    for event in train(_config(text), out=out):
        if isinstance(event, Saved) and event.step == 4 and not event.best:
            older = latest.read_bytes()
    whole = inspect(latest)
    if stale:
        latest.write_bytes(older)
    else:
        latest.unlink()
    events = _run(_config(text), out, resume=True)
    assert isinstance(events[-1], Stopped)
    assert events[-1].reason == "already finished"
    assert (inspect(latest).step, inspect(latest).digest) == (6, whole.digest)


def test_half_a_checkpoint_takes_no_room(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: Any, **__: Any) -> None:
        raise StorageError(f"{path}: the disk is full.")

    monkeypatch.setattr(checkpoints, "write_tensors", full)
    with pytest.raises(StorageError):
        _run(_config(text), tmp_path / "run")
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_a_whole_checkpoint_is_not_written_over_when_only_the_playable_file_failed(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    real = files.write_atomic

    def full(path: Path, chunks: Any) -> None:
        if path.name == "ckpt.safetensors":
            raise StorageError(f"{path}: the disk is full.")
        real(path, chunks)

    monkeypatch.setattr(files, "write_atomic", full)
    saved: list[int] = []
    write = checkpoints.save

    def noted(*args: Any, **given: Any) -> Path:
        saved.append(given["progress"].step)
        return write(*args, **given)

    monkeypatch.setattr(checkpoints, "save", noted)
    with pytest.raises(StorageError):
        _run(_config(text), out)
    assert saved == [2, 4, 6]
    found, broken = checkpoints.newest(out / "checkpoints")
    assert found is not None
    assert (found.progress.step, broken) == (6, [])


def test_a_held_out_loss_that_is_no_number_stops_the_run_and_saves_nothing(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Iterator[Event]:
        yield from ()
        return Score(float("nan"), 5, 5)  # type: ignore[return-value]  # what a generator hands back

    monkeypatch.setattr(loop, "evaluate", broken)
    with pytest.raises(NumbersError, match="Step 4: the held-out loss is nan"):
        _run(_config(text, "eval.every=4", "save.every=4"), tmp_path / "run")
    assert list((tmp_path / "run").rglob("*.safetensors")) == []


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        (["train.tokens_per_step=240", "train.micro_rows=15"], "train.micro_rows=5"),  # 7 does not divide the step
        (["train.micro_rows=1"], "make model.context or the model smaller"),
    ],
)
def test_the_hint_for_too_little_memory_is_a_config_that_works(
    overrides: list[str], hint: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Learner, "gradients", hungry)
    with pytest.raises(OutOfMemoryError_) as caught:
        _run(_config(text, *overrides), tmp_path / "run")
    assert hint in caught.value.hint


def test_time_before_the_first_step_is_in_no_forecast(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Learner.fresh

    def slow(*args: Any, **keywords: Any) -> Learner:
        learner = real(*args, **keywords)
        restore = learner.restore

        def slowly(*parts: Any) -> None:
            time.sleep(1.0)
            restore(*parts)

        monkeypatch.setattr(learner, "restore", slowly)
        return learner

    out = tmp_path / "run"
    _run(_config(text, "train.steps=2"), out)
    monkeypatch.setattr(Learner, "fresh", slow)
    events = _run(_config(text, "train.steps=30"), out, resume=True)
    first = next(_steps(events, 3))
    assert first.eta_s < 20  # with that second in every step it would be 27 and more


def test_files_that_may_not_grow_cost_one_save_and_no_training(text: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    out, events = tmp_path / "run", []
    _run(_config(text), tmp_path / "whole")
    try:
        for event in train(_config(text), out=out):
            events.append(event)
            if isinstance(event, TrainStep) and event.step == 3:
                # less than a checkpoint, more than the log
                resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
            if isinstance(event, TrainStep) and event.step == 5:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [message for message in _warnings(events) if message.startswith("not saved: ")]
    assert sorted(folder.name for folder in (out / "checkpoints").iterdir()) == ["step-000002", "step-000006"]
    assert list(out.rglob(files.TEMP_PREFIX + "*")) == []
    assert _weights(out) == _weights(tmp_path / "whole")


@pytest.mark.parametrize("left", [0, 600])
def test_tokens_that_are_cut_off_under_the_run_end_it_by_name(left: int, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def cut_off() -> None:
        for event in train(_config(text, "train.steps=200"), out=out):
            if isinstance(event, TrainStep) and event.step == 3:
                os.truncate(out / "data" / "train-00-00000.bin", left)

    with pytest.raises(CorpusError, match=r"train-00-00000\.bin") as caught:
        cut_off()
    assert caught.value.exit_code == 4
    found, _ = checkpoints.newest(out / "checkpoints")
    assert found is not None


def test_a_clock_that_jumps_moves_no_time_of_the_run(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = itertools.cycle([0.0, -86_400.0, 3.2e8, 2.0**31])
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int((real() + next(jumps)) * 1e9))
    steps = [event for event in _run(_config(text), tmp_path / "run") if isinstance(event, TrainStep)]
    elapsed = [event.elapsed_s for event in steps]
    assert elapsed == sorted(elapsed)
    assert elapsed[-1] < 600
    assert all(0 <= event.eta_s < 600 for event in steps)


# --- the folder itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_where_the_folder_should_be_is_named(name: str, text: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="there is a file of that name"):
        _run(_config(text), tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_without_room_for_the_lock_is_named(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trainer.run_folder.os.write", full)
    with pytest.raises(StorageError, match=r"\.lock: the disk is full"):
        _run(_config(text), tmp_path / "run")
