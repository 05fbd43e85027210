"""The network while it learns: one optimizer step at a time, and its whole state as arrays.

A step either updates the weights with finite numbers or raises before it touches them. Nothing here knows files,
clocks or when to evaluate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tinychat.errors import FileFormatError, NumbersError
from tinychat.model.transformer import Transformer, to_arrays
from trainer.batches import Batches, scramble
from trainer.config import TrainConfig
from trainer.distributed import Ranks
from trainer.loss import IGNORED, loss_sum
from trainer.optim import broken_gradients, clip_gradients, make_optimizer
from trainer.sharding import Spread, own_part, sharded_as, whole

MOMENTS = ("exp_avg", "exp_avg_sq")

Arrays = dict[str, npt.NDArray[np.generic]]


def lower_rate(config: TrainConfig) -> str:
    """What to do about numbers that are not finite."""
    return (
        "No checkpoint holds such numbers. Go on from the last one with a lower rate, as in"
        f"  --resume --set train.lr={config.train.lr / 4:.1e}"
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """What one step saw; loss and norm are of before its update."""

    nats: float
    trained: int  # tokens with a target
    seen: int  # positions
    text_bytes: int
    grad_norm: float

    @property
    def loss(self) -> float:
        return self.nats / max(1, self.trained)


class Learner:
    """Model, optimizer and data order of a run; everything drawn comes from `config.train.seed`.

    With several processes each computes its own rows of every step. What says "together" below is called by all.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Transformer,
        batches: Batches,
        byte_lengths: npt.NDArray[np.int32],
        device: torch.device,
        ranks: Ranks | None = None,
    ) -> None:
        self.config = config
        self.ranks = ranks or Ranks()
        self.micro_rows = config.micro_rows_of(self.ranks.world)
        self.batches = batches
        self.byte_lengths = byte_lengths
        self.device = device
        self.model = model.to(device).train()
        self.spread = Spread(self.model, self.ranks, shard=config.train.shard, blocks=list(self.model.blocks))
        train = config.train
        self.optimizer = make_optimizer(
            self.model,
            kind=train.optimizer,
            lr=train.lr,
            betas=train.betas,
            eps=train.eps,
            weight_decay=train.weight_decay,
        )

    @staticmethod
    def fresh(
        config: TrainConfig,
        *,
        batches: Batches,
        vocab_size: int,
        byte_lengths: npt.NDArray[np.int32],
        device: torch.device,
        ranks: Ranks | None = None,
    ) -> Learner:
        """New weights. They draw from the seed and from nothing that ran before."""
        model = Transformer(config.model.network(vocab_size))
        model.init_weights(torch.Generator().manual_seed(config.train.seed))
        return Learner(config, model, batches, byte_lengths, device, ranks)

    def step(self, index: int, lr: float) -> Taken:
        """Update `index` (from 0) at rate `lr`, together.

        NumbersError before the update when loss or gradient are not finite.
        """
        taken = self.gradients(index)
        if not (math.isfinite(taken.nats) and math.isfinite(taken.grad_norm)):
            broken = self._broken(taken)
            self.optimizer.zero_grad(set_to_none=True)
            raise NumbersError(f"Step {index + 1}: {broken}.", lower_rate(self.config))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return taken

    def gradients(self, index: int) -> Taken:
        """Gradients of the mean loss over the trained tokens of the whole step, clipped; no update. Together."""
        ranks, size = self.ranks, self.micro_rows
        part = self.config.rows_per_step // ranks.world
        x, y, documents = self.batches.batch(index, range(ranks.rank * part, (ranks.rank + 1) * part))
        text_bytes = int(self.byte_lengths[y[y != IGNORED]].sum())
        trained, text_bytes = map(int, ranks.sum([int((y != IGNORED).sum()), text_bytes]))
        first = ranks.rank * part // size  # of this process's micro-batches, among those of the step
        nats = [0.0] * (ranks.world * part // size)
        for start in range(0, part, size):
            micro = first + start // size
            # dropout is a function of (seed, step, micro-batch): no process, stop or look at the model can change it
            torch.manual_seed(scramble(scramble(scramble(self.config.train.seed) + index) + micro) >> 1)
            rows = slice(start, start + size)
            ids, targets = torch.from_numpy(x[rows]).to(self.device), torch.from_numpy(y[rows]).to(self.device)
            apart = None if documents is None else torch.from_numpy(documents[rows]).to(self.device)
            with self.spread.exchanging(last=start + size >= part):
                with self._precision():
                    logits = self.spread.forward(ids, documents=apart)
                loss, _ = loss_sum(logits, targets)
                mean = loss / max(1, trained)
                if not ranks.alone:
                    mean = mean * ranks.world  # torch takes the mean over the processes, where we want the sum
                mean.backward()  # type: ignore[no-untyped-call]  # torch's own signature
            nats[micro] = float(loss.detach())
        norm = clip_gradients(self.model.parameters(), self.config.train.clip)
        # micro-batches are added up in the same order, whoever computed them
        return Taken(sum(ranks.sum(nats)), trained, x.size * ranks.world, text_bytes, norm)

    def _broken(self, taken: Taken) -> str:
        if not math.isfinite(taken.nats):
            return f"the loss is {taken.nats}"
        name = next(broken_gradients(self.model), None)
        # finite gradients can have a norm beyond float32
        return f"the gradient's norm is {taken.grad_norm}" if name is None else f"the gradient of {name} is not finite"

    def forget_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def weights(self) -> Arrays:
        """Whole, by name; on the first process only. Together."""
        arrays: Arrays = {}
        for name, tensor in self.model.state_dict().items():
            one = whole(tensor)
            if self.ranks.first:  # one by one: what is sharded may not fit anywhere in one piece
                arrays.update(to_arrays({name: one}))
        return arrays

    def state(self) -> Arrays:
        """Moments and step counts by parameter name, whole; on the first process only. Together."""
        arrays: Arrays = {}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                one = whole(value.detach())
                if self.ranks.first:
                    arrays[f"{key}/{name}"] = one.cpu().numpy().reshape(one.shape or (1,))
        return arrays

    def broken_weight(self) -> str | None:
        """The name of a parameter that is not finite any more. Together."""
        found = None
        for name, parameter in self.model.named_parameters():
            if not bool(torch.isfinite(own_part(parameter)).all()):
                found = found or name
        if self.ranks.max([float(found is not None)])[0]:
            return found or "a weight of another process"
        return None

    def plain_model(self) -> Transformer | None:
        """The network in one piece, for looking at it; only the first process has one. Together."""
        if not self.spread.sharded:
            return self.model if self.ranks.first else None
        tensors = {name: whole(tensor) for name, tensor in self.model.state_dict().items()}
        if not self.ranks.first:
            return None
        copy = Transformer(self.model.config).to(self.device)
        copy.load_state_dict(tensors)
        return copy

    def restore(self, weights: Mapping[str, npt.NDArray[np.generic]], state: Arrays) -> None:
        """Become what `weights` and `state` were taken of. FileFormatError when they are not of this model."""
        try:
            own = self.model.state_dict()
            tensors = {
                name: sharded_as(torch.from_numpy(array), own[name]) if name in own else torch.from_numpy(array)
                for name, array in weights.items()
            }
            self.model.load_state_dict(tensors)
            for name, parameter in self.model.named_parameters():
                if f"step/{name}" in state:
                    self.optimizer.state[parameter] = self._moments(name, parameter, state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise FileFormatError(f"The training state does not fit the model: {error}.") from error

    def _moments(self, name: str, parameter: torch.nn.Parameter, state: Arrays) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in MOMENTS:
            moment = torch.from_numpy(state[f"{key}/{name}"])
            if moment.shape != parameter.shape:
                raise ValueError(f"{key} of {name} has shape {tuple(moment.shape)}")
            found[key] = sharded_as(moment, parameter)
        # torch's fused form wants its count beside the weights, the plain one on the CPU
        fused = self.config.train.optimizer == "fused"
        count = torch.from_numpy(state[f"step/{name}"]).reshape(())
        found["step"] = count.to(self.device) if fused else count
        return found

    def _precision(self) -> Any:
        # bfloat16 on a CPU without its own instructions is three times slower than float32
        if self.device.type == "cuda" and torch.cuda.is_bf16_supported():
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return nullcontext()
