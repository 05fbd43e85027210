"""What is written as words of a command line is read back to the last bit."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat import cli, options
from tinychat.engine.knobs import KNOBS, Knob
from tinychat.engine.lists import LISTS, ListSetting
from tinychat.engine.orders import ORDERS, STAGE_NAMES
from tinychat.engine.params import SEED_LIMIT, SamplingParams
from tinychat.session.spelling import (
    CHANGEABLE,
    SETTINGS,
    changed_settings,
    check_ids,
    read_changes,
    read_text,
    settings_flags,
)

SAMPLE = cli.command("sample")
IDS = st.integers(0, 5000)
BIAS = st.one_of(st.just(-math.inf), st.floats(-1e6, 1e6, allow_nan=False), st.floats(-1e-300, 1e-300))
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)
SCHEMA = st.sampled_from(["{}", '{"type": "string"}', '{"enum": ["a, b", "c=d"]}'])
PHRASES = st.lists(st.lists(IDS, min_size=1, max_size=3), max_size=3)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "logit_bias": st.dictionaries(IDS, BIAS, max_size=4),
    "sequence_bias": st.lists(st.tuples(st.lists(IDS, min_size=1, max_size=3), BIAS), max_size=3),
    "allowed_ids": st.lists(IDS, max_size=5),
    "banned_ids": st.lists(IDS, max_size=5),
    "bad_words": PHRASES,
    "dry_breakers": st.lists(TEXT, max_size=4),
    "regex": TEXT,
    "json_schema": SCHEMA,
    "negative_ids": st.lists(IDS, max_size=5),
    "synthid_keys": st.lists(IDS, max_size=5),
    "think_tags": st.lists(TEXT, min_size=2, max_size=2, unique=True),
}


def knob_values(knob: Knob) -> st.SearchStrategy[Any]:
    if knob.choices:
        return st.sampled_from(knob.choices)
    if knob.whole:
        return st.integers(int(knob.low), int(knob.high))
    return st.floats(knob.low, knob.high, allow_nan=False)


@st.composite
def params(draw: st.DrawFn) -> SamplingParams:
    """Settings of which a few are not neutral."""
    names = draw(st.lists(st.sampled_from([*SETTINGS, "order"]), unique=True, max_size=8))
    values: dict[str, Any] = {"seed": draw(st.integers(0, SEED_LIMIT - 1))}
    for name in names:
        setting = SETTINGS.get(name)
        if setting is None:
            values[name] = draw(st.sampled_from(list(ORDERS)) | st.permutations(STAGE_NAMES))
        else:
            values[name] = draw(knob_values(setting) if isinstance(setting, Knob) else VALUES[name])
    try:
        return SamplingParams(**values)
    except ValueError:  # two that do not go together
        return SamplingParams(seed=values["seed"])


def read_by_sample(words: list[str]) -> SamplingParams:
    """Through the parser of the real command, as far as the settings."""
    values = SAMPLE.make_context("sample", list(words)).params
    given = {name: values[name] for name in SETTINGS if values[name]}
    return options.settings(values["preset"], given, default="neutral", seed=values["seed"], order=values["order"])


@given(params())
@settings(max_examples=150, deadline=None)
def test_flags_are_read_back_by_the_command(params: SamplingParams) -> None:
    assert read_by_sample(["--seed", str(params.seed), *settings_flags(params)]) == params


@given(params(), params())
@settings(max_examples=150, deadline=None)
def test_what_changed_is_read_back_by_the_schedule(before: SamplingParams, after: SamplingParams) -> None:
    said = changed_settings(before, after)
    if before == after:
        assert said == ""
    else:
        assert before.with_(**options.schedule([f"3:{said}"], before)[3]) == after


@pytest.mark.parametrize("name", CHANGEABLE)
def test_every_setting_can_be_changed_in_mid_reply(name: str) -> None:
    after = SamplingParams(**{name: OTHER[name]})
    said = changed_settings(SamplingParams(), after)
    assert SamplingParams().with_(**read_changes(said)) == after
    assert SamplingParams().with_(**read_changes(changed_settings(after, SamplingParams()))) == SamplingParams()


OTHER: dict[str, Any] = {
    **{knob.name: knob.at(next(end for end in knob.span[::-1] if end != knob.place(knob.neutral))) for knob in KNOBS},
    "logit_bias": {7: -math.inf, 8: 0.1}, "sequence_bias": [([1, 2], -3.0)], "allowed_ids": (4, 9),
    "banned_ids": (3,), "bad_words": [(1, 2), (3,)], "dry_breakers": ("a,b=c",), "regex": "a,top_p=1|{}",
    "json_schema": "{}", "negative_ids": (5, 5), "order": "hf", "seed": SEED_LIMIT - 1, "entropy_low": 1.0,
    "synthid_keys": (9, 8), "think_tags": ("a,b", "c=d"),
}  # fmt: skip


def test_plain_words_for_lists_are_read_too() -> None:
    assert read_changes("logit_bias=5=-inf,7=2,top-p=0.5") == {
        "logit_bias": ((5, -math.inf), (7, 2.0)), "top_p": 0.5,
    }  # fmt: skip
    assert read_changes("banned_ids=3,1,regex=a{1,2}") == {"banned_ids": (1, 3), "regex": "a{1,2}"}
    assert read_changes("bad_words=[[1, 2], [3]]") == {"bad_words": ((1, 2), (3,))}
    assert read_changes("order=top_p,temperature,regex=") == {"order": "top_p,temperature", "regex": ""}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("topp=1", "did you mean top_p"),
        ('{"topp": 1}', "did you mean top_p"),
        ('{"top_p": ', "no JSON"),
        ("seed=x", "seed must be a whole number"),
        ("mirostat=v3", "must be one of off, v1, v2"),
        ("bad_words=[1", "no JSON"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_changes(text)


@pytest.mark.parametrize("each", [each for each in LISTS if each.name != "think_tags"], ids=lambda each: each.name)
def test_an_empty_text_empties_a_list(each: ListSetting) -> None:
    assert not read_text(each.name, "")


@pytest.mark.parametrize(
    "given", [{"logit_bias": {50: 7.0}}, {"sequence_bias": [((1, 50), 2.0)]}, {"bad_words": [(1,), (2, 50)]},
              {"allowed_ids": (1, 50)}, {"negative_ids": (50,)}],
)  # fmt: skip
def test_an_id_that_the_model_lacks_is_named(given: dict[str, Any]) -> None:
    check_ids(SamplingParams(**given), 51)
    with pytest.raises(ValueError, match=rf"{next(iter(given))} 50: the vocabulary has 50 tokens"):
        check_ids(SamplingParams(**given), 50)
