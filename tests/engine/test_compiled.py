"""Torch's compiler takes the step whole, and it is the same step; where the compiler fails, the plain one goes on."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch

from tests.engine.test_device_chain import CHAINS
from tests.engine.test_graphs import PROMPT, WARM, a_model
from tinychat.engine import device_chain, static_step
from tinychat.engine.compiled import Compiled
from tinychat.engine.engine import Engine
from tinychat.engine.graphs import Pipeline, Row
from tinychat.engine.quantise import pack
from tinychat.errors import UsageError
from tinychat.model.cache import KVCache
from tinychat.model.transformer import Transformer


def inputs(model: Transformer, *, lanes: int = 2) -> tuple[KVCache, tuple[Any, ...]]:
    cache = KVCache(model.config, lanes=4, dtype=next(model.parameters()).dtype)
    for each in cache.memory:
        each.normal_(generator=torch.Generator().manual_seed(2))
    layers = [(k[:lanes], v[:lanes]) for k, v in zip(*cache.memory, strict=True)]
    return cache, (model, layers, torch.tensor([3, 5]), torch.tensor([9, 4]), 128)


def sampling(name: str) -> tuple[Any, ...]:
    rows = torch.randn(2, 300, generator=torch.Generator().manual_seed(1)) * 3
    params = CHAINS[name]
    settings = torch.tensor([device_chain.settings_row(params)] * 2, dtype=torch.float64)
    bias = torch.zeros(2, 300, dtype=torch.float64)
    bias[:, 3] = 1.5
    u = torch.tensor([[0.3, 0.1], [0.9, 0.7]], dtype=torch.float64)
    return rows, device_chain.program(params), settings, (rows > 2).float(), bias, u, 16


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
def test_forward_is_one_graph(kind: str) -> None:
    model = a_model(kv_heads=2)
    model = pack(model, torch.float32) if kind == "int8" else model.to(getattr(torch, kind))
    near = {"atol": 0.1, "rtol": 0.05} if kind == "bfloat16" else {}  # uncompiled, sums are rounded once less
    whole = torch.compile(static_step.forward, fullgraph=True, dynamic=False, backend="aot_eager")
    with torch.inference_mode():
        (plain_cache, plain), (cache, mine) = inputs(model), inputs(model)
        torch.testing.assert_close(whole(*mine), static_step.forward(*plain), **near)
        for one, other in zip(cache.memory, plain_cache.memory, strict=True):
            torch.testing.assert_close(one, other, **near)


@pytest.mark.parametrize("name", ["neutral", "all"])
def test_the_chain_is_one_graph(name: str) -> None:
    args = sampling(name)
    whole = torch.compile(device_chain.run, fullgraph=True, dynamic=False, backend="aot_eager")
    with torch.inference_mode():
        for one, other in zip(whole(*args), device_chain.run(*args), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_the_compiler_writes_keys_where_they_belong_and_copies_no_cache() -> None:
    """On CUDA this would be the dearest mistake: the whole cache of a layer, twice a token."""
    from torch._inductor.utils import run_and_get_code  # seconds, which no other worker that collects this should wait

    model = a_model(kv_heads=2, layers=2, context=500)
    with torch.inference_mode():
        (plain_cache, plain), (cache, mine) = inputs(model), inputs(model)
        fast = Compiled(static_step.forward, tuned=False)
        found, code = run_and_get_code(fast, *mine)
        assert fast.trouble == ""
        torch.testing.assert_close(found, static_step.forward(*plain), atol=2e-5, rtol=1e-5)
        for one, other in zip(cache.memory, plain_cache.memory, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    made = [line for line in "\n".join(code).splitlines() if " = empty_strided" in line]
    assert made
    assert not [line for line in made if "501" in line]  # a cache of 500 has 501 slots


def test_where_the_compiler_fails_the_plain_step_goes_on_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: object, **_: object) -> Any:
        def fast(*_: object) -> None:
            raise RuntimeError("no compiler found\nand more")

        return fast

    monkeypatch.setattr(torch, "compile", broken)
    model = a_model()
    cache = KVCache(model.config)
    with torch.inference_mode():
        model(torch.tensor([PROMPT[:-1]]), cache)
        pipeline = Pipeline(model, cache, record=16, compiled=True)
        assert pipeline.trouble == ""
        pipeline.start({0: Row(PROMPT, len(PROMPT), WARM, 0)})
        got = [step.token for _ in range(20) if (step := pipeline.take(0, WARM, 0))]
    assert pipeline.trouble == "no compiler found"
    engine = Engine(model, record=16)
    engine.set_context(PROMPT)
    assert got == [engine.step(WARM).token for _ in range(20)]


def test_on_the_cpu_a_compiled_step_is_refused() -> None:
    with pytest.raises(UsageError, match="CUDA"):
        Engine(a_model(), step="compiled")
