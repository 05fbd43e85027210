"""Settings: neutral as built, refused when nonsense, the same after a trip through a file."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.engine.knobs import GREEDY_BELOW, KNOB_BY_NAME, KNOBS, Knob
from tinychat.engine.lists import LISTS, ListSetting
from tinychat.engine.notes import params_notes
from tinychat.engine.orders import ORDERS, STAGE_NAMES
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS


def test_neutral_settings_switch_no_stage_on() -> None:
    assert not any(SamplingParams().is_on(stage) for stage in STAGE_NAMES)
    assert not SamplingParams().is_greedy
    assert params_notes(SamplingParams()) == []


def test_every_knob_is_a_field_with_its_neutral_value() -> None:
    neutral = SamplingParams()
    for knob in KNOBS:
        assert getattr(neutral, knob.name) == knob.neutral
        if knob.choices:
            assert knob.neutral in knob.choices
        else:
            assert knob.low <= knob.shown[0] <= float(knob.neutral) <= knob.shown[1] <= knob.high, knob.name
        assert knob.stage in STAGE_NAMES
        assert knob.flag == "--" + knob.name.replace("_", "-")


def test_no_two_knobs_share_a_key() -> None:
    keys = [knob.key for knob in KNOBS if knob.key]
    assert len(keys) == len(set(keys))


def test_every_order_holds_every_stage_once() -> None:
    for name, stages in ORDERS.items():
        assert sorted(stages) == sorted(STAGE_NAMES), name


NUMBERS = [knob for knob in KNOBS if not knob.choices]
CHOICES = [knob for knob in KNOBS if knob.choices]


@pytest.mark.parametrize("knob", NUMBERS, ids=lambda knob: knob.name)
def test_limits_are_legal_and_one_step_beyond_is_refused_by_name(knob: Knob) -> None:
    for value in (knob.low, knob.high, knob.neutral):
        if knob.name not in ("entropy_low", "entropy_high"):  # these two limit each other
            assert getattr(SamplingParams(**{knob.name: value}), knob.name) == value
        assert knob.check(value) == value
    for value in (knob.low - 1, knob.high + 1, math.nan, math.inf, -math.inf, 10**400, "1", None, True):
        with pytest.raises(ValueError, match=knob.name):
            SamplingParams(**{knob.name: value})


@pytest.mark.parametrize("knob", CHOICES, ids=lambda knob: knob.name)
def test_a_choice_is_one_of_its_words(knob: Knob) -> None:
    for place, word in enumerate(knob.choices):
        params = SamplingParams(**{knob.name: word})
        assert getattr(params, knob.name) == word
        assert knob.at(knob.place(word)) == word == knob.parse(knob.text(word))
        assert getattr(params.nudge(knob.name, 1), knob.name) == knob.choices[min(place + 1, len(knob.choices) - 1)]
        assert getattr(params.nudge(knob.name, -1), knob.name) == knob.choices[max(place - 1, 0)]
        if not knob.aux:
            assert params.is_on(knob.stage) == (word != knob.neutral)
    for value in ("no such word", "", None, 0, True, [knob.neutral]):
        with pytest.raises(ValueError, match=knob.name):
            SamplingParams(**{knob.name: value})


def test_the_entropy_limits_must_not_cross() -> None:
    with pytest.raises(ValueError, match="entropy_low"):
        SamplingParams(entropy_low=4.0)


def test_two_grammars_are_refused() -> None:
    with pytest.raises(ValueError, match="two grammars"):
        SamplingParams(regex="a", json_schema="{}")


@pytest.mark.parametrize("each", LISTS, ids=lambda each: each.name)
def test_every_list_is_a_neutral_field_of_a_stage(each: ListSetting) -> None:
    assert getattr(SamplingParams(), each.name) == each.neutral
    assert each.stage in STAGE_NAMES
    assert each.words(each.neutral) == []
    assert each.read([]) == each.neutral
    assert each.flag == "--" + each.name.replace("_", "-")


LISTED: dict[str, list[Any]] = {
    "logit_bias": [{7: 2.0, 1: -math.inf}, {3: 0.1}],
    "sequence_bias": [{(1, 2): 2.5, (4,): -math.inf}, {(9, 9, 9): -1.0}],
    "allowed_ids": [(5, 3, 5), (0,)],
    "banned_ids": [(5, 3, 5), (0,)],
    "bad_words": [((1, 2), (3,)), ((2**40,),)],
    "dry_breakers": [("\n", "end"), ("=",)],
    "regex": ["a+", "[0-9]=x"],
    "json_schema": ["{}", '{"type": "object"}'],
    "negative_ids": [(3, 1, 3), (0,)],
    "synthid_keys": [(3, 1, 3), (0,)],
    "think_tags": [("[", "]"), ("<a=b>", " ")],
}


@pytest.mark.parametrize("each", LISTS, ids=lambda each: each.name)
def test_a_list_is_the_same_after_a_trip_through_the_command_line_and_through_a_file(each: ListSetting) -> None:
    for value in LISTED[each.name]:
        params = SamplingParams(**{each.name: value})
        held = getattr(params, each.name)
        assert held != each.neutral
        assert each.read(each.words(held)) == held
        assert params.is_on(each.stage) == (not each.aux)
        assert SamplingParams.from_dict(json.loads(json.dumps(params.to_dict()))) == params


def test_lists_are_held_in_one_form_whatever_they_came_as() -> None:
    assert SamplingParams(allowed_ids=[5, 3, 5]).allowed_ids == (3, 5)  # a set, sorted
    assert SamplingParams(negative_ids=iter([5, 3, 5])).negative_ids == (5, 3, 5)  # a text
    assert SamplingParams(bad_words=[[3], [1, 2], (3,)]).bad_words == ((1, 2), (3,))
    assert SamplingParams(sequence_bias=[([1, 2], 3)]).sequence_bias == (((1, 2), 3.0),)
    assert SamplingParams(dry_breakers=["b", "a", "b"]).dry_breakers == ("b", "a")
    assert SamplingParams(dry_breakers=()).dry_breakers == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence_bias", {(): 1.0}),
        ("sequence_bias", {(1,): math.inf}),
        ("sequence_bias", [[1, 2]]),
        ("sequence_bias", {(-1,): 1.0}),
        ("allowed_ids", [-1]),
        ("allowed_ids", "5"),
        ("allowed_ids", 5),
        ("allowed_ids", [1.5]),
        ("banned_ids", [True]),
        ("bad_words", [[]]),
        ("bad_words", [5]),
        ("dry_breakers", [""]),
        ("dry_breakers", "ab"),
        ("dry_breakers", [5]),
        ("regex", None),
        ("json_schema", {}),
        ("negative_ids", [[1]]),
        ("synthid_keys", [-1]),
        ("think_tags", ["<think>"]),
        ("think_tags", ["a", "a"]),
        ("top_k", 1.5),
        ("penalty_window", 0.5),
        ("seed", -1),
        ("seed", 1 << 64),
        ("seed", 1.0),
        ("seed", True),
        ("penalty_scope", "prompt"),
        ("penalty_scope", []),
        ("order", "fastest"),
        ("order", "top_k,top_k"),
        ("order", ["top_k", "softmax"]),
        ("order", 5),
        ("order", None),
        ("order", [["top_k"]]),
        ("logit_bias", {-1: 1.0}),
        ("logit_bias", {True: 1.0}),
        ("logit_bias", {"3": 1.0}),
        ("logit_bias", {3: math.inf}),
        ("logit_bias", {3: math.nan}),
        ("logit_bias", {3: 10**400}),
        ("logit_bias", {3: -(10**400)}),
        ("logit_bias", {3: "1"}),
        ("logit_bias", {3: True}),
        ("logit_bias", 5),
        ("logit_bias", [5]),
        ("logit_bias", [[1]]),
        ("logit_bias", [[[1], 2.0]]),
    ],
)
def test_nonsense_is_a_value_error_that_names_the_setting(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        SamplingParams(**{name: value})


def test_the_whole_seed_range_is_accepted() -> None:
    assert SamplingParams(seed=0).seed == 0
    assert SamplingParams(seed=2**64 - 1).seed == 2**64 - 1


def test_whole_numbers_may_come_as_floats() -> None:
    params = SamplingParams(top_k=40.0)  # type: ignore[arg-type]  # as JSON from another program may have it
    assert params.top_k == 40
    assert isinstance(params.top_k, int)


def test_numbers_of_numpy_are_numbers_and_become_plain_ones() -> None:
    given = SamplingParams(
        temperature=np.float32(0.5), top_p=np.float64(0.25), top_k=np.int64(5), min_p=np.float16(0.125),
        seed=np.uint64(2**64 - 1), logit_bias={np.int32(3): np.float32(-math.inf)},
    )  # fmt: skip
    plain = SamplingParams(temperature=0.5, top_p=0.25, top_k=5, min_p=0.125, seed=2**64 - 1, logit_bias={3: -math.inf})
    assert given == plain
    assert json.dumps(given.to_dict()) == json.dumps(plain.to_dict())
    with pytest.raises(ValueError, match="top_k must be a number"):
        SamplingParams(top_k=np.bool_(True))


def test_any_finite_temperature_of_a_test_bench_is_legal() -> None:
    assert SamplingParams(temperature=1e9).temperature == 1e9


def test_an_order_may_call_a_stage_by_its_setting() -> None:
    named = SamplingParams(order="repetition_penalty,typical_p,temperature", typical_p=0.5)
    assert named.stages == ("repetition", "typical", "temperature")
    assert named == SamplingParams(order=["repetition", "typical", "temperature"], typical_p=0.5)


def test_greedy_calls_no_cut_idle_that_can_change_the_token() -> None:
    """Typical sampling may drop the likeliest token, so before the temperature it has a say."""
    after = SamplingParams(temperature=0, typical_p=0.5)
    before = SamplingParams(temperature=0, typical_p=0.5, order="llama.cpp")
    assert any("typical_p" in note for note in params_notes(after))
    assert not any("typical_p" in note for note in params_notes(before))


def test_greedy_starts_at_the_threshold() -> None:
    assert SamplingParams(temperature=0).is_greedy
    assert SamplingParams(temperature=GREEDY_BELOW).is_greedy
    assert not SamplingParams(temperature=GREEDY_BELOW * 1.01).is_greedy


def test_an_order_may_be_a_name_a_list_or_a_line() -> None:
    assert SamplingParams(order="hf").stages == ORDERS["hf"]
    listed = SamplingParams(order=["top_p", "temperature"], top_p=0.5)
    assert listed.stages == ("top_p", "temperature")
    assert SamplingParams(order="top_p, temperature", top_p=0.5) == listed
    assert SamplingParams(order=()).stages == ()


def test_an_order_that_leaves_out_a_switched_on_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves out top_k"):
        SamplingParams(order=["temperature"], top_k=5)
    with pytest.raises(ValueError, match="leaves out logit_bias"):
        SamplingParams(order=["temperature"], logit_bias={1: 1.0})


def test_a_window_alone_switches_nothing_on() -> None:
    params = SamplingParams(penalty_window=5, penalty_scope="output")
    assert not params.is_on("repetition")
    assert any("window" in note for note in params_notes(params))


def test_logit_bias_is_kept_sorted_whatever_it_came_as() -> None:
    want = ((1, -math.inf), (7, 2.0))
    assert SamplingParams(logit_bias={7: 2, 1: -math.inf}).bias == want
    assert SamplingParams(logit_bias=[(7, 2.0), (1, -math.inf)]).bias == want
    assert SamplingParams(logit_bias=iter([(7, 2.0), (1, -math.inf)])).bias == want


def test_settings_that_cannot_act_are_told() -> None:
    assert params_notes(SamplingParams(temperature=0)) == ["temperature 0 is greedy: the seed is unused"]
    notes = params_notes(SamplingParams(temperature=0, top_p=0.5, min_p=0.1))
    assert any("top_p" in note and "min_p" in note for note in notes)


def test_presets_are_legal_and_neutral_is_neutral() -> None:
    assert PRESETS["neutral"] == SamplingParams()
    assert PRESETS["greedy"].is_greedy
    for params in PRESETS.values():
        assert SamplingParams.from_dict(params.to_dict()) == params


def test_settings_can_be_dictionary_keys() -> None:
    assert len({SamplingParams(), SamplingParams(), SamplingParams(top_k=3, logit_bias={1: 2.0})}) == 2


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="tempreature"):
        SamplingParams.from_dict({"tempreature": 1.0})


def _values(knob: Knob) -> st.SearchStrategy[Any]:
    if knob.choices:
        return st.sampled_from(knob.choices)
    if knob.whole:
        return st.integers(int(knob.low), int(knob.high))
    return st.floats(knob.low, knob.high)


def _uncrossed(values: dict[str, Any]) -> dict[str, Any]:
    values["entropy_low"], values["entropy_high"] = sorted((values["entropy_low"], values["entropy_high"]))
    if values.get("allowed_ids"):
        values["allowed_ids"].append(2**41)  # that nothing bans: with every token banned they are refused
    return values


ids = st.integers(0, 2**40)
legal = st.fixed_dictionaries(
    {
        **{knob.name: _values(knob) for knob in KNOBS},
        "seed": st.integers(0, 2**64 - 1),
        "order": st.one_of(st.sampled_from(sorted(ORDERS)), st.permutations(STAGE_NAMES)),
        "logit_bias": st.dictionaries(
            st.integers(0, 2**40), st.floats(allow_nan=False, allow_infinity=False) | st.just(-math.inf), max_size=4
        ),
        "sequence_bias": st.dictionaries(
            st.lists(ids, min_size=1, max_size=3).map(tuple), st.floats(-9, 9), max_size=3
        ),
        "bad_words": st.lists(st.lists(ids, min_size=1, max_size=3), max_size=3),
        "dry_breakers": st.lists(st.text(min_size=1, max_size=4), max_size=3),
        "regex": st.text(max_size=5),
        **{name: st.lists(ids, max_size=5) for name in ("allowed_ids", "banned_ids", "negative_ids", "synthid_keys")},
    }
).map(_uncrossed)


@settings(max_examples=100, deadline=None)
@given(legal)
def test_legal_settings_survive_a_file(values: dict[str, Any]) -> None:
    params = SamplingParams(**values)
    again = SamplingParams.from_dict(json.loads(json.dumps(params.to_dict())))
    assert again == params
    assert again.stages == params.stages


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(NUMBERS).flatmap(lambda knob: st.tuples(st.just(knob), _values(knob))),
    st.integers(-3, 3),
    st.booleans(),
)
def test_a_nudge_is_always_legal_and_never_goes_the_other_way(
    start: tuple[Knob, float], steps: int, coarse: bool
) -> None:
    knob, value = start
    params = SamplingParams(**_uncrossed({"entropy_low": 0.0, "entropy_high": 64.0, knob.name: value}))
    before, after = getattr(params, knob.name), getattr(params.nudge(knob.name, steps, coarse=coarse), knob.name)
    if steps > 0:
        assert after >= before - knob.step / 2  # a value between two steps lands on the grid
    elif steps < 0:
        assert after <= before + knob.step / 2


def test_four_nudges_there_and_back_are_no_change() -> None:
    for knob in NUMBERS:
        if knob.name in ("entropy_low", "entropy_high"):
            continue  # their middle may cross the other
        middle = round((knob.shown[0] + knob.shown[1]) / 2 / knob.step) * knob.step
        params = SamplingParams(**{knob.name: int(middle) if knob.whole else round(middle, 6)})
        moved = params
        for direction in (1, -1):
            for _ in range(4):
                moved = moved.nudge(knob.name, direction)
        assert moved == params, knob.name


def test_a_switched_off_knob_starts_where_it_is_useful() -> None:
    assert SamplingParams().nudge("top_k", 1).top_k == KNOB_BY_NAME["top_k"].start == 40
    assert SamplingParams().nudge("top_n_sigma", 1).top_n_sigma == 1.0
    assert SamplingParams().nudge("top_h", -1).top_h == KNOB_BY_NAME["top_h"].start == 0.4
    assert SamplingParams().nudge("top_h", 1).top_h == 1.0
    assert SamplingParams().nudge("top_p", 1).top_p == 1.0
    assert SamplingParams().nudge("top_p", -1).top_p == 0.99


def test_values_are_shown_as_they_are_typed() -> None:
    assert KNOB_BY_NAME["temperature"].text(0.8) == "0.8"
    assert KNOB_BY_NAME["temperature"].text(1.0) == "1"
    assert KNOB_BY_NAME["top_k"].text(40) == "40"
    for knob in NUMBERS:
        assert knob.check(float(knob.text(knob.shown[1]))) == knob.shown[1]
