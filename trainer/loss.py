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
    return objective_sum(logits, targets)[0], int((targets != IGNORED).sum())


def objective_sum(
    logits: Tensor, targets: Tensor, *, smoothing: float = 0.0, z_loss: float = 0.0
) -> tuple[Tensor, Tensor]:
    """What is minimised, and the sum of -log p, which has no gradient; both 0 where nothing is trained.

    Label smoothing s takes the cross-entropy with (1 - s) of the target and s of all V tokens alike (Szegedy et al.
    2015); z adds z * (log of the sum of exp(logits))^2, which keeps that near 0 (Chowdhery et al. 2022).
    """
    assert logits.shape[:-1] == targets.shape, f"{tuple(logits.shape)} against {tuple(targets.shape)}"
    # half types lose small probabilities in a sum over the vocabulary
    objective, nats = _CrossEntropy.apply(  # type: ignore[no-untyped-call]  # torch's signature
        logits.float(), targets, smoothing, z_loss
    )
    return objective, nats


class _CrossEntropy(torch.autograd.Function):
    """-log softmax(z)[target], and its gradient softmax(z) - one-hot(target) in the buffer of log softmax(z)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, smoothing: float, z_loss: float) -> tuple[Tensor, Tensor]:
        # log-softmax takes the maximum out first, so scores of 1000 neither overflow nor vanish
        logs = torch.log_softmax(logits, dim=-1)
        trained = targets != IGNORED
        places = targets.clamp(min=0).unsqueeze(-1)
        losses = -logs.gather(-1, places).squeeze(-1)
        zero = torch.zeros_like(losses)
        nats = torch.where(trained, losses, zero).sum()
        objective = nats.clone()
        if smoothing:
            objective += smoothing * (torch.where(trained, -logs.mean(dim=-1), zero).sum() - nats)
        total = None
        if z_loss:
            total = torch.logsumexp(logits, dim=-1)
            objective += z_loss * torch.where(trained, total.square(), zero).sum()
        ctx.save_for_backward(logs, total, trained, places)
        ctx.smoothing, ctx.z_loss = smoothing, z_loss
        ctx.mark_non_differentiable(nats)
        return objective, nats

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        logs, total, trained, places = ctx.saved_tensors
        weight = (trained * grads[0]).unsqueeze(-1)  # (..., 1): 0 where nothing is trained
        gradient = logs.exp_()  # in place: torch refuses a second backward pass then, which nobody makes
        if total is not None:
            gradient.mul_(weight * (1 + 2 * ctx.z_loss * total.unsqueeze(-1)))
        else:
            gradient.mul_(weight)
        if ctx.smoothing:
            gradient.sub_(weight * (ctx.smoothing / logs.shape[-1]))
            weight = weight * (1 - ctx.smoothing)
        return gradient.scatter_add_(-1, places, -weight), None, None, None
