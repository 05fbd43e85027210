"""Cross-entropy of next tokens, summed, with the number of tokens it was summed over.

Sums and counts, not means: a step of several micro-batches divides by the trained tokens of the whole step,
or tokens in sparsely trained micro-batches would weigh more than others. Nothing here knows batches or models.
"""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = -1  # a target that is not trained: padding, the words of the person in a chat


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """-log p of every target in nats, float32, shaped like `targets`; exactly 0, without gradient, where ignored.

    logits (..., V) of any float type, targets (...) long with IGNORED where nothing is trained.
    """
    assert logits.shape[:-1] == targets.shape, f"{tuple(logits.shape)} against {tuple(targets.shape)}"
    logits = logits.float()  # half types lose small probabilities in the sum
    trained = targets != IGNORED
    chosen = logits.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    # log-sum-exp takes the maximum out first, so scores of 1000 neither overflow nor vanish
    losses = torch.logsumexp(logits, dim=-1) - chosen
    return torch.where(trained, losses, torch.zeros_like(losses))


def loss_sum(logits: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Sum of -log p over the trained targets, and their number. Nothing trained: (0, 0), and zero gradients."""
    return token_losses(logits, targets).sum(), int((targets != IGNORED).sum())
