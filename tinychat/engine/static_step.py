"""The forward step at fixed shapes: one token for every lane, each at its own place, without a look at the host.

The same arithmetic as Transformer.forward with a cache, for T = 1, but ids and positions are tensors that stay where
they are: what a CUDA graph needs. Attention reads the first `span` slots of the cache and masks what a lane has not
reached, so a short text does not pay for a long context. On a device every small kernel costs its launch: what all
layers share (the mask, the angles) is made once, and what a block adds is added by the product that makes it. The slow
twin is Transformer.forward.

Shapes as in model/transformer.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tinychat.model.transformer import Attention, Block, Transformer, rotate

SPANS = (128, 256, 512)  # then doubling: a captured step serves every position below its span

# on CUDA flash attention takes no mask, and cuDNN's would be planned anew for every span, if it takes one query at all
_ATTENTION = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
_ALIGNED = 8  # a mask whose rows begin at multiples of this needs no copy in CUDA's memory-efficient attention

Layers = Sequence[tuple[Tensor, Tensor]]  # keys and values (B, G, slots, E) of every layer


class _Shared(NamedTuple):
    rope: tuple[Tensor, Tensor] | None  # (B, 1, 1, E) each
    mask: Tensor  # (B G, 1, 1, span), 0 or -inf
    places: tuple[Tensor, Tensor, Tensor]  # of the new keys: lanes (B, 1), groups (1, G), slots (B, 1)


def span_for(length: int, most: int) -> int:
    """The smallest span that holds `length` slots; `most` is all there are."""
    span = next((each for each in SPANS if each >= length), 0)
    if not span:
        span = SPANS[-1]
        while span < length:
            span *= 2
    return min(span, most)


def forward(model: Transformer, layers: Layers, ids: Tensor, positions: Tensor, span: int) -> Tensor:
    """Logits (B, V), in the model's number type, of what follows `ids` (B,) at `positions` (B,).

    Keys and values are written in place. A lane whose position is below `span` sees all of itself; one that is not
    taking part stands at the last slot, which nobody reads.
    """
    known = positions.clamp(max=model.config.context - 1)
    x = model.embedding(ids).unsqueeze(1)  # (B, 1, D)
    if model.positions is not None:
        x = x + model.positions(known).unsqueeze(1)
    rope = None
    if model.rope is not None:
        cos, sin = model.rope.index_select(1, known).to(x.dtype).unsqueeze(-2).unsqueeze(-2).unbind()
        rope = cos, sin
    width = -(-span // _ALIGNED) * _ALIGNED
    hidden = torch.arange(width, device=ids.device) > positions.unsqueeze(-1)
    mask = torch.zeros(hidden.shape, dtype=x.dtype, device=ids.device).masked_fill(hidden, -math.inf)
    lanes = torch.arange(ids.shape[0], device=ids.device).unsqueeze(-1)
    groups = torch.arange(model.config.n_kv_heads, device=ids.device).unsqueeze(0)
    # every axis has its index: on a transposed view torch's compiler would copy the whole cache and put it back
    places = (lanes, groups, positions.unsqueeze(-1))
    mask = mask.unsqueeze(1).expand(-1, model.config.n_kv_heads, -1).flatten(0, 1).unsqueeze(1).unsqueeze(1)
    # cut last: a new axis would take its stride from the cut, and that is no multiple of _ALIGNED
    shared = _Shared(rope, mask[..., :span], places)
    with sdpa_kernel(_ATTENTION) if ids.is_cuda else nullcontext():
        for (keys, values), block in zip(layers, model.blocks, strict=True):
            assert isinstance(block, Block)
            seen = _attend(block.attention, block.attention_norm(x), shared, keys, values)
            x = _plus(x, block.attention.output, seen)
            x = _plus(x, block.feed_forward.down, block.feed_forward.bent(block.feed_forward_norm(x)))
    return model.logits(model.norm(x).squeeze(1))


def _attend(attention: Attention, x: Tensor, shared: _Shared, keys: Tensor, values: Tensor) -> Tensor:
    """What each head has seen (B, 1, D), before the output's product."""
    B, _, D = x.shape
    H, G, E = attention.heads, attention.groups, attention.head_width
    qkv = attention.qkv(x).view(B, 1, H + 2 * G, E)
    qk, v = qkv[:, :, : H + G], qkv[:, :, H + G :]
    if shared.rope is not None:
        qk = rotate(qk, shared.rope)
    keys.index_put_(shared.places, qk[:, 0, H:])
    values.index_put_(shared.places, v[:, 0])
    # the heads of a group stand as rows of one query, and each group for itself: CUDA's kernel gives its heads back
    # behind the rows, and putting them in front again would be a copy in every layer
    q = qk[:, 0, :H].reshape(B * G, 1, H // G, E)
    span = shared.mask.shape[-1]
    k, v = (each.flatten(0, 1).unsqueeze(1)[:, :, :span] for each in (keys, values))  # (B G, 1, span, E)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=shared.mask).reshape(B, 1, D)


def _plus(x: Tensor, layer: nn.Module, y: Tensor) -> Tensor:
    """`x` plus what a layer makes of `y`; `x` may be changed."""
    if isinstance(layer, nn.Linear) and layer.bias is None and not torch.compiler.is_compiling():
        x.flatten(0, 1).addmm_(y.flatten(0, 1), layer.weight.t())  # one kernel, which a compiler makes by itself
        return x
    added: Tensor = layer(y)
    return x + added
