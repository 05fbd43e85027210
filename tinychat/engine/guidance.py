"""Logits from two distributions: classifier-free guidance, contrastive decoding, DoLa.

Each takes the logits that come in and those of another pass for the same position (context.Sides), and gives logarithms
of probabilities up to a constant. Both sides are taken over the tokens that are not cut yet, and a token cut once stays
cut. Which passes a setting needs, and after which ids, is said in sides.py.

B any leading axes, V vocabulary, J early layers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tinychat.engine.context import Context
from tinychat.engine.cuts import CUT, as_cut
from tinychat.engine.params import SamplingParams


def guidance(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """gamma (ln p - ln p_without) + ln p_without: classifier-free guidance (Sanchez et al. 2023, arXiv 2306.17806).

    Scale 1 is the model's own distribution, 0 the one without the prompt (or after the negative prompt).
    """
    here = _log_probs(logits)
    there = _log_probs(_other(context.sides.without, "guidance_scale", logits))
    return as_cut(params.guidance_scale * (here - there) + there, logits)


def contrastive(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """What the model knows and a smaller amateur does not, on the tokens the model finds plausible.

    "difference" is ln p - ln p_amateur, the amateur at a temperature of its own (Li et al. 2022, arXiv 2210.15097);
    "scaled" is (1 + beta) l - beta l_amateur of the logits (O'Brien & Lewis 2023, arXiv 2309.09117). Plausible is what
    has at least alpha times the largest probability; the rest is cut.
    """
    there = _other(context.sides.amateur, "contrastive", logits)
    here = _log_probs(logits)
    if params.contrastive == "scaled":
        beta = params.contrastive_beta
        moved = (1.0 + beta) * logits.double() - beta * there
    else:
        moved = here - _log_probs(there / params.amateur_temperature)
    return as_cut(moved, _plausible(logits, here, params.contrastive_alpha))


def dola(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """ln p - ln p_early on the plausible tokens: DoLa (Chuang et al. 2023, arXiv 2309.03883).

    The early layer is the candidate whose distribution is farthest from the last one's by the Jensen-Shannon
    divergence proper, 1/2 KL(P || M) + 1/2 KL(Q || M) with M the mean; the authors' code swaps the arguments and may
    choose another layer. Early layers went through the final norm before the head; theirs did not.
    """
    if context.sides.early is None:
        raise ValueError("dola needs the logits after early layers")
    chosen = early_layer(logits, context.sides.early)  # (B...,)
    early = torch.movedim(context.sides.early, -2, 0).expand(-1, *logits.shape)  # (J, B..., V)
    picked = early.gather(0, chosen[None, ..., None].expand(1, *logits.shape))[0]
    here = _log_probs(logits)
    there = _log_probs(_other(picked, "dola", logits))
    return as_cut(here - there, _plausible(logits, here, params.contrastive_alpha))


def early_layer(logits: Tensor, early: Tensor) -> Tensor:
    """Which of the early logits (B..., J, V) differs most from `logits` (B..., V): an index (B...), lowest on a tie."""
    last = logits[..., None, :].expand(early.shape)
    p, q = _log_probs(last), _log_probs(_other(early, "dola", last))
    middle = torch.logaddexp(p, q) - math.log(2.0)
    found: Tensor = (0.5 * (_divergence(p, middle) + _divergence(q, middle))).argmax(-1)
    return found


def early_layers(layers: int, *, tie: bool, half: str) -> tuple[int, ...]:
    """The candidates of a network, as the authors choose: every second layer of its low or high half, of 20 at most.

    A layer is named by the number of blocks before it; 0 is the embedding. Where the head is the embedding itself,
    layer 0 only repeats the last token, so the low half starts at 2 (or as near as a small network allows).
    """
    if half == "high":
        return tuple(range(max(layers // 2, layers - 20), layers, 2))
    start = min(2, layers - 1) if tie else 0
    return tuple(range(start, min(layers // 2, 20), 2)) or (start,)


def _other(side: Tensor | None, setting: str, logits: Tensor) -> Tensor:
    """Another pass's logits in float64, cut where these are; ValueError when they are missing or not numbers."""
    if side is None:
        raise ValueError(f"{setting} needs the logits of another pass, and the context holds none")
    if side.shape[-1] != logits.shape[-1] or not bool(torch.isfinite(side).all()):
        raise ValueError(f"{setting} needs {logits.shape[-1]} finite logits of the other pass, got {tuple(side.shape)}")
    return side.to(logits.device).double().masked_fill(logits == CUT, CUT)


def _log_probs(logits: Tensor) -> Tensor:
    """Log-softmax in float64 over what is not cut; cut entries, and rows with nothing else, stay finite here.

    Differences are taken of these, and -inf less -inf would be no number; as_cut puts the cuts back.
    """
    alive = logits != CUT
    return logits.double().log_softmax(-1).masked_fill(~alive, 0.0)


def _divergence(p: Tensor, middle: Tensor) -> Tensor:
    """KL in nats from logarithms (..., V); entries that are cut have 0 in both and so count nothing."""
    return (p.exp() * (p - middle)).sum(-1)


def _plausible(logits: Tensor, log_probs: Tensor, alpha: float) -> Tensor:
    """The logits with -inf where the probability is below alpha times the largest."""
    if alpha == 0.0:
        return logits
    largest = log_probs.masked_fill(logits == CUT, CUT).amax(-1, keepdim=True)
    return logits.masked_fill(log_probs < largest + math.log(alpha), CUT)
