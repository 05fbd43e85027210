"""Packed rows learn what each document alone would teach: the same logits, the same loss, the same gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tinychat.model.cache import KVCache
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer
from trainer.batches import Batches
from trainer.loss import IGNORED, loss_sum
from trainer.shards import Shard, write_shard

CONTEXT, END, VOCAB = 24, 0, 40


def network(position: str, **keys: object) -> Transformer:
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=VOCAB,
        context=CONTEXT,
        width=16,
        layers=2,
        heads=4,
        position=position,
        **keys,  # type: ignore[arg-type]
    )
    model = Transformer(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    return model


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    dice = np.random.default_rng(4)
    ids: list[int] = []
    for size in (5, 9, 3, 11, 40, 2, 7, 8, 30):
        ids += [END, *dice.integers(1, VOCAB, size - 1).tolist()]
    write_shard(tmp_path / "a.bin", [ids], vocab_size=VOCAB, tokenizer_digest="ab" * 32)
    return Batches(Shard.open(tmp_path / "a.bin"), context=CONTEXT, rows=4, seed=1, mode="packed", end_of_text=END)


@pytest.mark.parametrize(
    "model",
    [network("rotary"), network("learned"), network("rotary", kv_heads=2, activation="relu2")],
    ids=["rotary", "learned", "grouped"],
)
def test_a_packed_row_is_each_of_its_documents_alone(model: Transformer, batches: Batches) -> None:
    x, y, documents = batches.batch(0)
    assert documents is not None
    ids, targets = torch.from_numpy(x), torch.from_numpy(y)
    logits = model(ids, documents=torch.from_numpy(documents))
    total, trained = loss_sum(logits, targets)
    total.backward()
    packed = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    alone = torch.zeros(())
    pieces = counted = 0
    for row in range(len(x)):
        for number in np.unique(documents[row]):
            places = documents[row] == number
            one = model(ids[row, places][None])
            torch.testing.assert_close(logits[row, places], one[0], atol=1e-5, rtol=1e-5)
            part, count = loss_sum(one, targets[row, places][None])
            alone = alone + part
            counted += count
            pieces += count > 0
    assert counted == trained == int((y != IGNORED).sum())
    assert pieces > len(x)  # some row holds several
    torch.testing.assert_close(total, alone, atol=1e-4, rtol=1e-6)
    alone.backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(packed[name], weight.grad, atol=1e-4, rtol=1e-4, msg=name)
    model.zero_grad()


def test_one_document_a_row_is_the_plain_pass() -> None:
    model = network("rotary")
    ids = torch.arange(1, 17).reshape(2, 8)
    torch.testing.assert_close(model(ids, documents=torch.zeros_like(ids)), model(ids))


def test_documents_go_without_cache_and_padding() -> None:
    model = network("rotary")
    ids = torch.ones(1, 4, dtype=torch.long)
    with pytest.raises(ValueError, match="without cache"):
        model(ids, documents=ids, pad=torch.zeros(1, dtype=torch.long))
    with pytest.raises(ValueError, match="without cache"):
        model(ids, KVCache(model.config, lanes=1), documents=ids)
    with pytest.raises(ValueError, match="one for each"):
        model(ids, documents=ids[:, :2])
