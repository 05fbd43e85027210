"""What an engine runs on and with, as plain values: device, number type, threads, helper models, speculation.

The same record serves the command line, the wire and the worker. Torch comes with `open_engine` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinychat.engine.engine import Engine


# option of the command line -> field of speculate.Speculation
SPECULATION_FIELDS = {
    "speculate": "kind", "draft_length": "length", "ngram": "ngram", "exit_layer": "layer", "verify": "verify",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Paths are text. `threads` None chooses by the size of the model; `dtype` None is the engine's default."""

    device: str = "auto"
    dtype: str | None = None
    step: str | None = None  # what decodes on the CPU: auto, native or eager; None is the engine's choice
    threads: int | None = None
    amateur: str | None = None  # a checkpoint, for contrastive decoding
    draft: str | None = None  # a checkpoint, for speculation
    speculation: Mapping[str, Any] | None = None  # fields of speculate.Speculation; None draws one token a pass

    def flags(self) -> list[str]:
        """What may change tokens, as words of a command line: not the threads."""
        values = {name: getattr(self, name) for name in ("device", "dtype", "step", "amateur", "draft")}
        if self.speculation is not None:
            plan = {"kind": "lookup", **self.speculation}
            values |= {name: plan[field] for name, field in SPECULATION_FIELDS.items() if field in plan}
        given = {name: value for name, value in values.items() if value not in (None, "auto")}
        return [word for name, value in given.items() for word in ("--" + name.replace("_", "-"), str(value))]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"speculation": None if self.speculation is None else dict(self.speculation)}


def open_engine(
    path: Path | str, machine: Machine, *, end_ids: Iterable[int], spare_cores: int = 0, record: int = 64
) -> Engine:
    """The engine of a checkpoint on this machine; raises what Engine.open raises, ValueError for a bad speculation."""
    from tinychat.engine.engine import Engine
    from tinychat.engine.speculate import Speculation

    plan = None if machine.speculation is None else Speculation(**machine.speculation)
    engine = Engine.open(
        path,
        device=machine.device,
        dtype=machine.dtype,
        step=machine.step,
        threads=machine.threads,
        spare_cores=spare_cores,
        end_ids=end_ids,
        amateur=machine.amateur,
        draft=machine.draft,
        record=record,
    )
    engine.speculation = plan
    return engine
