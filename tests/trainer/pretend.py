"""A CUDA device that is not there: tensors that live in ordinary memory, say they are on CUDA, and are watched.

Real numbers come out, of the CPU's kernels. What CUDA would refuse is refused (tensors of two devices in one operation,
numpy's look at one of them), and whatever makes the host wait for the device, or sends it something, is written down.
What it cannot show: kernels, their speed and rounding, streams, memory, the compiler. Not a test itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
attention = F.scaled_dot_product_attention
WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.equal", "aten.is_nonzero")


class OnCuda(torch.Tensor):
    """A tensor of the pretended device. To torch's C++ it is on the CPU: autograd there knows no CUDA."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    watch: Watch | None = None

    @property
    def device(self) -> torch.device:
        return CUDA

    @property
    def is_cuda(self) -> bool:
        return True

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(operation).rpartition(".")[0]
        for tensor in tree_leaves((args, kwargs)):
            # a number in a tensor of the host may stand beside tensors of the device, nothing else may
            if isinstance(tensor, torch.Tensor) and not isinstance(tensor, cls) and tensor.ndim:
                raise RuntimeError(f"{name}: Expected all tensors to be on the same device, found cuda:0 and cpu")
        if cls.watch is not None:
            cls.watch.count += 1
            indexed_by_mask = name == "aten.index" and any(
                isinstance(tensor, torch.Tensor) and tensor.dtype == torch.bool for tensor in tree_leaves(args[1])
            )
            if name in WAITS or indexed_by_mask:
                cls.watch.reads.append(name)
        with torch._C._DisableTorchDispatch():
            found = operation(*args, **kwargs)
        return tree_map(moved, found)


def moved(value: Any) -> Any:
    """A tensor's bytes, seen as the pretended device's; what is no tensor stays."""
    if not isinstance(value, torch.Tensor) or isinstance(value, OnCuda):
        return value
    return torch.Tensor._make_subclass(OnCuda, value)


def home(value: torch.Tensor) -> torch.Tensor:
    """A copy on the host."""
    with torch._C._DisableTorchDispatch():
        return torch.Tensor.clone(value.detach()).as_subclass(torch.Tensor)


class Watch(TorchFunctionMode):
    """Inside, `device="cuda"` is the pretended one. `reads` and `uploads` are what crossed, by name, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.uploads: list[str] = []
        self.waiting: list[str] = []  # uploads that the host waits for
        self.count = 0  # operations on the device, views included

    def clear(self) -> None:
        self.reads, self.uploads, self.waiting, self.count = [], [], [], 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        if function is torch.Tensor.to:
            return self._to(function, args, kwargs)
        if function is torch.Tensor.cpu:
            return self._to(function, (args[0], "cpu"), {})
        if function is torch.Tensor.pin_memory:
            pinned = args[0].clone()
            pinned.pinned = True
            return pinned
        if function is torch.Tensor.numpy and isinstance(args[0], OnCuda):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if function is torch.Tensor.tolist and isinstance(args[0], OnCuda):
            self.reads.append("tolist")
            return home(args[0]).tolist()
        where = kwargs.get("device")
        if where is not None and torch.device(where).type == "cuda":
            kwargs["device"] = "cpu"
            if name == "tensor":
                self.uploads.append(name)
                self.waiting.append(name)
            made = function(*args, **kwargs)
            return made if isinstance(made, OnCuda) else moved(made.detach()).requires_grad_(made.requires_grad)
        if name.endswith("_like") and args and isinstance(args[0], OnCuda) and where is None:
            return moved(function(*args, **kwargs))
        return function(*args, **kwargs)

    def _to(self, function: Any, args: Any, kwargs: Any) -> Any:
        tensor, *rest = args
        named = [*rest[:1], kwargs.get("device")]
        places = [torch.device(value) for value in named if isinstance(value, str | torch.device)]
        place = places[0].type if places else ("cuda" if isinstance(tensor, OnCuda) else "cpu")
        dtypes = [value for value in (*rest, kwargs.get("dtype")) if isinstance(value, torch.dtype)]
        if place == "cpu" and isinstance(tensor, OnCuda):
            self.reads.append("to the host")
            tensor = home(tensor)
        elif place == "cuda" and not isinstance(tensor, OnCuda):
            self.uploads.append("to the device")
            if not (kwargs.get("non_blocking") and getattr(tensor, "pinned", False)):
                self.waiting.append("to the device")
            tensor = moved(tensor.detach().clone())
        return function(tensor, dtypes[0]) if dtypes else tensor


def _to_device(module: torch.nn.Module, device: Any) -> torch.nn.Module:
    """nn.Module.to(), whose own way swaps tensors in place."""
    if torch.device(device).type == "cpu":
        return module
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = torch.nn.Parameter(moved(weight.detach().clone()), weight.requires_grad)
        for name, buffer in part._buffers.items():
            part._buffers[name] = moved(buffer.clone()) if buffer is not None else None
    return module


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **given: Any) -> torch.Tensor:
    """torch's, which with dropout would make its triangle on the host here."""
    if isinstance(query, OnCuda) and given["dropout_p"] and given.get("is_causal"):
        triangle = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
        given |= {"is_causal": False, "attn_mask": moved(triangle)}
    return attention(query, key, value, **given)


@contextmanager
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """A GPU of capability 9.0 for whoever names the device; torch.cuda.is_available() stays as it is."""
    autocast = torch.autocast
    cuda = torch.cuda
    monkeypatch.setattr(torch, "autocast", lambda kind, **given: autocast("cpu", **given))
    monkeypatch.setattr(torch.nn.Module, "to", _to_device)
    monkeypatch.setattr(F, "scaled_dot_product_attention", _attention)
    for name, value in {
        "get_device_capability": lambda device=None: (9, 0),
        "current_device": lambda: 0,
        "max_memory_allocated": lambda device=None: 1,
        "synchronize": lambda device=None: None,
        "current_stream": lambda device=None: SimpleNamespace(query=lambda: False),
        "get_rng_state": lambda device=None: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda state, device=None: None,
        "empty_cache": lambda: None,
    }.items():
        monkeypatch.setattr(cuda, name, value)
    with Watch() as watch:
        monkeypatch.setattr(OnCuda, "watch", watch)
        yield watch
