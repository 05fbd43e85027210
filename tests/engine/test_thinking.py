"""The reasoning budget: counted inside the tags only, closed by tokens that spell the tag, silent otherwise."""

from __future__ import annotations

import pytest
import torch
from vectors import a_vector, survivors

from tinychat.engine.context import Context
from tinychat.engine.params import SamplingParams
from tinychat.engine.thinking import think_budget
from tinychat.model.vocabulary import Vocabulary

WORDS = (b"a", b"b", b"<", b"</", b"</th", b"ink", b">", b"<think>", b" end", b"")
SPELLED = Vocabulary(WORDS)
NAMED = Vocabulary((*WORDS[:7], b"", b"", b""), specials={"<think>": 7, "</think>": 8})
LOGITS = a_vector(1, len(WORDS))


def left(history: tuple[int, ...], vocabulary: Vocabulary, budget: int, **more: object) -> list[int]:
    params = SamplingParams(think_budget=budget, **more)
    return survivors(think_budget(LOGITS, params, Context(history, 1, vocabulary=vocabulary)))


ALL = list(range(len(WORDS)))


@pytest.mark.parametrize(
    ("history", "budget", "expected"),
    [
        ((0, 7, 1, 1), 3, ALL),  # two of three
        ((0, 7, 1, 1, 1), 3, [8]),
        ((0, 7, 1, 1, 1, 1), 3, [8]),
        ((0, 7), 0, [8]),
        ((0, 7, 1, 8, 1, 1, 1, 1), 3, ALL),  # closed
        ((0, 7, 1, 8, 7, 1, 1, 1), 3, [8]),  # opened again
        ((0, 1, 1, 1, 1), 0, ALL),  # never opened
    ],
)
def test_special_tags(history: tuple[int, ...], budget: int, expected: list[int]) -> None:
    assert left(history, NAMED, budget) == expected


def test_tags_of_text_are_spelled_to_their_end() -> None:
    history = (0, 7, 1, 1)
    spelled: list[bytes] = []
    while (found := left(history, SPELLED, 2)) != ALL:
        assert len(found) == 1
        spelled.append(WORDS[found[0]])
        history += tuple(found)
    assert b"".join(spelled) == b"</think>"


def test_a_tag_that_was_begun_is_finished_or_begun_again() -> None:
    assert left((0, 7, 1, 4), SPELLED, 2) == [5]
    assert left((0, 7, 1, 3), SPELLED, 2) == [4]  # "</" is written, and no token goes on with "th"
    with pytest.raises(ValueError, match="no token begins it"):
        left((0, 7, 1, 1), SPELLED, 2, think_tags=("<think>", "?"))


def test_other_tags() -> None:
    assert left((0, 1, 0, 0), SPELLED, 1, think_tags=("b", "a<")) == [2]  # "a" is written
    assert left((0, 0, 0, 0), SPELLED, 1, think_tags=("b", "a<")) == ALL


def test_off_and_unknown() -> None:
    assert torch.equal(think_budget(LOGITS, SamplingParams(), Context((0, 7), 1)), LOGITS)
    with pytest.raises(ValueError, match="vocabulary"):
        think_budget(LOGITS, SamplingParams(think_budget=0), Context((0, 7), 1))
