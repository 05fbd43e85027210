"""Rows of tokens on their way to the device. Nothing here knows what they mean."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


def uploaded(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """The array on `device`; on the CPU it is the same memory.

    For CUDA it goes through pinned memory: only then does the host not wait until the device has done all before it.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    # torch keeps pinned memory for the next one, and not before this copy has ended
    return tensor.pin_memory().to(device, non_blocking=True)
