"""What a stage may look at besides the logits: the tokens so far, the dice, and logits of other passes.

Nothing here computes a pass or changes a logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine import draw
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import FRESH, SamplerState
from tinychat.model.vocabulary import Vocabulary

History = Sequence[int] | NDArray[np.integer[Any]] | Tensor

STREAM_XTC = 1  # of draw.uniform; stream 0 is the token's own
STREAM_ACCEPT = 2  # speculation: is the draft taken?
STREAM_DRAFT = 3  # speculation: the draft model's own draw


@dataclass(frozen=True, slots=True)
class Sides:
    """Raw logits (V,) for the same position from other passes; None where no setting asks for them."""

    without: Tensor | None = None  # after the negative prompt, or none, and the reply so far: guidance
    unprompted: Tensor | None = None  # after the reply alone: the KL-guided temperature
    amateur: Tensor | None = None  # of the amateur model: contrastive decoding
    early: Tensor | None = None  # (J, V), after the candidate layers of the same model: DoLa


@dataclass(frozen=True, slots=True)
class Context:
    """Of one position: prompt + output ids, of which the first `prompt_len` are the prompt, and what goes with them."""

    history: History = ()
    prompt_len: int = 0
    position: int | None = None  # whose odds these are; None: the one after the history
    lane: int = 0  # whose dice
    state: SamplerState = FRESH
    vocabulary: Vocabulary | None = None
    sides: Sides = Sides()
    legal: Tensor | None = None  # (V,) bool: what the grammar allows here

    @property
    def place(self) -> int:
        return len(self.history) if self.position is None else self.position

    def dart(self, params: SamplingParams, stream: int) -> float:
        """The uniform number of this position in a stream of its own."""
        return draw.uniform(params.seed, self.place, self.lane, stream)

    def ids(self) -> NDArray[np.int64]:
        """The history as an array."""
        ids = np.asarray(self.history)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise ValueError(f"history must be a list of token ids, got {ids.ndim} axes of {ids.dtype}")
        return ids.astype(np.int64, copy=False)

    def as_array(self) -> Context:
        """The same with the history as an array: one for all stages that look at it."""
        return self if isinstance(self.history, np.ndarray) else replace(self, history=self.ids())

    def seen(self, params: SamplingParams, vocab_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ids (K,) in the penalties' reach, rising, and how often each occurs (K,).

        The scope comes first ("all" is prompt + output, "output" what follows the prompt), then the window: the last
        `penalty_window` tokens of that scope, 0 for all of them. Ids outside the vocabulary are ignored.
        """
        ids = self.ids()
        if params.penalty_scope == "output":
            ids = ids[self.prompt_len :]
        if params.penalty_window:
            ids = ids[-params.penalty_window :]
        ids = ids[(ids >= 0) & (ids < vocab_size)]
        return np.unique(ids, return_counts=True)


NOTHING_SEEN = Context()
