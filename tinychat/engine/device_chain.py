"""The sampler on the device: stages, draw and record as one fixed program without a look back at the host.

The stages of stages.py walk one row with Python's decisions between them; this is the same arithmetic for all lanes at
once at fixed shapes, with the settings in a tensor, so that it can stand in a CUDA graph and a turned knob needs no new
one. Which stages are on is fixed per program (`program`), their values are not. Stages that keep state, need other
passes or read bytes stay on the host (`supports`). The slow twin is observe.observe with observe.decide.

B lanes, V vocabulary, N candidates, M = N + 1, J lines: the raw logits and what each stage that is on left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tinychat.engine import device_stages
from tinychat.engine.cuts import CUT
from tinychat.engine.device_stages import COLUMNS, FAR, XTC_DART, Line
from tinychat.engine.draw import HEAD
from tinychat.engine.params import SamplingParams

ON_DEVICE = device_stages.CUTS | device_stages.CHANGES

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
    """Tokens (B,) int64 and rows (B, device_record.width) float64 of one step.

    `logits` (B, V) are raw, float32; `settings` (B, len(COLUMNS)) are float64, and so are the darts `u` (B, 2), of the
    token and of XTC; `counts` (B, V) float32 is
    how often each token was seen in the penalties' scope, `bias` (B, V) float64 the logit bias. Of a lane with no token
    left, or with NaN among its logits, the row says so and its token means nothing, but is one.
    """
    knobs = dict(zip((*COLUMNS, XTC_DART), (*settings.unsqueeze(-1).unbind(1), u[:, 1:]), strict=True))  # (B, 1) each
    ids = torch.arange(logits.shape[-1], device=logits.device)
    lines = [Line(logits)]
    listed = lines[0].order()[:, :n]
    for name in stages:
        lines.append(device_stages.apply(name, lines[-1], knobs, counts, bias, ids))
    sums = _summed([line.logits for line in lines])
    token, slices = _draw(sums.final, lines[-1].order()[:, :HEAD], ids, u[:, :1])
    at = torch.cat((listed, token), -1)  # (B, M)
    seen = [group.gather(-1, at.unsqueeze(1).expand(-1, group.shape[1], -1)).flatten(1) for group in sums.groups]
    spared = [_spared(lines[place], lines[place + 1]) for place, name in enumerate(stages) if name == "logit_bias"]
    ranks = _places([lines[0].order(), lines[-1].order()], token, ids)
    whole = torch.cat((at, *ranks, *sums.kept), -1).double()
    floats = torch.cat((*seen, *sums.largest), -1).double()
    return token.squeeze(-1), torch.cat((*slices, sums.spread, *spared, *sums.total, *sums.parts, whole, floats), -1)


class _Sums(NamedTuple):
    """What a record needs of every line, in groups of J lines that were summed together; (B, J) where not said."""

    groups: list[Tensor]  # (B, J, V) the lines themselves, float32
    largest: list[Tensor]  # float32; -inf where all is cut, NaN where one is
    total: list[Tensor]  # of the weights, float64
    parts: list[Tensor]  # of weights times what their logits are below the largest
    kept: list[Tensor]  # int64
    spread: Tensor  # (B, 1) of weights times below squared, of the first line
    final: Tensor  # (B, V) probabilities of the last line


def _summed(lines: Sequence[Tensor]) -> _Sums:
    """Line after line would be a dozen kernels for each: as many together as there is memory for."""
    size = max(1, _AT_ONCE // lines[0].numel())
    found = _Sums([], [], [], [], [], lines[0], lines[0])
    for at in range(0, len(lines), size):
        group = torch.stack(tuple(lines[at : at + size]), 1)
        largest = group.amax(-1)
        below = torch.sub(group, largest.double().unsqueeze(-1)).clamp(min=FAR)
        weights = below.exp()
        total, parts = weights.sum(-1), weights * below
        if not at:
            found = found._replace(spread=(parts[:, 0] * below[:, 0]).sum(-1, keepdim=True))
        found.groups.append(group)
        found.largest.append(largest)
        found.total.append(total)
        found.parts.append(parts.sum(-1))
        found.kept.append((group != CUT).sum(-1))
    return found._replace(final=weights[:, -1] / total[:, -1:])


def _spared(before: Line, after: Line) -> Tensor:
    """Of the weights before, those of the tokens that are still there (B, 1)."""
    return before.softmax().weights.masked_fill(after.logits == CUT, 0.0).sum(-1, keepdim=True)


def _places(orders: Sequence[Tensor], token: Tensor, ids: Tensor) -> list[Tensor]:
    """Where a token stands (B, 1) in each order."""
    found = {id(order): ((order == token) * ids).sum(-1, keepdim=True) for order in orders}
    return [found[id(order)] for order in orders]


def _draw(probs: Tensor, head: Tensor, ids: Tensor, u: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Who owns `u` (B, 1), and from where to where, and where all ends; each (B, 1).

    As in draw.stack: `head` stands first, then all others by id.
    """
    others = probs.scatter(-1, head, 0.0)  # the head keeps its places there, where it owns nothing
    laid = torch.cat((torch.zeros_like(u), probs.gather(-1, head), others), -1)  # (B, 1 + head + V)
    edges = laid.cumsum(-1).clamp(max=1.0)
    end = edges[:, -1:]
    # the sum may round to just below 1: a dart there belongs to the last who owns something, so throw it there
    dart = torch.minimum(u, end * (1.0 - 2.0**-53))
    after = torch.searchsorted(edges, dart, right=True).clamp(1, edges.shape[-1] - 1)
    before = after - 1
    token = torch.cat((head, ids.expand_as(probs)), -1).gather(-1, before)
    return token, (edges.gather(-1, before), edges.gather(-1, after), end)
