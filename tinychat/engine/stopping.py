"""When a reply is over before the model ends it: rules with names, over what was drawn.

Pure functions of the steps of one reply and its age. End ids and the context's size are the engine's, stop strings
those of text/stream.py. Nothing here draws, waits or reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from tinychat.engine.knobs import plain_number
from tinychat.engine.trace import Step

Reason = Literal["repetition", "confidence", "length", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """Each rule is off at None or 0; ValueError, naming the rule, for values that make no sense."""

    max_tokens: int | None = None  # "length": the reply has this many tokens
    max_seconds: float | None = None  # "time": it has run this long
    repeat_ngram: int = 0  # "repetition": a pattern of at most this many tokens ...
    repeat_times: int = 0  # ... stands this many times in a row at the end
    min_confidence: float = 0.0  # "confidence": the mean raw probability of the last tokens drawn is below this
    confidence_window: int = 8  # how many: one unlikely word is style, a run of them is noise

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            _whole("max_tokens", self.max_tokens, 1)
        if self.max_seconds is not None and not _number("max_seconds", self.max_seconds) > 0:
            raise ValueError(f"max_seconds must be above 0, got {self.max_seconds}")
        _whole("repeat_ngram", self.repeat_ngram, 0)
        _whole("repeat_times", self.repeat_times, 0)
        if (self.repeat_ngram == 0) != (self.repeat_times == 0):
            raise ValueError(
                "repeat_ngram and repeat_times go together: both 0 or neither, got "
                f"{self.repeat_ngram} and {self.repeat_times}"
            )
        if self.repeat_times == 1:
            raise ValueError("repeat_times must be at least 2: anything stands there once")
        if not 0 <= _number("min_confidence", self.min_confidence) <= 1:
            raise ValueError(f"min_confidence must be between 0 and 1, got {self.min_confidence}")
        _whole("confidence_window", self.confidence_window, 1)

    @property
    def is_on(self) -> bool:
        """Whether any rule can end a reply."""
        return bool(self.max_tokens or self.max_seconds or self.repeat_ngram or self.min_confidence)

    def reason(self, steps: Sequence[Step], elapsed_s: float) -> Reason | None:
        """The rule that ends a reply of these steps after so many seconds; None while it may go on.

        Asked after every token. Where several rules agree, what went wrong is named before what ran out.
        """
        if self.repeat_ngram:
            reach = self.repeat_ngram * self.repeat_times
            if repeats([step.token for step in steps[-reach:]], self.repeat_ngram, self.repeat_times):
                return "repetition"
        if self.min_confidence and confidence(steps, self.confidence_window) < self.min_confidence:
            return "confidence"
        if self.max_tokens is not None and len(steps) >= self.max_tokens:
            return "length"
        if self.max_seconds is not None and elapsed_s >= self.max_seconds:
            return "time"
        return None


def repeats(ids: Sequence[int], ngram: int, times: int) -> bool:
    """Whether the ids end in a pattern of 1 to `ngram` of them that stands there `times` times in a row (vLLM)."""
    for size in range(1, ngram + 1):
        reach = size * times
        if reach > len(ids):
            return False
        tail = ids[len(ids) - reach :]
        if tail[size:] == tail[:-size]:  # a period of `size` all along
            return True
    return False


def confidence(steps: Sequence[Step], window: int) -> float:
    """Mean raw probability of the last `window` tokens that were drawn; infinite while fewer have been.

    Tokens that a person forced say nothing about the model's confidence and do not count.
    """
    drawn: Iterable[float] = (step.raw for step in reversed(steps) if not step.forced)
    last = list(islice(drawn, window))
    return sum(last) / window if len(last) == window else math.inf


def _whole(name: str, value: object, least: int) -> None:
    number = plain_number(value)
    if not isinstance(number, int) or number < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def _number(name: str, value: object) -> float:
    number = plain_number(value)
    if number is None or not math.isfinite(number):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return float(number)
