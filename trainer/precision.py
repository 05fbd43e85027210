"""The number type of the forward pass: chosen by what the machine computes fast, with the reason in words.

Weights, gradients and moments are float32 in every case. float16 needs its loss scaled, or small gradients vanish
(Micikevicius et al. 2018). Nothing here knows steps or files.
"""

from __future__ import annotations

import math
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from tinychat.errors import UsageError

Name = Literal["fp32", "tf32", "bf16", "fp16"]
FIRST_SCALE, LARGEST_SCALE = 2.0**16, 2.0**24
GROWS_AFTER = 2000  # steps in a row without overflow


@dataclass(frozen=True, slots=True)
class Precision:
    """What was chosen, and why, for a person."""

    name: Name
    why: str

    @property
    def dtype(self) -> torch.dtype:
        """What matrices are multiplied in."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.name, torch.float32)

    def casting(self, device: torch.device) -> AbstractContextManager[object]:
        """Around a forward pass."""
        if self.name == "bf16":
            return torch.autocast(device.type, dtype=torch.bfloat16)
        if self.name == "fp16":
            return torch.autocast(device.type, dtype=torch.float16)
        return nullcontext()

    def prepare(self) -> None:
        """Set the process's switch for float32 products on CUDA."""
        # the older of torch's two switches: its compiler reads that one, and refuses to work where the newer was set
        warnings.filterwarnings("ignore", message="Please use the new API settings to control TF32")
        torch.backends.cuda.matmul.allow_tf32 = self.name != "fp32"


def choose(wanted: str, device: torch.device) -> Precision:
    """As wished, or with "auto" the fastest that the device has instructions for. UsageError for what it has not."""
    if wanted == "auto":
        return _fastest(device)
    if wanted == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise UsageError(f"train.precision: {device.type} has no tf32 here.", "Leave it at auto, or take fp32.")
    if wanted == "bf16" and device.type == "cpu" and not cpu_has_bf16():
        return Precision("bf16", "as set; this CPU has no instructions for it: fp32 is faster")
    names: dict[str, Name] = {"fp32": "fp32", "tf32": "tf32", "bf16": "bf16", "fp16": "fp16"}
    return Precision(names[wanted], "as set")


def _fastest(device: torch.device) -> Precision:
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return Precision("bf16", "this GPU computes it natively")
        if torch.cuda.get_device_capability(device) >= (7, 0):
            return Precision("fp16", "this GPU has no native bf16")
        return Precision("fp32", "this GPU has no faster type")
    if cpu_has_bf16():
        return Precision("bf16", "this CPU has instructions for it")
    return Precision("fp32", "this CPU has no instructions for bf16")


def cpu_has_bf16() -> bool:
    """AMX or AVX-512 with bfloat16; without them bfloat16 is three times slower than float32."""
    found = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(bool(has()) for has in found if has is not None)


class Scaler:
    """The factor of a float16 loss: halved when a gradient overflows, doubled after a long time without."""

    def __init__(self) -> None:
        self.scale = FIRST_SCALE
        self.clean = 0  # steps since it changed

    @torch.no_grad()
    def unscale(self, model: nn.Module) -> None:
        """Divide the gradients by the scale."""
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(1 / self.scale)

    def overflowed(self, norm: float) -> bool:
        """Whether the step has to be computed again, with half the scale. At scale 1 it is not the scale's fault."""
        if math.isfinite(norm) or self.scale <= 1:
            return False
        self.scale, self.clean = max(1.0, self.scale / 2), 0
        return True

    def stepped(self) -> None:
        """A step went well."""
        self.clean += 1
        if self.clean >= GROWS_AFTER:
            self.scale, self.clean = min(LARGEST_SCALE, self.scale * 2), 0
