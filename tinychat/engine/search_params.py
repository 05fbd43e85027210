"""How to search for a reply instead of drawing it: all options in one frozen record, checked.

Which options a method reads stands in READS; one that is set and not read raises ValueError, so nothing is ignored in
silence. Nothing here touches a tensor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from tinychat.engine.knobs import GREEDY_BELOW, KNOBS, Knob, plain_number
from tinychat.engine.lists import LISTS, ListSetting
from tinychat.engine.orders import STAGE_NAMES
from tinychat.engine.params import SamplingParams
from tinychat.engine.scores import LENGTH_RULES, LengthRule, LengthScore

VARIANTS = ("ours", "hf", "slots")
STOP_RULES = ("safe", "hf-false", "hf-true", "never", "prune")
LAST_NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"  # the answer where no pattern is given: the last number

_LENGTH = ("length_rule", "length_alpha")
_STOP = ("stop_rule", "prune_factor")
READS: dict[str, tuple[str, ...]] = {
    "beam": ("width", "variant", "coverage", *_LENGTH, *_STOP),
    "diverse": ("width", "groups", "diversity", "variant", *_LENGTH, *_STOP),
    "beam-sampling": ("width", *_LENGTH, *_STOP),
    "constrained": ("width", "phrases", *_LENGTH),
    "best-first": ("width", "memory", *_LENGTH),
    "a-star": ("width", "memory", "heuristic", *_LENGTH),
    "contrastive": ("width", "contrast_alpha"),
    "cot": ("paths", "answer"),
    "self-eval": ("width", "rollout", "chaos_ratio", "chaos_top", "rollout_weight"),
    "best-of": ("paths", *_LENGTH),
    "majority": ("paths", "answer", *_LENGTH),
    "exhaustive": ("memory", *_LENGTH),
}
METHODS = tuple(READS)
SAMPLING = ("beam-sampling", "best-of", "majority")  # they draw: the whole chain of settings and the dice count

# stages 1 to 4 of the default chain: what makes a score. Later ones only say how a draw is made.
SCORING = STAGE_NAMES[: STAGE_NAMES.index("top_n_sigma")]
_SETTINGS: tuple[Knob | ListSetting, ...] = (*KNOBS, *LISTS)
_NEUTRAL = {each.name: each.neutral for each in _SETTINGS if each.stage not in SCORING}

_LIMITS: dict[str, tuple[float, float]] = {
    "width": (1, 64), "groups": (1, 64), "diversity": (0.0, 1000.0), "length_alpha": (-10.0, 10.0),
    "coverage": (0.0, 100.0), "prune_factor": (1.0, 1000.0), "contrast_alpha": (0.0, 1.0), "paths": (1, 64),
    "heuristic": (0.0, 1000.0), "rollout": (1, 1000), "chaos_ratio": (0.0, 1.0), "chaos_top": (0.0, 1.0),
    "rollout_weight": (0.0, 1.0), "max_tokens": (1, 1_000_000_000), "memory": (1, 1024),
}  # fmt: skip
_CHOICES: dict[str, tuple[str, ...]] = {
    "variant": VARIANTS, "length_rule": LENGTH_RULES, "stop_rule": STOP_RULES,
}  # fmt: skip
_WHOLE = ("width", "groups", "paths", "rollout", "max_tokens", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParams:
    """A method of METHODS and its options; a value out of range, or one the method does not read, raises ValueError."""

    method: str = "beam"
    width: int = 4  # beams; pops per length (best-first, a-star); candidates per token (contrastive, self-eval)
    variant: str = "ours"  # ours: ended ones are set aside; hf: as transformers; slots: they use up their place
    groups: int = 2  # of `width` beams in all
    diversity: float = 0.5  # taken off a token's score for each earlier group that chose it at the same step
    length_rule: LengthRule = "sum"
    length_alpha: float = 1.0  # of power and gnmt
    coverage: float = 0.0  # GNMT's beta
    stop_rule: str = "safe"
    prune_factor: float = 1.5  # prune: a live one below factor * best ended one is dropped; scores are below 0
    heuristic: float = 0.0  # a-star: nats that every token still to come is expected to cost; 0 is best-first
    contrast_alpha: float = 0.6  # weight of the degeneration penalty; 0 is greedy
    phrases: tuple[str, ...] = ()  # constrained: texts that the reply must hold
    paths: int = 10
    answer: str = ""  # pattern of the answer, its first group if it has one; "" for the last number
    rollout: int = 8  # tokens
    chaos_ratio: float = 0.5  # self-eval: a rival counts when it is at least this share as likely as the best
    chaos_top: float = 0.5  # self-eval: a place is chaotic when its best token is at most this likely
    rollout_weight: float = 0.5  # self-eval: share of the roll-out in the mixed score
    max_tokens: int = 256
    memory: int = 16  # hypotheses whose keys and values stay in memory; others are computed again when needed

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        for field in fields(self):
            if field.name != "method":
                object.__setattr__(self, field.name, check_option(field.name, getattr(self, field.name)))
        self._check_together()

    def _check_together(self) -> None:
        read = {"method", "max_tokens", *READS[self.method]}
        for field in fields(self):
            if field.name not in read and getattr(self, field.name) != field.default:
                readers = ", ".join(method for method, names in READS.items() if field.name in names)
                raise ValueError(f"{field.name} is read by {readers}, not by {self.method}")
        if self.method == "diverse" and self.width % self.groups:
            raise ValueError(f"groups must share the width evenly, got {self.groups} groups and width {self.width}")
        if self.length_alpha != 1.0 and self.length_rule not in ("power", "gnmt"):
            raise ValueError(f"length_alpha is read by the length rules power and gnmt, not by {self.length_rule}")
        if self.prune_factor != 1.5 and self.stop_rule != "prune":
            raise ValueError(f"prune_factor is read by the stop rule prune, not by {self.stop_rule}")

    @property
    def lengths(self) -> LengthScore:
        """How a log-probability becomes a score."""
        return LengthScore(self.length_rule, self.length_alpha)

    @property
    def samples(self) -> bool:
        """Whether the method draws, so that the whole chain of settings and the seed count."""
        return self.method in SAMPLING

    @property
    def pattern(self) -> re.Pattern[str]:
        """What an answer looks like."""
        return re.compile(self.answer or LAST_NUMBER)

    def with_(self, **changes: Any) -> SearchParams:
        """A copy with other values, checked."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The method and what it reads, as plain values for JSON."""
        read = {"method", "max_tokens", *READS[self.method]}
        values = asdict(self) | {"phrases": list(self.phrases)}
        return {name: value for name, value in values.items() if name in read}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> SearchParams:
        """The inverse of to_dict; unknown names and bad values raise ValueError."""
        unknown = sorted(set(raw) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown search option {unknown[0]!r}")
        return cls(**raw)


def scoring(params: SamplingParams) -> SamplingParams:
    """The settings with stages 1 to 4 alone: guidance, constraints, bias, penalties. Their order stays."""
    order = tuple(name for name in params.stages if name in SCORING)
    return params.with_(**_NEUTRAL, order=order)


def check_search(params: SamplingParams, spec: SearchParams) -> None:
    """ValueError where settings and search contradict each other."""
    if spec.method in ("best-of", "majority") and spec.paths > 1 and params.is_greedy:
        raise ValueError(
            f"{spec.method} compares samples, but at temperature {params.temperature:g} (at most {GREEDY_BELOW:g}) "
            "they are all the same"
        )


def search_notes(params: SamplingParams, spec: SearchParams) -> list[str]:
    """Settings that have no effect on this search."""
    if spec.samples:
        return []
    unused = [name for name in STAGE_NAMES if name not in SCORING and params.is_on(name)]
    return [f"{', '.join(unused)}: no effect, for {spec.method} search does not draw"] if unused else []


def check_option(name: str, value: Any) -> Any:
    """A value for one option, checked by itself; what options say together is checked by SearchParams. ValueError."""
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ValueError(f"{name} must be one of {', '.join(_CHOICES[name])}, got {value!r}")
        return value
    if name in _LIMITS:
        return _number(name, value, *_LIMITS[name])
    if name == "phrases":
        return _texts(name, value)
    if name != "answer":
        raise ValueError(f"unknown search option {name!r}")
    if not isinstance(value, str):
        raise ValueError(f"answer must be a pattern, got {value!r}")
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"answer must be a regular expression ({error}), got {value!r}") from None
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) and each for each in value):
        raise ValueError(f"{name} must be a list of texts with something in them, got {value!r}")
    return tuple(dict.fromkeys(value))


def _number(name: str, value: Any, low: float, high: float) -> int | float:
    number = plain_number(value)
    if number is None or not math.isfinite(number) or not low <= number <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}")
    if name in _WHOLE and number != int(number):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return int(number) if name in _WHOLE else float(number)
