"""A moving average of the weights: steadier than the weights themselves, as after a lower rate (Polyak 1992).

Nothing here knows steps' losses or files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainer.sharding import is_sharded


class Average:
    """average <- d * average + (1 - d) * weights after each step, with d = min(decay, (1 + n) / (10 + n)) at step n.

    The smaller d at the start forgets the first, random weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay must be above 0 and below 1, got {decay}")
        self.model, self.decay = model, decay
        self.tensors: dict[str, Tensor] = {name: parameter.detach().clone() for name, parameter in self._trained()}

    def _trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad)

    @torch.no_grad()
    def take(self, step: int) -> None:
        """The weights after update `step`, counted from 0."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        weights = dict(self._trained())
        torch._foreach_lerp_([self.tensors[name] for name in weights], list(weights.values()), share)  # few kernels

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the average for its weights; afterwards its own again, to the bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for module in self.model.modules():
            reshard: Any = getattr(module, "reshard", None)
            if reshard is not None:  # a sharded module keeps whole weights after a pass, which would be stale
                reshard()
        for name, parameter in self._trained():
            if is_sharded(parameter):  # whose memory must stay where it is
                own = parameter.detach().clone()
                parameter.copy_(self.tensors[name])
            else:  # arrays that were made of the weights keep their numbers
                own, parameter.data = parameter.data, self.tensors[name]
            self.tensors[name] = own
