"""The averaged weights are the formula, and looking at them leaves the model as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.average import Average


def test_the_average_is_the_formula_and_forgets_the_first_weights() -> None:
    model = nn.Linear(2, 1, bias=False)
    average = Average(model, 0.9)
    expected = model.weight.detach().clone()
    for step in range(40):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.take(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert torch.allclose(average.tensors["weight"], expected, rtol=1e-6)
    assert 30 < expected.min() < 36  # weights of about nine steps ago


def test_applied_shows_the_average_and_gives_the_weights_back_to_the_bit() -> None:
    model = nn.Linear(3, 3)
    average = Average(model, 0.5)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
    average.take(100)
    now = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    with average.applied():
        for name, weight in model.named_parameters():
            assert torch.allclose(weight, (before[name] + now[name]) / 2)
    assert all(torch.equal(weight, now[name]) for name, weight in model.named_parameters())
    assert all(torch.allclose(average.tensors[name], before[name] + 0.5) for name in before)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_a_decay_that_averages_nothing_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="decay"):
        Average(nn.Linear(1, 1), decay)
