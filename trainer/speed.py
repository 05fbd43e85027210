"""How fast this machine multiplies matrices, and how many operations a token of training takes. Both are of torch's
own work, so that their quotient says how much of the machine a run uses.
"""

from __future__ import annotations

import time

import torch

from tinychat.model.config import ModelConfig

SIDE_CPU, SIDE_CUDA = 512, 8192  # of the square matrices: larger ones were no faster
TIMES = 6


def flops_per_token(config: ModelConfig) -> float:
    """Forward and backward: 6 for each weight that multiplies, and attention's own products (PaLM, appendix B; over
    the whole context, as there, though half of it is masked).
    """
    looked_up = config.context * config.width if config.position == "learned" else 0
    looked_up += 0 if config.tie else config.vocab_size * config.width  # tied, the same matrix is the head
    return 6.0 * (config.n_parameters() - looked_up) + 12.0 * config.layers * config.width * config.context


def matrix_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large square product on the threads in force, the best of a few."""
    side = SIDE_CUDA if device.type == "cuda" else SIDE_CPU
    try:
        # drawn, as weights are: a GPU needs less power, and is faster, where all numbers are alike
        dice = torch.Generator(device).manual_seed(0)
        left = torch.rand((side, side), generator=dice, device=device).sub_(0.5).to(dtype)
        product = left @ left  # the first one warms up
        best = float("inf")
        for _ in range(TIMES):
            _wait(device)
            started = time.perf_counter()
            torch.matmul(left, left, out=product)
            _wait(device)
            best = min(best, time.perf_counter() - started)
    except (RuntimeError, MemoryError):  # no room for it, or no such product here
        return 0.0
    return 2.0 * side**3 / best if best > 0 else 0.0


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
