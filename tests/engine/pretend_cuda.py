"""A CUDA device that is not there: tensors that say they are on one, and refuse what it would refuse.

The numbers are real and lie on the CPU, so a whole engine can run "on cuda" and be compared with one that does not.
What is watched is what the CPU forgives: tensors of host and device in one operation, a look at a number while a graph
is recorded, a graph that was recorded with yesterday's values, records that are read before they have arrived.

A recorded graph is the list of operations that it would launch. Recording executes no change of memory, as on a device;
a replay does everything again on the tensors of the recording, and spoils what it computed in between afterwards.
Nothing here knows kernels: whether one exists for a shape or a number type only a real device tells.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

HERE = torch.device("cuda:0")
LOOKS = ("_local_scalar_dense", "nonzero", "unique", "masked_select", "is_nonzero", "equal")  # each waits for a number
_READS = ("item", "tolist", "__bool__", "__int__", "__float__", "__index__", "nonzero", "cpu")
_UPLOADS = ("tensor", "as_tensor", "to")  # other ways to a tensor on the device start there
_COPIES = ("copy_", "to", "__setitem__", "type_as")


class OnDevice(Tensor):
    """A tensor of the device."""


class Pretend(TorchFunctionMode):
    """While it is on, tensors that are asked for on CUDA are OnDevice. `looks` counts the waits for a number."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.graph: Recording | None = None  # what is being recorded
        self.late: list[tuple[Tensor, Tensor]] = []  # copies to pinned memory that nobody has waited for
        self.replays = 0
        self.stream: object = None  # the current one

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.__name__
        mine = args[0] if args and isinstance(args[0], OnDevice) else None
        if name == "__get__":
            return self._property(func, args, kwargs, mine)
        if name == "_has_compatible_shallow_copy_type":
            return False  # a module takes the new tensors, not just their memory
        leaves = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        device = any(isinstance(each, OnDevice) for each in leaves)
        if name in ("numpy", "__array__") and mine is not None:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        plain = [each for each in leaves if not isinstance(each, OnDevice) and each.ndim and not each.is_meta]
        if device and plain and name not in _COPIES:
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} found cuda:0 and cpu")
        if mine is not None and name in _READS:
            self._look(name)
            device = name == "nonzero"
        wanted = self._wanted(name, args, kwargs)
        if wanted is not None:
            args, kwargs = self._without_device(args, kwargs)
            device = wanted.type == "cuda"
            if device != (mine is not None) and (mine is not None or name in _UPLOADS):
                self._look(name)
        if name == "copy_" and device != (mine is not None and isinstance(args[1], OnDevice)):
            if kwargs.get("non_blocking") and mine is None and getattr(args[0], "pinned", False):
                return self._send(*args[:2])
            self._look(name)
        pinned = kwargs.pop("pin_memory", False)
        with torch._C.DisableTorchFunctionSubclass():
            found = func(*args, **kwargs)
            if name in ("cpu", "to") and device != isinstance(args[0], OnDevice) and found is args[0]:
                found = found.clone()  # from one side to the other there is always a copy
        if pinned:
            found.pinned = True
        return _marked(found, args, device=device)

    def _property(self, func: Any, args: Any, kwargs: Any, mine: Tensor | None) -> Any:
        name = func.__self__.__name__ if hasattr(func.__self__, "__name__") else ""
        if mine is not None and name == "device":
            return HERE
        if mine is not None and name == "is_cuda":
            return True
        with torch._C.DisableTorchFunctionSubclass():
            return _marked(func(*args, **kwargs), args, device=mine is not None)

    def _wanted(self, name: str, args: Any, kwargs: Any) -> torch.device | None:
        """The device that a call names."""
        named = None if name == "_parse_to" else kwargs.get("device")
        if named is None and name == "to":
            named = next((each for each in args[1:] if isinstance(each, torch.device | str)), None)
            named = args[1].device if named is None and isinstance(args[1], Tensor) else named
        return None if named is None else torch.device(named)

    def _without_device(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        def local(each: Any) -> Any:
            return "cpu" if isinstance(each, torch.device | str) and torch.device(each).type == "cuda" else each

        kwargs = {key: local(each) if key == "device" else each for key, each in kwargs.items()}
        return tuple(local(each) if isinstance(each, torch.device | str) else each for each in args), kwargs

    def _look(self, name: str) -> None:
        if self.graph is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        self.looks += 1

    def _send(self, target: Tensor, source: Tensor) -> Tensor:
        with torch._C.DisableTorchFunctionSubclass():
            self.late.append((target, source.detach().clone().as_subclass(Tensor)))
            target.fill_(float("nan"))  # whoever reads it now reads too early
        return target

    def arrive(self) -> None:
        """Everything that was sent to the host is there."""
        with torch._C.DisableTorchFunctionSubclass(), torch.inference_mode():
            for target, source in self.late:
                target.copy_(source)
        self.late.clear()


class Recording(TorchDispatchMode):
    """The operations of one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any, list[tuple[int, Tensor]]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.name().split("::")[1].split(".")[0]
        masks = [each for each in tree_leaves(args[1]) if each is not None] if name in ("index", "index_put_") else []
        if name in LOOKS or any(each.dtype in (torch.bool, torch.uint8) for each in masks):
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        if func._schema.is_mutable:
            self.steps.append((func, args, kwargs, []))
            return args[0]  # nothing is executed while a graph is recorded
        found = func(*args, **kwargs)
        given = {each.untyped_storage().data_ptr() for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        new = [(place, each) for place, each in enumerate(tree_leaves(found)) if isinstance(each, Tensor)]
        fresh = [(place, each) for place, each in new if each.untyped_storage().data_ptr() not in given]
        if fresh:  # a view is an address, and needs no kernel
            self.steps.append((func, args, kwargs, fresh))
        return found

    def replay(self) -> None:
        with torch._C.DisableTorchFunction(), torch.inference_mode():
            for func, args, kwargs, fresh in self.steps:
                found = tree_leaves(func(*args, **kwargs))
                for place, target in fresh:
                    target.copy_(found[place])
            for *_, fresh in self.steps:
                for _, target in fresh:
                    if target.is_floating_point():
                        target.fill_(float("nan"))


def _marked(found: Any, args: Any, *, device: bool) -> Any:
    def mark(each: Tensor) -> Tensor:
        if device == isinstance(each, OnDevice) or any(each is arg for arg in args):
            return each
        return each.as_subclass(OnDevice if device else Tensor)

    return tree_map_only(Tensor, mark, found)


def install(patch: pytest.MonkeyPatch) -> Pretend:
    """Stand-ins for what the project uses of torch.cuda; the mode is the caller's to enter."""
    mode = Pretend()

    class Graph:
        recording: Recording | None = None

        def replay(self) -> None:
            assert self.recording is not None, "a graph that was not recorded"
            assert mode.graph is None, "a replay while another graph is recorded"
            mode.replays += 1
            self.recording.replay()

    @contextlib.contextmanager
    def graph(target: Graph, **options: Any) -> Iterator[None]:
        assert options["capture_error_mode"] == "thread_local"
        assert mode.graph is None
        before, mode.stream = mode.stream, options["stream"]
        mode.graph = target.recording = Recording()
        try:
            with mode.graph:
                yield
        finally:
            mode.graph = None
        mode.stream = before  # not after an error: torch ends the capture first, which then raises

    @contextlib.contextmanager
    def on(stream: object) -> Iterator[None]:
        before, mode.stream = mode.stream, stream
        yield
        mode.stream = before

    class Event:
        def record(self, stream: object) -> None:
            assert stream is mode.stream, "nothing was sent on that stream"

        def synchronize(self) -> None:
            mode.arrive()

    def stream_of(device: object = None) -> object:
        return SimpleNamespace(wait_stream=lambda other: None)

    mode.stream = stream_of()
    stand_ins: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True, "device_count": lambda: 1, "synchronize": lambda *_: mode.arrive(),
        "Stream": stream_of, "current_stream": lambda device=None: mode.stream, "stream": on,
        "set_stream": lambda stream: setattr(mode, "stream", stream), "graph_pool_handle": lambda: (0, 1),
        "device": lambda device: contextlib.nullcontext(), "CUDAGraph": Graph, "graph": graph, "Event": Event,
    }  # fmt: skip
    for name, each in stand_ins.items():
        patch.setattr(torch.cuda, name, each)
    return mode
