"""Norms of the residual stream, and root mean square written out for learning on a CPU.

torch computes RMSNorm on a CPU in some fifteen passes over the stream, there and back; eight are enough, which saves
a tenth of a small network's step. Where torch has one kernel for it (CUDA), or makes one (compiled), that is used.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tinychat.model.config import ModelConfig


class RMSNorm(nn.Module):
    """Divide by the root mean square (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        full = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        if full and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            normed: Tensor = _RootMeanSquare.apply(x, self.weight, self.eps)  # type: ignore[no-untyped-call]
            return normed
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def norm_of(config: ModelConfig) -> nn.Module:
    """The kind that the network has."""
    if config.norm == "rms":
        return RMSNorm(config.width, config.norm_eps)
    return nn.LayerNorm(config.width, eps=config.norm_eps, bias=config.bias)


class _RootMeanSquare(torch.autograd.Function):
    """y = n w with n = x s and s = 1 / sqrt(mean(x^2) + eps); the gradient of x is s (g w - n mean(g w n))."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        squares = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        scale = squares.div_(x.shape[-1]).add_(eps).rsqrt_()
        normed = x * scale
        ctx.save_for_backward(normed, scale, weight)
        scaled: Tensor = normed * weight
        return scaled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, scale, weight = ctx.saved_tensors
        products = (gradient * normed).flatten(0, -2)  # (tokens, D)
        mean = (products @ weight).view(scale.shape).div_(weight.numel())
        back = (gradient * weight).addcmul_(normed, mean, value=-1.0).mul_(scale)
        return back, products.sum(0), None
