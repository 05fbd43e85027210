"""From checkpoint files to the networks an engine works with: the model, and helpers of the same family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from tinychat.engine.quantise import to_int8
from tinychat.engine.runner import INT8, choose_dtype
from tinychat.errors import UsageError
from tinychat.model.checkpoint import CheckpointInfo
from tinychat.model.transformer import Transformer, load


def load_family(
    path: Path, helpers: Mapping[str, Path | str | None], *, device: torch.device, dtype: str | None
) -> tuple[Transformer, CheckpointInfo, dict[str, Transformer]]:
    """The model of `path` with what its file says, and by name the helpers that have a path.

    All in one number type; in int8 all are rounded. Raises what `load` raises, and UsageError for a helper with
    another tokenizer.
    """
    kind = choose_dtype(dtype)
    model, info = load(path, device=device, dtype=kind)
    found = {}
    for name, each in helpers.items():
        if each is not None:
            found[name], other = load(Path(each), device=device, dtype=kind)
            if other.tokenizer_digest != info.tokenizer_digest:
                what = f"{each} has another tokenizer than {path}."
                raise UsageError(what, f"Take a model of the same family as {name}.")
    if dtype == INT8:
        for network in (model, *found.values()):
            to_int8(network)
    return model, info, found
