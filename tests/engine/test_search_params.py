"""The options of a search: nothing is ignored in silence, and they are the same after a file."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from tinychat.engine.knobs import KNOBS
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.engine.search_params import METHODS, READS, SCORING, SearchParams, check_search, scoring

OTHER: dict[str, Any] = {
    "width": 6, "variant": "hf", "groups": 3, "diversity": 0.7, "length_rule": "mean", "length_alpha": 0.6,
    "coverage": 0.2, "stop_rule": "never", "prune_factor": 2.0, "heuristic": 0.5, "contrast_alpha": 0.3, "paths": 5,
    "answer": "yes|no", "rollout": 3, "chaos_ratio": 0.7, "chaos_top": 0.3, "rollout_weight": 0.2, "memory": 4,
    "phrases": ["a b", "c"],
}  # fmt: skip
BESIDE: dict[str, dict[str, Any]] = {
    "length_alpha": {"length_rule": "power"}, "prune_factor": {"stop_rule": "prune"}, "groups": {"width": 6},
}  # fmt: skip


def test_every_option_is_read_by_some_method_and_tested_here() -> None:
    read = {name for names in READS.values() for name in names}
    assert read == {field.name for field in fields(SearchParams)} - {"method", "max_tokens"} == set(OTHER)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", OTHER)
def test_an_option_is_read_or_refused(method: str, name: str) -> None:
    options = {name: OTHER[name], **BESIDE.get(name, {})}
    if name in READS[method]:
        spec = SearchParams(method=method, **options)
        assert spec.to_dict()[name] == OTHER[name]
        assert SearchParams.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    else:
        with pytest.raises(ValueError, match=f"not by {method}"):
            SearchParams(method=method, **{name: OTHER[name]})


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"method": "bem"}, "method must be one of beam, diverse"),
        ({"width": 0}, "width must be a number from 1 to 64, got 0"),
        ({"width": 2.5}, "width must be a whole number, got 2.5"),
        ({"width": True}, "width must be a number"),
        ({"max_tokens": 0}, "max_tokens must be a number from 1"),
        ({"method": "diverse", "width": 4, "groups": 3}, "groups must share the width evenly"),
        ({"length_alpha": 0.5}, "length_alpha is read by the length rules power and gnmt, not by sum"),
        ({"prune_factor": 2.0}, "prune_factor is read by the stop rule prune, not by safe"),
        ({"stop_rule": "prune", "prune_factor": 0.9}, "prune_factor must be a number from 1"),
        ({"method": "cot", "answer": "(a"}, "answer must be a regular expression"),
        ({"method": "contrastive", "contrast_alpha": float("nan")}, "contrast_alpha must be a number from 0 to 1"),
        ({"coverage": float("inf")}, "coverage must be a number"),
    ],
)
def test_what_cannot_be_says_name_rule_and_value(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule.replace("(", "\\(")):
        SearchParams(**options)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown search option 'beams'"):
        SearchParams.from_dict({"beams": 4})


@pytest.mark.parametrize("order", ["default", "hf", "llama.cpp", "vllm"])
def test_scores_keep_what_makes_the_distribution_and_drop_what_shapes_the_draw(order: str) -> None:
    moved = {
        knob.name: knob.choices[1] if knob.choices else knob.place(knob.neutral) + knob.step
        if knob.place(knob.neutral) + knob.step <= knob.high else knob.place(knob.neutral) - knob.step
        for knob in KNOBS
    }  # fmt: skip
    params = SamplingParams(order=order, seed=9, **moved)
    kept = scoring(params)
    for knob in KNOBS:
        wanted = getattr(params, knob.name) if knob.stage in SCORING else knob.neutral
        assert getattr(kept, knob.name) == wanted, knob.name
    assert kept.stages == tuple(name for name in params.stages if name in SCORING)
    assert scoring(kept) == kept


def test_greedy_samples_are_refused_and_one_is_not() -> None:
    greedy = PRESETS["greedy"]
    for method in ("best-of", "majority"):
        with pytest.raises(ValueError, match="temperature 0"):
            check_search(greedy, SearchParams(method=method))
        check_search(greedy, SearchParams(method=method, paths=1))
    check_search(greedy, SearchParams())


def test_options_and_records_need_no_torch() -> None:
    code = (
        "import sys, tinychat.engine.search_params, tinychat.engine.search_tree, tinychat.search_options, "
        "tinychat.sample_search; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
