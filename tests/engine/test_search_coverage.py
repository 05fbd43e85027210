"""GNMT's scores: length rules by hand, the coverage penalty by its formula, and attention from first principles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tables import done_of

from tinychat.engine.attention import AttentionRunner
from tinychat.engine.engine import Engine
from tinychat.engine.runner import Runner
from tinychat.engine.scores import FLOOR, LengthScore, coverage
from tinychat.engine.search_params import SearchParams
from tinychat.model.config import PRESETS, ModelConfig
from tinychat.model.transformer import Attention, Transformer

VOCAB, END = 30, 7
PROMPT = [1, 2, 3, 4, 5, 6]
SHAPES: dict[str, dict[str, Any]] = {"llama": {"kv_heads": 2}, "gpt2": PRESETS["gpt2"]}


def test_length_rules_by_hand() -> None:
    assert LengthScore().score(-6.0, 3) == -6.0
    assert LengthScore("mean").score(-6.0, 3) == -2.0
    assert LengthScore("power", 0.6).divisor(10) == pytest.approx(3.981, abs=5e-4)
    assert LengthScore("gnmt", 0.6).divisor(10) == pytest.approx(1.733, abs=5e-4)
    for alpha in (0.0, 0.6, 2.0):
        assert LengthScore("gnmt", alpha).divisor(1) == 1.0
        assert LengthScore("power", 0.0).score(-3.5, 9) == LengthScore("gnmt", 0.0).score(-3.5, 9) == -3.5
    assert LengthScore("power", 1.0).score(-7.0, 4) == LengthScore("mean").score(-7.0, 4)


@pytest.mark.parametrize("rule", ["sum", "mean", "power", "gnmt"])
@pytest.mark.parametrize("alpha", [-1.0, 0.5, 2.0])
def test_no_continuation_passes_the_bound(rule: Any, alpha: float) -> None:
    lengths, generator = LengthScore(rule, alpha), np.random.default_rng(3)
    for _ in range(200):
        n, longest = sorted(generator.integers(1, 30, 2).tolist())
        logprob = -float(generator.exponential(5.0))
        bound = lengths.bound(logprob, n, longest)
        for further in range(n, longest + 1):
            assert lengths.score(logprob - float(generator.exponential(0.1)), further) <= bound
        assert max(lengths.score(logprob, m) for m in range(n, longest + 1)) == pytest.approx(bound)


def test_the_coverage_penalty_is_its_formula() -> None:
    attention = [[0.5, 0.3, 0.2], [0.6, 0.1, 0.1]]  # sums 1.1, 0.4, 0.3
    assert coverage(attention, 0.2) == pytest.approx(0.2 * (math.log(0.4) + math.log(0.3)))
    assert coverage([[1.0, 2.0]], 0.7) == 0.0
    assert coverage([], 0.7) == 0.0
    assert coverage([[0.0, 1.0]], 1.0) == pytest.approx(math.log(FLOOR))  # never -inf
    assert coverage(attention, 0.4) == pytest.approx(2 * coverage(attention, 0.2))


def a_network(shape: str) -> Transformer:
    model = Transformer(ModelConfig(vocab_size=VOCAB, context=48, width=32, layers=2, heads=4, **SHAPES[shape]))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator) + float(parameter.ndim == 1))
    return model.eval()


def attention_of(model: Transformer, ids: Sequence[int]) -> NDArray[np.float64]:
    """(T, T) of the last block, averaged over heads: softmax(q k / sqrt(E)) with rotations as complex numbers.

    Proved on the spot: with it the block's output comes out.
    """
    seen: list[Any] = []
    last = model.blocks[-1].attention
    assert isinstance(last, Attention)
    hook = last.register_forward_hook(lambda _, given, out: seen.extend((given[0][0], out[0])))
    with torch.no_grad():
        model(torch.tensor([list(ids)]))
    hook.remove()
    x, out = (each.double().numpy() for each in seen)
    T, E, H, G = len(ids), last.head_width, last.heads, last.groups
    weight, bias = last.qkv.weight.detach().double().numpy(), last.qkv.bias
    qkv = x @ weight.T + (0.0 if bias is None else bias.detach().double().numpy())
    q, k, v = np.split(qkv.reshape(T, H + 2 * G, E), [H, H + G], axis=1)
    if model.rope is not None:
        angles = np.outer(np.arange(T), model.config.rope_theta ** (-np.arange(0, E, 2) / E))[:, None]
        q, k = (_turned(each, angles) for each in (q, k))
    mean, heads = np.zeros((T, T)), []
    for head in range(H):
        group = head // (H // G)
        scores = q[:, head] @ k[:, group].T / math.sqrt(E)
        scores[np.triu_indices(T, 1)] = -np.inf
        weights = np.exp(scores - scores.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        heads.append(weights @ v[:, group])
        mean += weights / H
    w, b = last.output.weight.detach().double().numpy(), last.output.bias
    again = np.concatenate(heads, 1) @ w.T + (0.0 if b is None else b.detach().double().numpy())
    assert np.allclose(again, out, atol=1e-4)
    return mean


def _turned(x: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    half = x.shape[-1] // 2
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate((turned.real, turned.imag), -1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_attention_of_the_newest_token_is_that_of_the_whole_text(shape: str) -> None:
    model = a_network(shape)
    runner = AttentionRunner(Runner(model, lanes=3, length=20))
    texts: dict[int, list[int]] = {0: [], 2: []}
    for fed in ({0: [1, 2, 3, 4], 2: [9, 8]}, {0: [5]}, {0: [6], 2: [7]}, {2: [3, 2, 1]}):
        logits = runner.feed(fed)
        for row, ids in fed.items():
            texts[row] += ids
            assert np.allclose(runner.attended[row].numpy(), attention_of(model, texts[row])[-1], atol=1e-5)
            with torch.no_grad():
                assert torch.allclose(logits[row], model(torch.tensor([texts[row]]))[0, -1], atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_beams_with_a_coverage_penalty_are_ranked_by_its_formula(shape: str) -> None:
    model, beta = a_network(shape), 0.2
    engine = Engine(model, end_ids=[END], record=2)
    engine.set_context(PROMPT)
    plain = done_of(engine, SearchParams(width=4, max_tokens=6, stop_rule="never", length_rule="mean"))
    covered = done_of(engine, SearchParams(width=4, max_tokens=6, stop_rule="never", length_rule="mean", coverage=beta))
    assert {each.ids for each in covered.hypotheses} == {each.ids for each in plain.hypotheses}
    for each in covered.hypotheses:
        # output step j looks out of the place before its token
        whole = attention_of(model, [*PROMPT, *each.ids])[len(PROMPT) - 1 : -1, : len(PROMPT)]
        expected = each.logprob / len(each.ids) + beta * np.log(np.clip(whole.sum(0), FLOOR, 1.0)).sum()
        assert each.score == pytest.approx(expected, abs=1e-4)
    assert covered.passes == plain.passes


def test_the_safe_rule_is_safe_with_a_coverage_penalty() -> None:
    engine = Engine(a_network("llama"), end_ids=range(10), record=2)
    engine.set_context(PROMPT)
    safe, never = (
        done_of(engine, SearchParams(width=3, max_tokens=8, stop_rule=rule, coverage=0.3)) for rule in ("safe", "never")
    )
    assert safe.hypotheses[0].ids == never.hypotheses[0].ids
    assert safe.calls < never.calls
