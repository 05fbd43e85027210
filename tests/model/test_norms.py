"""Root mean square written out, against torch's own and against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tinychat.model.norms import RMSNorm, _RootMeanSquare

SHAPES = [(1, 1, 8), (2, 5, 16), (3, 7, 33), (11, 24)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1e-4, 1.0, 300.0])
def test_learns_as_torchs_own_does(shape: tuple[int, ...], size: float) -> None:
    dice = torch.Generator().manual_seed(len(shape))
    ours, theirs = RMSNorm(shape[-1], 1e-5), nn.RMSNorm(shape[-1], eps=1e-5)
    with torch.no_grad():
        ours.weight.normal_(1.0, 0.3, generator=dice)
        theirs.weight.copy_(ours.weight)
    x = torch.randn(shape, generator=dice) * size
    x[..., 0, :] = 0.0  # nothing but zeros divides by eps alone
    gradient = torch.randn(shape, generator=dice)
    found = []
    for norm in (ours, theirs):
        here = x.clone().requires_grad_()
        y = norm(here)
        y.backward(gradient)
        assert here.grad is not None
        assert norm.weight.grad is not None
        found.append((y.detach(), here.grad, norm.weight.grad))
    for mine, torchs in zip(*found, strict=True):
        assert torch.allclose(mine, torchs, rtol=2e-5, atol=2e-5 * float(torchs.abs().max()))


def test_gradients_are_finite_differences() -> None:
    dice = torch.Generator().manual_seed(5)
    x = torch.randn(2, 3, 7, generator=dice, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, generator=dice, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: _RootMeanSquare.apply(a, b, 1e-5), (x, weight))


def test_a_frozen_part_gets_no_gradient_and_a_second_derivative_is_refused() -> None:
    norm = RMSNorm(8, 1e-5)
    norm.weight.requires_grad_(False)
    x = torch.randn(2, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(norm(x).square().sum(), x, create_graph=True)
    assert norm.weight.grad is None
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_looking_and_learning_are_the_same_network() -> None:
    norm = RMSNorm(24, 1e-5)
    x = torch.randn(3, 24)
    learning = norm(x)
    with torch.no_grad():
        looking = norm(x)
    assert torch.allclose(learning.detach(), looking, atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # the stream stays in float32 there
        assert norm(x).dtype == torch.float32
