"""The sampler on the device: stages, draw and record as one fixed program without a look back at the host.

The stages of stages.py walk one row with Python's decisions between them; this is the same arithmetic for all lanes at
once at fixed shapes, with the settings in a tensor, so that it can stand in a CUDA graph and a turned knob needs no new
one. Which stages are on is fixed per program (`program`), their values are not. Stages that keep state, need other
passes or read bytes stay on the host (`supports`). The slow twin is observe.observe with observe.decide.

B lanes, V vocabulary, N candidates, S stages that are on, J = S + 1 lines: the raw logits and what each stage left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tinychat.engine import device_record, device_stages
from tinychat.engine.cuts import CUT, LOWEST
from tinychat.engine.device_stages import COLUMNS, FAR, Line
from tinychat.engine.draw import HEAD
from tinychat.engine.params import SamplingParams

ON_DEVICE = device_stages.CUTS | device_stages.CHANGES

_BITS = math.log2(math.e)
_AT_ONCE = 2**24  # numbers of the lines that are summed up together: of 64 lanes of 128k tokens, two lines


def supports(params: SamplingParams) -> bool:
    """Whether every stage that is on can run here."""
    on = params.active
    late = "repetition" in on and "temperature" in on and on.index("repetition") > on.index("temperature")
    return ON_DEVICE.issuperset(on) and params.temperature_mode == "fixed" and params.penalty_window == 0 and not late


def program(params: SamplingParams) -> tuple[str, ...]:
    """The stages that are on, in order: what a captured program is good for."""
    return params.active


def settings_row(params: SamplingParams) -> list[float]:
    """The values of COLUMNS."""
    return [float(getattr(params, name)) for name in COLUMNS]


def run(
    logits: Tensor, stages: Sequence[str], settings: Tensor, counts: Tensor, bias: Tensor, u: Tensor, n: int
) -> tuple[Tensor, Tensor]:
    """Tokens (B,) int64 and records (B, device_record.width) float64 of one step.

    `logits` (B, V) are raw, float32; `settings` (B, len(COLUMNS)) and `u` (B,) are float64; `counts` (B, V) float32 is
    how often each token was seen in the penalties' scope, `bias` (B, V) float64 the logit bias. Of a lane with no token
    left, or with NaN among its logits, the record says so and its token means nothing, but is one.
    """
    knobs = dict(zip(COLUMNS, settings.unsqueeze(-1).unbind(1), strict=True))  # (B, 1) each
    ids = torch.arange(logits.shape[-1], device=logits.device)
    lines = [Line(logits)]
    for name in stages:
        lines.append(device_stages.apply(name, lines[-1], knobs, counts, bias, ids))
    listed = lines[0].order()[:, :n]
    sums = _summed([line.logits for line in lines])
    token, low, high = _draw(sums.final, lines[-1].order()[:, :HEAD], u.unsqueeze(-1))
    at = torch.cat((listed, token), -1)  # (B, N + 1)
    seen = torch.cat([group.gather(-1, at.expand(group.shape[0], -1, -1)) for group in sums.groups])  # (J, B, N + 1)
    below = torch.sub(seen, sums.largest.clamp(min=LOWEST))
    probs = below.exp() / sums.total
    alive = (seen != CUT).sum(0)  # in so many lines, from the first on: a token that is cut never comes back
    cut_by = alive.masked_fill(alive == len(lines), int(device_record.NEVER))
    surprisal = (sums.total[0].log() - below[0, :, -1:]).clamp(min=0.0) * _BITS
    ranks = _ranks([lines[0].order(), lines[-1].order()], token, ids)
    own = (sums.largest[0].double(), low, high, *ranks, surprisal, sums.varentropy)
    columns = (at.double(), seen[0].double(), probs[0], probs[-1], cut_by.double())
    views = torch.cat((sums.kept, _mass(stages, lines, sums), sums.entropy, probs[:, :, -1:]), -1)  # (J, B, 4)
    return token.squeeze(-1), torch.cat((*own, *columns, views.transpose(0, 1).flatten(1)), -1)


# ---- numbers ---------------------------------------------------------------------------------------------------------


class _Sums(NamedTuple):
    """Of every line (J, B, 1), float64; of the last also its probabilities."""

    groups: list[Tensor]  # (some of J, B, V) the lines themselves
    largest: Tensor  # float32, -inf where all is cut, NaN where one is
    total: Tensor  # of the exponentials of what a logit is below the largest; never 0
    kept: Tensor
    entropy: Tensor  # bits
    varentropy: Tensor  # (B, 1) bits squared, of the first line
    final: Tensor  # (B, V) all 0 where all is cut


def _summed(lines: Sequence[Tensor]) -> _Sums:
    """Line after line would be a dozen kernels for each: as many together as memory is asked for."""
    size = max(1, _AT_ONCE // lines[0].numel())
    groups = [torch.stack(tuple(lines[at : at + size])) for at in range(0, len(lines), size)]
    found: list[tuple[Tensor, ...]] = []
    for group in groups:
        largest = group.amax(-1, keepdim=True)
        below = torch.sub(group, largest.double().clamp(min=LOWEST)).clamp(min=FAR)
        weights = below.exp()
        total = weights.sum(-1, keepdim=True).clamp(min=1e-300)
        parts = weights * below
        mean = parts.sum(-1, keepdim=True) / total
        entropy = (total.log() - mean).clamp(min=0.0) * _BITS
        kept = (group != CUT).sum(-1, keepdim=True).double()
        if not found:
            spread = (parts[0] * below[0]).sum(-1, keepdim=True) / total[0] - mean[0].square()
        found.append((largest, total, kept, entropy))
        final = weights[-1] / total[-1]
    largest, total, kept, entropy = (torch.cat(each) for each in zip(*found, strict=True))
    return _Sums(groups, largest, total, kept, entropy, spread.clamp(min=0.0) * _BITS**2, final)


def _mass(stages: Sequence[str], lines: Sequence[Line], sums: _Sums) -> Tensor:
    """Of the probability that came into each line, the share that its tokens had (J, B, 1)."""
    largest, total, kept = sums.largest.double().clamp(min=LOWEST), sums.total, sums.kept
    # a cut leaves the others' logits as they were, so their exponentials are those of the line before
    rows = list((total[1:] * (largest[1:] - largest[:-1]).exp() / total[:-1]).unbind(0))
    for place, name in enumerate(stages):
        if name == "temperature":  # cuts all but the likeliest, or nothing
            rows[place] = total[place].reciprocal()
        elif name == "logit_bias":
            before, after = lines[place].softmax(), lines[place + 1].logits
            rows[place] = before.weights.masked_fill(after == CUT, 0.0).sum(-1, keepdim=True) / total[place]
    first = torch.ones_like(kept[:1])
    if not rows:
        return first
    some = torch.stack(rows).masked_fill(kept[1:] == kept[:-1], 1.0).masked_fill(kept[1:] == 0, 0.0)
    return torch.cat((first, some))


def _ranks(orders: Sequence[Tensor], token: Tensor, ids: Tensor) -> list[Tensor]:
    """The places (B, 1) of a token, counted from 1."""
    found = {id(order): ((order == token) * ids).sum(-1, keepdim=True).double() + 1 for order in orders}
    return [found[id(order)] for order in orders]


def _draw(probs: Tensor, head: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Who owns `u` (B, 1), and from where to where: `head` stands first, then all others by id, as in draw.stack."""
    size = head.shape[-1]
    others = probs.scatter(-1, head, 0.0)  # they keep their places: what has no probability owns nothing
    laid = torch.cat((torch.zeros_like(u), probs.gather(-1, head), others), -1)  # (B, 1 + head + V)
    edges = laid.cumsum(-1).clamp(max=1.0)
    end = edges[:, -1:]
    # the sum may round to just below 1: a dart there belongs to the last who owns something, so throw it there
    dart = torch.minimum(u, end * (1.0 - 2.0**-53))
    index = torch.searchsorted(edges, dart, right=True).clamp(max=edges.shape[-1] - 1)
    low, high = edges.gather(-1, torch.cat((index - 1, index), -1)).unsqueeze(-1).unbind(1)
    place = index - 1
    token = torch.where(place < size, head.gather(-1, place.clamp(max=size - 1)), place - size)
    return token, low, high.masked_fill(high >= end, 1.0)
