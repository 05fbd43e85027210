"""Small networks with weights that do something: zero-initialised outputs would hide every fault behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tinychat.model.config import PRESETS, ModelConfig
from tinychat.model.transformer import Transformer

SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "grouped": {"kv_heads": 2, "tie": False},
    "gpt2": PRESETS["gpt2"],
    "mixed": {"norm": "layer", "activation": "relu2", "kv_heads": 1, "bias": True},
}


@pytest.fixture(params=SHAPES)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    """One config of every kind."""
    return ModelConfig(vocab_size=61, context=48, width=32, layers=2, heads=4, **SHAPES[request.param])


@pytest.fixture
def network() -> Callable[[ModelConfig], Transformer]:
    """Makes a network with lively weights in eval mode."""

    def make(config: ModelConfig) -> Transformer:
        model = Transformer(config)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(0.25 * torch.randn(parameter.shape, generator=generator) + float(parameter.ndim == 1))
        return model.eval()

    return make
