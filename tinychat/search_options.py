"""The options of a search on the command line, and how their words become SearchParams.

Nothing here imports torch or textual: it is read for --help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

import typer

from tinychat.engine.params import SamplingParams
from tinychat.engine.scores import LENGTH_RULES
from tinychat.engine.search_params import METHODS, READS, STOP_RULES, VARIANTS, SearchParams, check_search
from tinychat.errors import UsageError
from tinychat.option_groups import spread

# option without dashes -> field, metavar, help
_OPTIONS: dict[str, tuple[str, str, str]] = {
    "search": ("method", "NAME", f"Search instead of drawing: {', '.join(METHODS)}."),
    "width": ("width", "N", "Beams; candidates per token in contrastive and self-eval."),
    "beam_variant": ("variant", "NAME", f"What ended beams do to the width: {', '.join(VARIANTS)}."),
    "groups": ("groups", "N", "diverse: how many groups share the width."),
    "diversity": ("diversity", "X", "diverse: what a token costs for each earlier group that chose it."),
    "length_rule": ("length_rule", "NAME", f"How lengths compare: {', '.join(LENGTH_RULES)}."),
    "length_alpha": ("length_alpha", "X", "The exponent of the length rules power and gnmt."),
    "stop_rule": ("stop_rule", "NAME", f"When beams stop: {', '.join(STOP_RULES)}."),
    "prune_factor": ("prune_factor", "X", "stop rule prune: drops beams below this times the best ended score."),
    "coverage": ("coverage", "X", "beam: weight of GNMT's coverage penalty, on the attention to the prompt."),
    "heuristic": ("heuristic", "X", "a-star: nats that a token still to come is expected to cost."),
    "search_memory": ("memory", "N", "best-first, a-star, exhaustive: hypotheses kept in the cache."),
    "phrase": ("phrases", "TEXT", "constrained: a text that the reply must hold; may be repeated."),
    "contrast_alpha": ("contrast_alpha", "X", "contrastive: weight of unlikeness to what came before."),
    "paths": ("paths", "N", "cot, best-of, majority: how many replies."),
    "answer": ("answer", "REGEX", "cot, majority: what an answer looks like; the last number if left out."),
    "rollout": ("rollout", "N", "self-eval: tokens that each rival is tried for."),
    "chaos_ratio": ("chaos_ratio", "X", "self-eval: a rival is at least this share as likely as the best."),
    "chaos_top": ("chaos_top", "X", "self-eval: the best token is at most this likely where rivals are tried."),
    "rollout_weight": ("rollout_weight", "X", "self-eval: share of the roll-out in the choice."),
}
SEARCH_NAMES = tuple(_OPTIONS)
_DEFAULTS = {field.name: field.default for field in fields(SearchParams)}
_FLAG_OF = {field: "--" + option.replace("_", "-") for option, (field, _, _) in _OPTIONS.items()}


def _annotation(option: str) -> Any:
    field, metavar, text = _OPTIONS[option]
    default = "" if field in ("method", "answer", "phrases") else f" Default: {_DEFAULTS[field]}."
    kind: Any = list[str] if isinstance(_DEFAULTS[field], tuple) else str
    return Annotated[kind | None, typer.Option("--" + option.replace("_", "-"), metavar=metavar, help=text + default)]


with_search = spread("searched", {option: _annotation(option) for option in _OPTIONS})


def read_search(searched: Mapping[str, Any], params: SamplingParams, *, max_tokens: int) -> SearchParams | None:
    """The search that was asked for; None without --search. UsageError for what cannot be."""
    if "search" not in searched:
        for option in searched:
            raise UsageError(
                f"--{option.replace('_', '-')} is for searches.", f"Add --search NAME: one of {', '.join(METHODS)}."
            )
        return None
    method = searched["search"]
    try:
        if method not in METHODS:
            raise ValueError(f"--search must be one of {', '.join(METHODS)}, got {method!r}")
        values: dict[str, Any] = {}
        for option, words in searched.items():
            field = _OPTIONS[option][0]
            if field != "method" and field not in READS[method]:
                readers = ", ".join(name for name, read in READS.items() if field in read)
                raise ValueError(f"{_FLAG_OF[field]} is read by {readers}, not by {method}")
            values[field] = _value(field, words)
        spec = SearchParams(**values, max_tokens=max_tokens)
        check_search(params, spec)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    return spec


def _value(field: str, words: Any) -> Any:
    default: Any = _DEFAULTS[field]
    if isinstance(default, str | tuple):
        return words
    kind = type(default)
    try:
        return kind(words)
    except ValueError:
        raise ValueError(f"{_FLAG_OF[field]} must be a {'whole ' * (kind is int)}number, got {words!r}") from None
