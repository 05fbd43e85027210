"""The shape of a network: what both families of the field need, and what it costs.

Plain numbers: no torch, no text.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tinychat.errors import FileFormatError

Norm = Literal["rms", "layer"]
Position = Literal["rotary", "learned"]
Activation = Literal["swiglu", "gelu", "gelu_tanh", "relu2"]

NORMS: tuple[Norm, ...] = ("rms", "layer")
POSITIONS: tuple[Position, ...] = ("rotary", "learned")
ACTIVATIONS: tuple[Activation, ...] = ("swiglu", "gelu", "gelu_tanh", "relu2")

MAX_CONTEXT = 2**17  # rotary tables and caches grow with it, so a small file must not ask for any number


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer. `width` is split over `heads`; `kv_heads` of them are shared (GQA)."""

    vocab_size: int
    context: int = 256
    width: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int | None = None  # None: as many as heads
    hidden: int | None = None  # None: 4 x width, or 8/3 x width in SwiGLU, rounded up to 16
    norm: Norm = "rms"
    norm_eps: float = 1e-5
    position: Position = "rotary"
    rope_theta: float = 10_000.0
    activation: Activation = "swiglu"
    bias: bool = False
    tie: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ValueError("; ".join(problems))

    def problems(self) -> list[str]:
        """Every reason why this is no network; empty when it is one."""
        found = []
        for name in ("vocab_size", "context", "width", "layers", "heads"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                found.append(f"{name} must be a whole number of at least 1, got {value!r}")
        if found:
            return found
        if self.width % self.heads:
            found.append(f"width {self.width} does not divide by {self.heads} heads")
        elif self.position == "rotary" and self.head_width % 2:
            found.append(f"rotary positions need an even head width, got {self.head_width} (width / heads)")
        if self.kv_heads is not None and (self.kv_heads < 1 or self.heads % self.kv_heads):
            found.append(f"heads {self.heads} do not divide by kv_heads {self.kv_heads}")
        if self.hidden is not None and self.hidden < 1:
            found.append(f"hidden must be at least 1, got {self.hidden}")
        for name, value, allowed in (
            ("norm", self.norm, NORMS),
            ("position", self.position, POSITIONS),
            ("activation", self.activation, ACTIVATIONS),
        ):
            if value not in allowed:
                found.append(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        if not 0.0 <= self.dropout < 1.0:
            found.append(f"dropout must be in [0, 1), got {self.dropout}")
        if not (0 < self.rope_theta < math.inf and 0 < self.norm_eps < math.inf):
            found.append("rope_theta and norm_eps must be finite and above 0")
        if self.context > MAX_CONTEXT:
            found.append(f"context must be at most {MAX_CONTEXT}, got {self.context}")
        return found

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def n_kv_heads(self) -> int:
        return self.kv_heads or self.heads

    @property
    def n_hidden(self) -> int:
        if self.hidden is not None:
            return self.hidden
        wanted = self.width * 8 // 3 if self.activation == "swiglu" else self.width * 4
        return -(-wanted // 16) * 16

    def parameters(self) -> dict[str, int]:
        """Parameter counts by part: embedding, positions, attention, feed_forward, norms, head."""
        d, kv, f, b = self.width, self.n_kv_heads * self.head_width, self.n_hidden, int(self.bias)
        norm = d * (2 if self.norm == "layer" and self.bias else 1)
        attention = d * (d + 2 * kv) + b * (d + 2 * kv) + d * d + b * d
        ups = 2 if self.activation == "swiglu" else 1
        feed_forward = ups * (d * f + b * f) + f * d + b * d
        return {
            "embedding": self.vocab_size * d,
            "positions": self.context * d if self.position == "learned" else 0,
            "attention": self.layers * attention,
            "feed_forward": self.layers * feed_forward,
            "norms": (2 * self.layers + 1) * norm,
            "head": 0 if self.tie else self.vocab_size * d,
        }

    def n_parameters(self) -> int:
        return sum(self.parameters().values())

    def cache_bytes_per_token(self, bytes_per_value: int = 4) -> int:
        """Keys and values of one position, all layers."""
        return 2 * self.layers * self.n_kv_heads * self.head_width * bytes_per_value

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: object, *, origin: str = "config") -> ModelConfig:
        """A config from a file's JSON; unknown, missing or wrongly typed fields raise FileFormatError."""
        if not isinstance(raw, dict):
            raise FileFormatError(f"{origin}: the model config is no object.")
        known = cls.__dataclass_fields__
        unknown = sorted(set(map(str, raw)) - set(known))
        if unknown:
            raise FileFormatError(
                f"{origin}: unknown model field {unknown[0]!r}.", "The file may be of a newer tinychat."
            )
        for name, value in raw.items():
            if not _type_fits(str(known[name].type), value):
                raise FileFormatError(f"{origin}: model field {name} has a wrong type ({type(value).__name__}).")
        try:
            return cls(**raw)
        except (TypeError, ValueError) as error:
            raise FileFormatError(f"{origin}: {error}.") from error


def _type_fits(annotation: str, value: object) -> bool:
    if annotation == "bool":
        return isinstance(value, bool)
    if annotation == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation == "int | None":
        return value is None or (isinstance(value, int) and not isinstance(value, bool))
    return isinstance(value, str)


PRESETS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gpt2": {
        "norm": "layer",
        "position": "learned",
        "activation": "gelu_tanh",
        "bias": True,
        "tie": True,
    },
}
