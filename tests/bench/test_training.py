"""Plain PyTorch trains the same network as the trainer, so the ratio of their speeds compares like with like."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tinychat.bench import training_door
from tinychat.bench.plain_training import PlainModel
from tinychat.bench.training import PARTS
from tinychat.model.config import PRESETS, ModelConfig
from tinychat.model.transformer import Transformer

TINY = """
[model]
context = 8
width = 16
layers = 1
heads = 2
[tokenizer]
kind = "characters"
[train]
steps = 1
tokens_per_step = 32
device = "cpu"
threads = 1
optimizer = "muon"
"""


@pytest.mark.parametrize(
    "shape",
    [
        {"kv_heads": 1},
        {"activation": "relu2", "tie": False},
        {"activation": "gelu", "norm": "layer", "position": "learned"},
        PRESETS["gpt2"],
    ],
)
def test_the_plain_network_is_the_same_one(shape: dict[str, object]) -> None:
    model = Transformer(ModelConfig(vocab_size=30, context=12, width=16, layers=2, heads=2, **shape))  # type: ignore[arg-type]
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(1))
    ids = torch.arange(20).view(2, 10)
    assert torch.allclose(model.eval()(ids), PlainModel(model).eval()(ids), atol=1e-5)


def test_the_json_says_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(TINY)
    assert training_door.run(config, as_json=True, quick=True) == 0
    found = json.loads(capsys.readouterr().out)
    train = found["train"]
    assert found["schema"] == "tinychat.bench.train/1"
    assert train["same_network_to"] < 1e-4
    assert train["ratio"]["median"] > 0
    assert len(train["ratio"]["rounds"]) == train["rounds"]
    assert set(train["step_parts_s"]) == set(PARTS)
    assert all(seconds > 0 for seconds in train["step_parts_s"].values())
    assert train["tokens_per_step"] == 32
    shown = training_door.lines(train, found["machine"])
    assert max(map(len, shown)) <= 80
    assert any("ratio" in line for line in shown)
