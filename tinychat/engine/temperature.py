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

A temperature at or below GREEDY_BELOW is greedy. B any leading axes, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.cuts import CUT, as_cut
from tinychat.engine.knobs import GREEDY_BELOW
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import REGIONS

EDT_BASE = 0.8  # the N of the paper
KL_FLOOR = 1e-7  # as the authors' code: a token that one side calls impossible must not make the divergence infinite
REGION_FACTORS: dict[str, float] = dict(zip(REGIONS, (0.0, 0.5, 1.25, 0.75, 1.0, 0.6), strict=True))


@dataclass(frozen=True, slots=True)
class Heat:
    """The temperature of some rows of logits, and why."""

    temperature: Tensor  # (B..., 1) float64
    region: Tensor | None = None  # (B..., 1) int64, places in REGIONS; None in every mode but entropy


def temperature(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """The stage: divides by the temperature of the mode; at 1e-5 or less only the arg-max stays.

    ValueError where the context lacks what the mode needs.
    """
    return divided(logits, params, heat_of(logits, params, context))


def heat_of(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Heat:
    """The temperature for logits (B..., V) in the mode of the settings; ValueError as `temperature`."""
    mode, base = params.temperature_mode, params.temperature
    if params.is_greedy or mode == "fixed":
        return Heat(_everywhere(base, logits))
    if mode == "adapt":
        return Heat(_everywhere(params.adapt_temperature if _opens_block(context) else base, logits))
    if mode == "kl":
        return Heat(base * torch.exp2(-_divergence(logits, context) / params.kl_half_life))
    log_probs, probs, alive = _distribution(logits)
    entropy = (probs * log_probs).sum(-1, keepdim=True).abs()  # nats; abs, for a quotient by -0.0 has the wrong sign
    if mode == "dynamic":
        return Heat(_dynamic(entropy, alive.sum(-1, keepdim=True), params))
    if mode == "edt":
        # theta = 0 is plain T0, also where the entropy is 0
        return Heat(base * EDT_BASE ** (params.edt_theta / entropy) if params.edt_theta else _everywhere(base, logits))
    surprisal = (-log_probs - entropy).masked_fill(~alive, 0.0)
    varentropy = (probs * surprisal.square()).sum(-1, keepdim=True)
    region = _region(entropy / math.log(2), varentropy / math.log(2) ** 2, params)
    factors = torch.tensor(list(REGION_FACTORS.values()), dtype=torch.float64, device=logits.device)
    return Heat(base * factors[region], region)


def divided(logits: Tensor, params: SamplingParams, heat: Heat) -> Tensor:
    """Logits (B..., V) over their temperatures.

    The largest logit is subtracted first: at a small temperature the quotients would overflow or lose their digits.
    So the largest becomes 0, which changes no probability and none of our stages but one: a repetition penalty that an
    order puts later looks at the sign, and for its sake the quotient of the largest is added back.
    """
    by = heat.temperature
    if bool((by == 1.0).all()):
        return logits
    greedy = by <= GREEDY_BELOW
    by = by.masked_fill(greedy, 1.0)
    largest = logits.amax(-1, keepdim=True)
    quotients = (logits.double() - largest) / by
    stages = params.stages
    if params.is_on("repetition") and stages.index("repetition") > stages.index("temperature"):
        quotients += largest.double() / by
    cooled = as_cut(quotients, logits)
    if bool(greedy.any()):
        best = logits.argmax(-1, keepdim=True)  # the first of equals
        alone = torch.full_like(logits, CUT).scatter(-1, best, logits.gather(-1, best))
        cooled = torch.where(greedy, alone, cooled)
    return cooled


def _everywhere(value: float, logits: Tensor) -> Tensor:
    return torch.full((*logits.shape[:-1], 1), value, dtype=torch.float64, device=logits.device)


def _distribution(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities (nats, 0 where cut), probabilities (0 where cut) and what is not cut, each (B..., V)."""
    alive = logits != CUT
    log_probs = logits.double().log_softmax(-1).masked_fill(~alive, 0.0)
    return log_probs, log_probs.exp().masked_fill(~alive, 0.0), alive


def _dynamic(entropy: Tensor, count: Tensor, params: SamplingParams) -> Tensor:
    low = max(0.0, params.temperature - params.dynatemp_range)
    high = params.temperature + params.dynatemp_range
    share = (entropy / count.clamp(min=2).double().log()).clamp(0.0, 1.0)  # of a uniform distribution's entropy
    moved = low + (high - low) * share**params.dynatemp_exponent
    return torch.where(count > 1, moved, params.temperature)


def _divergence(logits: Tensor, context: Context) -> Tensor:
    """KL(with the prompt || without it), nats (B..., 1), at least 0; both sides over the tokens not yet cut."""
    without = context.sides.unprompted
    if without is None:
        raise ValueError("temperature_mode kl needs the logits after the reply without its prompt")
    _, here, alive = _distribution(logits)
    _, there, _ = _distribution(without.to(logits.device, torch.float32).masked_fill(~alive, CUT))
    ratios = here.clamp(min=KL_FLOOR).log() - there.clamp(min=KL_FLOOR).log()
    return (here * ratios).sum(-1, keepdim=True).clamp(min=0.0)


def _region(entropy: Tensor, varentropy: Tensor, params: SamplingParams) -> Tensor:
    """Places in REGIONS, of entropies in bits and varentropies in bits squared, each (B..., 1)."""
    level = (entropy >= params.entropy_low).long() + (entropy > params.entropy_high).long()
    return 2 * level + (varentropy >= params.varentropy_split).long()


def _opens_block(context: Context) -> bool:
    """Whether the text so far ends in a line end and then at least one space or tab, and nothing else."""
    if context.vocabulary is None:
        raise ValueError("temperature_mode adapt needs to know the text of the tokens")
    token_bytes = context.vocabulary.token_bytes
    indented = False
    for token in reversed(context.history):
        text = token_bytes[token]
        _, newline, tail = text.rpartition(b"\n")
        if tail.strip(b" \t") or not text:  # a word, or a token without text
            return False
        indented = indented or bool(tail)
        if newline:
            return indented
    return False
