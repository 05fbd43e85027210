"""Marks as transformers makes them, found again by its detectors and ours; and what they leave of the model's law."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import SynthIDTextWatermarkLogitsProcessor, WatermarkDetector, WatermarkingConfig
from transformers.generation.logits_process import WatermarkLogitsProcessor
from vectors import INF, a_vector, probs, seeds, survivors

from tinychat.engine import draw
from tinychat.engine.context import Context
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape
from tinychat.engine.watermarks import TABLE_SEED, TABLE_SIZE, find_green, find_synthid, synthid, watermark

SIZE = 200
KEYS = (654, 400, 836, 123, 340, 443, 597, 160, 57)
histories = st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=30)


def synthid_of_transformers(ngram: int, keys: tuple[int, ...] = KEYS) -> SynthIDTextWatermarkLogitsProcessor:
    return SynthIDTextWatermarkLogitsProcessor(
        ngram_len=ngram, keys=list(keys), sampling_table_size=TABLE_SIZE, sampling_table_seed=TABLE_SEED,
        context_history_size=1024, device=torch.device("cpu"),
    )  # fmt: skip


# ---- green list ------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=seeds, history=histories, bias=st.floats(0.1, 9), share=st.floats(0.05, 0.9), key=st.integers(1, 2**31 - 1))
def test_the_green_list_is_that_of_transformers(
    seed: int, history: list[int], bias: float, share: float, key: int
) -> None:
    logits = a_vector(seed, SIZE, cut=0.3)
    peer = WatermarkLogitsProcessor(SIZE, "cpu", greenlist_ratio=share, bias=bias, hashing_key=key)
    expected = peer(torch.tensor([history]), logits.double()[None])[0]
    params = SamplingParams(watermark=bias, watermark_share=share, watermark_key=key)
    found = watermark(logits, params, Context(history))
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-6)


def test_before_the_first_token_there_is_no_green_list() -> None:
    logits = a_vector(1, SIZE)
    assert torch.equal(watermark(logits, SamplingParams(watermark=2.0), Context()), logits)


def drawn(params: SamplingParams, count: int = 150) -> list[int]:
    """A reply of a model that says another random row at every place, repeated every 40 tokens."""
    ids = [3]
    for n in range(count):
        row = shape(a_vector(n % 40, SIZE, 1.0), params, Context(ids, 1)).double().softmax(-1).numpy()
        ids.append(int(np.searchsorted(np.cumsum(row), draw.uniform(params.seed, n, 0, 0) * row.sum())))
    return ids[1:]


def test_marked_text_is_found_by_us_and_by_transformers_and_plain_text_is_not() -> None:
    config = WatermarkingConfig(bias=3.0, context_width=1)
    detector = WatermarkDetector(
        model_config=SimpleNamespace(vocab_size=SIZE, is_encoder_decoder=False, bos_token_id=-1), device="cpu",
        watermarking_config=config, ignore_repeated_ngrams=True,
    )  # fmt: skip
    for bias, is_there in ((3.0, True), (0.0, False)):
        ids = drawn(SamplingParams(watermark=bias, seed=5))
        ours = find_green(ids, SIZE, share=0.25, key=15485863)
        theirs = detector(torch.tensor([ids]), return_dict=True)
        assert (ours.z > 6) == is_there
        assert (ours.p_value < 1e-8) == is_there
        assert bool(theirs.prediction[0]) == is_there
        assert ours.score == pytest.approx(float(theirs.green_fraction[0]), abs=1e-6)
        assert ours.z == pytest.approx(float(theirs.z_score[0]), abs=1e-4)
    assert abs(find_green(drawn(SamplingParams(watermark=3.0, seed=5)), SIZE, share=0.25, key=77).z) < 4  # another key


def test_too_little_text_says_nothing() -> None:
    assert find_green([4], SIZE, share=0.25, key=1).tokens == 0
    assert find_green([], SIZE, share=0.25, key=1).p_value == 0.5
    assert find_synthid([1, 2], KEYS, ngram=5).tokens == 0


# ---- SynthID ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ngram", [2, 3, 5])
def test_the_tournament_is_that_of_transformers_token_by_token(ngram: int) -> None:
    peer, params = synthid_of_transformers(ngram), SamplingParams(synthid_keys=KEYS, synthid_ngram=ngram)
    rng = np.random.default_rng(ngram)
    reply: list[int] = []
    for n in range(40):
        logits = a_vector(n, SIZE, 2.0)
        expected = peer(torch.tensor([[9, 9, *reply]]), logits.double()[None])[0]
        found = synthid(logits, params, Context((9, 9, *reply), 2))
        np.testing.assert_allclose(probs(found), probs(expected), atol=2e-6)
        reply.append(int(rng.integers(3 if n < 25 else SIZE)))  # few tokens, so that contexts come back


def test_a_context_that_was_there_changes_nothing() -> None:
    logits, params = a_vector(3, SIZE), SamplingParams(synthid_keys=KEYS, synthid_ngram=3)
    assert torch.equal(synthid(logits, params, Context((1, 2, 5, 1, 2), 0)), logits)
    assert not torch.equal(synthid(logits, params, Context((1, 2, 5, 2, 1), 0)), logits)


def test_what_is_cut_stays_cut_and_one_token_left_stays() -> None:
    params = SamplingParams(synthid_keys=KEYS)
    logits = a_vector(5, SIZE, cut=0.9)
    assert set(survivors(synthid(logits, params))) <= set(survivors(logits))
    only = torch.full((SIZE,), -INF)
    only[7] = 2.0
    assert survivors(synthid(only, params)) == [7]


def test_over_many_keys_the_mean_law_is_the_models_own() -> None:
    logits = a_vector(8, 12, 1.0)
    marks = (SamplingParams(synthid_keys=(key, key + 1)) for key in range(3000))
    laws = [probs(synthid(logits, params, Context((4,), 0))) for params in marks]
    mean, error = np.mean(laws, axis=0), np.std(laws, axis=0) / math.sqrt(len(laws))
    assert np.all(np.abs(mean - probs(logits)) < 5 * error + 1e-3)


def test_marked_text_has_the_coins_that_transformers_counts() -> None:
    params = SamplingParams(synthid_keys=KEYS, synthid_ngram=3, seed=2)
    ids = drawn(params)
    peer = synthid_of_transformers(3)
    coins = peer.compute_g_values(torch.tensor([ids]))[0].numpy()
    grams = {tuple(ids[n : n + 3]): coins[n] for n in range(len(coins))}
    ours = find_synthid(ids, KEYS, ngram=3)
    assert ours.score == pytest.approx(float(np.mean(list(grams.values()))), abs=1e-9)
    assert ours.z > 6
    assert abs(find_synthid(drawn(SamplingParams(seed=2)), KEYS, ngram=3).z) < 4
