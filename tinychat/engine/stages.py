"""Choose the next token, one stage at a time.

Each stage is a pure function on the last axis of the logits, float32 in and out, on the CPU. It cuts only by -inf, it
never brings a cut token back, and a cut token never enters a sum, an entropy or a deviation. Every truncation keeps at
least one token; a row that is all -inf passes through every stage. Sums and probabilities are float64, computed from
the float32 logits. Nothing here knows text, threads, screens or the draw.

B any leading axes, V vocabulary, A what is left of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine import adaptive, bias, constrain, guidance, penalties, thinking, truncations, watermarks
from tinychat.engine import temperature as temperatures
from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.cuts import CUT
from tinychat.engine.params import SamplingParams
from tinychat.engine.temperature import Heat, divided, heat_of


@dataclass(frozen=True, slots=True)
class Stage:
    """A named step of the chain: (logits (B..., V), settings, context) -> logits (B..., V).

    A stage `by_id` must be given whole rows, where a place is a token; any other may be given the tokens not cut.
    """

    name: str
    apply: Callable[[Tensor, SamplingParams, Context], Tensor]
    by_id: bool = True


@dataclass(frozen=True, slots=True)
class After:
    """What one stage of a walk left: a row over all tokens or, when few are left, over these alone."""

    name: str
    logits: Tensor  # (A,)
    ids: NDArray[np.int64] | None  # (A,) whose logits they are, rising; None for the whole row
    places: NDArray[np.int64] | None  # (A,) where they stood in the row before; None where both rows have one length
    kept: int  # tokens not cut
    heat: Heat | None = None  # the temperature it used; None for every other stage


_MOST = 0.75  # a row shrinks when no more than this share of its tokens is left,
_SMALL = 4096  # or when any is cut, in one this short

# one line a stage; the orders they run in are in orders.py
STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("think_budget", thinking.think_budget),
        Stage("guidance", guidance.guidance),
        Stage("contrastive", guidance.contrastive),
        Stage("dola", guidance.dola),
        Stage("grammar", constrain.grammar),
        Stage("allowed", bias.allowed),
        Stage("bad_words", bias.bad_words),
        Stage("min_tokens", bias.min_tokens),
        Stage("no_repeat_ngram", bias.no_repeat_ngram),
        Stage("encoder_no_repeat_ngram", bias.encoder_no_repeat_ngram),
        Stage("logit_bias", bias.logit_bias),
        Stage("sequence_bias", bias.sequence_bias),
        Stage("repetition", penalties.repetition),
        Stage("encoder_repetition", penalties.encoder_repetition),
        Stage("frequency", penalties.frequency),
        Stage("presence", penalties.presence),
        Stage("dry", penalties.dry),
        Stage("end_decay", bias.end_decay),
        Stage("top_n_sigma", truncations.top_n_sigma, by_id=False),
        Stage("temperature", temperatures.temperature, by_id=False),
        Stage("quadratic", truncations.quadratic, by_id=False),
        Stage("top_k", truncations.top_k, by_id=False),
        Stage("typical", truncations.typical, by_id=False),
        Stage("top_p", truncations.top_p, by_id=False),
        Stage("min_p", truncations.min_p, by_id=False),
        Stage("epsilon", truncations.epsilon, by_id=False),
        Stage("eta", truncations.eta, by_id=False),
        Stage("tfs", truncations.tfs, by_id=False),
        Stage("top_a", truncations.top_a, by_id=False),
        Stage("top_h", truncations.top_h, by_id=False),
        Stage("xtc", truncations.xtc, by_id=False),
        Stage("watermark", watermarks.watermark),
        Stage("synthid", watermarks.synthid),
        Stage("mirostat", adaptive.mirostat, by_id=False),
        Stage("adaptive_p", adaptive.adaptive_p, by_id=False),
    )
}


def shape(logits: Tensor | NDArray[Any], params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """The logits (V,) after every switched-on stage, in order: float32, -inf where cut, temperature applied.

    The input is never changed. A temperature of 1e-5 or less leaves exactly the arg-max (lowest id on a tie). Where
    everything is cut, all is -inf. NaN, +inf, another number of axes or a logit bias outside the vocabulary raise
    ValueError.
    """
    whole = torch.as_tensor(logits).detach().to(torch.float32)
    shaped, ids = whole, None
    for after in walk(whole, params, context):
        shaped, ids = after.logits, after.ids
    if ids is not None:
        return _whole(shaped, ids, whole.numel())
    return shaped.clone()  # with every stage off this is the caller's own memory


def walk(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Iterator[After]:
    """What every switched-on stage left of the logits (V,), in the order of the settings.

    Once few tokens are left, the row shrinks to them: what is cut costs the stages that follow nothing. Once none is
    left, the stages that follow are not asked.
    """
    row = checked(logits).cpu()
    size = row.numel()
    ids: NDArray[np.int64] | None = None
    kept = int(np.count_nonzero(row.numpy() != CUT))
    length = len(context.history)
    if not 0 <= context.prompt_len <= length:
        raise ValueError(f"prompt_len must be from 0 to the {length} ids of the history, got {context.prompt_len}")
    names = params.active
    if names:
        context = replace(context, history=context.ids())  # an array once, not once per penalty
    for name in names:
        heat, places = None, None
        if kept:
            stage = STAGES[name]
            by_id = stage.by_id or (name == "temperature" and params.temperature_mode == "kl")
            among = ids if by_id else None
            given = row if among is None else _whole(row, among, size)
            if name == "temperature":
                heat = heat_of(given, params, context)
                given = divided(given, params, heat)
            else:
                given = stage.apply(given, params, context)
            row = given if among is None else given[torch.from_numpy(among)]
            values = row.numpy()
            kept = int(np.count_nonzero(values != CUT))
            if kept < values.size and (kept <= _MOST * values.size or values.size <= _SMALL):
                places = np.flatnonzero(values != CUT)
                row, ids = torch.from_numpy(values[places]), places if ids is None else ids[places]
        yield After(name, row, ids, places, kept, heat)


def _whole(row: Tensor, ids: NDArray[np.int64], size: int) -> Tensor:
    """The row (V,) of which these are the logits not cut."""
    spread = torch.full((size,), CUT)
    spread[torch.from_numpy(ids)] = row
    return spread


def checked(logits: Tensor) -> Tensor:
    """The logits (V,) as float32; NaN, +inf, no entries or several axes raise ValueError."""
    if logits.ndim != 1 or logits.numel() == 0:
        raise ValueError(f"logits must have one axis and at least one entry, got shape {tuple(logits.shape)}")
    row = logits.detach().to(torch.float32)
    largest = float(row.max())  # NaN anywhere makes this NaN
    if not largest < math.inf:
        raise ValueError(f"logits must be finite or -inf, got {largest}")
    return row
