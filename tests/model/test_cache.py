"""The cache: what is cut or copied behaves as if it had been computed so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tinychat.model.cache import KVCache
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

Make = Callable[[ModelConfig], Transformer]
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def ids(config: ModelConfig, rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(0, config.vocab_size, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("length", [0, 1, 9, 19, 20])
def test_after_a_cut_another_text_continues_as_if_never_different(
    config: ModelConfig, network: Make, length: int
) -> None:
    model, first, other = network(config), ids(config, 1, 20), ids(config, 1, 15, seed=1)
    cache = KVCache(config)
    model(first, cache)
    cache.cut(0, length)
    logits = model(other, cache)
    whole = torch.cat([first[:, :length], other], dim=1)
    torch.testing.assert_close(logits, model(whole)[:, length:], **CLOSE)


def test_a_copied_lane_continues_alone(config: ModelConfig, network: Make) -> None:
    model, first, other = network(config), ids(config, 3, 12), ids(config, 1, 6, seed=1)
    cache = KVCache(config, lanes=3)
    model(first, cache)
    cache.cut(1, 7)
    cache.copy(1, 2)
    assert cache.lengths == (12, 7, 7)
    model(other[:, :2].expand(3, -1), cache, counts=[0, 0, 2])
    logits = model(other[:, 2:].expand(3, -1), cache, counts=[0, 0, 4])[2]
    whole = torch.cat([first[1, :7], other[0]])[None]
    torch.testing.assert_close(logits, model(whole)[0, 9:], **CLOSE)
    assert cache.lengths == (12, 7, 13)
    cache.copy(0, 0)
    assert cache.lengths == (12, 7, 13)
    tail = model(other[:, :1].expand(3, -1), cache, counts=[1, 1, 0])
    torch.testing.assert_close(tail[0], model(torch.cat([first[:1], other[:, :1]], 1))[0, -1:], **CLOSE)
    torch.testing.assert_close(tail[1], model(torch.cat([first[1:2, :7], other[:, :1]], 1))[0, -1:], **CLOSE)


def test_a_cache_grows_and_shrinks_by_lanes(config: ModelConfig, network: Make) -> None:
    model, first, other = network(config), ids(config, 1, 12), ids(config, 1, 6, seed=1)
    cache = KVCache(config)
    model(first, cache)
    cache.resize(3)
    assert cache.lengths == (12, 0, 0)
    logits = model(other.expand(3, -1), cache, counts=[2, 0, 6])
    torch.testing.assert_close(logits[2], model(other)[0], **CLOSE)
    torch.testing.assert_close(logits[0, :2], model(torch.cat([first, other[:, :2]], 1))[0, 12:], **CLOSE)
    cache.resize(1)
    assert (cache.lanes, cache.lengths) == (1, (14,))
    whole = torch.cat([first, other[:, :4]], 1)
    torch.testing.assert_close(model(other[:, 2:4], cache)[0], model(whole)[0, 14:], **CLOSE)
    with pytest.raises(ValueError, match="lanes"):
        cache.resize(0)


def test_a_copy_onto_a_longer_lane_leaves_nothing_of_it(config: ModelConfig, network: Make) -> None:
    model, first = network(config), ids(config, 2, 20)
    cache = KVCache(config, lanes=2)
    model(first, cache, counts=[5, 20])
    cache.copy(0, 1)
    assert not cache._keys[:, 1, :, 5:].any()
    step = ids(config, 1, 1, seed=2).expand(2, -1)
    logits = model(step, cache)
    torch.testing.assert_close(logits[0], logits[1], **CLOSE)


def test_numbers_that_broke_do_not_come_back_after_a_cut(config: ModelConfig, network: Make) -> None:
    model, first = network(config), ids(config, 2, 10)
    cache = KVCache(config, lanes=2)
    model(first, cache)
    cache._keys[:, 0, :, 6:10] = float("nan")
    cache._values[:, 0, :, 6:10] = float("inf")
    cache.cut(0, 6)
    logits = model(first[:, 6:8], cache, counts=[2, 2])  # lane 1 is longer, so lane 0 reads masked slots
    torch.testing.assert_close(logits[0], model(first[:1, :8])[0, 6:], **CLOSE)


def test_writing_happens_in_place(config: ModelConfig, network: Make) -> None:
    model, cache = network(config), KVCache(config, length=16)
    keys, held = cache._keys.data_ptr(), cache.nbytes
    for _ in range(16):
        model(ids(config, 1, 1), cache)
    assert (cache._keys.data_ptr(), cache.nbytes) == (keys, held)
    with pytest.raises(ValueError, match="lane 0 holds 16 of 16 tokens, 1 more do not fit"):
        model(ids(config, 1, 1), cache)


def test_nonsense_is_refused(config: ModelConfig) -> None:
    for wrong in ({"lanes": 0}, {"length": 0}, {"length": config.context + 1}):
        with pytest.raises(ValueError, match="a cache needs"):
            KVCache(config, **wrong)
    cache = KVCache(config, lanes=2)
    for lane, length in ((0, 1), (0, -1), (2, 0), (-1, 0)):
        with pytest.raises(ValueError, match="lane"):
            cache.cut(lane, length)
    with pytest.raises(ValueError, match="lane"):
        cache.copy(0, 2)
