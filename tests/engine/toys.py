"""Small networks with wide random weights, and their slow twin: the whole text through the model, no cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

VOCAB = 48
PROMPT = [1, 2, 3, 4, 5]


def a_toy(seed: int = 3, *, layers: int = 2, tie: bool = True, context: int = 128, vocab: int = VOCAB) -> Transformer:
    """In float64: passes over one token and over several then agree to the last float32 digit."""
    config = ModelConfig(vocab_size=vocab, context=context, width=16, layers=layers, heads=2, kv_heads=1, tie=tie)
    model = Transformer(config).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.3, generator=generator)
    return model.eval().requires_grad_(False)


def logits_of(model: Transformer, ids: Sequence[int]) -> Tensor:
    """(V,), float32."""
    with torch.inference_mode():
        logits: Tensor = model(torch.tensor([list(ids)]))[0, -1].float()
    return logits


def drawn(engine: Engine, count: int, params: SamplingParams, **where: int) -> list[int]:
    return [engine.step(params, **where).token for _ in range(count)]
