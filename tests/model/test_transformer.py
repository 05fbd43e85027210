"""The network: what it promises whatever its weights are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tinychat.model.cache import KVCache
from tinychat.model.checkpoint import expected_tensors
from tinychat.model.config import ACTIVATIONS, MAX_CONTEXT, NORMS, POSITIONS, ModelConfig
from tinychat.model.transformer import Transformer, rope_table, rotate

Make = Callable[[ModelConfig], Transformer]
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def ids(config: ModelConfig, rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(0, config.vocab_size, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("tie", [False, True])
def test_config_counts_and_names_what_the_network_has(
    norm: str, position: str, activation: str, bias: bool, tie: bool
) -> None:
    raw = {"norm": norm, "position": position, "activation": activation, "bias": bias, "tie": tie}
    config = ModelConfig.from_dict({"vocab_size": 37, "context": 8, "width": 24, "heads": 4, "kv_heads": 2, **raw})
    model = Transformer(config)
    state = model.state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected_tensors(config)
    assert list(state) == list(expected_tensors(config)), "in the same order, so that files are reproducible"
    parts = {
        "embedding": "embedding.",
        "positions": "positions.",
        "attention": ".attention.",
        "feed_forward": ".feed_forward.",
        "norms": "norm.",
        "head": "head.",
    }
    counted = {
        part: sum(tensor.numel() for name, tensor in state.items() if mark in name) for part, mark in parts.items()
    }
    assert counted == config.parameters()
    assert sum(parameter.numel() for parameter in model.parameters()) == config.n_parameters()
    cache = KVCache(config, lanes=3, length=7)
    assert cache.nbytes == 3 * (7 + 1) * config.cache_bytes_per_token(4)


def test_first_weights_are_normal_with_silent_blocks(config: ModelConfig) -> None:
    model = Transformer(config)
    model.init_weights(torch.Generator().manual_seed(3))
    for name, parameter in model.named_parameters():
        if name.endswith(("output.weight", "down.weight", ".bias")):
            assert not parameter.any(), name
        elif parameter.ndim == 1:
            assert (parameter == 1).all(), name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.15), name
    again = Transformer(config)
    again.init_weights(torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    other = Transformer(config)
    other.init_weights(torch.Generator().manual_seed(4))
    assert not torch.equal(model.embedding.weight, other.embedding.weight)


def test_no_token_sees_the_future(config: ModelConfig, network: Make) -> None:
    model, tokens = network(config), ids(config, 1, 20)
    changed = tokens.clone()
    changed[0, 12] = (changed[0, 12] + 1) % config.vocab_size
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12], atol=0, rtol=0)
    assert (before[0, 12:] - after[0, 12:]).abs().amax(-1).min() > 1e-4, "and every later one sees the change"


def test_cached_token_by_token_equals_uncached(config: ModelConfig, network: Make) -> None:
    model, tokens = network(config), ids(config, 2, 40)
    cache = KVCache(config, lanes=2)
    single = torch.cat([model(tokens[:, at : at + 1], cache) for at in range(40)], dim=1)
    torch.testing.assert_close(single, model(tokens), **CLOSE)
    assert cache.lengths == (40, 40)


@pytest.mark.parametrize("sizes", [(48,), (7, 1, 1, 20, 3), (1, 30, 2)])
def test_cached_in_chunks_equals_uncached(config: ModelConfig, network: Make, sizes: tuple[int, ...]) -> None:
    model, tokens = network(config), ids(config, 1, sum(sizes))
    cache = KVCache(config)
    chunked = torch.cat([model(chunk, cache) for chunk in tokens.split(sizes, dim=1)], dim=1)
    torch.testing.assert_close(chunked, model(tokens), **CLOSE)


def test_ragged_lanes_equal_single_ones(config: ModelConfig, network: Make) -> None:
    model = network(config)
    rows = [ids(config, 1, 30, seed)[0] for seed in range(3)]
    alone = [model(row[None])[0] for row in rows]
    cache = KVCache(config, lanes=3, length=30)
    held = [0, 0, 0]
    for counts in ([5, 2, 0], [1, 1, 1], [0, 6, 3], [9, 1, 9], [1, 1, 1], [4, 3, 1], [1, 0, 0], [1, 1, 1]):
        block = torch.zeros(3, max(counts), dtype=torch.long)
        for lane, count in enumerate(counts):
            block[lane, :count] = rows[lane][held[lane] : held[lane] + count]
        logits = model(block, cache, counts=torch.tensor(counts))
        for lane, count in enumerate(counts):
            expected = alone[lane][held[lane] : held[lane] + count]
            torch.testing.assert_close(logits[lane, :count], expected, **CLOSE)
            held[lane] += count
        assert cache.lengths == tuple(held)
        assert logits.isfinite().all()


def test_ragged_lane_fills_its_last_slot(config: ModelConfig, network: Make) -> None:
    model, tokens = network(config), ids(config, 1, 12)[0]
    cache = KVCache(config, lanes=2, length=12)
    model(tokens[:10].expand(2, -1), cache, counts=[10, 4])
    padded = torch.stack([torch.cat([tokens[10:12], tokens[:3]]), tokens[4:9]])  # the padding would not fit
    logits = model(padded, cache, counts=[2, 5])
    alone = model(tokens[None])[0]
    torch.testing.assert_close(logits[0, :2], alone[10:12], **CLOSE)
    torch.testing.assert_close(logits[1], alone[4:9], **CLOSE)


def test_left_padded_rows_equal_single_ones(config: ModelConfig, network: Make) -> None:
    model = network(config)
    rows = [ids(config, 1, length, length)[0] for length in (20, 11, 1)]
    padded = torch.stack([torch.cat([torch.zeros(20 - len(row), dtype=torch.long), row]) for row in rows])
    logits = model(padded, pad=torch.tensor([20 - len(row) for row in rows]))
    assert logits.isfinite().all()
    for row, got in zip(rows, logits, strict=True):
        torch.testing.assert_close(got[-len(row) :], model(row[None])[0], **CLOSE)


@pytest.mark.parametrize("how", ["plain", "cached", "ragged", "padded"])
def test_last_only_is_the_last_row_of_all(config: ModelConfig, network: Make, how: str) -> None:
    model, tokens = network(config), ids(config, 2, 9)
    if how == "plain":
        expected, got = model(tokens)[:, -1:], model(tokens, last_only=True)
    elif how == "padded":
        pad = torch.tensor([0, 4])
        expected, got = model(tokens, pad=pad)[:, -1:], model(tokens, pad=pad, last_only=True)
    else:
        counts = [9, 6] if how == "ragged" else None
        full = model(tokens, KVCache(config, lanes=2), counts=counts)
        expected = torch.stack([full[0, 8], full[1, 5 if counts else 8]])[:, None]
        got = model(tokens, KVCache(config, lanes=2), counts=counts, last_only=True)
    assert got.shape == (2, 1, config.vocab_size)
    torch.testing.assert_close(got, expected, **CLOSE)


def test_every_weight_gets_a_gradient(config: ModelConfig, network: Make) -> None:
    model = network(config).train()
    model(ids(config, 2, 16)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_gradient_of_the_mask_path_is_that_of_the_plain_path(config: ModelConfig, network: Make) -> None:
    model, tokens = network(config).train(), ids(config, 2, 16)
    plain = torch.autograd.grad(model(tokens).square().mean(), list(model.parameters()))
    masked = torch.autograd.grad(model(tokens, pad=torch.zeros(2).long()).square().mean(), list(model.parameters()))
    for a, b in zip(plain, masked, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


def test_a_cache_holds_no_graph(config: ModelConfig, network: Make) -> None:
    model, cache = network(config).train(), KVCache(config)
    model(ids(config, 1, 8), cache)
    assert not cache._keys.requires_grad
    assert not cache._values.requires_grad


def test_dropout_acts_in_training_only(config: ModelConfig, network: Make) -> None:
    raw = {**config.to_dict(), "dropout": 0.5}
    model, tokens = network(ModelConfig.from_dict(raw)), ids(config, 1, 12)
    quiet = network(config)(tokens)
    torch.testing.assert_close(model(tokens), quiet, atol=0, rtol=0)
    model.train()
    torch.manual_seed(0)
    first, second = model(tokens), model(tokens)
    assert not torch.allclose(first, second)
    torch.manual_seed(0)
    torch.testing.assert_close(model(tokens), first, atol=0, rtol=0)


def test_dropout_stands_where_gpt2_has_it(config: ModelConfig, network: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the embedding, on the attention weights, and on what each half of a block adds."""
    model = network(ModelConfig.from_dict({**config.to_dict(), "dropout": 0.25})).train()
    seen: list[tuple[str, float]] = []
    dropout, attend = F.dropout, F.scaled_dot_product_attention

    def recorded_dropout(x: Tensor, p: float, training: bool) -> Tensor:
        seen.append(("dropout", p if training else 0.0))
        return dropout(x, p, training)

    def recorded_attention(*args: Any, dropout_p: float, **kwargs: Any) -> Tensor:
        seen.append(("attention", dropout_p))
        return attend(*args, dropout_p=dropout_p, **kwargs)

    monkeypatch.setattr(F, "dropout", recorded_dropout)
    monkeypatch.setattr(F, "scaled_dot_product_attention", recorded_attention)
    model(ids(config, 1, 12))
    block = [("attention", 0.25), ("dropout", 0.25), ("dropout", 0.25)]
    assert seen == [("dropout", 0.25), *block * config.layers]


def test_bfloat16_follows_float32(config: ModelConfig, network: Make) -> None:
    model, tokens = network(config), ids(config, 1, 20)
    exact = model(tokens).float()
    model.to(torch.bfloat16)
    cache = KVCache(config, dtype=torch.bfloat16)
    rough = torch.cat([model(tokens[:, :15], cache), model(tokens[:, 15:], cache)], dim=1)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).std() < 0.06 * exact.std()


def test_rotary_scores_depend_on_the_distance_only() -> None:
    config = ModelConfig(vocab_size=2, context=64, width=16, heads=1)
    table = rope_table(config)[:, :, None]
    q, k = torch.randn(2, 64, 1, 16, generator=torch.Generator().manual_seed(0))
    q, k = q[:1].expand(64, 1, 16), k[:1].expand(64, 1, 16)
    q, k = rotate(q, (table[0], table[1])), rotate(k, (table[0], table[1]))
    scores = torch.einsum("the,she->ts", q, k)
    for distance in (0, 1, 5, 30):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)


def test_what_does_not_fit_is_refused_and_changes_nothing(config: ModelConfig, network: Make) -> None:
    model = network(config)
    with pytest.raises(ValueError, match="49 tokens do not fit into a context of 48"):
        model(ids(config, 1, 49))
    cache = KVCache(config, lanes=2, length=10)
    model(ids(config, 2, 8), cache)
    for call in (
        lambda: model(ids(config, 2, 3), cache),
        lambda: model(ids(config, 2, 3), cache, counts=[2, 3]),
        lambda: model(ids(config, 2, 3), cache, counts=[2, 4]),
        lambda: model(ids(config, 2, 3), cache, counts=[2, -1]),
        lambda: model(ids(config, 2, 3), cache, counts=[1]),
        lambda: model(ids(config, 3, 1), cache),
        lambda: model(ids(config, 2, 1), cache, pad=torch.zeros(2).long()),
        lambda: model(ids(config, 2, 1), counts=[1, 1]),
        lambda: model(ids(config, 2, 3), pad=torch.zeros(1).long()),
        lambda: model(ids(config, 2, 0)),
        lambda: model(ids(config, 1, 5)[0]),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            call()
        assert cache.lengths == (8, 8)
    model(ids(config, 2, 3), cache, counts=[2, 2])
    assert cache.lengths == (10, 10)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"vocab_size": 0}, "vocab_size"),
        ({"vocab_size": 2.0}, "vocab_size"),
        ({"layers": True}, "layers"),
        ({"width": 30}, "heads"),
        ({"width": 12, "heads": 4}, "even head width"),
        ({"kv_heads": 3}, "kv_heads"),
        ({"kv_heads": 0}, "kv_heads"),
        ({"hidden": 0}, "hidden"),
        ({"norm": "batch"}, "norm"),
        ({"position": "alibi"}, "position"),
        ({"activation": "relu"}, "activation"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": float("nan")}, "dropout"),
        ({"rope_theta": 0.0}, "rope_theta"),
        ({"rope_theta": float("nan")}, "rope_theta"),
        ({"norm_eps": float("inf")}, "norm_eps"),
        ({"context": MAX_CONTEXT + 1}, "context"),
    ],
)
def test_a_config_that_is_no_network_says_why(wrong: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ModelConfig(**{"vocab_size": 64, "width": 32, "heads": 4, **wrong})


def test_loading_needs_no_compiler(tmp_path: Path) -> None:
    """Waking torch's compiler by accident costs more than all the rest of opening a model."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tinychat.model import checkpoint\n"
        "from tinychat.model.config import ModelConfig, PRESETS\n"
        "from tinychat.model.transformer import Transformer, load, to_arrays\n"
        "path = Path(sys.argv[1])\n"
        "for preset in PRESETS.values():\n"
        "    config = ModelConfig(vocab_size=32, width=16, heads=2, **preset)\n"
        "    checkpoint.write(path, arrays=to_arrays(Transformer(config).state_dict()), config=config,\n"
        "        tokenizer_json='', chat_template='', step=0, training={})\n"
        "    load(path)\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "ckpt.safetensors")], check=True, timeout=60)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_follows_the_cpu_with_and_without_cache(config: ModelConfig, network: Make) -> None:
    model, tokens = network(config), ids(config, 2, 40)
    expected = model(tokens)
    model, tokens = model.cuda(), tokens.cuda()
    cache = KVCache(config, lanes=2, device="cuda")
    first = model(tokens[:, :17], cache)
    ragged = model(tokens[:, 17:20], cache, counts=[3, 1])
    rest = model(torch.stack([tokens[0, 20:38], tokens[1, 18:36]]), cache)
    close = {"atol": 2e-3, "rtol": 1e-3}  # TF32 and other orders of summation
    torch.testing.assert_close(model(tokens).cpu(), expected, **close)
    torch.testing.assert_close(first.cpu(), expected[:, :17], **close)
    torch.testing.assert_close(ragged[0].cpu(), expected[0, 17:20], **close)
    torch.testing.assert_close(rest[1].cpu(), expected[1, 18:36], **close)
    padded = model(tokens, pad=torch.tensor([0, 5]).cuda())
    assert padded.isfinite().all()
