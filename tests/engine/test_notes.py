"""What is said about settings is true, is said when it is true, and is not said otherwise."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import a_vector, seeds

from tinychat.engine.context import Context
from tinychat.engine.knobs import KNOB_BY_NAME, KNOBS, Value
from tinychat.engine.lists import LIST_BY_NAME, LISTS
from tinychat.engine.notes import params_notes
from tinychat.engine.orders import ORDERS, STAGE_NAMES
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.engine.stages import shape
from tinychat.model.vocabulary import Vocabulary

SIZE = 24
VOCABULARY = Vocabulary(tuple(bytes([65 + token]) for token in range(SIZE)), end_ids=(SIZE - 1,))
CONTEXT = Context((1, 2, 3, 1, 2), 2, vocabulary=VOCABULARY)

# for what has no slider, and what must stay below another knob
OTHERS: dict[str, Any] = {"dry_breakers": ("A",), "negative_ids": (4, 5), "entropy_low": 1.0, "think_tags": ("A", "B")}


def neutral(name: str) -> Any:
    return KNOB_BY_NAME[name].neutral if name in KNOB_BY_NAME else LIST_BY_NAME[name].neutral


def moved(name: str) -> Any:
    """A legal value of an auxiliary setting that is not its neutral one."""
    if name in OTHERS:
        return OTHERS[name]
    knob = KNOB_BY_NAME[name]
    wanted: list[Value] = list(knob.choices) or [knob.shown[1], knob.shown[0]]
    return next(knob.check(value) for value in wanted if value != knob.neutral)


def said(words: str, **values: Any) -> bool:
    return any(words in note for note in params_notes(SamplingParams(**values)))


# ---- one by one -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [each.name for each in (*KNOBS, *LISTS) if each.aux])
def test_every_setting_that_is_moved_while_its_stage_is_off_is_named(name: str) -> None:
    params = SamplingParams(**{name: moved(name)})
    assert not any(params.is_on(stage) for stage in STAGE_NAMES)
    notes = params_notes(params)
    assert len(notes) == 1
    assert name in notes[0]
    assert notes[0].endswith("is unused")


@pytest.mark.parametrize(
    "values",
    [
        {"dry_multiplier": 0.8, "dry_base": 2.0, "dry_window": 64},
        {"temperature_mode": "edt", "edt_theta": 0.5},
        {"temperature_mode": "entropy", "entropy_low": 1.0, "varentropy_split": 2.0},
        {"presence_penalty": 0.5, "penalty_window": 5, "penalty_scope": "output"},
        {"contrastive": "scaled", "contrastive_beta": 0.2, "contrastive_alpha": 0.2},
        {"contrastive": "difference", "amateur_temperature": 0.5},
        {"dola": "low", "contrastive_alpha": 0.2},
        {"mirostat": "v2", "mirostat_tau": 3.0},
        {"min_tokens": 5, "temperature": 0.5, "top_p": 0.9},
        {"guidance_scale": 1.5, "negative_ids": (3,)},
        {"xtc_probability": 0.5, "xtc_threshold": 0.2},
        {"allowed_ids": (1, 2, 3), "banned_ids": (4,), "logit_bias": {1: 2.0}},
    ],
    ids=str,
)
def test_nothing_is_said_about_settings_that_work(values: dict[str, Any]) -> None:
    assert params_notes(SamplingParams(**values)) == []


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "greedy"])
def test_nothing_is_said_about_presets(name: str) -> None:
    assert params_notes(PRESETS[name]) == []


@pytest.mark.parametrize(
    ("words", "values", "otherwise"),
    [
        ("the seed is unused", {"temperature": 0}, {"temperature": 0.1}),
        ("the seed is unused", {"temperature": 0, "xtc_probability": 0.5}, {"xtc_probability": 0.5}),
        ("the seed only says", {"temperature": 0, "xtc_probability": 0.5, "order": "llama.cpp"},
         {"temperature": 0, "xtc_probability": 0.5}),
        ("top_p cannot change", {"temperature": 0, "top_p": 0.5}, {"top_p": 0.5}),
        ("mirostat cannot change", {"temperature": 0, "mirostat": "v2"}, {"mirostat": "v2"}),
        ("typical_p cannot change", {"temperature": 0, "typical_p": 0.5},
         {"temperature": 0, "typical_p": 0.5, "order": "llama.cpp"}),
        ("top_k cannot change", {"temperature": 0, "top_k": 3, "order": "llama.cpp"},
         {"temperature": 0, "top_k": 3, "xtc_probability": 0.5, "order": "llama.cpp"}),
        ("top_k cannot change", {"temperature": 0, "top_k": 3},
         {"temperature": 0, "top_k": 3, "presence_penalty": 1.0, "order": "top_k,presence,temperature"}),
        ("mode edt cannot move", {"temperature": 0, "temperature_mode": "edt"}, {"temperature_mode": "edt"}),
        ("never moves", {"temperature_mode": "dynamic", "dynatemp_range": 0.0}, {"temperature_mode": "dynamic"}),
        ("never moves", {"temperature_mode": "edt", "edt_theta": 0.0}, {"temperature_mode": "edt"}),
        ("never moves", {"temperature_mode": "adapt", "adapt_temperature": 1.0}, {"temperature_mode": "adapt"}),
        ("start colder", {"temperature_mode": "adapt", "adapt_temperature": 0.2}, {"temperature_mode": "adapt"}),
        ("top_k and top_p can keep it", {"mirostat": "v1", "top_k": 5, "top_p": 0.5}, {"mirostat": "v1"}),
        ("nothing is steered", {"mirostat": "v1", "mirostat_eta": 0.0}, {"mirostat": "v1"}),
        ("both steer", {"mirostat": "v1", "adaptive_target": 0.5}, {"adaptive_target": 0.5}),
        ("whole tail", {"adaptive_target": 0.3, "temperature": 2.0}, {"adaptive_target": 0.3, "min_p": 0.05}),
        ("whole tail", {"adaptive_target": 0.3, "min_p": 0.05, "order": "adaptive_p,min_p"},
         {"adaptive_target": 0.3, "mirostat": "v2"}),
        ("top_k after it", {"adaptive_target": 0.5, "top_k": 5, "order": "adaptive_p,top_k"},
         {"adaptive_target": 0.5, "top_k": 5}),
        ("contrastive and dola are both", {"contrastive": "scaled", "dola": "low"}, {"dola": "low"}),
        ("no say", {"contrastive": "scaled", "contrastive_beta": 0.0}, {"contrastive": "scaled"}),
        ("contrastive_alpha 1", {"dola": "high", "contrastive_alpha": 1.0}, {"dola": "high"}),
        ("the other prompt alone", {"guidance_scale": 0.0}, {"guidance_scale": 2.0}),
        ("share token 2: banned wins", {"allowed_ids": (1, 2, 3), "banned_ids": (2,)},
         {"allowed_ids": (1, 2, 3), "banned_ids": (4,)}),
        ("share tokens 1, 2, 3, 4 and 2 more", {"allowed_ids": range(9), "banned_ids": (1, 2, 3, 4, 5, 6)},
         {"allowed_ids": range(9)}),
        ("leaves one token", {"allowed_ids": (1, 2), "banned_ids": (2,)}, {"allowed_ids": (1, 2)}),
        ("logit_bias has no effect on token 7", {"logit_bias": {7: 1.0}, "banned_ids": (7,)}, {"logit_bias": {7: 1.0}}),
        ("logit_bias has no effect on token 7", {"logit_bias": {7: 1.0}, "allowed_ids": (1, 2)},
         {"logit_bias": {7: 1.0}, "allowed_ids": (1, 7)}),
        ("logit_bias has no effect on token 7", {"logit_bias": {7: 1.0}, "bad_words": [[7]]},
         {"logit_bias": {7: 1.0}, "bad_words": [[6, 7]]}),
        ("adds 0 to token 7", {"logit_bias": {7: 0.0}}, {"logit_bias": {7: 0.1}}),
        ("adds 0 to 1,2", {"sequence_bias": {(1, 2): 0.0}}, {"sequence_bias": {(1, 2): 1.0}}),
        ("sequence_bias has no effect on 1,2", {"sequence_bias": {(1, 2): 1.0}, "bad_words": [[2]]},
         {"sequence_bias": {(1, 2): 1.0}, "bad_words": [[1]]}),
        ("need not name 3,1,2", {"bad_words": [[3, 1, 2], [1, 2]]}, {"bad_words": [[3, 1, 2], [3, 1]]}),
        ("need not name 3,1", {"bad_words": [[3, 1]], "banned_ids": (1,)}, {"bad_words": [[3, 1]], "banned_ids": (3,)}),
        ("bans every token of the text", {"no_repeat_ngram": 1}, {"no_repeat_ngram": 2}),
        ("frequency_penalty nothing", {"no_repeat_ngram": 1, "frequency_penalty": 1.0}, {"no_repeat_ngram": 1}),
        ("all that dry_multiplier", {"no_repeat_ngram": 3, "dry_multiplier": 1.0},
         {"no_repeat_ngram": 4, "dry_multiplier": 1.0}),
        ("adds nothing to no_repeat", {"no_repeat_ngram": 2, "encoder_no_repeat_ngram": 3},
         {"no_repeat_ngram": 4, "encoder_no_repeat_ngram": 3}),
        ("every token of the prompt", {"encoder_no_repeat_ngram": 1}, {"encoder_no_repeat_ngram": 2}),
        ("dry_window is too short", {"dry_multiplier": 1.0, "dry_window": 2}, {"dry_multiplier": 1.0, "dry_window": 3}),
        ("both ways", {"repetition_penalty": 1.2, "encoder_repetition_penalty": 1.1},
         {"repetition_penalty": 1.2, "encoder_repetition_penalty": 1.1, "penalty_scope": "output"}),
        ("min_p 1 keeps only", {"min_p": 1.0}, {"min_p": 0.9}),
        ("top_k 1 keeps only", {"top_k": 1}, {"top_k": 2}),
        ("top_p 0 keeps only", {"top_p": 0.0}, {"top_p": 0.1}),
        ("XTC cuts nothing", {"xtc_probability": 0.5, "xtc_threshold": 0.51},
         {"xtc_probability": 0.5, "xtc_threshold": 0.5}),
        ("the least likely", {"xtc_probability": 0.5, "xtc_threshold": 0.0}, {"xtc_probability": 0.5}),
        ("eta_cutoff adds nothing", {"eta_cutoff": 0.01, "epsilon_cutoff": 0.01},
         {"eta_cutoff": 0.02, "epsilon_cutoff": 0.01}),
        ("allowed after a cut", {"allowed_ids": (1, 2), "top_k": 5, "order": "top_k,allowed"},
         {"allowed_ids": (1, 2), "top_k": 5}),
        ("its deviation is that", {"top_n_sigma": 1.0, "top_k": 5, "order": "top_k,top_n_sigma"},
         {"top_n_sigma": 1.0, "top_k": 5, "order": "top_n_sigma,top_k"}),
        ("a grammar with min_tokens", {"regex": "a+", "min_tokens": 3}, {"regex": "a+"}),
    ],
    ids=str,
)  # fmt: skip
def test_said_when_it_holds_and_not_otherwise(words: str, values: dict[str, Any], otherwise: dict[str, Any]) -> None:
    assert said(words, **values)
    assert not said(words, **otherwise)


@pytest.mark.parametrize(
    ("match", "values"),
    [
        ("allowed_ids leaves no token", {"allowed_ids": (1, 2), "banned_ids": (1, 2, 3)}),
        ("allowed_ids leaves no token", {"allowed_ids": (1, 2), "banned_ids": (1,), "logit_bias": {2: float("-inf")}}),
        ("allowed_ids leaves no token", {"allowed_ids": (1,), "bad_words": [[1]]}),
        ("two grammars", {"regex": "a", "json_schema": "{}"}),
        ("entropy_low must not be above", {"entropy_low": 4.0}),
    ],
)
def test_what_can_never_work_is_refused(match: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=match):
        SamplingParams(**values)


# ---- as claims ------------------------------------------------------------------------------------------------------

SOME: dict[str, list[Any]] = {
    "temperature": [0.0, 0.0, 0.7],
    "temperature_mode": ["fixed", "dynamic", "edt", "entropy"],
    "dynatemp_range": [0.0, 0.3],
    "edt_theta": [0.0, 0.4],
    "top_k": [0, 1, 3],
    "top_p": [1.0, 0.0, 0.6],
    "min_p": [0.0, 0.2, 1.0],
    "typical_p": [1.0, 0.5],
    "top_n_sigma": [0.0, 0.8],
    "epsilon_cutoff": [0.0, 0.02, 0.1],
    "eta_cutoff": [0.0, 0.02, 0.1],
    "tfs_z": [1.0, 0.9],
    "top_a": [0.0, 0.3],
    "top_h": [1.0, 0.4],
    "xtc_probability": [0.0, 1.0],
    "xtc_threshold": [0.1, 0.7],
    "mirostat": ["off", "v1", "v2"],
    "mirostat_tau": [5.0, 1.0],
    "adaptive_target": [0.0, 0.4],
    "repetition_penalty": [1.0, 1.5],
    "encoder_repetition_penalty": [1.0, 1.5],
    "presence_penalty": [0.0, 2.0],
    "penalty_scope": ["all", "output"],
    "no_repeat_ngram": [0, 1, 2],
    "encoder_no_repeat_ngram": [0, 1, 2],
    "dry_multiplier": [0.0, 5.0],
    "dry_allowed_length": [1, 2],
    "smoothing_factor": [0.0, 0.3],
    "smoothing_curve": [1.0, 2.0],
    "logit_bias": [{}, {1: 3.0}, {4: 9.0, 5: -4.0}],
    "sequence_bias": [{}, {(2, 7): 5.0}, {(1, 2, 4): 5.0}],
    "banned_ids": [(), (4, 7)],
    "bad_words": [(), ((2, 4),), ((4,), (2, 4), (1, 2, 4))],
}
_CLAIMS = re.compile(r": (.*) cannot change it|: (.*) (?:is|are) unused|leaves (.*) nothing to change"
                     r"|^(eta_cutoff|encoder_no_repeat_ngram) (?:\d+ )?adds nothing"
                     r"|bans all that (dry_multiplier)")  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(SOME)), st.integers(0, 9), min_size=2, max_size=7),
    st.one_of(st.sampled_from(sorted(ORDERS)), st.permutations(STAGE_NAMES)),
    seeds,
)
def test_a_setting_that_is_said_to_do_nothing_does_nothing(places: dict[str, int], order: Any, seed: int) -> None:
    """With all that one note names switched off, every token keeps its odds."""
    values = {name: SOME[name][place % len(SOME[name])] for name, place in places.items()}
    params = SamplingParams(**values, order=order)
    logits = a_vector(seed, SIZE, 2.0)
    before = shape(logits, params, CONTEXT)
    for note in params_notes(params):
        claim = _CLAIMS.search(note)
        if claim is None or "the seed" in note:
            continue
        names = re.split(r", | and ", next(group for group in claim.groups() if group))
        after = shape(logits, params.with_(**{name: neutral(name) for name in names}), CONTEXT)
        left, right = (each.softmax(-1).nan_to_num() for each in (after, before))
        assert torch.allclose(left, right, atol=1e-6), note


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(SOME)), st.integers(0, 9), max_size=7), seeds)
def test_notes_are_short_plain_and_each_said_once(places: dict[str, int], seed: int) -> None:
    values = {name: SOME[name][place % len(SOME[name])] for name, place in places.items()}
    notes = params_notes(SamplingParams(**values))
    assert len(set(notes)) == len(notes)
    for note in notes:
        assert len(note) < 200
        assert note[-1] != "."
        assert note.isprintable()
