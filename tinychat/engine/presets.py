"""Tastes by name: where the knobs start."""

from __future__ import annotations

from tinychat.engine.params import SamplingParams

PRESETS: dict[str, SamplingParams] = {
    "neutral": SamplingParams(),
    "greedy": SamplingParams(temperature=0.0),
    "precise": SamplingParams(temperature=0.4, top_p=0.9),
    "story": SamplingParams(temperature=0.8, top_p=0.95),
    "creative": SamplingParams(temperature=1.1, min_p=0.05),
}
