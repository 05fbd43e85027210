"""One model on many processes: whole copies whose gradients are summed, or parts of it on each.

Copies are torch's DistributedDataParallel (Li et al. 2020); above a size weights, gradients and moments are sharded
(fully_shard; Zhao et al. 2023). Files always hold whole tensors, so any number of processes can go on with them.
Nothing here knows losses or files.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor, nn

from trainer.distributed import Ranks, peers

SHARDED_ABOVE = 1_000_000_000  # parameters: below, a whole copy on every device is faster


class Spread:
    """One model on all processes: `forward` is what training calls, `model` holds the parameters by their names."""

    def __init__(self, model: nn.Module, ranks: Ranks, *, shard: str, blocks: Sequence[nn.Module]) -> None:
        """Shards `model` in place, or wraps it. `shard` as in the config; sharded `blocks` are gathered one by one."""
        self.model, self.ranks = model, ranks
        self.forward: nn.Module = model
        size = sum(parameter.numel() for parameter in model.parameters())
        self.sharded = not ranks.alone and (shard == "fsdp" or (shard == "auto" and size >= SHARDED_ABOVE))
        if ranks.alone:
            return
        with peers():
            if self.sharded:
                from torch.distributed.device_mesh import init_device_mesh
                from torch.distributed.fsdp import fully_shard

                mesh = init_device_mesh(next(model.parameters()).device.type, (ranks.world,))
                for block in (*blocks, model):
                    fully_shard(block, mesh=mesh)
            else:
                from torch.nn.parallel import DistributedDataParallel

                # rotary tables are the same everywhere; newer torch has another name for this, and says so
                warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
                self.forward = DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)
                # its reducer must not be the last to hold the group: it would close it holding Python's lock, and wait
                # for threads of the group that need that lock
                ranks.at_end(vars(self.forward).clear)

    def exchanging(self, last: bool) -> AbstractContextManager[None]:
        """Around a micro-batch: gradients are summed over the processes in the `last` one of a step only."""
        if self.sharded:
            model: Any = self.model  # fully_shard gives it these methods
            model.set_requires_gradient_sync(last)
        elif not last and not self.ranks.alone:
            copy: Any = self.forward
            quiet: AbstractContextManager[None] = copy.no_sync()
            return quiet
        return nullcontext()


def whole(tensor: Tensor) -> Tensor:
    """The tensor, put together where it is sharded: all processes call this together then."""
    if not is_sharded(tensor):
        return tensor
    with peers():
        found: Tensor = tensor.full_tensor()  # type: ignore[attr-defined]  # a DTensor
    return found


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of it."""
    if not is_sharded(tensor):
        return tensor
    part: Tensor = tensor.to_local()  # type: ignore[attr-defined]  # a DTensor
    return part


def sharded_as(tensor: Tensor, pattern: Tensor) -> Tensor:
    """A whole tensor, which all processes have, cut like `pattern` and where that lies."""
    tensor = tensor.detach().to(pattern.device)
    if not is_sharded(pattern):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    like: Any = pattern
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def is_sharded(tensor: Tensor) -> bool:
    """Whether the tensor is in parts on several processes."""
    # not isinstance: importing the class takes two seconds, and who trains alone has none
    return hasattr(tensor, "device_mesh")
