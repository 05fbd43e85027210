"""Weights that a run starts from when they are those of another checkpoint. Nothing here knows steps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tinychat.errors import FileFormatError
from tinychat.model import transformer
from tinychat.model.checkpoint import CheckpointInfo
from tinychat.model.transformer import Transformer


def weights_of(info: CheckpointInfo) -> dict[str, Tensor]:
    """In float32. Raises what reading a checkpoint raises, FileFormatError when `info` is not of this file any more."""
    model, read = transformer.load(info.path, dtype=torch.float32)
    if read.digest != info.digest:
        raise FileFormatError(f"{info.path}: changed while it was read.", "Start again.")
    return model.state_dict()


def adopt(model: Transformer, weights: Mapping[str, Tensor]) -> None:
    """Weights of another network of this shape; tokens that it did not know begin as the mean of all others.

    FileFormatError when it has another shape.
    """
    tensors = dict(weights)
    for name in ("embedding.weight", "head.weight"):
        new = model.config.vocab_size - len(tensors[name]) if name in tensors else 0
        if new > 0:
            mean = tensors[name].mean(dim=0, keepdim=True)
            tensors[name] = torch.cat((tensors[name], mean.expand(new, -1)))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise FileFormatError(f"The checkpoint of train.from does not fit the model: {error}.") from error
