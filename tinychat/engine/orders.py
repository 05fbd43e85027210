"""The stages of a sampler by name, and the orders they are known in.

All orders hold all stages: one that a peer lacks stands where ours has it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tinychat.engine.knobs import KNOBS

_FIRST = ("think_budget", "guidance", "contrastive", "dola")
_CONSTRAINTS = ("grammar", "allowed", "bad_words", "min_tokens", "no_repeat_ngram", "encoder_no_repeat_ngram")
_PENALTIES = ("logit_bias", "sequence_bias", "repetition", "encoder_repetition", "frequency", "presence", "dry",
              "end_decay")  # fmt: skip
_HEAD = (*_FIRST, *_CONSTRAINTS, *_PENALTIES, "top_n_sigma")
# a mark comes after all that shapes the law, and before what answers to the surprise of the law
_TAIL = ("epsilon", "eta", "tfs", "top_a", "top_h", "xtc", "watermark", "synthid", "mirostat", "adaptive_p")

ORDERS: dict[str, tuple[str, ...]] = {
    "default": (*_HEAD, "temperature", "quadratic", "top_k", "typical", "top_p", "min_p", *_TAIL),
    "hf": (
        *_FIRST, "grammar", "allowed", "sequence_bias", "logit_bias", "encoder_repetition", "repetition",
        "no_repeat_ngram", "encoder_no_repeat_ngram", "bad_words", "min_tokens", "end_decay", "frequency", "presence",
        "dry", "top_n_sigma", "temperature", "quadratic", "top_h", "top_k", "top_p", "min_p", "typical", "epsilon",
        "eta", "tfs", "top_a", "xtc", "watermark", "synthid", "mirostat", "adaptive_p",
    ),
    "llama.cpp": (
        *_HEAD, "top_k", "typical", "top_p", "min_p", "epsilon", "eta", "tfs", "top_a", "top_h", "xtc", "temperature",
        "quadratic", "watermark", "synthid", "mirostat", "adaptive_p",
    ),
    "vllm": (
        *_FIRST, "grammar", "allowed", "bad_words", "min_tokens", "no_repeat_ngram", "encoder_no_repeat_ngram",
        *_PENALTIES, "top_n_sigma", "temperature", "quadratic", "min_p", "top_k", "top_p", "typical", *_TAIL,
    ),
}  # fmt: skip
STAGE_NAMES: tuple[str, ...] = ORDERS["default"]

# a stage may also be called by the setting that switches it on: typical_p for typical
_STAGE_OF = {knob.name: knob.stage for knob in KNOBS if not knob.aux}


def checked_order(order: str | Iterable[str]) -> str | tuple[str, ...]:
    """A name of ORDERS, or the stages of a list or of a text with commas; ValueError for anything else."""
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
