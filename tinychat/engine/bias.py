"""Stages that steer by token id: biases, bans and rules on what may follow.

B any leading axes, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.cuts import CUT, HIGHEST, LOWEST
from tinychat.engine.params import SamplingParams


def logit_bias(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Adds a number to the logits of chosen tokens; -inf bans them. Ids outside the vocabulary raise ValueError."""
    if not params.bias:
        return logits
    last = params.bias[-1][0]  # the pairs are sorted by id
    if last >= logits.shape[-1]:
        raise ValueError(f"logit_bias names token {last}, but the vocabulary has {logits.shape[-1]}")
    ids = torch.tensor([token for token, _ in params.bias], device=logits.device)
    biases = torch.tensor([bias for _, bias in params.bias], dtype=torch.float64, device=logits.device)
    before = logits[..., ids]
    after = (before.double() + biases).clamp(LOWEST, HIGHEST).float()  # a huge bias must not turn into an infinity
    biased = logits.clone()
    biased[..., ids] = after.masked_fill((before == CUT) | (biases == CUT), CUT)
    return biased
