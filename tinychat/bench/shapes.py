"""Networks to measure without a file: the sizes that other engines publish figures for, with random weights.

15m and 110m are llama2.c's stories models, 1b is Llama-3.2-1B and 8b is Llama-3.1-8B; `-128k` gives a small body the
vocabulary of the large ones, where sampling weighs most. Plain numbers: no torch.
"""

from __future__ import annotations

from dataclasses import replace

from tinychat.errors import UsageError
from tinychat.model.config import ModelConfig

LARGE_VOCABULARY = 128_256  # Llama 3's

_15M = ModelConfig(vocab_size=32_000, context=256, width=288, layers=6, heads=6, hidden=768)
_110M = ModelConfig(vocab_size=32_000, context=1024, width=768, layers=12, heads=12, hidden=2048)

SHAPES: dict[str, ModelConfig] = {
    "15m": _15M,
    "110m": _110M,
    # 131,072 positions in the original: a shorter table of angles costs and changes nothing at the lengths measured
    "1b": ModelConfig(
        vocab_size=LARGE_VOCABULARY, context=8192, width=2048, layers=16, heads=32, kv_heads=8, hidden=8192,
        rope_theta=500_000.0,
    ),
    "8b": ModelConfig(
        vocab_size=LARGE_VOCABULARY, context=8192, width=4096, layers=32, heads=32, kv_heads=8, hidden=14_336,
        rope_theta=500_000.0, tie=False,
    ),
    "15m-128k": replace(_15M, vocab_size=LARGE_VOCABULARY),
    "110m-128k": replace(_110M, vocab_size=LARGE_VOCABULARY),
}  # fmt: skip


def shape_names(text: str) -> tuple[str, ...]:
    """`15m,110m` as names of SHAPES."""
    names = tuple(part.strip().lower() for part in text.split(","))
    for name in names:
        if name not in SHAPES:
            raise UsageError(f"There is no shape {name!r}.", f"Choose from {', '.join(SHAPES)}.")
    return names


def lane_counts(text: str) -> tuple[int, ...]:
    """`1,4,16` as numbers of lanes."""
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1 or max(counts) > 1024:
        raise UsageError(f"--lanes {text!r} is no list of whole numbers from 1 to 1024.", "For example:  --lanes 1,4")
    return counts
