"""A run is followed by its files: the newest checkpoint is found, told once it landed, and never a torn one."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from tinychat.errors import FileFormatError
from tinychat.model import checkpoint
from tinychat.model.checkpoint import CheckpointInfo, expected_tensors
from tinychat.model.config import ModelConfig
from tinychat.model.follow import Follow, is_training, to_open
from tinychat.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["the cat sat on the mat. "] * 4, vocab_size=270)
CONFIG = ModelConfig(vocab_size=TOKENIZER.vocab_size, context=8, width=4, layers=1, heads=1)


def _land(path: Path, step: int) -> CheckpointInfo:
    """A checkpoint as a run writes it, with weights of its own."""
    return checkpoint.write(
        path,
        arrays={name: np.full(shape, step / 1000, np.float32) for name, shape in expected_tensors(CONFIG).items()},
        config=CONFIG,
        tokenizer_json=TOKENIZER.to_json(),
        chat_template="",
        step=step,
        training={},
    )


def _hold(run: Path, pid: int, host: str = "") -> None:
    (run / ".lock").write_text(json.dumps({"pid": pid, "host": host or socket.gethostname(), "since": "now"}))


def _gone() -> int:
    """The number of a process that has ended."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_a_run_trains_while_its_process_lives_on_this_machine(tmp_path: Path) -> None:
    assert not is_training(tmp_path)
    _hold(tmp_path, os.getpid())
    assert is_training(tmp_path)
    _hold(tmp_path, os.getpid(), host="elsewhere")
    assert not is_training(tmp_path)
    _hold(tmp_path, _gone())
    assert not is_training(tmp_path)
    (tmp_path / ".lock").write_text('["torn')
    assert not is_training(tmp_path)


def test_of_a_run_that_trains_the_newest_is_opened_of_a_finished_one_the_best(tmp_path: Path) -> None:
    _land(tmp_path / "best.safetensors", 100)
    _land(tmp_path / "ckpt.safetensors", 300)
    assert to_open(tmp_path) == tmp_path / "best.safetensors"
    _hold(tmp_path, os.getpid())
    assert to_open(tmp_path) == tmp_path / "ckpt.safetensors"
    assert to_open(tmp_path / "best.safetensors") == tmp_path / "best.safetensors"


def test_a_run_without_a_checkpoint_says_whether_to_wait(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"without best\.safetensors"):
        to_open(tmp_path)
    _hold(tmp_path, os.getpid())
    with pytest.raises(FileFormatError, match="has saved nothing yet"):
        to_open(tmp_path)


def test_what_lands_is_told_until_it_is_opened_and_only_what_is_newer(tmp_path: Path) -> None:
    best, latest = tmp_path / "best.safetensors", tmp_path / "ckpt.safetensors"
    first = _land(best, 100)
    follow = Follow(tmp_path, step=first.step, digest=first.digest)
    assert follow.look() is None
    _land(latest, 200)
    for _ in range(2):
        landed = follow.look()
        assert landed is not None
        assert (landed.step, landed.path) == (200, latest)
    _land(best, 150)  # newer than the open one, older than what is known
    newest = follow.look()
    assert newest is not None
    assert newest.step == 200
    follow.opened(newest)
    assert follow.look() is None
    os.utime(latest)  # touched, and the same
    assert follow.look() is None


def test_a_damaged_file_is_passed_over_and_a_run_begun_anew_is_told(tmp_path: Path) -> None:
    info = _land(tmp_path / "best.safetensors", 100)
    follow = Follow(tmp_path, step=100, digest=info.digest)
    (tmp_path / "ckpt.safetensors").write_bytes(b"torn")
    assert follow.look() is None
    (tmp_path / "best.safetensors").unlink()
    assert follow.look() is None
    _land(tmp_path / "best.safetensors", 20)
    landed = follow.look()
    assert landed is not None
    assert landed.step == 20
