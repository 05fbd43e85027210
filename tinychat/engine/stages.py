"""Choose the next token, one stage at a time.

Each stage is a pure function on the last axis of the logits, float32 in and out. It cuts only by -inf, it never brings
a cut token back, and a cut token never enters a sum, an entropy or a deviation. Every truncation keeps at least one
token; a row that is all -inf passes through every stage. Sums and probabilities are float64, computed from the float32
logits. Nothing here knows text, threads, screens or the draw.

B any leading axes, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.params import SamplingParams

CUT = -math.inf
_LOWEST = torch.finfo(torch.float32).min
_HIGHEST = torch.finfo(torch.float32).max
_EPSILON = torch.finfo(torch.float32).eps


@dataclass(frozen=True, slots=True)
class Stage:
    """A named step of the chain: (logits (B..., V), settings, context) -> logits (B..., V)."""

    name: str
    apply: Callable[[Tensor, SamplingParams, Context], Tensor]


def shape(logits: Tensor | NDArray[Any], params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """The logits (V,) after every switched-on stage, in order: float32, -inf where cut, temperature applied.

    The input is never changed. A temperature of 1e-5 or less leaves exactly the arg-max (lowest id on a tie). Where
    everything is cut, all is -inf. NaN, +inf, another number of axes or a logit bias outside the vocabulary raise
    ValueError.
    """
    shaped = torch.as_tensor(logits).detach().to(torch.float32)
    for _, after in walk(shaped, params, context):
        shaped = after
    return shaped.clone()  # with every stage off this is the caller's own memory


def walk(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Iterator[tuple[str, Tensor]]:
    """(stage name, logits (V,) after it) for every switched-on stage, in the order of the settings."""
    current = checked(logits)
    length = len(context.history)
    if not 0 <= context.prompt_len <= length:
        raise ValueError(f"prompt_len must be from 0 to the {length} ids of the history, got {context.prompt_len}")
    names = [name for name in params.stages if params.is_on(name)]
    if names:
        context = replace(context, history=context.ids())  # an array once, not once per penalty
    for name in names:
        current = STAGES[name].apply(current, params, context)
        yield name, current


def checked(logits: Tensor) -> Tensor:
    """The logits (V,) as float32; NaN, +inf, no entries or several axes raise ValueError."""
    if logits.ndim != 1 or logits.numel() == 0:
        raise ValueError(f"logits must have one axis and at least one entry, got shape {tuple(logits.shape)}")
    row = logits.detach().to(torch.float32)
    largest = float(row.max())  # NaN anywhere makes this NaN
    if not largest < math.inf:
        raise ValueError(f"logits must be finite or -inf, got {largest}")
    return row


# ---- changes of logits ----------------------------------------------------------------------------------------------


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
    after = (before.double() + biases).clamp(_LOWEST, _HIGHEST).float()  # a huge bias must not turn into an infinity
    biased = logits.clone()
    biased[..., ids] = after.masked_fill((before == CUT) | (biases == CUT), CUT)
    return biased


def repetition(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Divides positive and multiplies negative logits of seen tokens, once each (CTRL, arXiv 1909.05858, by sign)."""
    seen = context.counts(params, logits.shape[-1]).to(logits.device) > 0
    theta = params.repetition_penalty
    penalised = torch.where(logits > 0, logits / theta, logits * theta)
    return _as_cut(torch.where(seen, penalised, logits), logits)


def frequency(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Lowers a token's logit by the penalty for every time it was seen (the OpenAI formula)."""
    counts = context.counts(params, logits.shape[-1]).to(logits.device)
    return _as_cut(logits - counts * params.frequency_penalty, logits)


def presence(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """Lowers a token's logit by the penalty, once, if it was seen (the OpenAI formula)."""
    seen = (context.counts(params, logits.shape[-1]) > 0).float().to(logits.device)
    return _as_cut(logits - seen * params.presence_penalty, logits)


def temperature(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Divides by the temperature (Ackley, Hinton & Sejnowski 1985); at 1e-5 or less only the arg-max stays.

    The largest logit is subtracted first: at a small temperature the quotients would overflow or lose their digits.
    So the largest becomes 0, which changes no probability and none of our stages but one: a repetition penalty that an
    order puts later looks at the sign, and for its sake the quotient of the largest is added back.
    """
    if params.temperature == 1.0:
        return logits
    if params.is_greedy:
        best = logits.argmax(-1, keepdim=True)  # the first of equals
        return torch.full_like(logits, CUT).scatter(-1, best, logits.gather(-1, best))
    largest = logits.amax(-1, keepdim=True)
    divided = (logits.double() - largest) / params.temperature
    stages = params.stages
    if params.is_on("repetition") and stages.index("repetition") > stages.index("temperature"):
        divided += largest.double() / params.temperature
    return _as_cut(divided, logits)


def _as_cut(changed: Tensor, before: Tensor) -> Tensor:
    """Changed logits that cut exactly what was cut before: an overflow stays a number, a cut token stays cut."""
    return changed.clamp(_LOWEST, _HIGHEST).float().masked_fill(before == CUT, CUT)


# ---- truncations ----------------------------------------------------------------------------------------------------


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
    before = _probabilities(falling).cumsum(-1).roll(1, -1)
    before[..., 0] = 0.0
    keep = before < params.top_p
    keep[..., 0] = True  # at p = 0 the likeliest token must survive
    return logits.masked_fill(torch.zeros_like(keep).scatter(-1, ids, ~keep), CUT)


def min_p(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Keeps tokens at least m times as likely as the likeliest (arXiv 2407.01082): l >= max + ln m, equality kept."""
    if params.min_p <= 0.0:
        return logits
    largest = logits.amax(-1, keepdim=True).double()
    return _at_least(logits, largest, largest + math.log(params.min_p))


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
    return _at_least(logits, largest, largest - params.top_n_sigma * variance.sqrt())


def typical(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """Keeps the tokens whose surprisal is nearest the entropy, until their mass reaches the goal (arXiv 2202.00666).

    Tokens are ordered by |-ln p - H|; the smallest prefix with mass >= typical_p stays, and with it all tokens exactly
    as far from H as its last one. The likeliest token may go.
    """
    if params.typical_p >= 1.0:
        return logits
    probs = _probabilities(logits)
    alive = probs > 0.0
    log_probs = probs.log().masked_fill(~alive, 0.0)
    entropy = -(probs * log_probs).sum(-1, keepdim=True)
    distance = (log_probs + entropy).abs().masked_fill(~alive, math.inf)
    nearest, ids = distance.sort(dim=-1, stable=True)
    mass = probs.gather(-1, ids).cumsum(-1)
    last = (mass < params.typical_p).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return logits.masked_fill(distance > nearest.gather(-1, last), CUT)


def _at_least(logits: Tensor, largest: Tensor, floor: Tensor) -> Tensor:
    """Cuts what is below the floor, both in float64 (..., 1).

    Logits that meet the rule exactly on paper miss it by a rounding of float32 each, and that much is granted; a floor
    at the largest itself keeps exactly its ties.
    """
    rounding = _EPSILON * torch.maximum(largest.abs(), floor.abs())
    return logits.masked_fill(logits < torch.where(floor < largest, floor - rounding, floor), CUT)


def _probabilities(logits: Tensor) -> Tensor:
    """Softmax in float64; zeros where all is cut."""
    return logits.double().softmax(-1).nan_to_num(0.0)


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("logit_bias", logit_bias),
        Stage("repetition", repetition),
        Stage("frequency", frequency),
        Stage("presence", presence),
        Stage("top_n_sigma", top_n_sigma),
        Stage("temperature", temperature),
        Stage("top_k", top_k),
        Stage("typical", typical),
        Stage("top_p", top_p),
        Stage("min_p", min_p),
    )
}
