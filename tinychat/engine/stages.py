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

from tinychat.engine import adaptive, bias, constrain, guidance, penalties, truncations
from tinychat.engine import temperature as temperatures
from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.params import SamplingParams
from tinychat.engine.temperature import Heat, divided, heat_of


@dataclass(frozen=True, slots=True)
class Stage:
    """A named step of the chain: (logits (B..., V), settings, context) -> logits (B..., V)."""

    name: str
    apply: Callable[[Tensor, SamplingParams, Context], Tensor]


@dataclass(frozen=True, slots=True)
class After:
    """What one stage of a walk left."""

    name: str
    logits: Tensor  # (V,)
    heat: Heat | None = None  # the temperature it used; None for every other stage


# one line a stage; the orders they run in are in orders.py
STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
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
        Stage("top_n_sigma", truncations.top_n_sigma),
        Stage("temperature", temperatures.temperature),
        Stage("quadratic", truncations.quadratic),
        Stage("top_k", truncations.top_k),
        Stage("typical", truncations.typical),
        Stage("top_p", truncations.top_p),
        Stage("min_p", truncations.min_p),
        Stage("epsilon", truncations.epsilon),
        Stage("eta", truncations.eta),
        Stage("tfs", truncations.tfs),
        Stage("top_a", truncations.top_a),
        Stage("top_h", truncations.top_h),
        Stage("xtc", truncations.xtc),
        Stage("mirostat", adaptive.mirostat),
        Stage("adaptive_p", adaptive.adaptive_p),
    )
}


def shape(logits: Tensor | NDArray[Any], params: SamplingParams, context: Context = NOTHING_SEEN) -> Tensor:
    """The logits (V,) after every switched-on stage, in order: float32, -inf where cut, temperature applied.

    The input is never changed. A temperature of 1e-5 or less leaves exactly the arg-max (lowest id on a tie). Where
    everything is cut, all is -inf. NaN, +inf, another number of axes or a logit bias outside the vocabulary raise
    ValueError.
    """
    shaped = torch.as_tensor(logits).detach().to(torch.float32)
    for after in walk(shaped, params, context):
        shaped = after.logits
    return shaped.clone()  # with every stage off this is the caller's own memory


def walk(logits: Tensor, params: SamplingParams, context: Context = NOTHING_SEEN) -> Iterator[After]:
    """What every switched-on stage left, in the order of the settings."""
    current = checked(logits)
    length = len(context.history)
    if not 0 <= context.prompt_len <= length:
        raise ValueError(f"prompt_len must be from 0 to the {length} ids of the history, got {context.prompt_len}")
    names = [name for name in params.stages if params.is_on(name)]
    if names:
        context = replace(context, history=context.ids())  # an array once, not once per penalty
    for name in names:
        heat = heat_of(current, params, context) if name == "temperature" else None
        current = divided(current, params, heat) if heat else STAGES[name].apply(current, params, context)
        yield After(name, current, heat)


def checked(logits: Tensor) -> Tensor:
    """The logits (V,) as float32; NaN, +inf, no entries or several axes raise ValueError."""
    if logits.ndim != 1 or logits.numel() == 0:
        raise ValueError(f"logits must have one axis and at least one entry, got shape {tuple(logits.shape)}")
    row = logits.detach().to(torch.float32)
    largest = float(row.max())  # NaN anywhere makes this NaN
    if not largest < math.inf:
        raise ValueError(f"logits must be finite or -inf, got {largest}")
    return row
