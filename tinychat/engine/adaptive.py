"""Stages that steer: what was chosen so far decides how the next token is chosen.

What they remember is a SamplerState, a plain value: a stage reads it from the context, `advance` makes the next one,
and nothing is kept here. One value runs through one reply; a fresh one starts the next.

Both mirostat rules measure the surprise of a token by its probability as it enters the stage, before the stage's own
cut. With no other stage on that is the model's own probability, as in the paper and its authors' script; llama.cpp
measures after the cut instead, where the surprise is smaller by log2 of the kept mass.

V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.cuts import CUT, as_cut, by_row, cut_below, falling_heads, granted, softmax
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import SamplerState

STATEFUL = ("mirostat", "adaptive_p")

ZIPF_RANKS = 100  # mirostat v1 estimates the exponent over so many of the likeliest
# the form of adaptive-p's preference, as llama.cpp has it: the logit at the target, its fall, the width of the target
PEAK, SHARPNESS, WIDTH = 5.0, 10.0, 0.3


@by_row
def mirostat(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Cuts so that the surprise of the drawn tokens comes to tau bits (Mirostat, arXiv 2007.14966).

    v2 keeps the tokens of at most mu bits, and always the likeliest. v1 takes the probabilities for Zipf's law, finds
    the k whose last token would have about mu bits, and keeps the top k with the ties of the last.
    """
    mu = _mu(context.state, params)
    if params.mirostat == "v1":
        place = logits.shape[-1] - zipf_k(logits, mu)
        return cut_below(logits, np.partition(logits.numpy(), place)[place])
    if params.mirostat == "v2":
        found = softmax(logits)
        return cut_below(logits, granted(found.logit_of(-mu * math.log(2)), found.largest))
    return logits


def zipf_k(logits: Tensor, mu: float) -> int:
    """The k of mirostat v1 for logits (V,): from 1 to the number n of tokens not yet cut.

    The exponent s of Zipf's law fits the ratios of the likeliest 100: s = sum(t b) / sum(t^2), t_i = ln((i + 1) / i),
    b_i = ln(p_i / p_(i+1)). Then k = ((s - 1) 2^mu / (1 - n^(1 - s)))^(1 / s), rounded; at s = 1 the inner quotient is
    2^mu / ln n. All by logarithms: mu has no upper bound, and a flat distribution has s = 0.
    """
    n = int(torch.count_nonzero(logits != CUT))
    if n == 1:
        return 1
    best = next(falling_heads(logits))[:ZIPF_RANKS].astype(np.float64)
    ratios = best[:-1] - best[1:]  # a ratio of probabilities is a difference of logits
    steps = np.log1p(1.0 / np.arange(1, best.size))
    s = float(steps @ ratios) / float(steps @ steps)
    log_n, excess = math.log(n), s - 1.0
    # for s > 1 the power of n only falls, and n^-1000 is 0 as well
    inner = 1.0 / log_n if abs(excess) < 1e-9 else excess / -math.expm1(-min(excess, 1000.0) * log_n)
    log_k = (math.log(inner) + mu * math.log(2)) / max(s, 1e-12)
    return min(max(round(math.exp(min(log_k, log_n))), 1), n)


@by_row
def adaptive_p(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Prefers the tokens whose probability is near a moving target (adaptive-p of llama.cpp).

    The target moves against the weighted mean of the chosen probabilities: clip(2 target - mean, 0, 1). With d a
    token's distance to it over 0.3, its logit becomes 5 - 10 d^2 / (1 + d). Nothing is cut, and a rarer token may
    overtake a likelier one.
    """
    if params.adaptive_target == 0.0:
        return logits
    total, weights = _sums(context.state, params)
    target = min(max(2.0 * params.adaptive_target - total / weights, 0.0), 1.0)
    found = softmax(logits)
    distance = np.abs(found.weights / found.total - target) / WIDTH
    preferred = torch.from_numpy(PEAK - SHARPNESS * np.square(distance) / (1.0 + distance))
    return as_cut(preferred, logits)


def advance(state: SamplerState, params: SamplingParams, surprisals: Mapping[str, float]) -> SamplerState:
    """The state after a token, drawn or forced.

    `surprisals` has, for each of STATEFUL that is on, the token's surprisal in bits as it entered that stage; infinite
    when an earlier stage had cut it. Such a token, which only a person can choose, counts as probability 0 for
    adaptive-p and leaves mirostat's mu where it is: no step corrects an infinite error. What belongs to a stage that
    is off stays as it was.
    """
    if params.is_on("mirostat") and math.isfinite(surprisals["mirostat"]):
        error = surprisals["mirostat"] - params.mirostat_tau
        state = replace(state, mirostat=_mu(state, params) - params.mirostat_eta * error)
    if params.is_on("adaptive_p"):
        total, weights = _sums(state, params)
        decay, prob = params.adaptive_decay, 2.0 ** -surprisals["adaptive_p"]
        state = replace(state, adaptive=(prob + decay * total, 1.0 + decay * weights))
    return state


def _mu(state: SamplerState, params: SamplingParams) -> float:
    """The bound on the surprise, in bits."""
    return 2.0 * params.mirostat_tau if state.mirostat is None else state.mirostat


def _sums(state: SamplerState, params: SamplingParams) -> tuple[float, float]:
    """Weighted sum of the chosen probabilities, and of the weights; at first as if the target had always been met."""
    if state.adaptive is not None:
        return state.adaptive
    weights = 1.0 / (1.0 - params.adaptive_decay)
    return params.adaptive_target * weights, weights
