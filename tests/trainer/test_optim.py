"""AdamW is torch's, to the bit; clipping returns what it found."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer
from trainer.optim import AdamW, broken_gradients, clip_gradients, make_optimizer, parameter_groups

SETTINGS = {"lr": 3e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def _weights() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    shapes = ((7, 5), (5,), (3, 4, 2), (1,), (6, 6))
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def _give_gradients(weights: list[nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for place, weight in enumerate(weights):
        weight.grad = torch.randn(weight.shape, generator=generator)
        if place == 1:
            weight.grad.fill_(1e-6)  # so small that an epsilon in the wrong place shows
        if place == 3:
            weight.grad.zero_()
        if place == 4 and step % 3:
            weight.grad = None  # not touched in this step


def test_written_out_adamw_equals_torchs_bit_for_bit() -> None:
    ours, theirs = _weights(), _weights()
    mine, torchs = AdamW(ours, **SETTINGS), torch.optim.AdamW(theirs, foreach=False, **SETTINGS)  # type: ignore[arg-type]
    for step in range(30):
        for optimizer in (mine, torchs):
            optimizer.param_groups[0]["lr"] = 3e-3 * (step + 1) / 30
        _give_gradients(ours, step)
        _give_gradients(theirs, step)
        mine.step()
        torchs.step()
        for a, b in zip(ours, theirs, strict=True):
            assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
            for key in ("exp_avg", "exp_avg_sq", "step"):
                assert torch.equal(mine.state[a][key], torchs.state[b][key]) if mine.state[a] else not torchs.state[b]


def test_state_dict_carries_on_bit_for_bit() -> None:
    straight, broken = _weights(), _weights()
    one, first = AdamW(straight, **SETTINGS), AdamW(broken, **SETTINGS)  # type: ignore[arg-type]
    for step in range(10):
        _give_gradients(straight, step)
        one.step()
        if step == 5:
            again = AdamW(broken, lr=99.0)
            again.load_state_dict(first.state_dict())
            first = again
        _give_gradients(broken, step)
        first.step()
    assert all(torch.equal(a, b) for a, b in zip(straight, broken, strict=True))


def test_a_tiny_gradient_moves_a_weight_by_the_rate() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = AdamW([weight], lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    for _ in range(200):
        weight.grad = torch.full((1,), 1e-6)
        before = weight.item()
        optimizer.step()
    assert (before - weight.item()) / 1e-2 == pytest.approx(0.990, abs=2e-3)  # with epsilon under the root: 0.010


def test_no_gradient_no_change_not_even_decay() -> None:
    weight = nn.Parameter(torch.ones(3))
    AdamW([weight], lr=1.0, weight_decay=0.5).step()
    assert weight.tolist() == [1.0, 1.0, 1.0]


def test_fused_and_plain_are_the_same_method() -> None:
    results = []
    for kind in ("plain", "fused"):
        model = Transformer(ModelConfig(vocab_size=40, width=16, layers=1, heads=2, context=8))
        model.init_weights(torch.Generator().manual_seed(0))
        optimizer = make_optimizer(model, kind=kind, **SETTINGS)  # type: ignore[arg-type]
        for step in range(5):
            ids = torch.randint(0, 40, (2, 8), generator=torch.Generator().manual_seed(step))
            model(ids).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        results.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    assert torch.allclose(results[0], results[1], atol=1e-6)


@pytest.mark.parametrize("tie", [True, False])
def test_only_matrices_decay_and_no_embedding(tie: bool) -> None:
    config = ModelConfig(
        vocab_size=40, width=16, layers=2, heads=2, context=8, norm="layer", position="learned", bias=True, tie=tie
    )
    model = Transformer(config)
    groups = parameter_groups(model, 0.1)
    names = {id(weight): name for name, weight in model.named_parameters()}
    decayed = {names[id(weight)] for group in groups if group["weight_decay"] for weight in group["params"]}
    assert decayed == {
        name
        for name in names.values()
        if name.endswith("weight") and ("blocks" in name or "head" in name) and "norm" not in name
    }
    assert sum(len(group["params"]) for group in groups) == len(names)


def test_clipping_scales_to_the_norm_and_returns_the_one_before() -> None:
    weights = _weights()
    _give_gradients(weights, 0)
    twins = [nn.Parameter(weight.detach().clone()) for weight in weights]
    for weight, twin in zip(weights, twins, strict=True):
        twin.grad = None if weight.grad is None else weight.grad.clone()
    expected = torch.nn.utils.clip_grad_norm_(twins, 0.5)
    # a generator, as model.parameters() is: walking it twice must not skip the scaling
    assert clip_gradients((weight for weight in weights), 0.5) == pytest.approx(expected.item(), rel=1e-6)
    for weight, twin in zip(weights, twins, strict=True):
        if weight.grad is not None and twin.grad is not None:
            assert torch.allclose(weight.grad, twin.grad, rtol=1e-6)


def test_gradients_below_the_norm_stay_as_they_are() -> None:
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([0.3, 0.4])
    assert clip_gradients([weight], 1.0) == pytest.approx(0.5)
    assert weight.grad.tolist() == pytest.approx([0.3, 0.4])
    assert clip_gradients([weight], 0.0) == pytest.approx(0.5)  # 0 switches it off


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_norm_that_is_not_finite_scales_nothing(bad: float) -> None:
    weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))]
    weights[0].grad, weights[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([bad, 0.0])
    assert not math.isfinite(clip_gradients(weights, 1.0))
    assert weights[0].grad.tolist() == [3.0, 4.0]


def test_the_broken_gradient_is_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    assert list(broken_gradients(model)) == []
    model[1].weight.grad = torch.tensor([[math.nan, 0.0]])
    assert list(broken_gradients(model)) == ["1.weight"]


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"betas": (1.0, 0.9)}, {"eps": -1e-9}, {"weight_decay": -0.1}])
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AdamW(_weights(), **wrong)  # type: ignore[arg-type]
