"""Muon: momentum whose matrices are made orthogonal before they move the weights (Jordan et al. 2024).

Every direction of a matrix then moves by the same amount, not only those with a large gradient. Embeddings, head and
vectors have no such directions: they stay with AdamW. Nothing here knows losses or schedules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import torch
from torch import Tensor

from trainer.sharding import sharded_as, whole

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the polynomial; singular values end between 0.7 and 1.2
ROUNDS = 5
RMS = 0.2  # of an update's entries, as of AdamW's: one rate serves both (Liu et al. 2025)


def orthogonalised(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The nearest orthogonal matrices, roughly, of (N, R, C): same singular vectors, all singular values near 1.

    Newton-Schulz rounds of products of matrices, in `dtype`; zero stays zero.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for the groups with `muon = True`, torch's fused AdamW for the others; one state for both.

    With gradient g, rate a, momentum u, matrix (R, C):
        w <- w - a * decay * w            m <- u * m + (1 - u) * g
        w <- w - a * 0.2 * sqrt(max(R, C)) * orthogonal((1 - u) * g + u * m)
    `rows` of a group says how many rows the matrices have that stand in one weight (queries, keys, values).
    """

    def __init__(
        self,
        groups: Sequence[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        momentum: float,
    ) -> None:
        super().__init__(list(groups), {"lr": lr, "betas": betas, "eps": eps, "momentum": momentum, "muon": False})
        others = [group for group in self.param_groups if not group["muon"]]
        self._adamw = torch.optim.AdamW(others, lr=lr, betas=betas, eps=eps, fused=True) if others else None
        if self._adamw is not None:
            self._adamw.state = self.state

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._adamw is not None:
            mine = [group for group in self.param_groups if not group["muon"]]
            for own, theirs in zip(mine, self._adamw.param_groups, strict=True):
                theirs.update({key: own[key] for key in ("lr", "weight_decay", "betas", "eps")})
            self._adamw.step()
        for group in self.param_groups:
            if group["muon"]:
                self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return
        grads = [weight.grad for weight in weights]
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        momenta = [self.state[weight]["momentum"] for weight in weights]
        # lists at once: on CUDA one kernel for many weights
        torch._foreach_lerp_(momenta, grads, 1 - momentum)
        ahead = torch._foreach_lerp(grads, momenta, momentum)
        # a sharded weight's directions are those of the whole
        parts = [part for tensor in ahead for part in torch.split(whole(tensor), group["rows"])]
        moved = _together(parts)
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        many = len(group["rows"])
        joined = [torch.cat(moved[start : start + many]) for start in range(0, len(moved), many)]
        torch._foreach_add_(
            weights, [sharded_as(part, weight) for part, weight in zip(joined, weights, strict=True)], alpha=-lr
        )


def _together(parts: Sequence[Tensor]) -> list[Tensor]:
    """Each matrix made orthogonal and scaled; those of one shape in one product, as few large ones are faster."""
    found: list[Tensor | None] = [None] * len(parts)
    for shape in dict.fromkeys(part.shape for part in parts):
        places = [place for place, part in enumerate(parts) if part.shape == shape]
        stack = torch.stack([parts[place] for place in places])
        # on CUDA half the bits are enough and far faster
        made = orthogonalised(stack, torch.bfloat16 if stack.is_cuda else torch.float32) * (RMS * max(shape) ** 0.5)
        for place, matrix in zip(places, made, strict=True):
            found[place] = matrix
    return [matrix for matrix in found if matrix is not None]
