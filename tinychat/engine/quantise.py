"""Weights as int8: every row of a matrix is whole numbers from -127 to 127 times a scale of its own.

Symmetric, to the nearest, no calibration (as in Dettmers et al. 2022, without its outlier columns: activations are not
rounded to eight bits here, see cpp/step.cpp). On the CPU the network keeps the rounded weights as float32 too, so that
prompts and whatever else torch computes see the very network that decodes: five bytes a weight, of which a step reads
one. On CUDA it holds the whole numbers alone, and all of it computes in bfloat16; torch's compiler reads them as bytes
within the product, plain torch widens each matrix first. Both hold the same numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
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
    """Round every matrix of the network in place; it is marked, and decodes with int8 where there is a step for it."""
    if next(model.parameters()).device.type == "cuda":
        return pack(model, torch.bfloat16)
    model.float()
    with torch.no_grad():
        for module in model.modules():
            # learned positions are added, not multiplied: they stay as they are
            if isinstance(module, nn.Linear) or module is model.embedding:
                whole, scale = quantised(module.weight)
                module.weight = nn.Parameter(whole * scale[:, None], requires_grad=False)
    model.int8 = True
    return model


class Int8Linear(nn.Module):
    """x -> x W^T + bias, W being `whole` (rows, columns) int8 times `scale` (rows) float32."""

    whole: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, whole: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        for name, tensor in (("whole", whole), ("scale", scale), ("bias", bias)):
            self.register_buffer(name, tensor)

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.whole.to(x.dtype)) * self.scale  # float32 from here: a scale in bfloat16 would be another
        return (y if self.bias is None else y + self.bias).to(x.dtype)


class Int8Embedding(nn.Module):
    """ids -> rows of such a matrix, in `dtype`."""

    whole: Tensor
    scale: Tensor

    def __init__(self, whole: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("whole", whole)
        self.register_buffer("scale", scale)

    def forward(self, ids: Tensor) -> Tensor:
        return (F.embedding(ids, self.whole) * self.scale[ids].unsqueeze(-1)).to(self.dtype)


def pack(model: Transformer, dtype: torch.dtype) -> Transformer:
    """Put int8 matrices in the place of all the network's, one by one; whatever else it holds becomes `dtype`."""
    with torch.no_grad():
        whole, scale = quantised(model.embedding.weight)
        if model.head is None:  # the same numbers serve twice
            model.head = Int8Linear(whole, scale, None)  # type: ignore[assignment]  # does what a Linear does here
        model.embedding = Int8Embedding(whole, scale, dtype)  # type: ignore[assignment]  # likewise
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(module, name, Int8Linear(*quantised(child.weight), _detached(child.bias)))
        for parameter in model.parameters():
            parameter.data = parameter.data.to(dtype)
    model.int8 = True
    return model


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach().float()
