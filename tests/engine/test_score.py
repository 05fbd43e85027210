"""Scores of tokens that are there: step by step, against transformers' loss, and window by window."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from toys import a_toy

from tinychat.engine import score as scores
from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.score import Chunk, ScoredToken, score, windows
from tinychat.engine.totals import Score
from tinychat.errors import NumbersError
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

NEUTRAL = SamplingParams()


def ids_of(count: int, vocab: int = 48, seed: int = 1) -> list[int]:
    return np.random.default_rng(seed).integers(0, vocab, count).tolist()


def scored(model: Transformer, ids: list[int], **how: int) -> list[ScoredToken]:
    return [token for chunk in score(model, ids, **how) for token in chunk]


def forced(model: Transformer, ids: list[int], start: int, position: int) -> ScoredToken:
    """The token at `position` as the engine records it after ids[start:position]."""
    engine = Engine(model)
    engine.set_context(ids[start:position])
    step = engine.force(ids[position], NEUTRAL)
    best = step.odds.candidates[0]
    return ScoredToken(
        position=position,
        token=step.token,
        surprisal=step.surprisal,
        prob=step.raw,
        rank=step.raw_rank,
        entropy=step.odds.entropy,
        expected=best.token,
        expected_prob=best.raw,
        seen=position - start,
    )


def assert_equal(found: ScoredToken, wanted: ScoredToken) -> None:
    for name, value in asdict(wanted).items():
        assert getattr(found, name) == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), name


def test_tokens_are_scored_as_the_engine_records_them_when_forced() -> None:
    model, ids = a_toy(), ids_of(40)
    found = scored(model, ids)
    assert [token.position for token in found] == list(range(1, 40))
    for token in found:
        assert_equal(token, forced(model, ids, 0, token.position))


@pytest.mark.parametrize("stride", [1, 5, 8, 15])
def test_a_token_of_a_long_text_sees_just_its_window(stride: int) -> None:
    model, ids = a_toy(context=16), ids_of(60)
    found = scored(model, ids, stride=stride)
    assert [token.token for token in found] == ids[1:]
    for token in found[:: 1 if stride == 8 else 7]:
        assert token.seen >= min(token.position, 16 - stride)
        assert_equal(token, forced(model, ids, token.position - token.seen, token.position))
    if stride == 1:
        assert [token.seen for token in found] == [min(token.position, 15) for token in found]


def test_a_smaller_window_is_the_score_of_a_smaller_context() -> None:
    model, ids = a_toy(), ids_of(30)
    assert_equal(scored(model, ids, context=8, stride=3)[20], forced(model, ids, 15, 21))


@pytest.mark.parametrize("count", [*range(12), 100])
@pytest.mark.parametrize(("context", "stride"), [(2, 1), (6, 1), (6, 3), (6, 5)])
def test_windows_score_every_token_but_the_first_once_and_start_a_stride_apart(
    count: int, context: int, stride: int
) -> None:
    found = list(windows(count, context=context, stride=stride))
    assert [at for span in found for at in range(span.first, span.stop)] == list(range(1, count))
    assert [span.start for span in found] == [stride * at for at in range(len(found))]
    for span in found:
        assert span.start < span.first < span.stop <= span.start + context
    assert all(span.stop == span.start + context for span in found[:-1])


def test_the_loss_and_the_strided_perplexity_of_transformers_are_the_same() -> None:
    pytest.importorskip("transformers")
    from tinychat.bench.peer_hf import twin

    model = a_toy(context=32).float()
    theirs = twin(model)
    ids = ids_of(100)
    table = torch.tensor([ids])
    short = sum(token.surprisal for token in scored(model, ids[:32])) / 31
    loss = theirs(table[:, :32], labels=table[:, :32]).loss
    assert short * math.log(2) == pytest.approx(float(loss), rel=1e-5)
    # windows as in "Perplexity of fixed-length models", the loss of each weighed by its tokens
    total, last = 0.0, 0
    for begin in range(0, 100, 12):
        end = min(begin + 32, 100)
        labels = table[:, begin:end].clone()
        labels[:, : last - begin] = -100
        counted = int((labels[:, 1:] != -100).sum())
        total += counted * float(theirs(table[:, begin:end], labels=labels).loss)
        last = end
        if end == 100:
            break
    sums = sum((chunk.score for chunk in score(model, ids, stride=12)), Score())
    assert sums.tokens == 99
    assert sums.bits * math.log(2) == pytest.approx(total, rel=1e-5)
    assert sums.perplexity == pytest.approx(math.exp(total / 99), rel=1e-5)


def test_how_much_is_computed_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = a_toy(context=16), ids_of(200)
    whole = scored(model, ids)
    monkeypatch.setattr(scores, "FED_TOKENS", 40)
    monkeypatch.setattr(scores, "LOGITS", 48 * 3)
    chunks = list(score(model, ids))
    assert max(map(len, chunks)) == 3
    for one, other in zip(whole, (token for chunk in chunks for token in chunk), strict=True):
        assert_equal(one, other)


def test_equals_rank_by_lower_id_and_a_flat_row_has_all_the_entropy_there_is() -> None:
    model = a_toy()
    with torch.no_grad():
        model.embedding.weight.zero_()
    for token in scored(model, [0, 7, 0, 47]):
        assert token.rank == token.token + 1
        assert token.expected == 0
        assert token.entropy == token.surprisal == pytest.approx(math.log2(48))


def test_numbers_that_are_none_end_it() -> None:
    model = a_toy()
    with torch.no_grad():
        model.norm.weight[3] = math.nan
    with pytest.raises(NumbersError):
        scored(model, ids_of(5))


def test_one_id_has_nothing_to_score_and_none_is_refused() -> None:
    assert scored(a_toy(), [5]) == []
    with pytest.raises(ValueError, match="at least one token"):
        score(a_toy(), [])


@pytest.mark.parametrize(
    ("ids", "how", "rule"),
    [
        ([0, 48], {}, "ids must be from 0 to 47, got 0 to 48"),
        ([0, -1], {}, "got -1 to 0"),
        ([0, 1], {"context": 129}, "context must be at most 128"),
        ([0, 1], {"context": 1}, "context must be at least 2"),
        ([0, 1], {"stride": 0}, "stride must be from 1 to 127, got 0"),
        ([0, 1], {"stride": 128}, "stride must be from 1 to 127, got 128"),
    ],
)
def test_nonsense_is_refused_at_once(ids: list[int], how: dict[str, int], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        score(a_toy(), ids, **how)


def test_totals_add_up_and_say_nothing_of_no_token() -> None:
    chunk = next(score(a_toy(), ids_of(50)))
    tokens = list(chunk)
    sums = chunk.score
    assert chunk.at(4) == tokens[4]
    assert sums.bits == pytest.approx(sum(token.surprisal for token in tokens))
    assert sums.per_token(sums.ranks) == sum(token.rank for token in tokens) / 49
    assert sums.top_1 == sum(token.rank == 1 for token in tokens)
    assert sums.top_5 == sum(token.rank <= 5 for token in tokens) > 0
    assert sums.bits_per_byte(70) == pytest.approx(sums.bits / 70)
    halves = [Chunk(**{name: column[part] for name, column in _columns(chunk).items()}).score for part in _HALVES]
    assert asdict(halves[0] + halves[1]) == pytest.approx(asdict(sums))
    nothing = Score()
    assert (nothing.perplexity, nothing.per_token(nothing.bits), nothing.bits_per_byte(0)) == (None, None, None)
    assert Score(tokens=1, bits=5000.0).perplexity == math.inf


_HALVES = (slice(0, 20), slice(20, None))


def _columns(chunk: Chunk) -> dict[str, np.ndarray]:
    return {name: getattr(chunk, name) for name in Chunk.__dataclass_fields__}


def test_a_model_on_average_meets_the_surprise_it_expects() -> None:
    """Drawn from itself, a text's surprisal is its entropy in the mean."""
    config = ModelConfig(vocab_size=20, context=64, width=16, layers=1, heads=2)
    model = Transformer(config)
    model.init_weights(torch.Generator().manual_seed(3))
    with torch.no_grad():
        model.embedding.weight.mul_(12)
    total = Score()
    generator = torch.Generator().manual_seed(1)
    ids = torch.zeros(200, 1, dtype=torch.long)
    with torch.inference_mode():
        for _ in range(30):
            odds = model.eval()(ids, last_only=True)[:, 0].softmax(-1)
            ids = torch.cat([ids, torch.multinomial(odds, 1, generator=generator)], 1)
    for row in ids.tolist():
        total = sum((chunk.score for chunk in score(model, row)), total)
    assert total.tokens == 6000
    assert 0.5 < total.entropy_bits / 6000 < 4.0
    assert total.bits == pytest.approx(total.entropy_bits, rel=0.05)
