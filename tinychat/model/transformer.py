"""One decoder-only transformer for both families of the field: Llama-like and GPT-2-like.

Pre-norm blocks (Xiong et al. 2020) with RMSNorm or LayerNorm, rotary (Su et al. 2021, Llama's half-split form) or
learned positions, grouped-query attention (Ainslie et al. 2023), SwiGLU (Shazeer 2020), GELU or squared ReLU (So et
al. 2021). Weights of queries, keys and values are one matrix, and so are gate and up. Nothing here knows text,
sampling or training.

Shapes, here and everywhere in tinychat:
    B batch or lanes    T new tokens       S tokens a query may see    D model width     V vocabulary
    H query heads       G key/value heads  E head width                F hidden width    N candidates
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinychat.model import checkpoint
from tinychat.model.cache import KVCache, Slots
from tinychat.model.checkpoint import CheckpointInfo
from tinychat.model.config import ModelConfig
from tinychat.model.norms import norm_of
from tinychat.model.tensors import Array

INIT_STD = 0.02  # GPT-2's


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the new tokens stand and what they may see: one per forward, shared by all layers."""

    positions: Tensor | slice  # (B, T), or one range for all rows
    mask: Tensor | None  # (B or 1, 1, T, S), True where a query may look
    causal: bool  # the plain triangle, without a mask in memory


class Linear(nn.Linear):
    """torch's, but on the meta device without drawing first weights: that alone would load torch's compiler, 1.5 s."""

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


class Embedding(nn.Embedding):
    """torch's, quiet on the meta device for the same reason."""

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


class Attention(nn.Module):
    """Grouped-query self-attention; query head h reads key/value head h // (H / G)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.groups, self.head_width = config.heads, config.n_kv_heads, config.head_width
        inner = (self.heads + 2 * self.groups) * self.head_width
        self.qkv = Linear(config.width, inner, bias=config.bias)
        self.output = Linear(config.width, config.width, bias=config.bias)
        self.dropout = config.dropout

    def forward(
        self,
        x: Tensor,
        reach: Reach,
        rope: tuple[Tensor, Tensor] | None,
        layer: int,
        cache: KVCache | None,
        slots: Slots | None,
    ) -> Tensor:
        B, T, D = x.shape
        H, G, E = self.heads, self.groups, self.head_width
        qkv = self.qkv(x).view(B, T, H + 2 * G, E)
        qk, v = qkv.split((H + G, G), dim=2)  # on the way back a split is one copy, slices are a sum of padded ones
        if rope is not None:
            qk = rotate(qk, rope)  # queries and keys turn alike, so in one go
        q, k = qk.split((H, G), dim=2)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, E), and (B, G, T, E) twice
        if cache is not None and slots is not None:
            k, v = cache.write(layer, k, v, slots)  # (B, G, S, E)
        dropout = self.dropout if self.training else 0.0
        if T == 1:
            # the heads of a group stand as rows of one query: no expanded copy of the keys
            q = q.reshape(B, G, H // G, E)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=reach.mask, dropout_p=dropout)
            y = y.reshape(B, T, D)
        else:
            grouped = G != H
            if grouped and q.is_cuda and (reach.mask is not None or q.dtype == torch.float32):
                # CUDA's fast kernels for these take no groups: torch would keep all T x S weights of every head
                k, v = k.repeat_interleave(H // G, dim=1), v.repeat_interleave(H // G, dim=1)  # (B, H, S, E)
                grouped = False
            y = F.scaled_dot_product_attention(
                q, k, v, attn_mask=reach.mask, dropout_p=dropout, is_causal=reach.causal, enable_gqa=grouped
            )
            y = y.transpose(1, 2).reshape(B, T, D)
        return F.dropout(self.output(y), self.dropout, self.training)


class FeedForward(nn.Module):
    """Up, bend, down; in SwiGLU half of `up` is the gate."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = config.activation
        ups = 2 if config.activation == "swiglu" else 1
        self.up = Linear(config.width, ups * config.n_hidden, bias=config.bias)
        self.down = Linear(config.n_hidden, config.width, bias=config.bias)
        self.dropout = config.dropout

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.down(self.bent(x)), self.dropout, self.training)

    def bent(self, x: Tensor) -> Tensor:
        """Up and bend: (B, T, D) -> (B, T, F)."""
        h: Tensor = self.up(x)  # (B, T, F), or (B, T, 2 F)
        if self.activation == "swiglu":
            gate, h = h.chunk(2, dim=-1)
            h = F.silu(gate) * h
        elif self.activation == "relu2":
            h = F.relu(h).square()
        else:
            h = F.gelu(h, approximate="tanh" if self.activation == "gelu_tanh" else "none")
        return h


class Block(nn.Module):
    """Attention, then feed-forward, each on a normed copy and added back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = norm_of(config)
        self.attention = Attention(config)
        self.feed_forward_norm = norm_of(config)
        self.feed_forward = FeedForward(config)

    def forward(
        self,
        x: Tensor,
        reach: Reach,
        rope: tuple[Tensor, Tensor] | None,
        layer: int,
        cache: KVCache | None,
        slots: Slots | None,
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), reach, rope, layer, cache, slots)
        return x.add(self.feed_forward(self.feed_forward_norm(x)))


class Transformer(nn.Module):
    """The network of a ModelConfig; weights are arbitrary until `init_weights` or `load`."""

    rope: Tensor | None
    int8: bool = False  # matrices hold whole numbers times a scale a row, see engine/quantise.py

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.width)
        self.positions = Embedding(config.context, config.width) if config.position == "learned" else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = norm_of(config)
        self.head = None if config.tie else Linear(config.width, config.vocab_size, bias=False)
        self.register_buffer("rope", rope_table(config) if config.position == "rotary" else None, persistent=False)

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Normal(0, 0.02) matrices; what a block adds starts at zero; norms are 1, biases 0. Always the same draws."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim == 1:
                    parameter.fill_(0.0 if name.endswith(".bias") else 1.0)
                elif name.endswith((".attention.output.weight", ".feed_forward.down.weight")):
                    parameter.zero_()  # every block starts as the identity: early training is calm at any depth
                else:
                    parameter.normal_(0.0, INIT_STD, generator=generator)

    def forward(
        self,
        ids: Tensor,
        cache: KVCache | None = None,
        *,
        counts: Sequence[int] | Tensor | None = None,
        pad: Tensor | None = None,
        documents: Tensor | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Logits (B, T, V) of what follows each token of `ids` (B, T); (B, 1, V) of the last one with `last_only`.

        With a cache the rows continue its lanes, and the lanes grow by T, or by `counts` (B) where rows are
        right-padded (then the logits of padding mean nothing). Without one, `pad` (B) tells how many tokens at the left
        of each row are padding, or `documents` (B, T) which document each token belongs to: it sees that one only, and
        positions start anew in each. Raises ValueError when tokens do not fit the context or the cache.
        """
        x = self.stream(ids, cache, counts=counts, pad=pad, documents=documents, last_only=last_only)
        return self.logits(self.norm(x))  # norm and head are the dear part in a small model: only of what is asked for

    def logits(self, x: Tensor) -> Tensor:
        """The head: hidden states after the final norm (..., D) -> (..., V)."""
        found: Tensor = F.linear(x, self.embedding.weight) if self.head is None else self.head(x)
        return found

    def stream(
        self,
        ids: Tensor,
        cache: KVCache | None = None,
        *,
        counts: Sequence[int] | Tensor | None = None,
        pad: Tensor | None = None,
        documents: Tensor | None = None,
        last_only: bool = False,
        layers: int | None = None,
        taps: Mapping[int, list[Tensor]] | None = None,
    ) -> Tensor:
        """The residual stream (B, T or 1, D) before the final norm, after all blocks or the first `layers` of them.

        `taps[n]` is a list that takes the stream after n blocks, 0 being the embedding. Else as `forward`. After a part
        of the blocks the cache holds what those wrote and nothing for the others: cut it before a whole pass.
        """
        if ids.ndim != 2 or ids.shape[1] < 1:
            raise ValueError(f"ids must be (B, T) with T >= 1, got shape {tuple(ids.shape)}")
        B, T = ids.shape
        slots = None
        if cache is not None:
            if pad is not None or cache.lanes != B:
                raise ValueError(f"a cache of {cache.lanes} lanes takes as many rows and no left padding, got {B} rows")
            slots = cache.slots(T, counts)
        elif counts is not None:
            raise ValueError("counts need a cache")
        reach = self._reach(B, T, slots, pad, ids.device)
        if documents is not None:
            if cache is not None or pad is not None or documents.shape != ids.shape:
                raise ValueError(f"documents go without cache and pad, one for each of {tuple(ids.shape)} tokens")
            reach = _apart(documents)
        x = self.embedding(ids)  # (B, T, D)
        if self.positions is not None:
            x = x + self.positions.weight[reach.positions]
        x = F.dropout(x, self.config.dropout, self.training)
        rope = None
        if self.rope is not None:
            table = self.rope[:, reach.positions]  # (2, T, E) or (2, B, T, E)
            cos, sin = table.unsqueeze(-2).unbind()  # the same for all heads
            rope = cos, sin
        for layer, block in enumerate(self.blocks if layers is None else self.blocks[:layers]):
            if taps is not None and layer in taps:
                taps[layer].append(_last(x, slots) if last_only else x)
            x = block(x, reach, rope, layer, cache, slots)
        if cache is not None and slots is not None:
            cache.advance(slots)
        return _last(x, slots) if last_only else x  # (B, 1, D) or (B, T, D)

    def _reach(self, B: int, T: int, slots: Slots | None, pad: Tensor | None, device: torch.device) -> Reach:
        context = self.config.context
        if slots is not None and slots.index is not None:
            positions = slots.index.clamp(max=context - 1)
            seen = torch.arange(slots.end, device=device)
            return Reach(positions, (seen <= positions[:, :, None])[:, None], causal=False)
        start = slots.starts[0] if slots is not None else 0
        if start + T > context:
            raise ValueError(f"{start + T} tokens do not fit into a context of {context}")
        span = slice(start, start + T)
        columns = torch.arange(T, device=device)
        if pad is not None:
            if pad.shape != (B,):
                raise ValueError(f"pad must have one number per row, got shape {tuple(pad.shape)} for {B} rows")
            pad = pad.to(device)[:, None]
            real = columns >= pad  # (B, T)
            # a padding query sees itself: a row with nothing to see would be NaN
            mask = (columns[:, None] >= columns) & (real[:, None, :] | torch.eye(T, dtype=torch.bool, device=device))
            return Reach((columns - pad).clamp(min=0), mask[:, None], causal=False)
        if T == 1 or start == 0:
            return Reach(span, None, causal=True)
        seen = torch.arange(start + T, device=device)
        return Reach(span, (seen <= columns[:, None] + start)[None, None], causal=False)


def _apart(documents: Tensor) -> Reach:
    """Each document of a row by itself, as if it stood alone (B, T)."""
    T = documents.shape[1]
    columns = torch.arange(T, device=documents.device)
    first = torch.ones_like(documents, dtype=torch.bool)
    first[:, 1:] = documents[:, 1:] != documents[:, :-1]
    starts = torch.where(first, columns, 0).cummax(dim=1).values
    # rows never mix, and the numbers rise: the same document means the same start
    same = starts[:, :, None] == starts[:, None, :]
    return Reach(columns - starts, (same & (columns[:, None] >= columns))[:, None], causal=False)


def rope_table(config: ModelConfig) -> Tensor:
    """Cosine and signed sine of every position and channel, (2, context, E), in float32."""
    # on the CPU whatever the default device is: real numbers also while the weights are made on the meta device
    half = torch.arange(0, config.head_width, 2, dtype=torch.float32, device="cpu") / config.head_width
    positions = torch.arange(config.context, dtype=torch.float32, device="cpu")
    angles = torch.outer(positions, 1.0 / config.rope_theta**half)  # (context, E/2)
    cos, sin = angles.cos(), angles.sin()
    # the sign of the rotation sits in the table, so that turning is one roll and one fused multiply-add
    return torch.stack((torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)))


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair (e, e + E/2) of `x` (..., E) by its position's angle: Llama's half-split rotary embedding."""
    cos, sin = (part.to(x.dtype) for part in rope)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def load(
    path: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[Transformer, CheckpointInfo]:
    """The network of a checkpoint, ready to be used: eval mode, no gradients; `dtype` None keeps the file's.

    Raises what `checkpoint.read` raises, before any weight is on the device.
    """
    info, arrays = checkpoint.read(path)
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        model = Transformer(info.config)
    weights = {}
    while arrays:  # one by one, so that a converted copy never stands beside all of the file
        name, array = arrays.popitem()
        tensor = torch.from_numpy(array)
        tensor = tensor.view(torch.bfloat16) if info.dtype == "BF16" else tensor
        weights[name] = tensor.to(device=device, dtype=dtype)
    model.load_state_dict(weights, assign=True)
    if model.rope is not None:
        model.rope = model.rope.to(device)
    return model.eval().requires_grad_(False), info


def to_arrays(state: Mapping[str, Tensor]) -> dict[str, Array]:
    """A state dict as arrays for `checkpoint.write`, on the CPU, in the order given; bfloat16 becomes uint16."""
    arrays: dict[str, Array] = {}
    for name, tensor in state.items():
        plain = tensor.detach().to("cpu").contiguous()
        arrays[name] = plain.view(torch.uint16).numpy() if plain.dtype == torch.bfloat16 else plain.numpy()
    return arrays


def _last(x: Tensor, slots: Slots | None) -> Tensor:
    """The last real position of each row (B, T, D) -> (B, 1, D)."""
    if slots is None or slots.index is None:
        return x[:, -1:]
    last = torch.tensor(slots.counts, device=x.device) - 1  # an idle lane gets its last column: as good as any
    return x[torch.arange(len(last), device=x.device), last][:, None]
