"""Stages that lower, or raise, the logits of tokens that were there before.

B any leading axes, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinychat.engine.context import Context
from tinychat.engine.cuts import as_cut
from tinychat.engine.params import SamplingParams


def repetition(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Divides positive and multiplies negative logits of seen tokens, once each (CTRL, arXiv 1909.05858, by sign)."""
    seen = context.counts(params, logits.shape[-1]).to(logits.device) > 0
    theta = params.repetition_penalty
    penalised = torch.where(logits > 0, logits / theta, logits * theta)
    return as_cut(torch.where(seen, penalised, logits), logits)


def frequency(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Lowers a token's logit by the penalty for every time it was seen (the OpenAI formula)."""
    counts = context.counts(params, logits.shape[-1]).to(logits.device)
    return as_cut(logits - counts * params.frequency_penalty, logits)


def presence(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Lowers a token's logit by the penalty, once, if it was seen (the OpenAI formula)."""
    seen = (context.counts(params, logits.shape[-1]) > 0).float().to(logits.device)
    return as_cut(logits - seen * params.presence_penalty, logits)
