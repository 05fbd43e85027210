"""Every stage that runs on the device, for all lanes at once: fixed shapes, settings in tensors, no look at a number.

The twins of the stages in truncations.py, penalties.py, bias.py and temperature.py, with the same rules for ties, for
roundings and for what is cut. On a device a small kernel costs as much as its launch, so sums are shared where one
row serves several stages, and rows are sorted once per change of their values.

B lanes, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from tinychat.engine.cuts import CUT, EPSILON, HIGHEST, LOWEST
from tinychat.engine.knobs import GREEDY_BELOW

# settings that the stages read, one column each
COLUMNS = (
    "repetition_penalty", "frequency_penalty", "presence_penalty", "top_n_sigma", "temperature", "top_k", "typical_p",
    "top_p", "min_p", "epsilon_cutoff", "eta_cutoff", "top_a", "smoothing_factor", "smoothing_curve", "tfs_z", "top_h",
    "xtc_probability", "xtc_threshold",
)  # fmt: skip
XTC_DART = "xtc_dart"  # beside the columns: it changes with every step
CUTS = frozenset(
    ("top_n_sigma", "top_k", "typical", "top_p", "min_p", "epsilon", "eta", "tfs", "top_a", "top_h", "xtc")
)
CHANGES = frozenset(("logit_bias", "repetition", "frequency", "presence", "temperature", "quadratic"))

FAR = -800.0  # nats below the largest: e to this is 0 in float64, and 0 times it is 0, which for -inf it is not


class Softmax(NamedTuple):
    """Of logits (B, V), in float64: probabilities are weights / total."""

    below: Tensor  # (B, V) logits less the largest, at least FAR
    weights: Tensor  # (B, V)
    total: Tensor  # (B, 1) at least 1, but NaN where all is cut
    log_total: Tensor  # (B, 1)


class Line:
    """Logits (B, V), float32, somewhere in the chain. What is asked of them is computed once."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self._largest: Tensor | None = None
        self._order: Tensor | None = None
        self._falling: Tensor | None = None
        self._softmax: Softmax | None = None

    def largest(self) -> Tensor:
        """(B, 1) float64; -inf where all is cut."""
        if self._largest is None:
            first = self.logits.amax(-1, keepdim=True) if self._falling is None else self._falling[:, :1]
            self._largest = first.double()
        return self._largest

    def order(self) -> Tensor:
        """Ids (B, V) by falling logit, equal ones by rising id."""
        if self._order is None:
            self._falling, self._order = torch.sort(self.logits, dim=-1, descending=True, stable=True)
        return self._order

    def falling(self) -> Tensor:
        """The logits (B, V) in that order."""
        order = self.order()
        if self._falling is None:
            self._falling = self.logits.gather(-1, order)
        return self._falling

    def best(self) -> Tensor:
        """The first id (B, 1) of the largest logit."""
        return self.logits.argmax(-1, keepdim=True) if self._order is None else self._order[:, :1]

    def softmax(self) -> Softmax:
        if self._softmax is None:
            below = torch.sub(self.logits, self.largest()).clamp(min=FAR)
            weights = below.exp()
            total = weights.sum(-1, keepdim=True)
            self._softmax = Softmax(below, weights, total, total.log())
        return self._softmax

    def entropy(self) -> Tensor:
        """(B, 1) nats."""
        of = self.softmax()
        return (of.log_total - (of.weights * of.below).sum(-1, keepdim=True) / of.total).clamp(min=0.0)

    def without(self, gone: Tensor, *, last: bool = True) -> Line:
        """The line with tokens cut; `last` where they were the last of the order, so that it still holds."""
        line = Line(self.logits.masked_fill(gone, CUT))
        if last:
            line._largest, line._order = self._largest, self._order
        return line


def apply(name: str, line: Line, knobs: Mapping[str, Tensor], counts: Tensor, bias: Tensor, ids: Tensor) -> Line:
    """What one stage leaves; `knobs` are the columns and XTC_DART, (B, 1) float64 each, and `ids` are 0 to V - 1.

    Else as device_chain.run.
    """
    if name in CUTS:
        return _cut(name, line, knobs, ids)
    return Line(_changed(name, line, knobs, counts, bias, ids))


def _changed(name: str, line: Line, knobs: Mapping[str, Tensor], counts: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    logits = line.logits
    if name == "logit_bias":
        biased = logits + bias
        return _as_cut(biased, biased == CUT)
    cut = logits == CUT
    if name == "repetition":
        theta = knobs["repetition_penalty"].float()
        by_sign = torch.where(logits > 0, logits / theta, logits * theta)
        return _as_cut(torch.where(counts > 0, by_sign, logits), cut)
    if name == "frequency":
        return _as_cut(logits - counts * knobs["frequency_penalty"].float(), cut)
    if name == "presence":
        return _as_cut(logits - (counts > 0) * knobs["presence_penalty"].float(), cut)
    below = torch.sub(logits, line.largest())
    if name == "temperature":
        value = knobs["temperature"]
        others = (ids != line.best()) & (value <= GREEDY_BELOW)
        return _as_cut(below / value.clamp(min=GREEDY_BELOW), cut | others)
    assert name == "quadratic", f"{name} does not run on the device"
    below = below.masked_fill(cut, 0.0)
    factor, curve = knobs["smoothing_factor"], knobs["smoothing_curve"]
    k, s = (3 - curve) / 2 * factor, (curve - 1) / 2 * factor
    return _as_cut(line.largest() - k * below.square() + s * below.pow(3), cut)


def _cut(name: str, line: Line, knobs: Mapping[str, Tensor], ids: Tensor) -> Line:
    if name == "top_k":
        places = knobs["top_k"].long().clamp(1, ids.shape[-1]) - 1
        return line.without(line.logits < line.falling().gather(-1, places))
    if name == "top_p":
        return _first(line, _top_p(line, knobs["top_p"]), ids)
    if name == "tfs":
        return _first(line, _tfs(line, knobs["tfs_z"]), ids)
    if name == "top_h":
        return _first(line, _top_h(line, knobs["top_h"]), ids)
    if name == "typical":
        return _typical(line, knobs["typical_p"])
    if name == "xtc":
        return _xtc(line, knobs, ids)
    if name == "min_p":
        floor = line.largest() + knobs["min_p"].log()
    elif name == "top_n_sigma":
        floor = line.largest() - knobs["top_n_sigma"] * _deviation(line)
    else:
        log_total = line.softmax().log_total
        if name == "epsilon":
            log_prob = knobs["epsilon_cutoff"].log()
        elif name == "eta":
            log_cutoff = knobs["eta_cutoff"].log()
            log_prob = torch.minimum(log_cutoff, log_cutoff / 2 - line.entropy())
        else:
            assert name == "top_a", f"{name} does not run on the device"
            log_prob = knobs["top_a"].log() - 2 * log_total
        floor = line.largest() + (log_total + log_prob)
    return line.without(line.logits < _granted(floor, line.largest()))


def _granted(floor: Tensor, largest: Tensor) -> Tensor:
    """As cuts.granted: what meets the rule on paper is granted its rounding, and the largest always meets it."""
    rounding = torch.maximum(largest.abs(), floor.abs())
    return torch.where(floor < largest, torch.sub(floor, rounding, alpha=EPSILON), largest)


def _deviation(line: Line) -> Tensor:
    """Of the tokens not cut, (B, 1)."""
    cut = line.logits == CUT
    below = torch.sub(line.logits, line.largest()).masked_fill(cut, 0.0)
    count = (~cut).sum(-1, keepdim=True).clamp(min=1)
    mean = below.sum(-1, keepdim=True) / count
    return (below.square().sum(-1, keepdim=True) / count - mean.square()).clamp(min=0.0).sqrt()


def _first(line: Line, last: Tensor, ids: Tensor) -> Line:
    """Keeps the tokens up to the place `last` (B, 1) of the order."""
    least, least_id = line.falling().gather(-1, last), line.order().gather(-1, last)
    tied = (line.logits == least) & (ids > least_id)
    return line.without((line.logits < least) | tied)


def _falling_probs(line: Line) -> Tensor:
    weights = torch.sub(line.falling(), line.largest()).exp()
    return weights / weights.sum(-1, keepdim=True)


def _top_p(line: Line, goal: Tensor) -> Tensor:
    reached = _falling_probs(line).cumsum(-1)
    return (reached[:, :-1] < goal).sum(-1, keepdim=True)  # at p = 0 the likeliest still stays


def _top_h(line: Line, share: Tensor) -> Tensor:
    limit = share * line.entropy()
    below = torch.sub(line.falling(), line.largest()).clamp(min=FAR)
    of = line.softmax()
    parts = (below.exp() / of.total * (of.log_total - below)).cumsum(-1)
    return ((parts[:, 1:] <= limit) & (limit > 0)).sum(-1, keepdim=True)


def _tfs(line: Line, share: Tensor) -> Tensor:
    size = line.logits.shape[-1]
    if size < 3:  # nothing can bend
        return torch.full_like(share, size - 1, dtype=torch.long)
    kept = (line.logits != CUT).sum(-1, keepdim=True)
    places = torch.arange(2, size, device=kept.device)  # of the third token of each bend
    bends = _falling_probs(line).diff(n=2).abs().masked_fill(places >= kept, 0.0).cumsum(-1)
    end = bends[:, -1:]
    last = (bends <= share * end).sum(-1, keepdim=True)
    return last.masked_fill(end == 0, size - 1)


def _xtc(line: Line, knobs: Mapping[str, Tensor], ids: Tensor) -> Line:
    threshold, of, largest = knobs["xtc_threshold"], line.softmax(), line.largest()
    floor = (largest + (of.log_total + threshold.log())).clamp(min=LOWEST)
    count = (line.logits >= _granted(floor, largest)).sum(-1, keepdim=True)
    place = (count - 1).clamp(min=0)  # of the least likely of them, and of equal ones the highest id
    least, least_id = line.falling().gather(-1, place), line.order().gather(-1, place)
    above = (line.logits > least) | ((line.logits == least) & (ids < least_id))
    strikes = (knobs[XTC_DART] < knobs["xtc_probability"]) & (floor <= largest)
    return line.without(above & strikes, last=False)


def _typical(line: Line, goal: Tensor) -> Line:
    of = line.softmax()
    apart = (of.below + (line.entropy() - of.log_total)).abs().masked_fill(line.logits == CUT, math.inf)
    nearest, order = torch.sort(apart, dim=-1)
    mass = (of.weights.gather(-1, order) / of.total).cumsum(-1)
    last = (mass[:, :-1] < goal).sum(-1, keepdim=True)
    return line.without(apart > nearest.gather(-1, last), last=False)


def _as_cut(changed: Tensor, cut: Tensor) -> Tensor:
    """As cuts.as_cut: an overflow stays a number, a cut token stays cut; float32."""
    return changed.clamp(LOWEST, HIGHEST).float().masked_fill(cut, CUT)
