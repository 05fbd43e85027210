"""The network written again, slowly, in numpy: what the C++ step is compared with, rounding for rounding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

Array = NDArray[np.float64]


def variant(seed: int = 0, **changes: Any) -> Transformer:
    """A small network of that kind with lively random weights."""
    import torch

    shape = {"vocab_size": 101, "context": 64, "width": 48, "layers": 2, "heads": 4}
    model = Transformer(ModelConfig(**(shape | changes)))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            centre, spread = (1.0, 0.2) if parameter.ndim == 1 else (0.0, 0.25)
            parameter.normal_(centre, spread, generator=generator)
    return model.eval().requires_grad_(False)


def as_int16(x: Array) -> Array:
    """A vector in front of int8 weights: whole numbers so large that their sums fit 31 bits, times a scale."""
    finest = min(32767, (2**31 - 1) // 127 // len(x))
    largest = np.abs(x).max()
    return np.rint(x * (finest / largest)) * (largest / finest)


def as_bfloat16(x: Array) -> Array:
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32)
    return rounded.view(np.float32).astype(np.float64)


def logits_after(model: Transformer, ids: list[int], *, small: bool = False, coarse: bool = False) -> Array:
    """Logits (T, V) after each id, one by one; `small` rounds before every product, `coarse` what is remembered."""
    config = model.config
    weights = {name: each.detach().double().numpy() for name, each in model.named_parameters()}
    H, G, E = config.heads, config.n_kv_heads, config.head_width
    memory: list[tuple[list[Array], list[Array]]] = [([], []) for _ in range(config.layers)]

    def times(name: str, x: Array) -> Array:
        y: Array = weights[name + ".weight"] @ (as_int16(x) if small else x)
        return y + weights.get(name + ".bias", 0.0)

    def normed(name: str, x: Array) -> Array:
        x = x - x.mean() if config.norm == "layer" else x
        return x / np.sqrt((x * x).mean() + config.norm_eps) * weights[name + ".weight"] + weights.get(
            name + ".bias", 0.0
        )

    def turned(x: Array, position: int) -> Array:
        if config.position == "learned":
            return x
        angle = position / config.rope_theta ** (np.arange(0, E, 2) / E)
        a, b = x[: E // 2], x[E // 2 :]
        return np.concatenate((a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)))

    def bent(x: Array) -> Array:
        if config.activation == "swiglu":
            gate, up = np.split(x, 2)
            return gate / (1 + np.exp(-gate)) * up
        if config.activation == "relu2":
            return np.maximum(x, 0) ** 2
        if config.activation == "gelu":
            return x * 0.5 * (1 + np.array([math.erf(each / math.sqrt(2)) for each in x]))
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    lines = []
    for position, token in enumerate(ids):
        x = weights["embedding.weight"][token]
        if config.position == "learned":
            x = x + weights["positions.weight"][position]
        for layer, (keys, values) in enumerate(memory):
            name = f"blocks.{layer}."
            qkv = times(name + "attention.qkv", normed(name + "attention_norm", x)).reshape(H + 2 * G, E)
            q = np.stack([turned(each, position) for each in qkv[:H]])
            k, v = np.stack([turned(each, position) for each in qkv[H : H + G]]), qkv[H + G :]
            keys.append(as_bfloat16(k) if coarse else k)
            values.append(as_bfloat16(v) if coarse else v)
            mixed = []
            for head in range(H):
                scores = np.array([each[head // (H // G)] @ q[head] for each in keys]) / math.sqrt(E)
                weight = np.exp(scores - scores.max())
                mixed.append(np.array([each[head // (H // G)] for each in values]).T @ (weight / weight.sum()))
            x = x + times(name + "attention.output", np.concatenate(mixed))
            up = times(name + "feed_forward.up", normed(name + "feed_forward_norm", x))
            x = x + times(name + "feed_forward.down", bent(up))
        lines.append(times("embedding" if model.head is None else "head", normed("norm", x)))
    return np.stack(lines)
