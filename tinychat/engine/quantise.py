"""Weights as int8: every row of a matrix is whole numbers from -127 to 127 times a scale of its own.

Symmetric, to the nearest, no calibration (as in Dettmers et al. 2022, without its outlier columns: activations are not
rounded to eight bits here, see cpp/step.cpp). The network keeps the rounded weights as float32 too, so that prompts and
whatever else torch computes see the very network that decodes: five bytes a weight, of which a step reads one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinychat.model.transformer import Transformer

LARGEST = 127


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers (rows, columns) int8 and scales (rows) float32; exact for weights that are rounded already."""
    weight = weight.float()
    largest = weight.abs().amax(1)
    scale = torch.where(largest > 0, largest / LARGEST, torch.ones_like(largest))
    return (weight / scale[:, None]).round_().to(torch.int8), scale


def to_int8(model: Transformer) -> Transformer:
    """Round every matrix of the network in place; it is marked, and decodes with int8 where the native step runs."""
    model.float()
    with torch.no_grad():
        for module in model.modules():
            # learned positions are added, not multiplied: they stay as they are
            if isinstance(module, nn.Linear) or module is model.embedding:
                whole, scale = quantised(module.weight)
                module.weight = nn.Parameter(whole * scale[:, None], requires_grad=False)
    model.int8 = True
    return model
