"""Stages that keep part of a distribution and cut the rest.

Each keeps at least one token. A rule for a prefix of the tokens by falling probability takes ties by lower id; a rule
for a probability treats equal tokens alike. The tokens already cut have no say.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, STREAM_XTC, Context
from tinychat.engine.cuts import (
    CUT,
    LOWEST,
    as_cut,
    by_row,
    cut_below,
    falling_heads,
    granted,
    keep_first,
    keep_only,
    nearest_heads,
    softmax,
    total_of,
)
from tinychat.engine.exponential import exp
from tinychat.engine.params import SamplingParams


@by_row
def top_k(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Keeps the k largest logits and all that equal the k-th (Fan et al. 2018); 0 and k >= V keep everything."""
    size = row.shape[-1]
    if not 0 < params.top_k < size:
        return row
    place = size - params.top_k
    return cut_below(row, np.partition(row.numpy(), place)[place])


@by_row
def top_p(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Keeps a token iff the mass of the likelier ones is below p (nucleus, arXiv 1904.09751)."""
    if params.top_p >= 1.0:
        return row
    whole = softmax(row)
    for falling in falling_heads(row):
        reached = np.cumsum(exp(falling.astype(np.float64) - whole.largest) / whole.total)
        count = 1 + int(np.count_nonzero(reached[:-1] < params.top_p))  # at p = 0 the likeliest token must survive
        if reached[-1] >= params.top_p:
            return keep_first(row, falling, count)
    return row


@by_row
def min_p(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Keeps tokens at least m times as likely as the likeliest (arXiv 2407.01082): l >= max + ln m, equality kept."""
    if params.min_p <= 0.0:
        return row
    largest = float(row.numpy().max())
    return cut_below(row, granted(largest + math.log(params.min_p), largest))


@by_row
def top_n_sigma(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Keeps logits within n standard deviations of the largest (arXiv 2411.07641): l >= max - n sigma, equality kept.

    Sigma is the population's, over the tokens not yet cut.
    """
    if params.top_n_sigma <= 0.0:
        return row
    values = row.numpy()
    largest = float(values.max())
    cut = np.flatnonzero(values == CUT)
    below = values.astype(np.float64)
    below[cut] = largest  # a cut token must add nothing, here and in the squares
    below -= largest
    below -= total_of(below) / (below.size - cut.size)
    below[cut] = 0.0
    sigma = math.sqrt(total_of(np.square(below)) / (below.size - cut.size))
    return cut_below(row, granted(largest - params.top_n_sigma * sigma, largest))


@by_row
def typical(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Keeps the tokens whose surprisal is nearest the entropy, until their mass reaches the goal (arXiv 2202.00666).

    Tokens are ordered by |-ln p - H|; the smallest prefix with mass >= typical_p stays, and with it all tokens exactly
    as far from H as its last one. The likeliest token may go.
    """
    if params.typical_p >= 1.0:
        return row
    whole = softmax(row)
    distance = np.abs(whole.below + (whole.entropy - whole.log_total))
    distance[row.numpy() == CUT] = math.inf
    for places in nearest_heads(distance):
        mass = np.cumsum(whole.weights[places]) / whole.total
        if mass[-1] >= params.typical_p:
            break
    last = min(int(np.count_nonzero(mass < params.typical_p)), places.size - 1)
    return keep_only(row, np.flatnonzero(distance <= distance[places[last]]))


@by_row
def epsilon(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Keeps tokens of at least this probability, or else the likeliest (arXiv 2210.15191)."""
    if params.epsilon_cutoff <= 0.0:
        return row
    whole = softmax(row)
    return cut_below(row, granted(whole.logit_of(math.log(params.epsilon_cutoff)), whole.largest))


@by_row
def eta(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Keeps tokens of probability at least min(x, sqrt(x) e^-H), or else the likeliest (arXiv 2210.15191)."""
    if params.eta_cutoff <= 0.0:
        return row
    whole = softmax(row)
    log_cutoff = math.log(params.eta_cutoff)
    return cut_below(row, granted(whole.logit_of(min(log_cutoff, log_cutoff / 2 - whole.entropy)), whole.largest))


@by_row
def top_a(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Keeps tokens of probability at least a times the square of the largest (KoboldAI), equality kept."""
    if params.top_a <= 0.0:
        return row
    whole = softmax(row)
    return cut_below(row, granted(whole.logit_of(math.log(params.top_a) - 2 * whole.log_total), whole.largest))


@by_row
def tfs(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Cuts the tail that begins where the sorted probabilities stop bending (tail-free sampling, T. Bricken).

    Of the probabilities that fall as p1, p2, ..., the second differences |p(i) - 2 p(i+1) + p(i+2)| are shared out to
    sum to 1. Token i + 1, the middle one of its difference, stays while the sum up to it is at most z. The first token
    always stays; the last goes with the one before it; where nothing bends, as in a uniform distribution, all stay.
    """
    if params.tfs_z >= 1.0:
        return row
    *_, falling = falling_heads(row)
    weights = exp(falling.astype(np.float64) - float(falling[0]))
    bends = np.cumsum(np.abs(np.diff(weights / weights.sum(), 2)))
    if not bends.size or bends[-1] == 0.0:
        return row
    return keep_first(row, falling, 1 + int(np.count_nonzero(bends <= params.tfs_z * bends[-1])))


@by_row
def top_h(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Keeps the likeliest tokens while their part of the entropy, the sum of -p ln p, is at most this share of it.

    The first always stays (top-H, arXiv 2509.02510, over all tokens and not only the first hundred).
    """
    if params.top_h >= 1.0:
        return row
    whole = softmax(row)
    limit = params.top_h * whole.entropy
    if limit <= 0.0:  # also where all but one are so unlikely that their parts are lost in rounding
        return keep_first(row, next(falling_heads(row)), 1)
    for falling in falling_heads(row):
        below = falling.astype(np.float64) - whole.largest
        parts = np.cumsum(exp(below) / whole.total * (whole.log_total - below))
        if parts[-1] > limit:
            break
    return keep_first(row, falling, 1 + int(np.count_nonzero(parts[1:] <= limit)))


@by_row
def xtc(row: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """With a chance cuts all tokens of at least a probability but the least likely of them (XTC, textgen PR 6335).

    It needs two such tokens; of equally unlikely ones the highest id stays. The chance is a dart of its own.
    """
    if context.dart(params, STREAM_XTC) >= params.xtc_probability:
        return row
    values = row.numpy()
    whole = softmax(row)
    threshold = params.xtc_threshold
    floor = whole.logit_of(math.log(threshold)) if threshold > 0.0 else LOWEST
    if floor > whole.largest:
        return row
    top = np.flatnonzero(values >= granted(floor, whole.largest))
    last = np.flatnonzero(values[top] == values[top].min())[-1]
    gone = np.delete(top, last)
    return row.index_fill(0, torch.from_numpy(gone), CUT) if gone.size else row


def quadratic(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Bends the logits by their distance d <= 0 to the largest: max - k f d^2 + s f d^3 (textgen PRs 5403 and 5551).

    f is the factor; a curve c of 1 (k = 1, s = 0) to 3 (k = 0, s = 1) gives k = (3 - c) / 2 and s = (c - 1) / 2.
    """
    factor, curve = params.smoothing_factor, params.smoothing_curve
    if factor <= 0.0:
        return logits
    largest = logits.amax(-1, keepdim=True).double()
    below = (logits - largest).clamp(min=2.0 * LOWEST)  # a cut token's distance must stay a number
    bent = largest - (3.0 - curve) / 2.0 * factor * below.square() + (curve - 1.0) / 2.0 * factor * below.pow(3)
    return as_cut(bent, logits)
