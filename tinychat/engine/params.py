"""Every setting of a sampler, declared once: flags, knob rows, JSON and saved files all read this.

`SamplingParams()` is neutral: the model's own distribution, temperature 1, nothing cut. Tastes live in PRESETS.
Nothing here touches a tensor.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal

GREEDY_BELOW = 1e-5  # a temperature at or below this is greedy: dividing by it only overflows
SEED_LIMIT = 1 << 64

Scope = Literal["all", "output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One number a person can turn. `low` and `high` are legal limits, `shown` is the span of the slider."""

    name: str  # the field of SamplingParams
    stage: str  # the stage it belongs to
    label: str
    key: str  # the letter that picks it on the play screen; "" for none
    neutral: float
    low: float
    high: float
    shown: tuple[float, float]
    step: float
    coarse: float
    whole: bool = False  # whole numbers only
    start: float | None = None  # where a switched-off knob goes at the first nudge; None: neutral + step
    help: str = ""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    def text(self, value: float) -> str:
        """The value as shown and typed."""
        return str(int(value)) if self.whole else f"{value:.4f}".rstrip("0").rstrip(".")

    def check(self, value: object) -> float:
        """The value as a number within the limits; ValueError says name, rule and value."""
        number = _plain(value)
        if number is None or (isinstance(number, float) and not math.isfinite(number)):
            raise ValueError(f"{self.name} must be a number, got {value!r}")
        if self.whole and number != int(number):
            raise ValueError(f"{self.name} must be a whole number, got {value!r}")
        if not self.low <= number <= self.high:
            raise ValueError(
                f"{self.name} must be between {self.text(self.low)} and {self.text(self.high)}, got {number}"
            )
        return int(number) if self.whole else float(number)


def _plain(value: object) -> int | float | None:
    """A number of any library (numpy's scalars too) as Python's own; None for what is no number, as True is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return int(value) if isinstance(value, Integral) else float(value)


_BIG = 1_000_000_000

KNOBS: tuple[Knob, ...] = (
    Knob(name="temperature", stage="temperature", label="temperature", key="T", neutral=1.0, low=0.0, high=_BIG,
         shown=(0.0, 2.0), step=0.05, coarse=0.25,
         help="Divides the logits: below 1 sharper, above 1 flatter, 0 greedy."),
    Knob(name="top_p", stage="top_p", label="top-p", key="P", neutral=1.0, low=0.0, high=1.0, shown=(0.0, 1.0),
         step=0.01, coarse=0.1, help="Keeps the likeliest tokens until their mass reaches p (nucleus sampling)."),
    Knob(name="top_k", stage="top_k", label="top-k", key="K", neutral=0, low=0, high=_BIG, shown=(0, 100),
         step=1, coarse=10, whole=True, start=40, help="Keeps the k likeliest tokens; 0 is off."),
    Knob(name="min_p", stage="min_p", label="min-p", key="M", neutral=0.0, low=0.0, high=1.0, shown=(0.0, 0.5),
         step=0.01, coarse=0.05, help="Keeps tokens at least this share as likely as the likeliest."),
    Knob(name="repetition_penalty", stage="repetition", label="rep penalty", key="R", neutral=1.0, low=0.01, high=100.0,
         shown=(0.5, 2.0), step=0.05, coarse=0.2,
         help="Divides positive and multiplies negative logits of seen tokens (CTRL)."),
    Knob(name="frequency_penalty", stage="frequency", label="frequency", key="F", neutral=0.0, low=-100.0, high=100.0,
         shown=(-2.0, 2.0), step=0.05, coarse=0.25, help="Lowers a token's logit by this, for every time it was seen."),
    Knob(name="presence_penalty", stage="presence", label="presence", key="A", neutral=0.0, low=-100.0, high=100.0,
         shown=(-2.0, 2.0), step=0.05, coarse=0.25, help="Lowers a token's logit by this, once, if it was seen."),
    Knob(name="typical_p", stage="typical", label="typical", key="L", neutral=1.0, low=0.0, high=1.0, shown=(0.0, 1.0),
         step=0.01, coarse=0.1, help="Keeps tokens whose surprisal is nearest the entropy, up to this mass."),
    Knob(name="top_n_sigma", stage="top_n_sigma", label="top-nσ", key="S", neutral=0.0, low=0.0, high=1000.0,
         shown=(0.0, 5.0), step=0.1, coarse=0.5, start=1.0,
         help="Keeps logits within n standard deviations of the largest; 0 is off."),
    Knob(name="penalty_window", stage="repetition", label="window", key="", neutral=0, low=0, high=_BIG, shown=(0, 256),
         step=1, coarse=16, whole=True, start=64, help="How many past tokens the penalties look at; 0 is all."),
)  # fmt: skip

KNOB_BY_NAME: dict[str, Knob] = {knob.name: knob for knob in KNOBS}

# The stages of each named order. All orders hold all stages: one that a peer lacks stands where ours has it.
ORDERS: dict[str, tuple[str, ...]] = {
    "default": ("logit_bias", "repetition", "frequency", "presence", "top_n_sigma", "temperature",
                "top_k", "typical", "top_p", "min_p"),
    "hf": ("logit_bias", "repetition", "frequency", "presence", "top_n_sigma", "temperature",
           "top_k", "top_p", "min_p", "typical"),
    "llama.cpp": ("logit_bias", "repetition", "frequency", "presence", "top_n_sigma",
                  "top_k", "typical", "top_p", "min_p", "temperature"),
    "vllm": ("logit_bias", "repetition", "frequency", "presence", "top_n_sigma", "temperature",
             "min_p", "top_k", "top_p", "typical"),
}  # fmt: skip
STAGE_NAMES: tuple[str, ...] = ORDERS["default"]
# a stage may also be called by its setting: typical_p for typical
_STAGE_OF = {knob.name: knob.stage for knob in KNOBS if knob.name != "penalty_window"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """Every knob, the order and the seed. Neutral as constructed; out-of-range values raise ValueError.

    `logit_bias` takes a mapping {id: bias} or pairs. `order` takes a name of ORDERS, a list of stage names (or of the
    settings they read), or the names joined by commas; a list may leave out stages, but not one that is switched on.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    top_n_sigma: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_scope: Scope = "all"
    penalty_window: int = 0
    logit_bias: Mapping[int, float] | Iterable[tuple[int, float]] = ()
    seed: int = 0
    order: str | Iterable[str] = "default"

    def __post_init__(self) -> None:
        for knob in KNOBS:
            object.__setattr__(self, knob.name, knob.check(getattr(self, knob.name)))
        if self.penalty_scope not in ("all", "output"):
            raise ValueError(f"penalty_scope must be 'all' or 'output', got {self.penalty_scope!r}")
        seed = _plain(self.seed)
        if not isinstance(seed, int) or not 0 <= seed < SEED_LIMIT:
            raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, got {self.seed!r}")
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "logit_bias", _bias_pairs(self.logit_bias))
        object.__setattr__(self, "order", _checked_order(self.order))
        missing = [name for name in STAGE_NAMES if self.is_on(name) and name not in self.stages]
        if missing:
            raise ValueError(f"order leaves out {missing[0]}, which is switched on; add it or switch it off")

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of all stages of the order, switched on or not."""
        return ORDERS[self.order] if isinstance(self.order, str) else tuple(self.order)

    @property
    def is_greedy(self) -> bool:
        return self.temperature <= GREEDY_BELOW

    @property
    def bias(self) -> tuple[tuple[int, float], ...]:
        """`logit_bias` as sorted (id, bias) pairs."""
        return tuple(self.logit_bias)  # type: ignore[arg-type]  # __post_init__ made it pairs

    def is_on(self, stage: str) -> bool:
        """Whether the stage changes anything."""
        if stage == "logit_bias":
            return bool(self.bias)
        return any(
            getattr(self, knob.name) != knob.neutral
            for knob in KNOBS
            if knob.stage == stage and knob.name != "penalty_window"
        )

    def with_(self, **changes: Any) -> SamplingParams:
        """A copy with other values, checked."""
        return replace(self, **changes)

    def nudge(self, name: str, steps: int, *, coarse: bool = False) -> SamplingParams:
        """A copy with the knob moved by whole steps, kept inside its limits."""
        knob = KNOB_BY_NAME[name]
        value = float(getattr(self, name))
        if knob.start is not None and value == knob.neutral and steps > 0:
            moved = knob.start
        else:
            size = knob.coarse if coarse else knob.step
            # on the grid of the step, so that 0.1 + 0.05 twenty times is still a round number
            moved = round((value + steps * size) / knob.step) * knob.step
            # the slider's span limits a nudge, but a value typed beyond it must not jump back against the nudge
            moved = round(min(max(moved, min(value, knob.shown[0])), max(value, knob.shown[1])), 6)
        return self.with_(**{name: int(moved) if knob.whole else moved})

    def notes(self) -> list[str]:
        """What is set but has no effect, in plain words."""
        found = []
        if self.is_greedy:
            found.append("temperature 0 is greedy: the seed is unused")
            cuts = ["top_k", "top_p", "min_p", "top_n_sigma"]  # each keeps the likeliest token wherever it stands
            if "typical" in self.stages and self.stages.index("typical") > self.stages.index("temperature"):
                cuts.append("typical")
            idle = [knob.name for knob in KNOBS if knob.stage in cuts and self.is_on(knob.stage)]
            if idle:
                found.append(f"temperature 0 keeps one token: {', '.join(idle)} cannot change it")
        penalised = any(self.is_on(stage) for stage in ("repetition", "frequency", "presence"))
        if not penalised and (self.penalty_window or self.penalty_scope != "all"):
            found.append("no penalty is on: its window and scope are unused")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        # JSON has no minus infinity
        values["logit_bias"] = [[token, "-inf" if bias == -math.inf else bias] for token, bias in self.bias]
        values["order"] = self.order if isinstance(self.order, str) else list(self.order)
        return values

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> SamplingParams:
        """The inverse of to_dict; unknown names and bad values raise ValueError."""
        unknown = sorted(set(raw) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown sampling setting {unknown[0]!r}")
        return cls(**raw)


def _bias_pairs(bias: Mapping[int, float] | Iterable[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    try:
        pairs = dict(bias.items() if isinstance(bias, Mapping) else bias)
    except (TypeError, ValueError):
        raise ValueError(f"logit_bias must be a mapping or pairs of token id and number, got {bias!r}") from None
    found = {}
    for token, value in pairs.items():
        index = _plain(token)
        if not isinstance(index, int) or index < 0:
            raise ValueError(f"logit_bias needs token ids of at least 0, got {token!r}")
        number = -math.inf if value == "-inf" else _plain(value)  # "-inf" is how JSON carries it
        # minus infinity bans a token; plus infinity or NaN would poison the softmax
        if number is None or not (number == -math.inf or abs(number) <= sys.float_info.max):
            raise ValueError(f"logit_bias of token {token} must be a number or -inf, got {value!r}")
        found[index] = float(number)
    return tuple(sorted(found.items()))


def _checked_order(order: str | Iterable[str]) -> str | tuple[str, ...]:
    if isinstance(order, str):
        if order in ORDERS:
            return order
        order = [name.strip() for name in order.split(",")]
    try:
        names = tuple(_STAGE_OF.get(name, name) for name in order)
    except TypeError:
        raise ValueError(f"order must be a name or a list of stages, got {order!r}") from None
    for name in names:
        if name not in STAGE_NAMES:
            raise ValueError(
                f"order must be one of {', '.join(ORDERS)} or stages out of {', '.join(STAGE_NAMES)}; got {name!r}"
            )
    if len(set(names)) != len(names):
        raise ValueError(f"order names a stage twice: {', '.join(names)}")
    return names


PRESETS: dict[str, SamplingParams] = {
    "neutral": SamplingParams(),
    "greedy": SamplingParams(temperature=0.0),
    "precise": SamplingParams(temperature=0.4, top_p=0.9),
    "story": SamplingParams(temperature=0.8, top_p=0.95),
    "creative": SamplingParams(temperature=1.1, min_p=0.05),
}
