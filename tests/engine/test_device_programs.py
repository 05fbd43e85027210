"""Any stages in any order on the device, and what a step costs there: no look at the host, few kernels, idle rows free.

On the meta device there are no numbers: any look at one (item, bool, a data-dependent shape) raises.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.engine.test_device_chain import CHAINS, assert_same, the_fast_way, the_slow_way
from tinychat.engine import device_chain, device_stages
from tinychat.engine.graphs import Pipeline, Row
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.engine.quantise import pack
from tinychat.model.cache import KVCache
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

ON = {
    "logit_bias": {"logit_bias": {2: 1.25, 7: float("-inf"), 9: -0.5}}, "repetition": {"repetition_penalty": 1.3},
    "frequency": {"frequency_penalty": 0.37}, "presence": {"presence_penalty": -0.41},
    "temperature": {"temperature": 0.83}, "quadratic": {"smoothing_factor": 0.21, "smoothing_curve": 1.7},
    "top_n_sigma": {"top_n_sigma": 1.93}, "top_k": {"top_k": 23}, "typical": {"typical_p": 0.8731},
    "top_p": {"top_p": 0.9117}, "min_p": {"min_p": 0.0123}, "epsilon": {"epsilon_cutoff": 0.00417},
    "eta": {"eta_cutoff": 0.0057}, "top_a": {"top_a": 0.0713}, "tfs": {"tfs_z": 0.9531}, "top_h": {"top_h": 0.7713},
    "xtc": {"xtc_probability": 0.6, "xtc_threshold": 0.0317},
}  # fmt: skip
SMALL = ModelConfig(vocab_size=32_000, context=256, width=288, layers=6, heads=6, hidden=768)  # the shape called 15m
TRIVIAL = ("view", "slice", "select", "expand", "unsqueeze", "squeeze", "unbind", "detach", "alias", "split", "empty")


class Kernels(TorchDispatchMode):
    """Counts what would be launched on a device; refuses tensors of the host among those of the device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        flat = [each for arg in args for each in (arg if isinstance(arg, list | tuple) else (arg,))]
        tensors = [each for each in flat if isinstance(each, torch.Tensor)]
        assert all(each.is_meta for each in tensors), f"{function} takes a tensor of the host"
        name = str(function).split(".")[1]
        if not function.is_view and name not in TRIVIAL and name != "_unsafe_view":
            self.names.append(name)
            assert name not in ("_local_scalar_dense", "nonzero", "unique", "masked_select", "is_nonzero")
        return found


class Rows(TorchDispatchMode):
    """The most rows that a product or a sort was given."""

    most = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(function).startswith(("aten.mm", "aten.linear", "aten.sort")):
            self.most = max(self.most, args[0].numel() // args[0].shape[-1])
        return function(*args, **(kwargs or {}))


@contextmanager
def counted() -> Iterator[Kernels]:
    with torch.no_grad(), Kernels() as kernels:
        yield kernels


def on_meta(*, lanes: int, packed: bool = False) -> Pipeline:
    with torch.device("meta"):
        model = Transformer(SMALL).to(torch.bfloat16).eval().requires_grad_(False)
    assert model.rope is not None
    model.rope = model.rope.to("meta")
    if packed:
        pack(model, torch.bfloat16)
    return Pipeline(model, KVCache(SMALL, lanes=lanes, device="meta", dtype=torch.bfloat16), record=64)


@pytest.mark.parametrize("seed", range(60))
def test_any_stages_in_any_order_are_those_of_the_host(seed: int) -> None:
    dice = random.Random(seed)
    stages = dice.sample(sorted(ON), dice.randrange(1, len(ON) + 1))
    if "repetition" in stages and "temperature" in stages:  # in this order only: see device_chain.supports
        one, other = sorted((stages.index("repetition"), stages.index("temperature")))
        stages[one], stages[other] = "repetition", "temperature"
    settings: dict[str, Any] = {}
    for name in stages:
        settings |= ON[name]
    params = SamplingParams(order=",".join(stages), seed=dice.randrange(2**32), **settings)
    rows = torch.randn(1, dice.choice([40, 700]), generator=torch.Generator().manual_seed(seed)) * 2.5
    if seed % 2:
        rows = (rows * 2).round() / 2  # ties everywhere
    assert device_chain.supports(params)
    assert_same(the_fast_way(rows, [params], 16)[0], the_slow_way(rows[0], params, 0, 16))


def test_a_record_without_candidates_has_the_token() -> None:
    rows = torch.randn(1, 50, generator=torch.Generator().manual_seed(3))
    assert_same(the_fast_way(rows, [CHAINS["cuts"]], 0)[0], the_slow_way(rows[0], CHAINS["cuts"], 0, 0))


def test_every_stage_of_the_device_is_tried_here() -> None:
    assert set(ON) == device_chain.ON_DEVICE
    assert not device_stages.CUTS & device_stages.CHANGES


@pytest.mark.parametrize("name", [*CHAINS, *PRESETS])
def test_a_step_never_asks_the_host(name: str) -> None:
    stages = device_chain.program((CHAINS | PRESETS)[name])
    pipeline = on_meta(lanes=4)
    with counted() as kernels:
        pipeline._logits_after(128, 4)
        pipeline._chain(stages, 4)
    assert "mm" in kernels.names
    assert "sort" in kernels.names


@pytest.mark.parametrize(
    ("params", "most", "sorts"),
    [
        (SamplingParams(), 60, 1),
        (SamplingParams(top_k=40, top_p=0.9), 80, 1),  # cuts leave the order as it was
        (PRESETS["story"], 90, 2),
        (SamplingParams(temperature=0.8, repetition_penalty=1.1, top_k=40, top_p=0.95, min_p=0.02), 120, 2),
        (CHAINS["all"], 400, 5),
    ],
)
def test_a_chain_is_few_kernels_and_sorts_once_for_each_change_of_values(
    params: SamplingParams, most: int, sorts: int
) -> None:
    pipeline = on_meta(lanes=1)
    with counted() as kernels:
        pipeline._chain(device_chain.program(params), 1)
    assert len(kernels.names) <= most
    assert kernels.names.count("sort") == sorts


@pytest.mark.parametrize("packed", [False, True])
def test_a_forward_step_writes_keys_once_and_makes_its_mask_once(packed: bool) -> None:
    pipeline = on_meta(lanes=2, packed=packed)
    with counted() as kernels:
        pipeline._logits_after(128, 2)
    assert kernels.names.count("index_put_") == 2 * SMALL.layers
    assert kernels.names.count("arange") == 3
    assert kernels.names.count("roll") == SMALL.layers
    assert kernels.names.count("index_select") == 1  # the angles, for all layers
    products = 1 + 2 * SMALL.layers, 2 * SMALL.layers  # the second kind adds to the stream as it goes
    assert (kernels.names.count("mm"), kernels.names.count("addmm_")) == ((sum(products), 0) if packed else products)


def test_lanes_above_the_highest_that_runs_cost_nothing() -> None:
    model = Transformer(ModelConfig(vocab_size=60, context=64, width=16, layers=1, heads=2)).eval()
    pipeline = Pipeline(model, KVCache(model.config, lanes=64), record=8)
    params = SamplingParams(temperature=0.9, top_k=10)

    def rows_of(*lanes: int) -> int:
        with torch.inference_mode():
            pipeline.start({lane: Row((1, 2), 2, params, lane) for lane in lanes})
            with Rows() as seen:
                assert pipeline.take(lanes[0], params, lanes[0]) is not None
            pipeline.stop()
        return seen.most

    assert rows_of(0) == 1
    assert rows_of(0, 2) == 4
    assert rows_of(63) == 64
