"""Play on a run that trains: a checkpoint that lands is told, loaded by f, or by itself where nothing was drawn."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinychat.engine.wire import Open, SetContext
from tinychat.model import checkpoint
from tinychat.model.checkpoint import CheckpointInfo, expected_tensors
from tinychat.model.config import ModelConfig
from tinychat.text.tokenizer import Tokenizer


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that this process trains."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / ".lock").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    return folder


def _land(run: Path, tokenizer: Tokenizer, step: int) -> CheckpointInfo:
    config = ModelConfig(vocab_size=tokenizer.vocab_size, context=128, width=4, layers=1, heads=1)
    return checkpoint.write(
        run / "ckpt.safetensors",
        arrays={name: np.full(shape, step / 1000, np.float32) for name, shape in expected_tensors(config).items()},
        config=config,
        tokenizer_json=tokenizer.to_json(),
        chat_template="",
        step=step,
        training={},
    )


def _opened(play: Any) -> list[str]:
    return [command.path for command in play.decoder.sent if isinstance(command, Open)]


async def test_with_nothing_drawn_a_checkpoint_that_lands_is_loaded_under_the_prompt(
    start: Any, run: Path, tokenizer: Tokenizer
) -> None:
    async with start(run=run) as play:
        assert "the run is training" in play.text()
        landed = _land(run, tokenizer, 200)
        play.screen.look_at_run()
        await play.settle()
        assert _opened(play)[1:] == [str(landed.path)]
        assert isinstance(play.decoder.sent[-1], SetContext)
        assert play.player.context == 128
        assert (play.screen.source.step, play.screen.source.digest) == (200, landed.digest)
        for expected in ("small step 200", "/128", "step 200 is loaded"):
            assert expected in play.text(), expected


async def test_under_a_reply_it_is_told_once_and_f_loads_it_with_the_text_kept(
    start: Any, run: Path, tokenizer: Tokenizer
) -> None:
    async with start(run=run) as play:
        await play.run_some(6)
        await play.press("escape")
        ids = list(play.player.session.tree.path.ids)
        landed = _land(run, tokenizer, 300)
        play.screen.look_at_run()
        await play.settle()
        assert "a new checkpoint has landed: step 300, f loads it" in play.text()
        assert len(_opened(play)) == 1
        play.screen.say("something else")
        play.screen.look_at_run()
        await play.settle()
        assert "something else" in play.text()  # not told again
        await play.press("f")
        assert _opened(play)[1:] == [str(landed.path)]
        assert list(play.player.session.tree.path.ids) == ids
        assert play.screen.keeper is not None
        assert play.screen.keeper.saver.source.step == 300
        await play.press("f")
        assert "nothing newer yet; the run is training" in play.text()
        assert len(_opened(play)) == 2


async def test_another_vocabulary_is_refused(start: Any, run: Path) -> None:
    async with start(run=run, editing=False) as play:
        _land(run, Tokenizer.train(["other words entirely, and more of them"] * 4, vocab_size=290), 50)
        await play.press("f")
        assert "another vocabulary now" in play.text()
        assert len(_opened(play)) == 1


async def test_without_a_run_f_says_how_to_follow_one(start: Any) -> None:
    async with start(editing=False) as play:
        await play.press("f")
        assert "tinychat play RUN_FOLDER" in play.text()
