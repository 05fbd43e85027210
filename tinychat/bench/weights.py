"""Networks with random weights, made in place: no file, no second copy, the same numbers in every process."""

from __future__ import annotations

import math

import numpy as np
import torch

from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

SEED = 20_240_101
STD = 0.02  # of the matrices: numbers stay finite at any depth
SPREAD = 4.0  # of the logits: with it the entropy is a few bits, as after training, so a truncation meets real work


def random_model(config: ModelConfig, *, device: torch.device, dtype: torch.dtype) -> Transformer:
    """A network of that shape, ready to be used: matrices Normal(0, STD), norms 1, biases 0.

    The last norm is scaled so that the logits spread by SPREAD. Drawn on the device in float32, then cast, so that
    equal devices hold equal networks whatever their number type.
    """
    with torch.device("meta"):
        model = Transformer(config)
    generator = torch.Generator(device).manual_seed(SEED)
    weights: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        # on the CPU as a checkpoint's weights lie: numpy asks the system for large pages, torch does not
        on_cpu = device.type == "cpu"
        drawn = (
            torch.from_numpy(np.empty(parameter.shape, np.float32))
            if on_cpu
            else torch.empty(parameter.shape, device=device)
        )
        if parameter.ndim == 1:
            drawn.fill_(0.0 if name.endswith(".bias") else 1.0)
        else:
            drawn.normal_(0.0, STD, generator=generator)
        if name == "norm.weight":
            drawn.fill_(SPREAD / (STD * math.sqrt(config.width)))
        weights[name] = drawn.to(dtype)
    model.load_state_dict(weights, assign=True)
    if model.rope is not None:
        model.rope = model.rope.to(device)
    return model.eval().requires_grad_(False)
