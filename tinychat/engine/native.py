"""The decode step in C++ (cpp/step.cpp), for a network on the CPU: one token of some lanes in, their logits out.

It reads the weights and writes the cache where torch has them, so it may take over, or leave, between any two tokens.
Until its library is built (native_build.py) and where there can be none, `step` gives nothing and the caller goes on
with torch; `state` says why. The two add in different orders: their logits agree to some 1e-6 of the largest, and a
draw that close to an edge may differ. Among themselves all native steps agree to the bit, on any number of threads and
beside any other lanes.
"""

from __future__ import annotations

import ctypes
import os
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinychat.engine import native_build, native_choice
from tinychat.engine.native_build import BuildFailed
from tinychat.engine.quantise import quantised
from tinychat.errors import UsageError
from tinychat.model.cache import KVCache
from tinychat.model.config import ACTIVATIONS, NORMS
from tinychat.model.transformer import Block, Transformer

STEPS = ("auto", "native", "compiled", "eager")
VARIABLE = "TINYCHAT_STEP"  # what auto means
POLL_S = 0.25  # how often a file that is being built is looked for
GIVE_UP_S = 2 * native_build.BUILD_S

_TYPES = {torch.float32: "float", torch.bfloat16: "uint16_t"}
_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
_steps: weakref.WeakValueDictionary[int, NativeStep] = weakref.WeakValueDictionary()


class _Norm(ctypes.Structure):  # these five are model.h
    _fields_ = (("weight", _POINTER), ("bias", _POINTER))


class _Matrix(ctypes.Structure):
    _fields_ = (("weight", _POINTER), ("scale", _POINTER), ("bias", _POINTER), ("rows", _INT), ("columns", _INT))


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, _Norm) for name in ("attention_norm", "feed_forward_norm")),
        *((name, _Matrix) for name in ("qkv", "output", "up", "down")),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, _INT) for name in ("norm_type", "activation", "layers", "width", "heads", "groups", "hidden")),
        *(("context", _INT), ("eps", ctypes.c_float), ("layer", ctypes.POINTER(_Layer)), ("norm", _Norm)),
        *(("embedding", _Matrix), ("head", _Matrix), ("positions", _POINTER), ("rope", _POINTER)),
    )


class _Cache(ctypes.Structure):
    _fields_ = (("keys", _POINTER), ("values", _POINTER), ("strides", _LONG * 4))


def choose_step(wanted: str | None) -> str:
    """One of STEPS; where nothing or auto is asked for, what the environment says. UsageError for others."""
    chosen = os.environ.get(VARIABLE) or "auto" if wanted in (None, "auto") else wanted
    if chosen not in STEPS:
        raise UsageError(f"There is no step {chosen!r}.", f"Use one of {', '.join(STEPS)}.")
    return chosen


def native_step(model: Transformer) -> NativeStep:
    """The step of this network: one, however many caches it runs on, because int8 copies and threads are dear."""
    step = _steps.get(id(model))
    if step is None:
        step = _steps[id(model)] = NativeStep(model)
    return step


class NativeStep:
    """`state` is for people: native float32, or eager and why."""

    def __init__(self, model: Transformer) -> None:
        weight = next(model.parameters())
        self.name = "int8" if model.int8 else str(weight.dtype).removeprefix("torch.")
        self.state = "eager (the native step is being built)"
        self.threads = 0
        self._model = model
        self._process = os.getpid()
        self._library: ctypes.CDLL | None = None
        self._handle: int | None = None
        self._free: weakref.finalize[..., Any] | None = None
        self._kept: list[Tensor] = []  # what the library has pointers to
        self._tables: tuple[_Model, Any] | None = None
        self._keys: weakref.ref[Tensor] | None = None  # of the last cache, which may go
        self._memory: _Cache | None = None  # where it lies
        self._vocab_size = model.config.vocab_size
        self._types = ("int8_t" if model.int8 else _TYPES.get(weight.dtype, ""), _TYPES.get(weight.dtype, ""))
        self._look_at = self._since = time.monotonic()
        self._waiting = True
        if weight.device.type != "cpu" or not all(self._types) or not _is_plain(model):
            self._give_up(f"{self.name} on {weight.device.type} has no native step")
        else:
            self._look(build=True)

    @property
    def ready(self) -> bool:
        """Whether the next `step` will be native."""
        if self._waiting and time.monotonic() >= self._look_at:
            self._look()
        return self._library is not None and os.getpid() == self._process  # a fork has no threads of ours

    @property
    def library(self) -> ctypes.CDLL | None:
        """What has been loaded; None where the next step is not native."""
        return self._library if self.ready else None

    def wait(self) -> bool:
        """Wait until the library is built, or cannot be; whether it is there."""
        while not self.ready and self._waiting:
            time.sleep(POLL_S)
        return self.ready

    def step(
        self, cache: KVCache, tokens: Mapping[int, int], threads: int
    ) -> tuple[dict[int, Tensor], frozenset[int]] | None:
        """Append one token to each named lane; per lane the logits (V,), float32, and the lanes where some of them are
        not finite. None where it is not ready.

        Raises ValueError when a lane has no room, MemoryError.
        """
        if not self.ready:
            return None
        library = self._open(threads)
        n = len(tokens)
        rows, whole, place = (_LONG * (3 * n))(), (ctypes.c_bool * n)(), 0
        for lane, token in tokens.items():
            held = cache.held(lane)
            if held >= cache.length:
                raise ValueError(f"no room: lane {lane} holds {held} of {cache.length} tokens")
            rows[place], rows[place + 1], rows[place + 2] = token, lane, held
            place += 3
        keys, values = cache.memory
        if self._keys is None or self._keys() is not keys:  # it is asked for its addresses once, not once a token
            self._keys = weakref.ref(keys)
            self._memory = _Cache(keys.data_ptr(), values.data_ptr(), (_LONG * 4)(*keys.stride()[:4]))
        logits = torch.empty((n, self._vocab_size) if n > 1 else self._vocab_size)
        if not library.tinychat_step_run(self._handle, self._memory, n, rows, logits.data_ptr(), whole):
            raise MemoryError("there is no memory for the buffers of a step")
        for lane in tokens:
            cache.set_length(lane, cache.held(lane) + 1)
        broken = (
            frozenset() if all(whole) else frozenset(lane for lane, good in zip(tokens, whole, strict=True) if not good)
        )
        return dict(zip(tokens, logits.unbind() if n > 1 else (logits,), strict=True)), broken

    def _look(self, *, build: bool = False) -> None:
        """Load the library if it is there; start its build if asked to."""
        self._look_at = time.monotonic() + POLL_S
        try:
            path = native_build.find(*self._types)
            if path is not None:
                self._load(path)
            elif build:
                native_build.start(*self._types)
            elif time.monotonic() - self._since > GIVE_UP_S:
                self._give_up("the build of the native step did not end")
        except BuildFailed as error:
            self._give_up(error.what)
        except OSError as error:
            self._give_up(f"the native step could not be built: {error}")

    def _load(self, path: Path) -> None:
        try:
            library = ctypes.CDLL(str(path))
            library.tinychat_step_new.restype = _POINTER
            library.tinychat_step_new.argtypes = (ctypes.POINTER(_Model), _INT)
            library.tinychat_step_run.restype = ctypes.c_bool
            library.tinychat_step_run.argtypes = (
                _POINTER, ctypes.POINTER(_Cache), _INT, _POINTER, _POINTER, ctypes.POINTER(ctypes.c_bool),
            )  # fmt: skip
            library.tinychat_step_free.restype = None
            library.tinychat_step_free.argtypes = (_POINTER,)
            native_choice.declare(library)
        except (OSError, AttributeError) as error:
            self._give_up(f"{path} could not be loaded: {error}")
            return
        self._library, self._waiting = library, False
        self.state = f"native {self.name}"

    def _give_up(self, reason: str) -> None:
        self.state, self._waiting = f"eager ({reason})", False

    def _open(self, threads: int) -> ctypes.CDLL:
        """The library, with a handle for so many threads."""
        assert self._library is not None
        if self._handle is None or threads != self.threads:
            if self._free is not None:
                self._free()
            if self._tables is None:
                self._tables = self._table()
            self._handle = self._library.tinychat_step_new(self._tables[0], threads)
            if self._handle is None:
                raise MemoryError("there are no memory or threads for the native step")
            self.threads = threads
            self._free = weakref.finalize(self, _free, self._library, self._handle, os.getpid())
        return self._library

    def _table(self) -> tuple[_Model, Any]:
        """The network as model.h has it, and what must live as long."""
        model, config = self._model, self._model.config
        layers = (_Layer * config.layers)()
        for layer, block in zip(layers, model.blocks, strict=True):
            assert isinstance(block, Block)
            layer.attention_norm = self._norm(block.attention_norm)
            layer.feed_forward_norm = self._norm(block.feed_forward_norm)
            layer.qkv, layer.output = self._matrix(block.attention.qkv), self._matrix(block.attention.output)
            layer.up, layer.down = self._matrix(block.feed_forward.up), self._matrix(block.feed_forward.down)
        embedding = self._matrix(model.embedding)
        table = _Model(
            norm_type=NORMS.index(config.norm),
            activation=ACTIVATIONS.index(config.activation),
            layers=config.layers,
            width=config.width,
            heads=config.heads,
            groups=config.n_kv_heads,
            hidden=config.n_hidden,
            context=config.context,
            eps=config.norm_eps,
            layer=layers,
            norm=self._norm(model.norm),
            embedding=embedding,
            head=embedding if model.head is None else self._matrix(model.head),
            positions=None if model.positions is None else self._floats(model.positions.weight),
            rope=self._floats(model.rope),
        )
        return table, layers

    def _matrix(self, module: nn.Module) -> _Matrix:
        weight: Tensor = module.weight  # type: ignore[assignment]  # nn.Module says Tensor or Module
        rows, columns = weight.shape
        bias = self._floats(getattr(module, "bias", None))
        if not self._model.int8:
            return _Matrix(self._keep(weight.detach()), None, bias, rows, columns)
        whole, scale = quantised(weight.detach())
        return _Matrix(self._keep(whole), self._keep(scale), bias, rows, columns)

    def _norm(self, module: nn.Module) -> _Norm:
        return _Norm(self._floats(module.weight), self._floats(getattr(module, "bias", None)))  # type: ignore[arg-type]

    def _floats(self, tensor: Tensor | None) -> int | None:
        return None if tensor is None else self._keep(tensor.detach().float().contiguous())

    def _keep(self, tensor: Tensor) -> int:
        self._kept.append(tensor)
        return tensor.data_ptr()


def _is_plain(model: Transformer) -> bool:
    """Whether the weights lie as the step reads them: all of one type, row after row."""
    weights = list(model.parameters())
    return all(each.dtype == weights[0].dtype and each.is_contiguous() for each in weights)


def _free(library: ctypes.CDLL, handle: int, process: int) -> None:
    if os.getpid() == process:  # in a fork there are no threads to wait for, and waiting would never end
        library.tinychat_step_free(handle)
