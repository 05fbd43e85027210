"""The bytes that one decoding step has to read, and how long the memory needs for them: the floor of a step.

A step multiplies every matrix with one vector a lane and looks at every cached key and value. A table that is only
looked up (an untied embedding, learned positions) costs one row and is not counted. Plain numbers: no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinychat.model.config import ModelConfig

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes of one step of all lanes."""

    weights: int  # read once, however many lanes
    cache: int

    @property
    def total(self) -> int:
        return self.weights + self.cache

    def floor_s(self, bytes_per_s: float) -> float:
        """Seconds a step takes at least where memory gives so many bytes a second."""
        return self.total / bytes_per_s


def weight_bytes(config: ModelConfig, dtype: str) -> int:
    """Bytes of all weights that a step reads; in int8 one float32 scale a matrix row, and vectors in float32."""
    rows = _matrix_rows(config)
    in_matrices = sum(count * width for count, width in rows)
    parts = config.parameters()
    read = sum(parts[name] for name in ("attention", "feed_forward", "norms"))
    read += parts["embedding"] if config.tie else parts["head"]
    if dtype == "int8":
        return in_matrices + 4 * sum(count for count, _ in rows) + 4 * (read - in_matrices)
    return read * BYTES[dtype]


def cache_bytes(config: ModelConfig, *, length: float, lanes: int, bytes_per_value: int) -> int:
    """Bytes of the keys and values of `length` positions in every lane."""
    return round(length * lanes * config.cache_bytes_per_token(bytes_per_value))


def step_traffic(config: ModelConfig, *, dtype: str, cache_value: int, prompt: int, tokens: int, lanes: int) -> Traffic:
    """The mean step of a generation of `tokens` after a prompt; `cache_value` is the bytes of one cached number."""
    length = prompt + tokens / 2
    return Traffic(
        weights=weight_bytes(config, dtype),
        cache=cache_bytes(config, length=length, lanes=lanes, bytes_per_value=cache_value),
    )


def _matrix_rows(config: ModelConfig) -> list[tuple[int, int]]:
    """(rows, columns) of every matrix a step multiplies with."""
    d, f = config.width, config.n_hidden
    ups = 2 if config.activation == "swiglu" else 1
    qkv = (config.heads + 2 * config.n_kv_heads) * config.head_width
    layer = [(qkv, d), (d, d), (ups * f, d), (d, f)]
    return [*layer * config.layers, (config.vocab_size, d)]
