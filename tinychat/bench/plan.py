"""What is to be measured, as plain records: the door's request, and the job of one worker process.

Nothing here knows torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.model.config import ModelConfig

RECORDED = {"off": 0, "top20": 20, "full": 64}  # --observe: how many candidates every step records
PEERS = {"hf": ("hf dynamic", "hf static+compile"), "llama.cpp": ("llama.cpp",)}
NEEDS = {"hf": ("transformers",), "llama.cpp": ("llama-cpp-python", "gguf")}  # what each is installed by
OURS = "tinychat"

# what a person may well have on at once; no top-k, which would leave the truncations after it little to do
FULL_CHAIN = SamplingParams(
    temperature=0.8, repetition_penalty=1.1, frequency_penalty=0.1, presence_penalty=0.1, no_repeat_ngram=4,
    dry_multiplier=0.8, dry_breakers=(), top_n_sigma=3.0, typical_p=0.98, top_p=0.95, min_p=0.02, xtc_probability=0.3,
)  # fmt: skip
GREEDY = PRESETS["greedy"]

# what one generation runs: as asked for, and what the costs are differences of. Nothing is recorded by the pass with an
# argmax and by the engine without candidates; all is by the engine with them; the last has the full chain as well
ASKED, FORWARD, OFF, RECORD, CHAIN = "asked", "forward", "off", "record", "chain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the person asked `tinychat bench` for."""

    params: SamplingParams
    model: Path | None = None  # a checkpoint; else the shapes
    shapes: tuple[str, ...] = ()
    lanes: tuple[int, ...] = (1,)
    device: str = "auto"
    dtype: str = "float32"
    step: str | None = None
    threads: int | None = None
    prompt: int = 32
    tokens: int = 128
    rounds: int = 7
    observe: str = "full"
    peers: tuple[str, ...] = ()
    kl: str | None = None  # a text file, or "own"
    json: bool = False
    quick: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one fresh process measures."""

    kind: str  # OURS, one of the PEERS, "floor" or "kl"
    device: str
    dtype: str
    config: Mapping[str, Any]  # of a ModelConfig
    threads: int | None = None  # None: chosen by the size of the network
    path: str | None = None  # its checkpoint; else random weights
    lanes: int = 1
    prompt: int = 32
    tokens: int = 128
    record: int = 64
    step: str | None = None  # as Engine.open takes it
    settings: Mapping[str, Any] | None = None  # of a SamplingParams
    warmups: int = 10
    text: tuple[int, ...] = ()  # of "kl": the ids to score; none: what the model writes itself

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Job:
        return cls(**{**raw, "text": tuple(raw["text"])})

    @property
    def params(self) -> SamplingParams:
        return GREEDY if self.settings is None else SamplingParams.from_dict(dict(self.settings))

    @property
    def model_config(self) -> ModelConfig:
        return ModelConfig.from_dict(dict(self.config))
