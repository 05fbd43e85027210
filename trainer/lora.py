"""Adapters: small matrices beside the frozen ones, which alone are trained.

Hu et al. 2021, LoRA: y = W x + (alpha / rank) B A x, with A drawn and B zero, so that a new adapter changes nothing.
Queries, keys and values are one matrix here and get one adapter. Nothing here knows files or steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinychat.model.transformer import Block, Transformer
from trainer.config import Lora, Target

HOLDERS: dict[Target, str] = {"qkv": "attention", "output": "attention", "up": "feed_forward", "down": "feed_forward"}
DOWN, UP, BASE = ".down", ".up", ".base"  # ends of the names of A, B and the frozen matrix


class LoraLinear(nn.Module):
    """A frozen linear layer (out, in) with an adapter: `down` is A (rank, in), `up` is B (out, rank)."""

    def __init__(self, base: nn.Linear, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = scale
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.normal_(self.down, 0.0, base.in_features**-0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.base(x)
        return found + F.linear(F.linear(x, self.down), self.up) * self.scale


def add_adapters(model: Transformer, lora: Lora, generator: torch.Generator) -> None:
    """Freeze the network and give its matrices adapters."""
    model.requires_grad_(False)
    for block in model.blocks:
        for target in lora.targets:
            holder = getattr(cast(Block, block), HOLDERS[target])
            setattr(holder, target, LoraLinear(getattr(holder, target), lora.rank, lora.scale, generator))


def is_adapter(name: str) -> bool:
    """Whether a parameter of a network with adapters is one of theirs; a plain matrix ends with .weight or .bias."""
    return name.endswith((DOWN, UP))


def merged(tensors: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The state of a network with adapters as that of a plain one: W + scale B A."""
    found = {}
    for name, tensor in tensors.items():
        if is_adapter(name):
            continue
        layer, is_base, kind = name.rpartition(f"{BASE}.")
        if is_base and kind == "weight":
            tensor = tensor + scale * (tensors[layer + UP] @ tensors[layer + DOWN])
        found[f"{layer}.{kind}" if is_base else name] = tensor
    return found
