"""The forward step at fixed shapes: one token for every lane, each at its own place, without a look at the host.

The same arithmetic as Transformer.forward with a cache, for T = 1, but ids and positions are tensors that stay where
they are: what a CUDA graph needs. Attention reads the first `span` slots of the cache and masks what a lane has not
reached, so a short text does not pay for a long context. The slow twin is Transformer.forward.

Shapes as in model/transformer.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tinychat.model.transformer import Attention, Block, Transformer, rotate

SPANS = (128, 256, 512)  # then doubling: a captured step serves every position below its span


def span_for(length: int, most: int) -> int:
    """The smallest span that holds `length` slots; `most` is all there are."""
    span = next((each for each in SPANS if each >= length), 0)
    if not span:
        span = SPANS[-1]
        while span < length:
            span *= 2
    return min(span, most)


def forward(model: Transformer, keys: Tensor, values: Tensor, ids: Tensor, positions: Tensor, span: int) -> Tensor:
    """Logits (B, V), float32, of what follows `ids` (B,) at `positions` (B,), which must be below `span`.

    `keys` and `values` (layers, B, G, slots, E) are KVCache.memory and are written in place. A lane that is not
    taking part stands at the last slot, which is never read by another.
    """
    known = positions.clamp(max=model.config.context - 1)
    x = F.embedding(ids, model.embedding.weight).unsqueeze(1)  # (B, 1, D)
    if model.positions is not None:
        x = x + F.embedding(known, model.positions.weight).unsqueeze(1)
    rope = None
    if model.rope is not None:
        cos, sin = model.rope.index_select(1, known).unsqueeze(-2).unsqueeze(-2).unbind()  # (B, 1, 1, E)
        rope = cos, sin
    columns = torch.arange(span, device=ids.device)
    mask = (columns <= positions.unsqueeze(-1)).unsqueeze(1).unsqueeze(1)  # (B, 1, 1, span)
    for layer, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        x = x + _attend(block.attention, block.attention_norm(x), rope, keys[layer], values[layer], positions, mask)
        x = x + block.feed_forward(block.feed_forward_norm(x))
    x = model.norm(x).squeeze(1)
    return F.linear(x, model.embedding.weight if model.head is None else model.head.weight).float()


def _attend(
    attention: Attention,
    x: Tensor,
    rope: tuple[Tensor, Tensor] | None,
    keys: Tensor,
    values: Tensor,
    positions: Tensor,
    mask: Tensor,
) -> Tensor:
    B, _, D = x.shape
    H, G, E = attention.heads, attention.groups, attention.head_width
    qkv = attention.qkv(x).view(B, 1, H + 2 * G, E)
    qk, v = qkv[:, :, : H + G], qkv[:, :, H + G :]
    if rope is not None:
        qk = rotate(qk, rope)
    rows = torch.arange(B, device=x.device)
    keys.transpose(1, 2).index_put_((rows, positions), qk[:, 0, H:])
    values.transpose(1, 2).index_put_((rows, positions), v[:, 0])
    q = qk[:, 0, :H].reshape(B, G, H // G, E)  # the heads of a group stand as rows of one query
    span = mask.shape[-1]
    y = F.scaled_dot_product_attention(q, keys[:, :, :span], values[:, :, :span], attn_mask=mask)
    out: Tensor = attention.output(y.reshape(B, 1, D))
    return out
