"""The temperature.

B any leading axes, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.cuts import CUT, as_cut
from tinychat.engine.params import SamplingParams


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
    return as_cut(divided, logits)
