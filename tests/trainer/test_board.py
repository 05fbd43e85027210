"""TensorBoard is an extra: refused by name where it is not installed, and fed with what the log holds where it is."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tinychat.errors import UsageError
from trainer import board
from trainer.config_file import parse
from trainer.events import Evaluated, Progress, Sampled
from trainer.resume import look_first
from trainer.run_folder import Log

ON = ["train.steps=5", "run.tensorboard=true"]


def test_a_missing_package_is_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as caught:
        look_first(parse("", name="x", overrides=ON), tmp_path / "run", resume=False, fresh=False)
    assert "pip install tensorboard" in caught.value.hint
    board.check(parse("", name="x", overrides=["train.steps=5"]))
    assert not (tmp_path / "run").exists()


def test_the_log_feeds_it_and_a_resumed_run_takes_back_what_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []

    class Writer:
        def __init__(self, **given: Any) -> None:
            seen.append(("made", given["purge_step"]))

        def add_scalar(self, *given: Any) -> None:
            seen.append(given)

        def add_text(self, *given: Any) -> None:
            seen.append(given)

        def close(self) -> None:
            seen.append(("closed",))

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    log = Log(tmp_path / "log.jsonl", keep_until=None, board=board.Board(tmp_path / "tensorboard", 4))
    log.write(Evaluated(step=6, loss=1.5, bits_per_byte=0.7, tokens=9, best=True, seconds=1.0))
    log.write(Sampled(step=6, prompt="a", text="b", temperature=1.0))
    log.write(Progress(what="x", done=0, total=0, unit=""))
    log.close()
    assert seen == [
        ("made", 5),
        ("loss/held out", 1.5, 6),
        ("bits per byte/held out", 0.7, 6),
        ("sample", "ab", 6),
        ("closed",),
    ]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
