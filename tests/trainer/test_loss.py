"""The loss is the mean of -log p over trained tokens, however large the scores and however the batch is split."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from trainer.loss import IGNORED, loss_sum, objective_sum


def _random(rows: int, length: int, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(rows, length, vocabulary, generator=generator) * 4
    targets = torch.randint(0, vocabulary, (rows, length), generator=generator)
    targets[torch.rand(rows, length, generator=generator) < 0.3] = IGNORED
    return logits, targets


def test_value_and_gradient_equal_torchs() -> None:
    logits, targets = _random(3, 17, 50)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    total, count = loss_sum(ours, targets)
    (total / count).backward()
    expected = F.cross_entropy(theirs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    expected.backward()
    assert total.item() / count == pytest.approx(expected.item(), rel=1e-6)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-7)


def test_gradient_equals_finite_differences() -> None:
    logits, targets = _random(1, 3, 5)
    ours = logits.clone().requires_grad_()
    loss_sum(ours, targets)[0].backward()
    assert ours.grad is not None
    for place in ((0, 0, 1), (0, 1, 4), (0, 2, 0)):
        losses = []
        for shift in (1e-2, -1e-2):
            moved = logits.clone()
            moved[place] += shift
            losses.append(loss_sum(moved.double().float(), targets)[0].item())
        assert ours.grad[place].item() == pytest.approx((losses[0] - losses[1]) / 2e-2, abs=2e-3)


def test_huge_scores_neither_overflow_nor_vanish() -> None:
    scores = torch.tensor([[100.0, -1.0, 1.0, 5.0, 2.0, 1000.0]])
    assert loss_sum(scores, torch.tensor([1]))[0].item() == 1001.0
    assert loss_sum(scores, torch.tensor([5]))[0].item() == 0.0
    assert loss_sum(-scores, torch.tensor([5]))[0].item() == pytest.approx(1001.172, abs=1e-3)


def test_half_types_are_computed_in_float32() -> None:
    logits, targets = _random(2, 9, 4096)
    exact = loss_sum(logits.bfloat16().float(), targets)[0]
    assert loss_sum(logits.bfloat16(), targets)[0].item() == exact.item()


def test_nothing_trained_is_zero_loss_and_zero_gradient() -> None:
    logits = torch.randn(2, 4, 7, requires_grad=True)
    total, count = loss_sum(logits, torch.full((2, 4), IGNORED))
    total.backward()
    assert (total.item(), count) == (0.0, 0)
    assert logits.grad is not None
    assert not logits.grad.any()


def test_parts_sum_to_the_whole() -> None:
    logits, targets = _random(6, 11, 33)
    whole, count = loss_sum(logits, targets)
    parts = [loss_sum(logits[rows], targets[rows]) for rows in (slice(0, 1), slice(1, 4), slice(4, 6))]
    assert sum(number for _, number in parts) == count
    assert sum(part.item() for part, _ in parts) == pytest.approx(whole.item(), rel=1e-6)


def test_a_uniform_model_is_worth_the_log_of_the_vocabulary() -> None:
    total, count = loss_sum(torch.zeros(2, 8, 1024), torch.randint(0, 1024, (2, 8)))
    assert math.exp(total.item() / count) == pytest.approx(1024, rel=1e-5)


def test_label_smoothing_is_torchs_and_the_told_loss_stays_plain() -> None:
    logits, targets = _random(3, 17, 50)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    objective, nats = objective_sum(ours, targets, smoothing=0.1)
    objective.backward()
    expected = F.cross_entropy(
        theirs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, label_smoothing=0.1, reduction="sum"
    )
    expected.backward()
    assert objective.item() == pytest.approx(expected.item(), rel=1e-6)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)
    assert nats.item() == pytest.approx(loss_sum(logits, targets)[0].item(), rel=1e-6)
    assert not nats.requires_grad


def test_z_loss_is_the_square_of_the_log_of_the_sum() -> None:
    logits, targets = _random(2, 9, 30)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    objective_sum(ours, targets, z_loss=0.01, smoothing=0.2)[0].backward()  # type: ignore[no-untyped-call]
    kept = targets != IGNORED
    plain = F.cross_entropy(
        theirs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, label_smoothing=0.2, reduction="sum"
    )
    (plain + 0.01 * theirs.logsumexp(-1)[kept].square().sum()).backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)
