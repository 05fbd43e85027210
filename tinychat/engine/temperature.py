"""The temperature: one slot, and what may move it from token to token.

`heat_of` finds the temperature of a position, `divided` applies it; the stage is both. T0 is the `temperature` of the
settings. H is the entropy and W the varentropy of the distribution that comes in, before any temperature, over the
tokens not yet cut; one token left has H = 0.

mode     temperature
fixed    T0 (Ackley, Hinton & Sejnowski 1985).
dynamic  lo + (hi - lo) (H / ln n)^exponent, n tokens left, lo and hi = T0 -+ range, lo at least 0 (dynatemp of
         koboldcpp and llama.cpp). With one token left T0.
edt      T0 * 0.8^(theta / H), H in nats (EDT, arXiv 2403.14541). H to 0 sends it to 0, which is greedy.
adapt    `adapt_temperature` where the text ends in a line end and an indentation, else T0 (AdapT, arXiv 2309.02772).
kl       T0 * 2^(-KL / half life), KL in nats of the distribution with the prompt from that without it (KL-guided,
         arXiv 2306.01286), over the tokens not yet cut.
entropy  T0 times the factor of the region that (H, W) falls into. In the spirit of entropix, but the thresholds are
         settings, the regions tile the plane, and what happens in them is our own:

         region   H, bits     W, bits^2  the model                                 factor
         sure     < low       < split    knows the token                           0, greedy: nothing to gain
         nearly   < low       >= split   knows it; the rest is a long faint tail   0.5: the tail is noise
         forked   low..high   < split    has a few equal rivals                    1.25: any is good, take turns
         leaning  low..high   >= split   has favourites above a tail               0.75: stay with the favourites
         open     > high      < split    finds very many equally good              1: already as flat as can be
         lost     > high      >= split   sees a few shapes in the fog              0.6: or the tail outvotes them

A temperature at or below GREEDY_BELOW is greedy. V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.cuts import CUT, as_cut, by_row, keep_only, softmax
from tinychat.engine.knobs import GREEDY_BELOW
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import REGIONS

EDT_BASE = 0.8  # the N of the paper
KL_FLOOR = 1e-7  # as the authors' code: a token that one side calls impossible must not make the divergence infinite
REGION_FACTORS: dict[str, float] = dict(zip(REGIONS, (0.0, 0.5, 1.25, 0.75, 1.0, 0.6), strict=True))

_ABSOLUTE = frozenset({"repetition", "encoder_repetition", "end_decay"})  # stages that look at sign or size of a logit


@dataclass(frozen=True, slots=True)
class Heat:
    """The temperature of one position, and why."""

    temperature: float
    region: str | None = None  # one of REGIONS; None in every mode but entropy


@by_row
def temperature(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """The stage: divides by the temperature of the mode; at 1e-5 or less only the arg-max stays.

    ValueError where the context lacks what the mode needs.
    """
    return divided(logits, params, heat_of(logits, params, context))


def heat_of(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Heat:
    """The temperature for logits (V,) in the mode of the settings; ValueError as `temperature`."""
    mode, base = params.temperature_mode, params.temperature
    if params.is_greedy or mode == "fixed":
        return Heat(base)
    if mode == "adapt":
        return Heat(params.adapt_temperature if _opens_block(context) else base)
    if context.sides.unprompted is None and mode == "kl":
        raise ValueError("temperature_mode kl needs the logits after the reply without its prompt")
    if float(logits.max()) == CUT:
        return Heat(base)
    if mode == "kl":
        return Heat(base * 2.0 ** (-_divergence(logits, context) / params.kl_half_life))
    if mode == "dynamic":
        return Heat(_dynamic(logits, params))
    if mode == "edt":
        return Heat(_edt(softmax(logits).entropy, params))
    region = _region(logits, params)
    return Heat(base * REGION_FACTORS[region], region)


def divided(logits: Tensor, params: SamplingParams, heat: Heat) -> Tensor:
    """Logits (V,) over the temperature.

    The largest logit is subtracted first: at a small temperature the quotients would overflow or lose their digits.
    So the largest becomes 0, which changes no probability and few of our stages: those that look at the sign or the
    size of a logit, and where an order puts one later, the quotient of the largest is added back for its sake.
    """
    if heat.temperature == 1.0:
        return logits
    values = logits.numpy()
    best = int(values.argmax())  # the first of equals
    largest = float(values[best])
    if heat.temperature <= GREEDY_BELOW:
        return keep_only(logits, np.array([best]))
    quotients = values.astype(np.float64)
    quotients -= largest
    quotients /= heat.temperature
    if is_absolute(params):
        quotients += largest / heat.temperature
    return as_cut(torch.from_numpy(quotients), logits)


def is_absolute(params: SamplingParams) -> bool:
    """Whether a stage that looks at the sign or size of a logit follows the temperature."""
    return not _ABSOLUTE.isdisjoint(params.active[params.active.index("temperature") :])


def _dynamic(logits: Tensor, params: SamplingParams) -> float:
    count = int(torch.count_nonzero(logits != CUT))
    if count == 1:
        return params.temperature
    low = max(0.0, params.temperature - params.dynatemp_range)
    high = params.temperature + params.dynatemp_range
    share = min(softmax(logits).entropy / math.log(count), 1.0)  # of a uniform distribution's entropy
    return low + (high - low) * math.pow(share, params.dynatemp_exponent)


def _edt(entropy: float, params: SamplingParams) -> float:
    """Of an entropy in nats; theta = 0 is the plain temperature, also where the entropy is 0."""
    if params.edt_theta == 0.0:
        return params.temperature
    return params.temperature * EDT_BASE ** (params.edt_theta / entropy) if entropy > 0.0 else 0.0


def _divergence(logits: Tensor, context: Context) -> float:
    """KL(with the prompt || without it), nats, at least 0; both sides over the tokens not yet cut."""
    assert context.sides.unprompted is not None  # heat_of asked for it
    other = context.sides.unprompted.to(logits.device, torch.float32).masked_fill(logits == CUT, CUT)
    with_it, without = softmax(logits), softmax(other)
    probs = with_it.weights / with_it.total
    here, there = (np.maximum(side.weights / side.total, KL_FLOOR) for side in (with_it, without))
    return max(0.0, float(probs @ np.log(here / there)))


def _region(logits: Tensor, params: SamplingParams) -> str:
    found = softmax(logits)
    probs = found.weights / found.total
    apart = (found.log_total - found.below) - found.entropy  # nats, of every surprisal from the entropy
    bits, spread = found.entropy / math.log(2), float(probs @ np.square(apart)) / math.log(2) ** 2
    level = int(bits >= params.entropy_low) + int(bits > params.entropy_high)
    return REGIONS[2 * level + int(spread >= params.varentropy_split)]


def _opens_block(context: Context) -> bool:
    """Whether the text so far ends in a line end and then at least one space or tab, and nothing else."""
    if context.vocabulary is None:
        raise ValueError("temperature_mode adapt needs to know the text of the tokens")
    token_bytes = context.vocabulary.token_bytes
    indented = False
    for token in reversed(context.history):
        text = token_bytes[token] if 0 <= token < len(token_bytes) else b""
        _, newline, tail = text.rpartition(b"\n")
        if tail.strip(b" \t") or not text:  # a word, or a token without text
            return False
        indented = indented or bool(tail)
        if newline:
            return indented
    return False
