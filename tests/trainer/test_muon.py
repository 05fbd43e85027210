"""Muon is torch's, up to the bits of its half type; embeddings, head and vectors stay with AdamW, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tinychat.model.config import Activation, ModelConfig
from tinychat.model.transformer import Transformer
from trainer.muon import Muon, orthogonalised
from trainer.optim import make_optimizer

SETTINGS = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8}


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(8, 8), (5, 40), (40, 5)])
def test_all_directions_come_out_alike_and_stay_the_same_directions(shape: tuple[int, int]) -> None:
    given = _random(2, *shape)
    made = orthogonalised(given)
    left, sizes, right = torch.linalg.svd(given, full_matrices=False)
    found = left.mT @ made @ right.mT  # diagonal in the given one's own directions
    assert torch.allclose(found, torch.diag_embed(found.diagonal(dim1=-2, dim2=-1)), atol=1e-4)
    well = sizes / sizes.amax(-1, keepdim=True) > 0.05
    assert ((found.diagonal(dim1=-2, dim2=-1)[well] - 1).abs() < 0.35).all()


def test_zero_stays_zero() -> None:
    assert not orthogonalised(torch.zeros(1, 4, 6)).any()


def test_updates_are_torchs() -> None:
    ours = [nn.Parameter(_random(12, 30)), nn.Parameter(_random(30, 12, seed=1))]
    theirs = [nn.Parameter(weight.detach().clone()) for weight in ours]
    before = [weight.detach().clone() for weight in ours]
    groups = [{"params": [weight], "muon": True, "rows": [len(weight)], "weight_decay": 0.1} for weight in ours]
    mine = Muon(groups, momentum=0.9, **SETTINGS)  # type: ignore[arg-type]
    torchs = torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    for step in range(6):
        for place, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            a.grad = _random(*a.shape, seed=10 * step + place)
            b.grad = a.grad.clone()
        mine.step()
        torchs.step()  # type: ignore[no-untyped-call]  # torch's own signature
    for start, a, b in zip(before, ours, theirs, strict=True):
        assert (a - b).norm() < 0.02 * (a - start).norm()  # torch's rounds are bfloat16


def test_matrices_that_share_a_weight_are_made_orthogonal_one_by_one() -> None:
    joined, parts = nn.Parameter(torch.zeros(10, 6)), [nn.Parameter(torch.zeros(6, 6)), nn.Parameter(torch.zeros(4, 6))]
    joined.grad = _random(10, 6)
    for part, grad in zip(parts, joined.grad.split([6, 4]), strict=True):  # type: ignore[no-untyped-call]
        part.grad = grad.clone()
    together = Muon([{"params": [joined], "muon": True, "rows": [6, 4], "weight_decay": 0.0}], momentum=0.9, **SETTINGS)  # type: ignore[arg-type]
    alone = Muon(
        [{"params": [part], "muon": True, "rows": [len(part)], "weight_decay": 0.0} for part in parts],
        momentum=0.9,
        **SETTINGS,  # type: ignore[arg-type]
    )
    together.step()
    alone.step()
    assert torch.allclose(joined, torch.cat(list(parts)), atol=1e-7)


@pytest.mark.parametrize("activation", ["swiglu", "relu2"])
def test_only_the_blocks_matrices_are_its_own(activation: Activation) -> None:
    made = [
        Transformer(
            ModelConfig(
                vocab_size=40, width=16, layers=2, heads=4, kv_heads=2, context=8, activation=activation, tie=False
            )
        )
        for _ in range(2)
    ]
    for model in made:
        model.init_weights(torch.Generator().manual_seed(0))
    muon = make_optimizer(made[0], kind="muon", weight_decay=0.1, **SETTINGS)  # type: ignore[arg-type]
    adamw = make_optimizer(made[1], kind="fused", weight_decay=0.1, **SETTINGS)  # type: ignore[arg-type]
    for model, optimizer in zip(made, (muon, adamw), strict=True):
        ids = torch.arange(16).view(2, 8)
        model(ids).square().mean().backward()
        optimizer.step()
    others = dict(made[1].named_parameters())
    for name, weight in made[0].named_parameters():
        matrix = "blocks" in name and weight.dim() == 2
        if matrix:
            assert set(muon.state[weight]) == {"momentum"}
        else:
            assert torch.equal(weight, others[name]), name
    held = {id(weight) for group in muon.param_groups for weight in group["params"]}
    assert len(held) == len(others)
