"""The sampler on the device: stages, draw and record as one fixed program without a look back at the host.

The stages of stages.py walk one row with Python's decisions between them; this is the same arithmetic for all lanes at
once at fixed shapes, with the settings in a tensor, so that it can stand in a CUDA graph and a turned knob needs no new
one. Which stages are on is fixed per program (`program`), their values are not. Stages that keep state, need other
passes or read bytes stay on the host (`supports`). The slow twin is observe.observe with observe.decide.

B lanes, V vocabulary, N candidates, S stages that are on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tinychat.engine.cuts import CUT
from tinychat.engine.draw import HEAD
from tinychat.engine.knobs import GREEDY_BELOW
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, Odds, StageView, Step

COLUMNS = (
    "repetition_penalty", "frequency_penalty", "presence_penalty", "top_n_sigma", "temperature", "top_k", "typical_p",
    "top_p", "min_p", "epsilon_cutoff", "eta_cutoff", "top_a", "smoothing_factor", "smoothing_curve",
)  # fmt: skip
ON_DEVICE = frozenset(
    ("logit_bias", "repetition", "frequency", "presence", "top_n_sigma", "temperature", "quadratic", "top_k",
     "typical", "top_p", "min_p", "epsilon", "eta", "top_a")
)  # fmt: skip

_BITS = math.log2(math.e)
_LOWEST, _HIGHEST = torch.finfo(torch.float32).min, torch.finfo(torch.float32).max
_EPSILON = torch.finfo(torch.float32).eps
_OWN = 15  # numbers of a record that are neither candidates nor stages


def supports(params: SamplingParams) -> bool:
    """Whether every stage that is on can run here."""
    on = program(params)
    late = "repetition" in on and "temperature" in on and on.index("repetition") > on.index("temperature")
    return ON_DEVICE.issuperset(on) and params.temperature_mode == "fixed" and params.penalty_window == 0 and not late


def program(params: SamplingParams) -> tuple[str, ...]:
    """The stages that are on, in order: what a captured program is good for."""
    return tuple(name for name in params.stages if params.is_on(name))


def settings_row(params: SamplingParams) -> list[float]:
    """The values of COLUMNS."""
    return [float(getattr(params, name)) for name in COLUMNS]


def record_width(stages: int, n: int) -> int:
    """Numbers in one lane's record."""
    return _OWN + 5 * n + 4 * (stages + 1)


def run(
    logits: Tensor, stages: Sequence[str], settings: Tensor, counts: Tensor, bias: Tensor, u: Tensor, n: int
) -> tuple[Tensor, Tensor]:
    """Tokens (B,) int64 and records (B, record_width) float64 of one step.

    `logits` (B, V) are raw, float32; `settings` (B, len(COLUMNS)) and `u` (B,) are float64; `counts` (B, V) is how
    often each token was seen in the penalties' scope, `bias` (B, V) the logit bias, both float32. Of a lane with no
    token left, or with NaN among its logits, the record says so and its token means nothing.
    """
    knobs = dict(zip(COLUMNS, settings.unsqueeze(-1).unbind(1), strict=True))  # (B, 1) each
    size = logits.shape[-1]
    listed = torch.sort(logits, dim=-1, descending=True, stable=True).indices[:, :n]  # ties by lower id
    probs, entropy, varentropy = _distribution(logits)
    raw = probs
    views = [(_kept(logits), torch.ones_like(entropy), entropy, probs)]
    cut_by = torch.where(logits == CUT, 0.0, -1.0).double()
    current = logits
    for place, name in enumerate(stages, start=1):
        current = _apply(name, current, knobs, counts, bias)
        cut_by = torch.where((current == CUT) & (cut_by < 0), float(place), cut_by)
        alive = (current != CUT).double()
        mass = (probs * alive).sum(-1)
        probs, left, _ = _distribution(current)
        views.append((_kept(current), mass, left, probs))
    token, low, high = _draw(probs, u)
    at = token.unsqueeze(-1)
    own = (
        torch.isfinite(logits.amax(-1)).double(), token.double(), low, high, _take(raw, at), _take(probs, at),
        _rank(logits, at), _rank(probs, at), _surprisal(logits, at), entropy, varentropy, views[-1][2], views[-1][0],
        _take(logits, at), _take(cut_by, at),
    )  # fmt: skip
    columns = [logits.gather(-1, listed).double(), raw.gather(-1, listed), probs.gather(-1, listed)]
    parts = [torch.stack(own, -1), listed.double(), *columns, cut_by.gather(-1, listed)]
    parts += [torch.stack((kept, mass, bits, _take(after, at)), -1) for kept, mass, bits, after in views]
    assert listed.shape[-1] == min(n, size), "a record has room for exactly its candidates"
    return token, torch.cat(parts, -1)


def read(
    record: Sequence[float],
    params: SamplingParams,
    *,
    position: int,
    vocab_size: int,
    lane: int,
    u: float,
    time_s: float,
) -> Step | None:
    """The step of one lane's record; None where the settings left no token. ValueError for logits that are NaN."""
    stages = ("raw", *program(params))
    n = (len(record) - _OWN - 4 * len(stages)) // 5
    (
        finite, token, low, high, raw, final, raw_rank, final_rank, surprisal, entropy, varentropy, final_entropy,
        kept, logit, cut,
    ) = record[:_OWN]  # fmt: skip
    if not finite:
        raise ValueError("logits must be finite or -inf")
    if not kept:
        return None
    ids, logits, raws, finals, cuts = (record[_OWN + i * n : _OWN + (i + 1) * n] for i in range(5))
    candidates = [
        Candidate(token=int(i), logit=x, raw=p, final=f, rank=rank, cut_by=None if c < 0 else stages[int(c)])
        for rank, (i, x, p, f, c) in enumerate(zip(ids, logits, raws, finals, cuts, strict=True), start=1)
    ]
    if token not in ids:
        candidates.append(
            Candidate(token=int(token), logit=logit, raw=raw, final=final, rank=int(raw_rank),
                      cut_by=None if cut < 0 else stages[int(cut)])
        )  # fmt: skip
    start = _OWN + 5 * n
    views = tuple(
        StageView(name=name, kept=int(k), mass=m, entropy=e, chosen=c)
        for name, (k, m, e, c) in zip(
            stages, (record[start + 4 * i : start + 4 * i + 4] for i in range(len(stages))), strict=True
        )
    )
    odds = Odds(
        position=position, vocab_size=vocab_size, candidates=tuple(candidates), stages=views, entropy=entropy,
        varentropy=varentropy, final_entropy=final_entropy, kept=int(kept), temperature=params.temperature,
    )  # fmt: skip
    return Step(
        odds=odds, token=int(token), lane=lane, forced=False, raw=raw, final=final, raw_rank=int(raw_rank),
        final_rank=int(final_rank), surprisal=surprisal, u=u, low=low, high=high, time_s=time_s,
    )  # fmt: skip


# ---- the stages, for all lanes ---------------------------------------------------------------------------------------


def _apply(name: str, logits: Tensor, knobs: dict[str, Tensor], counts: Tensor, bias: Tensor) -> Tensor:
    cut = logits == CUT
    if name == "logit_bias":
        biased = (logits.double() + bias).clamp(_LOWEST, _HIGHEST).float()
        return torch.where(cut | (bias == CUT), CUT, torch.where(bias == 0, logits, biased))
    if name == "repetition":
        theta = knobs["repetition_penalty"].float()
        return _as_cut(
            torch.where(counts > 0, torch.where(logits > 0, logits / theta, logits * theta), logits).double(), cut
        )
    if name == "frequency":
        return _as_cut((logits - counts * knobs["frequency_penalty"].float()).double(), cut)
    if name == "presence":
        return _as_cut((logits - (counts > 0).float() * knobs["presence_penalty"].float()).double(), cut)
    largest = logits.amax(-1, keepdim=True).double()
    if name == "temperature":
        value = knobs["temperature"]
        divided = _as_cut((logits.double() - largest) / value.clamp(min=GREEDY_BELOW), cut)
        best = logits.argmax(-1, keepdim=True)  # the first of equals
        only = torch.full_like(logits, CUT).scatter(-1, best, logits.gather(-1, best))
        return torch.where(value <= GREEDY_BELOW, only, torch.where(value == 1.0, logits, divided))
    if name == "quadratic":
        below = (logits.double() - largest).masked_fill(cut, 0.0)
        factor, curve = knobs["smoothing_factor"], knobs["smoothing_curve"]
        k, s = (3 - curve) / 2, (curve - 1) / 2
        return _as_cut(largest - k * factor * below**2 + s * factor * below**3, cut)
    if name == "top_n_sigma":
        count = (~cut).sum(-1, keepdim=True).clamp(min=1)
        below = (logits.double() - largest).masked_fill(cut, 0.0)
        mean = below.sum(-1, keepdim=True) / count
        sigma = ((below - mean).square().masked_fill(cut, 0.0).sum(-1, keepdim=True) / count).sqrt()
        return _at_least(logits, largest, largest - knobs["top_n_sigma"] * sigma)
    if name == "min_p":
        return _at_least(logits, largest, largest + knobs["min_p"].log())
    if name == "top_k":
        k = knobs["top_k"].long().clamp(1, logits.shape[-1])
        smallest = torch.sort(logits, dim=-1, descending=True).values.gather(-1, k - 1)
        return logits.masked_fill(logits < smallest, CUT)
    probs, entropy, _ = _distribution(logits)
    if name == "top_p":
        ids = torch.sort(logits, dim=-1, descending=True, stable=True).indices
        sorted_probs = probs.gather(-1, ids)
        keep = sorted_probs.cumsum(-1) - sorted_probs < knobs["top_p"]
        first = torch.zeros_like(ids[:, :1])
        return logits.masked_fill(torch.zeros_like(keep).scatter(-1, ids, ~keep.scatter(-1, first, True)), CUT)
    surprisal = torch.where(probs > 0, -probs.log(), torch.inf)
    nats = (entropy / _BITS).unsqueeze(-1)
    if name == "typical":
        distance = torch.where(probs > 0, (surprisal - nats).abs(), torch.inf)
        nearest, ids = torch.sort(distance, dim=-1, stable=True)
        last = (probs.gather(-1, ids).cumsum(-1) < knobs["typical_p"]).sum(-1, keepdim=True)
        return logits.masked_fill(distance > nearest.gather(-1, last.clamp(max=logits.shape[-1] - 1)), CUT)
    top = probs.amax(-1, keepdim=True)
    if name == "epsilon":
        floor = knobs["epsilon_cutoff"]
    elif name == "eta":
        floor = torch.minimum(knobs["eta_cutoff"], knobs["eta_cutoff"].sqrt() * (-nats).exp())
    else:
        floor = knobs["top_a"] * top**2
    return logits.masked_fill(probs < torch.minimum(floor, top), CUT)


def _as_cut(changed: Tensor, cut: Tensor) -> Tensor:
    return changed.clamp(_LOWEST, _HIGHEST).float().masked_fill(cut, CUT)


def _at_least(logits: Tensor, largest: Tensor, floor: Tensor) -> Tensor:
    """As truncations._at_least: what meets the rule exactly on paper is granted its rounding."""
    rounding = _EPSILON * torch.maximum(largest.abs(), floor.abs())
    granted = torch.where(floor < largest, floor - rounding, floor)
    return logits.masked_fill(logits < granted, CUT)


# ---- numbers ---------------------------------------------------------------------------------------------------------


def _distribution(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax (B, V) in float64, entropy and varentropy (B,) in bits; zeros where all is cut."""
    below = logits.double() - logits.amax(-1, keepdim=True)
    weights = below.exp().nan_to_num(0.0)
    total = weights.sum(-1, keepdim=True)
    probs = weights / total.clamp(min=1e-300)
    surprisal = (total.clamp(min=1e-300).log() - below).masked_fill(weights == 0, 0.0).nan_to_num(0.0)
    entropy = (probs * surprisal).sum(-1, keepdim=True)
    varentropy = (probs * (surprisal - entropy).square()).sum(-1)
    return probs, entropy.squeeze(-1).clamp(min=0.0) * _BITS, varentropy * _BITS**2


def _kept(logits: Tensor) -> Tensor:
    return (logits != CUT).sum(-1).double()


def _take(values: Tensor, at: Tensor) -> Tensor:
    return values.gather(-1, at).squeeze(-1).double()


def _rank(values: Tensor, at: Tensor) -> Tensor:
    """The place of one entry by falling value, ties by lower id, counted from 1."""
    value = values.gather(-1, at)
    ids = torch.arange(values.shape[-1], device=values.device)
    before = (values > value) | ((values == value) & (ids < at))
    return (1 + before.sum(-1)).double()


def _surprisal(logits: Tensor, at: Tensor) -> Tensor:
    below = logits.double() - logits.amax(-1, keepdim=True)
    return (below.exp().nan_to_num(0.0).sum(-1).log() - _take(below, at)).clamp(min=0.0) * _BITS


def _draw(probs: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Who owns `u` (B,): the 256 likeliest stand first, falling, then all others by id, as in draw.stack."""
    size = probs.shape[-1]
    head = torch.sort(probs, dim=-1, descending=True, stable=True).indices[:, :HEAD]  # (B, min(HEAD, V))
    is_tail = torch.ones_like(probs, dtype=torch.long).scatter(-1, head, 0)
    place = is_tail.cumsum(-1) - 1 + head.shape[-1]
    ranks = torch.arange(head.shape[-1], device=probs.device).expand_as(head)
    place = place.scatter(-1, head, ranks)  # where each token stands
    ids = torch.zeros_like(place).scatter(-1, place, torch.arange(size, device=probs.device).expand_as(place))
    laid = torch.zeros_like(probs).scatter(-1, place, probs)
    edges = laid.cumsum(-1).clamp(max=1.0)
    last = torch.where(laid > 0, torch.arange(size, device=probs.device), 0).amax(-1, keepdim=True)
    index = torch.minimum(torch.searchsorted(edges, u.unsqueeze(-1), right=True), last)
    high = torch.where(index == last, 1.0, edges.gather(-1, index))
    low = torch.where(index == 0, 0.0, edges.gather(-1, (index - 1).clamp(min=0)))
    return ids.gather(-1, index).squeeze(-1), low.squeeze(-1), high.squeeze(-1)
