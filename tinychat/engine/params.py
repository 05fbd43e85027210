"""All settings of a sampler in one frozen record, checked.

`SamplingParams()` is neutral: the model's own distribution, temperature 1, nothing cut. Tastes live in presets.py.
What each setting is stands in knobs.py and lists.py. Nothing here touches a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tinychat.engine.knobs import GREEDY_BELOW, KNOB_BY_NAME, KNOBS, Knob, Value, plain_number
from tinychat.engine.lists import LISTS, ListSetting
from tinychat.engine.orders import ORDERS, STAGE_NAMES, checked_order

SEED_LIMIT = 1 << 64

_SWITCHES: dict[str, list[tuple[str, Any]]] = {}  # stage -> (setting, neutral value) of all that switch it on
_SETTINGS: tuple[Knob | ListSetting, ...] = (*KNOBS, *LISTS)
for _each in _SETTINGS:
    if not _each.aux:
        _SWITCHES.setdefault(_each.stage, []).append((_each.name, _each.neutral))


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """Every knob, every list, the order and the seed. Neutral as constructed; out-of-range values raise ValueError.

    `logit_bias` takes a mapping {id: bias} or pairs. `order` takes a name of ORDERS, a list of stage names (or of the
    settings they read), or the names joined by commas; a list may leave out stages, but not one that is switched on.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_window: int = 0
    penalty_scope: str = "all"
    encoder_repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    encoder_no_repeat_ngram: int = 0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_window: int = 0
    top_n_sigma: float = 0.0
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    tfs_z: float = 1.0
    top_a: float = 0.0
    top_h: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    smoothing_factor: float = 0.0
    smoothing_curve: float = 1.0
    temperature_mode: str = "fixed"
    dynatemp_range: float = 0.5
    dynatemp_exponent: float = 1.0
    edt_theta: float = 0.1
    adapt_temperature: float = 1.2
    kl_half_life: float = 1.0
    entropy_low: float = 0.5
    entropy_high: float = 3.0
    varentropy_split: float = 4.0
    mirostat: str = "off"
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    adaptive_target: float = 0.0
    adaptive_decay: float = 0.9
    min_tokens: int = 0
    end_decay: float = 1.0
    end_decay_start: int = 0
    guidance_scale: float = 1.0
    contrastive: str = "off"
    contrastive_alpha: float = 0.1
    contrastive_beta: float = 0.5
    amateur_temperature: float = 1.0
    dola: str = "off"
    think_budget: int = -1
    watermark: float = 0.0
    watermark_share: float = 0.25
    watermark_key: int = 15485863
    synthid_ngram: int = 5
    logit_bias: Mapping[int, float] | Iterable[tuple[int, float]] = ()
    sequence_bias: Iterable[tuple[Iterable[int], float]] = ()
    allowed_ids: Iterable[int] = ()
    banned_ids: Iterable[int] = ()
    bad_words: Iterable[Iterable[int]] = ()
    dry_breakers: Iterable[str] = ("\n", ":", '"', "*")
    regex: str = ""
    json_schema: str = ""
    negative_ids: Iterable[int] = ()
    synthid_keys: Iterable[int] = ()
    think_tags: Iterable[str] = ("<think>", "</think>")
    seed: int = 0
    order: str | Iterable[str] = "default"

    def __post_init__(self) -> None:
        for knob in KNOBS:
            object.__setattr__(self, knob.name, knob.check(getattr(self, knob.name)))
        for each in LISTS:
            object.__setattr__(self, each.name, each.check(each.name, getattr(self, each.name)))
        seed = plain_number(self.seed)
        if not isinstance(seed, int) or not 0 <= seed < SEED_LIMIT:
            raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, got {self.seed!r}")
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "order", checked_order(self.order))
        if self.regex and self.json_schema:
            raise ValueError("regex and json_schema are two grammars: a reply can follow only one")
        if self.entropy_low > self.entropy_high:
            raise ValueError(
                f"entropy_low must not be above entropy_high, got {self.entropy_low} and {self.entropy_high}"
            )
        if self.allowed_ids and not self.drawable(self.allowed_ids):
            raise ValueError("allowed_ids leaves no token to draw: every one of them is banned")
        missing = [name for name in STAGE_NAMES if self.is_on(name) and name not in self.stages]
        if missing:
            raise ValueError(f"order leaves out {missing[0]}, which is switched on; add it or switch it off")

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of all stages of the order, switched on or not."""
        return ORDERS[self.order] if isinstance(self.order, str) else tuple(self.order)

    @property
    def active(self) -> tuple[str, ...]:
        """The names of the stages that are switched on, in order."""
        on = {
            stage
            for stage, switches in _SWITCHES.items()
            for name, neutral in switches
            if getattr(self, name) != neutral
        }
        return tuple(stage for stage in self.stages if stage in on)

    @property
    def is_greedy(self) -> bool:
        """Whether the draw is no draw, at any position: the temperature cannot rise, and one token stays."""
        highest = self.temperature
        if self.temperature_mode == "dynamic":
            highest += self.dynatemp_range
        elif self.temperature_mode == "adapt":
            highest = max(highest, self.adapt_temperature)
        return highest <= GREEDY_BELOW

    @property
    def bias(self) -> tuple[tuple[int, float], ...]:
        """`logit_bias` as sorted (id, bias) pairs."""
        return tuple(self.logit_bias)  # type: ignore[arg-type]  # __post_init__ made it pairs

    def drawable(self, tokens: Iterable[int]) -> set[int]:
        """Those of the tokens that are allowed, and that nothing bans at every position."""
        found = set(tokens) & set(self.allowed_ids) if self.allowed_ids else set(tokens)
        banned = {*self.banned_ids, *(token for token, bias in self.bias if bias == -math.inf)}
        return found - banned - {next(iter(word)) for word in self.bad_words if len(tuple(word)) == 1}

    def is_on(self, stage: str) -> bool:
        """Whether the stage changes anything."""
        for name, neutral in _SWITCHES[stage]:  # noqa: SIM110  # several times a token, and twice as fast as any()
            if getattr(self, name) != neutral:
                return True
        return False

    def is_used(self, name: str) -> bool:
        """Whether this knob or list can have an effect as things are: its own stage is on, and its mode chosen."""
        if name in MODE_OF:
            return self.temperature_mode == MODE_OF[name]
        if name in ("penalty_window", "penalty_scope"):
            return any(self.is_on(stage) for stage in ("repetition", "frequency", "presence"))
        if name == "contrastive_alpha":
            return self.contrastive != "off" or self.dola != "off"
        if name == "contrastive_beta":
            return self.contrastive == "scaled"
        if name == "amateur_temperature":
            return self.contrastive == "difference"
        return self.is_on(_STAGE[name])

    def with_(self, **changes: Any) -> SamplingParams:
        """A copy with other values, checked."""
        return replace(self, **changes)

    def nudge(self, name: str, steps: int, *, coarse: bool = False) -> SamplingParams:
        """A copy with the knob moved by whole steps, kept inside its limits; a choice moves along its list."""
        knob = KNOB_BY_NAME[name]
        value: Value = getattr(self, name)
        if knob.choices:
            return self.with_(**{name: knob.at(knob.place(value) + steps)})
        number = float(value)
        if knob.start is not None and number == knob.neutral and steps * (knob.start - knob.neutral) > 0:
            moved = knob.start
        else:
            size = knob.coarse if coarse else knob.step
            # on the grid of the step, so that 0.1 + 0.05 twenty times is still a round number
            moved = round((number + steps * size) / knob.step) * knob.step
            # the slider's span limits a nudge, but a value typed beyond it must not jump back against the nudge
            moved = round(min(max(moved, min(number, knob.shown[0])), max(number, knob.shown[1])), 6)
        return self.with_(**{name: int(moved) if knob.whole else moved})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for each in LISTS:
            values[each.name] = _plain(values[each.name])
        values["order"] = self.order if isinstance(self.order, str) else list(self.order)
        return values

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> SamplingParams:
        """The inverse of to_dict; unknown names and bad values raise ValueError."""
        unknown = sorted(set(raw) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown sampling setting {unknown[0]!r}")
        return cls(**raw)


_STAGE = {each.name: each.stage for each in _SETTINGS}
# settings that only one way of moving the temperature reads
MODE_OF = {
    "dynatemp_range": "dynamic", "dynatemp_exponent": "dynamic", "edt_theta": "edt", "adapt_temperature": "adapt",
    "kl_half_life": "kl", "entropy_low": "entropy", "entropy_high": "entropy", "varentropy_split": "entropy",
}  # fmt: skip


def _plain(value: Any) -> Any:
    """Tuples as lists, and minus infinity as text: JSON has neither."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return "-inf" if value == -math.inf else value
