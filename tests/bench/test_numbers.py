"""Statistics, traffic and the floor: against numpy, against hand counts, against the tensors of a real network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinychat.bench.numbers import Summary, is_settled, quantile, ratios
from tinychat.bench.shapes import SHAPES, lane_counts, shape_names
from tinychat.bench.traffic import Traffic, cache_bytes, step_traffic, weight_bytes
from tinychat.errors import UsageError
from tinychat.model.config import PRESETS, ModelConfig
from tinychat.model.transformer import Transformer


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_are_numpys(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), abs=1e-6)


def test_a_summary_says_middle_and_spread_and_keeps_the_order() -> None:
    found = Summary.of([3.0, 1.0, 2.0, 10.0])
    assert (found.median, found.low, found.high, found.iqr) == (2.5, 1.0, 10.0, 3.0)
    assert found.values == (3.0, 1.0, 2.0, 10.0)
    with pytest.raises(ValueError, match="at least one"):
        Summary.of([])


@pytest.mark.parametrize(
    ("medians", "settled"),
    [([], False), ([1.0], False), ([1.0, 1.019], True), ([1.0, 1.021], False), ([1.0, 5.0, 5.0], True)],
)
def test_a_warm_up_is_over_when_two_medians_in_a_row_agree(medians: list[float], settled: bool) -> None:
    assert is_settled(medians) is settled


def test_ratios_are_formed_inside_a_round() -> None:
    assert ratios([10.0, 2.0], [5.0, 1.0]) == [2.0, 2.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("name", "millions"),
    [("15m", 15.19), ("110m", 109.5), ("1b", 1235.8), ("8b", 8030.3)],
)
def test_shapes_have_the_parameters_of_their_models(name: str, millions: float) -> None:
    assert SHAPES[name].n_parameters() / 1e6 == pytest.approx(millions, rel=5e-4)


def test_a_large_vocabulary_changes_nothing_else() -> None:
    small, large = SHAPES["15m"], SHAPES["15m-128k"]
    assert large.n_parameters() - small.n_parameters() == (128_256 - 32_000) * small.width


CONFIGS = [
    ModelConfig(vocab_size=100, width=32, layers=2, heads=4, kv_heads=2),
    ModelConfig(vocab_size=100, width=32, layers=1, heads=2, tie=False, bias=True),
    ModelConfig.from_dict({"vocab_size": 64, "width": 32, "layers": 2, "heads": 2, **PRESETS["gpt2"]}),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["gqa", "untied", "gpt2"])
def test_a_step_reads_every_weight_but_the_tables_that_are_looked_up(config: ModelConfig) -> None:
    model = Transformer(config)
    looked_up = {"positions.weight"} | (set() if config.tie else {"embedding.weight"})
    read = {name: weight for name, weight in model.named_parameters() if name not in looked_up}
    assert weight_bytes(config, "float32") == sum(weight.nbytes for weight in read.values())
    assert weight_bytes(config, "bfloat16") * 2 == weight_bytes(config, "float32")
    matrices = [weight for weight in read.values() if weight.ndim == 2]
    scales = 4 * sum(weight.shape[0] for weight in matrices)
    vectors = sum(weight.nbytes for weight in read.values() if weight.ndim == 1)
    assert weight_bytes(config, "int8") == sum(weight.numel() for weight in matrices) + scales + vectors


def test_cache_bytes_are_those_of_the_cache_itself() -> None:
    from tinychat.model.cache import KVCache

    cache = KVCache(CONFIGS[0], lanes=3, length=10, dtype=torch.bfloat16)
    slots = cache.length + 1  # one for padding
    assert cache_bytes(CONFIGS[0], length=slots, lanes=3, bytes_per_value=2) == cache.nbytes


def test_the_floor_is_bytes_over_bandwidth() -> None:
    config = SHAPES["110m"]
    moved = step_traffic(config, dtype="float32", cache_value=4, prompt=32, tokens=256, lanes=2)
    assert moved.cache == 160 * 2 * 2 * 12 * 768 * 4  # positions, lanes, keys and values, layers, width, bytes
    assert moved.total == moved.weights + moved.cache
    assert Traffic(weights=15, cache=5).floor_s(10.0) == 2.0


def test_lists_of_the_command_line() -> None:
    assert shape_names("15M, 110m") == ("15m", "110m")
    assert lane_counts("1,16") == (1, 16)
    with pytest.raises(UsageError, match="7t"):
        shape_names("15m,7t")
    for bad in ("", "0", "1,x", "2000"):
        with pytest.raises(UsageError, match="lanes"):
            lane_counts(bad)
