"""What the newest token of each row attends to, for GNMT's coverage penalty (scores.py).

The last block's weights, averaged over heads. Fused attention never shows them, so they are computed once more, for one
query a row: a small matrix-vector product beside the pass. Nothing here changes what the model says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tinychat.engine.runner import Pass, Runner
from tinychat.model.cache import KVCache, Slots
from tinychat.model.transformer import Attention, rotate


class AttentionRunner(Runner):
    """A runner that also knows, per row, what the last id it was fed attends to. It takes the plain path."""

    def __init__(self, plain: Runner) -> None:
        super().__init__(plain.model, lanes=plain.cache.lanes, length=plain.cache.length)
        self.attended: dict[int, Tensor] = {}  # row -> (S,) shares that sum to 1, over its tokens up to the last

    def feed(self, rows: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        return {row: each.logits for row, each in self.run(rows).items()}

    def run(self, rows: Mapping[int, Sequence[int]], **asked: Any) -> dict[int, Pass]:
        noted: list[Tensor] = []

        def note(module: Attention, given: tuple[Any, ...], _: Tensor) -> None:
            x, _, rope, layer, cache, slots = given
            noted.append(newest_attention(module, x, rope, layer, cache, slots))

        last = self.model.blocks[-1].attention
        assert isinstance(last, Attention)
        hook = last.register_forward_hook(note)
        try:
            passes = super().run(rows, **asked)
        finally:
            hook.remove()
        (weights,) = noted
        for row in rows:
            self.attended[row] = weights[row, : self.held(row)].float().cpu()
        return passes


def newest_attention(
    module: Attention, x: Tensor, rope: tuple[Tensor, Tensor] | None, layer: int, cache: KVCache, slots: Slots
) -> Tensor:
    """Weights (B, S) of each row's last real query, from what the module was given and the keys it has written."""
    B, T, _ = x.shape
    H, G, E = module.heads, module.groups, module.head_width
    q = module.qkv(x).view(B, T, H + 2 * G, E)[:, :, :H]
    q = q if rope is None else rotate(q, rope)
    counts = torch.tensor(slots.counts, device=x.device)
    seen = torch.tensor(slots.starts, device=x.device) + counts  # (B,)
    last = q[torch.arange(B, device=x.device), (counts - 1).clamp(min=0)].view(B, G, H // G, E)
    keys = cache.memory[0][layer, :, :, : slots.end]  # (B, G, S, E)
    scores = (last @ keys.transpose(-1, -2)).float() / math.sqrt(E)  # (B, G, H/G, S)
    hidden = torch.arange(slots.end, device=x.device) >= seen.clamp(min=1)[:, None, None, None]
    return scores.masked_fill(hidden, -math.inf).softmax(-1).mean((1, 2))
