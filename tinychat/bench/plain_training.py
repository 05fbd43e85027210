"""Training written out by hand in plain PyTorch: what the trainer's speed is held against.

The same network with the same weights, from torch's own modules; torch's cross-entropy, clipping and AdamW. It reads
rows out of one array in memory, evaluates nothing and checks nothing.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer


class _Block(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        kv = config.n_kv_heads * config.head_width
        ups = 2 if config.activation == "swiglu" else 1
        self.norm1, self.norm2 = _norm(config), _norm(config)
        self.qkv = nn.Linear(config.width, config.width + 2 * kv, bias=config.bias)
        self.out = nn.Linear(config.width, config.width, bias=config.bias)
        self.up = nn.Linear(config.width, ups * config.n_hidden, bias=config.bias)
        self.down = nn.Linear(config.n_hidden, config.width, bias=config.bias)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        c = self.config
        B, T, D = x.shape
        kv = c.n_kv_heads * c.head_width
        parts = torch.split(self.qkv(self.norm1(x)), [D, kv, kv], dim=-1)
        q, k, v = (part.view(B, T, -1, c.head_width).transpose(1, 2) for part in parts)
        if c.position == "rotary":
            q, k = _turned(q, cos, sin), _turned(k, cos, sin)
        drop = c.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=drop, enable_gqa=c.n_kv_heads != c.heads)
        x = x + F.dropout(self.out(y.transpose(1, 2).reshape(B, T, D)), drop)
        h = self.up(self.norm2(x))
        if c.activation == "swiglu":
            gate, h = h.chunk(2, dim=-1)
            h = F.silu(gate) * h
        elif c.activation == "relu2":
            h = F.relu(h) ** 2
        else:
            h = F.gelu(h, approximate="tanh" if c.activation == "gelu_tanh" else "none")
        return x + F.dropout(self.down(h), drop)


class PlainModel(nn.Module):
    """ids (B, T) to logits (B, T, V); the weights of `like`."""

    def __init__(self, like: Transformer) -> None:
        super().__init__()
        config = self.config = like.config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.context, config.width) if config.position == "learned" else None
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = _norm(config)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        if config.tie:
            self.head.weight = self.embedding.weight
        half = torch.arange(0, config.head_width, 2) / config.head_width
        angles = torch.outer(torch.arange(config.context).float(), config.rope_theta**-half).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        names = {
            "attention_norm": "norm1", "feed_forward_norm": "norm2", "attention.qkv": "qkv",
            "attention.output": "out", "feed_forward.up": "up", "feed_forward.down": "down",
        }  # fmt: skip
        state = {}
        for name, tensor in like.state_dict().items():
            for theirs, mine in names.items():
                name = name.replace(f".{theirs}.", f".{mine}.")
            state[name] = tensor
        if config.tie:
            state["head.weight"] = state["embedding.weight"]
        self.load_state_dict({**state, "cos": self.cos, "sin": self.sin})

    def forward(self, ids: Tensor) -> Tensor:
        T = ids.shape[1]
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions(torch.arange(T, device=ids.device))
        x = F.dropout(x, self.config.dropout, self.training)
        cos, sin = self.get_buffer("cos")[:T], self.get_buffer("sin")[:T]
        for block in self.blocks:
            x = block(x, cos, sin)
        logits: Tensor = self.head(self.norm(x))
        return logits


def plain_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    *,
    micro_rows: int,
    clip: float,
    casting: Any,
) -> float:
    """One optimizer step over (N, T) ids and targets; the loss."""
    total = 0.0
    parts = len(x) // micro_rows
    for ids, targets in zip(x.split(micro_rows), y.split(micro_rows), strict=True):  # type: ignore[no-untyped-call]
        with casting():
            logits = model(ids)
        loss = F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.reshape(-1)) / parts
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    if clip:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def _norm(config: ModelConfig) -> nn.Module:
    if config.norm == "rms":
        return nn.RMSNorm(config.width, eps=config.norm_eps)
    return nn.LayerNorm(config.width, eps=config.norm_eps, bias=config.bias)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin
