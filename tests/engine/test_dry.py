"""DRY against its definition by brute force: the longest end of the history that once went on like this."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow import longest_repeats
from vectors import INF, a_vector, seeds, survivors

from tinychat.engine.context import Context
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import shape
from tinychat.model.vocabulary import Vocabulary

# ids 0..4 are letters, the others hold breakers in several ways
TEXTS = (b"a", b"b", b"c", b"d", b"e", b"\n", b": ", b".\n\n", b"")
VOCABULARY = Vocabulary(TEXTS)
SIZE = len(TEXTS)


def breaker_ids(texts: tuple[str, ...]) -> frozenset[int]:
    return frozenset(token for token, data in enumerate(TEXTS) if any(text.encode() in data for text in texts))


@settings(max_examples=300, deadline=None)
@given(
    seed=seeds,
    history=st.one_of(
        st.lists(st.integers(0, 1), max_size=40),
        st.lists(st.integers(0, SIZE - 1), max_size=40),
        st.lists(st.integers(0, 4), min_size=1, max_size=5).map(lambda part: (part * 12)[:40]),
    ),
    multiplier=st.floats(0.01, 5),
    base=st.floats(1.0, 3.0),
    allowed=st.integers(1, 6),
    window=st.integers(0, 30),
    texts=st.sampled_from([(), ("\n",), ("\n", ":"), ("a",), ("\n", ":", '"', "*")]),
)
def test_dry_is_its_definition(
    seed: int,
    history: list[int],
    multiplier: float,
    base: float,
    allowed: int,
    window: int,
    texts: tuple[str, ...],
) -> None:
    logits = a_vector(seed, SIZE, cut=0.2)
    params = SamplingParams(
        dry_multiplier=multiplier, dry_base=base, dry_allowed_length=allowed, dry_window=window, dry_breakers=texts
    )
    left = shape(logits, params, Context(history, vocabulary=VOCABULARY))
    reach = history[-window:] if window else history
    want = logits.double().clone()
    for token, length in longest_repeats(reach, breaker_ids(texts)).items():
        if length >= allowed:
            want[token] -= multiplier * base ** (length - allowed)
    assert survivors(left) == survivors(logits)
    np.testing.assert_allclose(left, want, rtol=1e-6, atol=1e-6)


def a_penalty(history: list[int], **values: object) -> list[float]:
    params = SamplingParams(dry_multiplier=1.0, dry_base=2.0, dry_breakers=(), **values)  # type: ignore[arg-type]
    return (-shape(torch.zeros(SIZE), params, Context(history, vocabulary=VOCABULARY))).tolist()


def test_the_example_of_llama_cpp_s_source() -> None:
    """a b c c b c y a b c: the last three also stand at the start, the last one and the last two further on."""
    a, b, c, y = range(4)
    lost = a_penalty([a, b, c, c, b, c, y, a, b, c], dry_allowed_length=1)
    assert lost[:4] == [0.0, 2.0**0, 2.0**2, 2.0**1]


def test_repeats_may_overlap_what_they_repeat() -> None:
    assert a_penalty([0] * 6)[0] == 2.0 ** (5 - 2)


def test_a_breaker_ends_the_sequence_and_goes_free() -> None:
    history = [0, 1, 5, 2, 3, 0, 1, 5, 2]  # a b \n c d a b \n c
    params = SamplingParams(dry_multiplier=1.0, dry_base=2.0, dry_allowed_length=1, dry_breakers=["\n"])
    context = Context(history, vocabulary=VOCABULARY)
    assert shape(torch.zeros(SIZE), params, context)[3] == -1.0  # only "c" of "a b \n c" counts
    assert shape(torch.zeros(SIZE), params.with_(dry_breakers=[]), context)[3] == -8.0
    after = Context([0, 5, 1, 0], vocabulary=VOCABULARY)  # "a" was once followed by the breaker
    assert torch.equal(shape(torch.zeros(SIZE), params, after), torch.zeros(SIZE))


def test_a_history_that_ends_with_a_breaker_penalises_nothing() -> None:
    params = SamplingParams(dry_multiplier=1.0, dry_allowed_length=1)
    context = Context([0, 6, 0, 6], vocabulary=VOCABULARY)
    assert torch.equal(shape(torch.zeros(SIZE), params, context), torch.zeros(SIZE))


def test_breakers_need_a_vocabulary_and_none_need_none() -> None:
    with pytest.raises(ValueError, match="dry_breakers"):
        shape(torch.zeros(3), SamplingParams(dry_multiplier=1.0), Context([1, 1, 1]))
    left = shape(torch.zeros(3), SamplingParams(dry_multiplier=1.0, dry_breakers=()), Context([1, 1, 1]))
    assert left.tolist() == [0.0, -1.0, 0.0]


def test_a_very_long_repeat_neither_overflows_nor_cuts() -> None:
    for base in (1.0, 1.75, 100.0):
        params = SamplingParams(dry_multiplier=100.0, dry_base=base, dry_breakers=())
        left = shape(torch.tensor([0.0, 3.0, -INF]), params, Context([1] * 3000))
        assert survivors(left) == [0, 1]
        assert left[0] == 0.0
        assert left[1] < 0.0


def test_ids_outside_the_vocabulary_are_part_of_a_sequence_but_are_not_lowered() -> None:
    params = SamplingParams(dry_multiplier=1.0, dry_breakers=())
    assert shape(torch.zeros(3), params, Context([7, 8, 1, 7, 8])).tolist() == [0.0, -1.0, 0.0]
    assert torch.equal(shape(torch.zeros(3), params, Context([1, 2, 7, 1, 2])), torch.zeros(3))


def test_the_work_grows_with_the_history_and_not_with_its_square() -> None:
    """Two hundred thousand equal tokens: at once, or, comparing every end with every place, in hours."""
    params = SamplingParams(dry_multiplier=1.0, dry_breakers=())
    for length in (1, 2, 7):
        history = np.arange(200_000) % length
        left = shape(torch.zeros(8), params, Context(history))
        assert torch.nonzero(left).flatten().tolist() == [200_000 % length]
