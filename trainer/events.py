"""What happened in training: plain frozen records, made by the loop, read by the display, the log and the tests.

Nothing here knows torch, files or screens. Losses are in nats per token, times in seconds of the monotonic clock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The run is set up and the first step comes next."""

    name: str
    out: Path
    step: int  # 0, or the step that is gone on from
    steps: int
    parameters: int
    shape: str
    vocab_size: int
    context: int
    tokens_per_step: int
    micro_batches: int
    train_tokens: int
    valid_tokens: int
    device: str
    threads: int
    precision: str = ""  # number type of the forward pass, and why
    elapsed_s: float  # of the sittings before this one
    rate_scale: float = 1.0  # what the schedule's rates are multiplied by, when the rate was lowered by a key
    flops_per_token: float = 0.0  # of one token of training, forward and backward; 0: not known
    matrix_flops: float = 0.0  # a second, as a large matrix product was measured on this machine; 0: not measured
    planned_lr: tuple[float, ...] = ()  # the schedule's rates at even distances over the run


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Something that is no training step takes time: reading text, evaluating, saving."""

    what: str
    done: int
    total: int  # 0: nobody knows
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainStep:
    """One optimizer step is done; `step` counts from 1."""

    step: int
    loss: float  # mean over the trained tokens of the whole step, before its update
    smooth_loss: float  # debiased moving average
    bits_per_byte: float  # smoothed like the loss
    lr: float
    grad_norm: float  # before clipping
    tokens: int  # positions seen since the start of the run
    tokens_per_s: float
    epoch: float
    elapsed_s: float  # over all sittings
    eta_s: float
    memory_bytes: int
    text_share: float = 0.0  # of the time of recent steps: waiting for rows of text


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """Loss on the fixed held-out batches."""

    step: int
    loss: float
    bits_per_byte: float
    tokens: int
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What the model says now. `text` is raw model output: clean it before it is shown."""

    step: int
    prompt: str
    text: str
    temperature: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What the model would say next after a fixed text: its likeliest tokens, raw odds."""

    step: int
    prompt: str
    top: tuple[tuple[str, float], ...]  # (the token's label, probability), likeliest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A file that plays, durable on disk."""

    step: int
    path: Path
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something a person should know; training goes on. `about` names a state that can pass again."""

    step: int
    message: str
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eased:
    """What was warned of under this name has passed."""

    step: int
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A person holds the run after this step; time held counts for nothing."""

    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """The run goes on after a pause."""

    step: int
    seconds: float  # held


@dataclass(frozen=True, slots=True, kw_only=True)
class RateScaled:
    """From the next step on the rates are those of the schedule times `scale`. It is part of the checkpoint."""

    step: int
    scale: float
    lr: float  # of the next step


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The last event. `reason`: finished, already finished, time limit, asked, or the name of a signal."""

    step: int
    steps: int
    reason: str
    elapsed_s: float
    saved: Path | None  # the latest weights
    best: Path | None
    loss: float | None  # smoothed
    valid_loss: float | None  # the last evaluation
    best_loss: float | None
    tokens: int


Event = (
    Started
    | Progress
    | TrainStep
    | Evaluated
    | Sampled
    | Probed
    | Saved
    | Warned
    | Eased
    | Paused
    | Continued
    | RateScaled
    | Stopped
)


def as_record(event: Event) -> dict[str, Any]:
    """The event as one JSON object; `event` is its kind in lower case."""
    fields = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(event).items()}
    return {"event": type(event).__name__.lower(), **fields}


def from_record(record: object) -> Event | None:
    """The event that `as_record` made this of; None for anything else, as a torn or newer log holds it."""
    try:
        fields = dict(record)  # type: ignore[call-overload]  # what is no mapping raises
        kind = _KINDS[fields.pop("event")]
        for name in ("out", "path", "saved", "best"):
            if isinstance(fields.get(name), str):
                fields[name] = Path(fields[name])
        if "top" in fields:
            fields["top"] = tuple((str(text), float(share)) for text, share in fields["top"])
        if "planned_lr" in fields:
            fields["planned_lr"] = tuple(map(float, fields["planned_lr"]))
        event: Event = kind(**fields)
    except (KeyError, TypeError, ValueError):
        return None
    return event


_KINDS: dict[str, Any] = {kind.__name__.lower(): kind for kind in get_args(Event)}
