"""The stages of a sampler in groups that a person knows, for help and for lists to pick from."""

from __future__ import annotations

from tinychat.engine.orders import STAGE_NAMES

_OTHERS = "Cuts"
THEMES: dict[str, tuple[str, ...]] = {
    "Temperature": ("temperature", "quadratic"),
    _OTHERS: (),  # whatever stage stands in no other group
    "Steering": ("mirostat", "adaptive_p"),
    "Penalties": ("repetition", "frequency", "presence", "dry", "encoder_repetition", "end_decay"),
    "Biases and bans": (
        "logit_bias", "sequence_bias", "allowed", "bad_words", "min_tokens", "no_repeat_ngram",
        "encoder_no_repeat_ngram",
    ),
    "Grammar": ("grammar",),
    "Guidance": ("guidance", "contrastive", "dola"),
}  # fmt: skip

_OF = {stage: theme for theme, stages in THEMES.items() for stage in stages}
THEME_OF: dict[str, str] = {stage: _OF.get(stage, _OTHERS) for stage in STAGE_NAMES}
