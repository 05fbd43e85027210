"""What every test shares: one thread for torch, and folders of its own for everything a program may write."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# before torch is imported anywhere: two cores and several workers make more threads slower, and one thread is exact
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TINYCHAT_STEP", "eager")  # every test has a cache folder of its own, and would fill it anew

# behind nohup or in the background a suite starts with some signals ignored, as would all that it starts, for ever
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# a busy machine must not fail a test: how long an example takes is no promise
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A path for each test. pytest would look through all earlier ones to number the next, thousands of times."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_folders(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing a test starts writes into the person's home."""
    home = next(_homes)
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with random weights, chats included: real in everything but what it says."""
    import torch

    from tinychat.model import checkpoint as checkpoints
    from tinychat.model.config import ModelConfig
    from tinychat.model.transformer import Transformer, to_arrays
    from tinychat.text import chat
    from tinychat.text.tokenizer import Tokenizer

    words = "the fox saw a moon over the pond and the owl sang to the little boat by the river "
    tokenizer = Tokenizer.train([words * 20, "Once upon a time there was a fox. " * 20], vocab_size=300)
    config = ModelConfig(vocab_size=tokenizer.vocab_size, context=64, width=32, layers=2, heads=2)
    torch.manual_seed(0)
    model = Transformer(config)
    model.init_weights(torch.Generator().manual_seed(0))
    with torch.no_grad():  # sharper than at the start of training, so that temperature matters
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(std=0.3, generator=torch.Generator().manual_seed(weight.shape[0]))
    path = tmp_path_factory.mktemp("model") / "ckpt.safetensors"
    checkpoints.write(
        path,
        arrays=to_arrays(model.state_dict()),
        config=config,
        tokenizer_json=tokenizer.to_json(),
        chat_template=chat.TEMPLATE,
        step=7,
        training={"valid_loss": 1.25},
    )
    return path


class Run:
    """One command, run in this process."""

    def __init__(self, code: int, out: bytes, err: str) -> None:
        self.code = code
        self.bytes = out
        self.text = out.decode()
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def tinychat(monkeypatch: pytest.MonkeyPatch):
    """Run `tinychat ARGS` with stdin bytes, through the real entry point."""
    from tinychat import __main__ as entry

    def run(*args: object, stdin: bytes = b"") -> Run:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["tinychat", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            entry.main()
        code = ended.value.code
        assert isinstance(code, int)
        err.flush()
        return Run(code, out.buffer.getvalue(), err.buffer.getvalue().decode())

    return run


@pytest.fixture
def sample(tinychat, checkpoint: Path):
    def run(*args: object, stdin: bytes = b"") -> Run:
        return tinychat("sample", "-m", checkpoint, *args, stdin=stdin)

    return run
