"""Stop rules, each against a plain definition of it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from tinychat.engine.observe import decide, observe
from tinychat.engine.params import SamplingParams
from tinychat.engine.stopping import StopRules, confidence, repeats
from tinychat.engine.trace import Step

STEP = decide(observe(torch.zeros(4), SamplingParams()), SamplingParams(), time_s=0.0)


def reply(*tokens: int, raw: float = 0.5) -> list[Step]:
    return [replace(STEP, token=token, raw=raw) for token in tokens]


def probs(*values: float) -> list[Step]:
    return [replace(STEP, raw=value) for value in values]


def test_without_a_rule_nothing_ends_a_reply() -> None:
    rules = StopRules()
    assert not rules.is_on
    assert rules.reason(reply(*[1] * 500, raw=0.0), 1e9) is None


def test_length_ends_at_the_very_token() -> None:
    rules = StopRules(max_tokens=3)
    assert rules.is_on
    assert [rules.reason(reply(*range(size)), 0.0) for size in range(5)] == [None, None, None, "length", "length"]


def test_time_ends_when_it_is_over() -> None:
    rules = StopRules(max_seconds=1.5)
    assert rules.is_on
    assert rules.reason(reply(1), 1.49) is None
    assert rules.reason(reply(1), 1.5) == "time"


def test_a_repetition_is_found_exactly_where_a_search_over_all_patterns_finds_one() -> None:
    for ids in itertools.chain.from_iterable(itertools.product(range(2), repeat=size) for size in range(9)):
        for ngram, times in ((1, 2), (1, 3), (2, 2), (3, 2), (2, 3), (4, 2)):
            patterns = itertools.chain.from_iterable(
                itertools.product(range(2), repeat=size) for size in range(1, ngram + 1)
            )
            wanted = any(ids[-len(pattern) * times :] == pattern * times for pattern in patterns)
            assert repeats(ids, ngram, times) == wanted, (ids, ngram, times)
            rules = StopRules(repeat_ngram=ngram, repeat_times=times)
            assert rules.reason(reply(7, *ids), 0.0) == ("repetition" if wanted else None)


def test_a_repetition_that_is_over_is_forgiven() -> None:
    rules = StopRules(repeat_ngram=2, repeat_times=3)
    assert rules.reason(reply(1, 2, 1, 2, 1, 2), 0.0) == "repetition"
    assert rules.reason(reply(1, 2, 1, 2, 1, 2, 3), 0.0) is None


def test_confidence_is_the_mean_of_the_last_tokens_drawn() -> None:
    rules = StopRules(min_confidence=0.25, confidence_window=4)
    assert rules.is_on
    assert rules.reason(probs(0.0, 0.0, 0.0), 0.0) is None, "three are too few to judge"
    assert rules.reason(probs(1.0, 0.2, 0.2, 0.2, 0.2), 0.0) == "confidence"
    assert rules.reason(probs(0.0, 0.25, 0.25, 0.25, 0.25), 0.0) is None, "not below"
    assert rules.reason(probs(0.0, 0.0, 0.0, 1.0), 0.0) is None, "one sure token outweighs the unlikely ones"
    assert confidence(probs(0.1, 0.2, 0.4), 2) == pytest.approx(0.3)
    assert confidence(probs(0.1), 2) == math.inf


def test_forced_tokens_do_not_count_as_doubt() -> None:
    forced = [replace(step, forced=True) for step in probs(0.0, 0.0, 0.0)]
    rules = StopRules(min_confidence=0.1, confidence_window=2)
    assert rules.reason([*probs(0.9, 0.9), *forced], 0.0) is None
    assert rules.reason([*probs(0.0, 0.0), *forced], 0.0) == "confidence"


def test_what_went_wrong_is_named_before_what_ran_out() -> None:
    every = StopRules(
        max_tokens=4, max_seconds=1, repeat_ngram=1, repeat_times=4, min_confidence=0.5, confidence_window=4
    )
    assert every.reason(reply(1, 1, 1, 1, raw=0.1), 9.0) == "repetition"
    assert every.reason(reply(1, 2, 3, 4, raw=0.1), 9.0) == "confidence"
    assert every.reason(reply(1, 2, 3, 4), 9.0) == "length"
    assert every.reason(reply(1, 2, 3), 9.0) == "time"


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"max_seconds": math.nan}, "max_seconds"),
        ({"max_seconds": math.inf}, "max_seconds"),
        ({"max_seconds": "1"}, "max_seconds"),
        ({"repeat_ngram": -1, "repeat_times": 2}, "repeat_ngram"),
        ({"repeat_ngram": 3}, "repeat_times"),
        ({"repeat_times": 3}, "repeat_ngram"),
        ({"repeat_ngram": 3, "repeat_times": 1}, "repeat_times"),
        ({"min_confidence": 1.1}, "min_confidence"),
        ({"min_confidence": -0.1}, "min_confidence"),
        ({"min_confidence": True}, "min_confidence"),
        ({"min_confidence": 0.1, "confidence_window": 0}, "confidence_window"),
    ],
)
def test_values_that_make_no_sense_are_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        StopRules(**settings)
