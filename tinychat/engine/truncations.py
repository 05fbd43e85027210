"""Stages that keep the likelier part of a distribution and cut the rest.

B any leading axes, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.cuts import CUT, at_least, probabilities
from tinychat.engine.params import SamplingParams


def top_k(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Keeps the k largest logits and all that equal the k-th (Fan et al. 2018); 0 and k >= V keep everything."""
    if not 0 < params.top_k < logits.shape[-1]:
        return logits
    smallest = logits.topk(params.top_k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < smallest, CUT)


def top_p(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Keeps a token iff the mass of the likelier ones is below p, ties by lower id (nucleus, arXiv 1904.09751)."""
    if params.top_p >= 1.0:
        return logits
    falling, ids = logits.sort(dim=-1, descending=True, stable=True)
    before = probabilities(falling).cumsum(-1).roll(1, -1)
    before[..., 0] = 0.0
    keep = before < params.top_p
    keep[..., 0] = True  # at p = 0 the likeliest token must survive
    return logits.masked_fill(torch.zeros_like(keep).scatter(-1, ids, ~keep), CUT)


def min_p(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Keeps tokens at least m times as likely as the likeliest (arXiv 2407.01082): l >= max + ln m, equality kept."""
    if params.min_p <= 0.0:
        return logits
    largest = logits.amax(-1, keepdim=True).double()
    return at_least(logits, largest, largest + math.log(params.min_p))


def top_n_sigma(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Keeps logits within n standard deviations of the largest (arXiv 2411.07641): l >= max - n sigma, equality kept.

    Sigma is the population's, over the tokens not yet cut.
    """
    if params.top_n_sigma <= 0.0:
        return logits
    largest = logits.amax(-1, keepdim=True).double()
    alive = logits != CUT
    count = alive.sum(-1, keepdim=True).clamp(min=1)
    below = (logits - largest).masked_fill(~alive, 0.0)
    mean = below.sum(-1, keepdim=True) / count
    variance = (below - mean).square().masked_fill(~alive, 0.0).sum(-1, keepdim=True) / count
    return at_least(logits, largest, largest - params.top_n_sigma * variance.sqrt())


def typical(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Keeps the tokens whose surprisal is nearest the entropy, until their mass reaches the goal (arXiv 2202.00666).

    Tokens are ordered by |-ln p - H|; the smallest prefix with mass >= typical_p stays, and with it all tokens exactly
    as far from H as its last one. The likeliest token may go.
    """
    if params.typical_p >= 1.0:
        return logits
    probs = probabilities(logits)
    alive = probs > 0.0
    log_probs = probs.log().masked_fill(~alive, 0.0)
    entropy = -(probs * log_probs).sum(-1, keepdim=True)
    distance = (log_probs + entropy).abs().masked_fill(~alive, math.inf)
    nearest, ids = distance.sort(dim=-1, stable=True)
    mass = probs.gather(-1, ids).cumsum(-1)
    last = (mass < params.typical_p).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return logits.masked_fill(distance > nearest.gather(-1, last), CUT)
