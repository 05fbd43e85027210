"""How gradients become weights: AdamW written out, parameter groups, clipping by the global norm.

Loshchilov & Hutter, Decoupled Weight Decay Regularization (2019), in the form torch has: the decay comes first and
is multiplied by the rate, epsilon is added outside the root. Nothing here knows losses or schedules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from tinychat.model.transformer import Attention, FeedForward
from trainer.muon import Muon
from trainer.sharding import own_part, whole

Kind = Literal["fused", "plain", "muon"]


class AdamW(torch.optim.Optimizer):
    """The written-out twin of torch's AdamW, equal to it bit for bit (its `fused` form rounds differently).

    With gradient g, rate a, step t:
        w <- w - a * decay * w
        m <- m + (1 - b1) * (g - m)           v <- b2 * v + (1 - b2) * g^2
        w <- w - a / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
    All settings live in the groups, so the state dict holds them. A parameter without gradient is left alone.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        for name, value, ok in (
            ("lr", lr, lr >= 0),
            ("betas", betas, all(0 <= beta < 1 for beta in betas)),
            ("eps", eps, eps >= 0),
            ("weight_decay", weight_decay, weight_decay >= 0),
        ):
            if not ok:
                raise ValueError(f"{name} is out of range: {value}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

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
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)
        return loss

    def _update(self, weight: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        lr, (beta1, beta2) = group["lr"], group["betas"]
        state["step"] += 1
        t = state["step"].item()
        if group["weight_decay"] != 0:
            weight.mul_(1 - lr * group["weight_decay"])
        state["exp_avg"].lerp_(grad, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = (state["exp_avg_sq"].sqrt() / (1 - beta2**t) ** 0.5).add_(group["eps"])
        weight.addcdiv_(state["exp_avg"], root, value=-(lr / (1 - beta1**t)))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices, which decay, and the rest, which does not.

    Gains and biases do not decay, nor do embeddings: the row of a rare token would shrink at every step in which
    the token does not occur. A tied head is an embedding.
    """
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        matrix = parameter.dim() >= 2 and "embedding" not in name and "position" not in name
        (decayed if matrix else kept).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def muon_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Muon's groups of the blocks' matrices, one for each way in which a weight holds several; then AdamW's two."""
    found: dict[tuple[int, ...], list[Tensor]] = {}
    for module in model.modules():
        if isinstance(module, Attention):
            head, width = module.head_width, module.output.weight.shape[0]
            rows: tuple[int, ...] = (module.heads * head, module.groups * head, module.groups * head)
            found.setdefault(rows, []).append(module.qkv.weight)
            found.setdefault((width,), []).append(module.output.weight)
        elif isinstance(module, FeedForward):
            size = module.up.weight.shape[0]
            rows = (size // 2, size // 2) if module.activation == "swiglu" else (size,)
            found.setdefault(rows, []).append(module.up.weight)
            found.setdefault((module.down.weight.shape[0],), []).append(module.down.weight)
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": weight_decay, "muon": True, "rows": list(rows)}
        for rows, weights in found.items()
    ]
    taken = {id(weight) for weights in found.values() for weight in weights}
    for group in parameter_groups(model, weight_decay):
        others = [weight for weight in group["params"] if id(weight) not in taken]
        if others:
            groups.append({**group, "params": others, "muon": False})
    return groups


def make_optimizer(
    model: nn.Module,
    *,
    kind: Kind,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    momentum: float = 0.95,
) -> torch.optim.Optimizer:
    """AdamW over the groups of `model`: "plain" is the one written out here, "fused" torch's one-kernel form.

    "muon" takes the blocks' matrices out of it, with `momentum`.
    """
    if kind == "muon":
        return Muon(muon_groups(model, weight_decay), lr=lr, betas=betas, eps=eps, momentum=momentum)
    groups = parameter_groups(model, weight_decay)
    if kind == "plain":
        return AdamW(groups, lr=lr, betas=betas, eps=eps)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=True)


def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients so that their joint 2-norm is at most `max_norm` (0: never); the norm before that.

    A norm that is not finite scales nothing: it would turn every gradient into NaN and hide where it came from.
    """
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not grads:
        return 0.0
    norm = float(whole(nn.utils.get_total_norm(grads)))  # on CUDA few kernels for all of them
    if max_norm > 0 and math.isfinite(norm):
        factor = max_norm / (norm + 1e-6)
        if factor < 1:
            for grad in grads:
                grad.mul_(factor)
    return norm


def broken_gradients(model: nn.Module) -> Iterator[str]:
    """Names of the parameters whose gradient holds a NaN or an Inf."""
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(torch.isfinite(own_part(parameter.grad)).all()):
            yield name
