"""Cross-entropy of next tokens, summed, with the number of tokens it was summed over.

Sums and counts, not means: a step of several micro-batches divides by the trained tokens of the whole step,
or tokens in sparsely trained micro-batches would weigh more than others. Nothing here knows batches or models.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

IGNORED = -1  # a target that is not trained: padding, the end of a row


def loss_sum(logits: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Sum of -log p over the trained targets in nats, and their number. Nothing trained: (0, 0), and zero gradients.

    logits (..., V) of any float type, computed with in float32; targets (...) long, IGNORED where nothing is trained.
    """
    assert logits.shape[:-1] == targets.shape, f"{tuple(logits.shape)} against {tuple(targets.shape)}"
    # half types lose small probabilities in a sum over the vocabulary
    loss: Tensor = _CrossEntropy.apply(logits.float(), targets)  # type: ignore[no-untyped-call]  # torch's signature
    return loss, int((targets != IGNORED).sum())


class _CrossEntropy(torch.autograd.Function):
    """log-sum-exp(z) - z[target], and its gradient softmax(z) - one-hot(target), in one buffer instead of five."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        # log-sum-exp takes the maximum out first, so scores of 1000 neither overflow nor vanish
        total = torch.logsumexp(logits, dim=-1)
        trained = targets != IGNORED
        places = targets.clamp(min=0).unsqueeze(-1)
        ctx.save_for_backward(logits, total, trained, places)
        losses = total - logits.gather(-1, places).squeeze(-1)
        return torch.where(trained, losses, torch.zeros_like(losses)).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        logits, total, trained, places = ctx.saved_tensors
        weight = (trained * grads[0]).unsqueeze(-1)  # (..., 1): 0 where nothing is trained
        gradient = torch.sub(logits, total.unsqueeze(-1)).exp_().mul_(weight)
        return gradient.scatter_add_(-1, places, -weight), None
