"""The network while it learns: one optimizer step at a time, and its whole state as arrays.

A step either updates the weights with finite numbers or raises before it touches them. Nothing here knows files,
clocks or when to evaluate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tinychat.errors import CorpusError, FileFormatError, NumbersError
from tinychat.model.transformer import Transformer, to_arrays
from trainer.average import Average
from trainer.batches import Batch, Batches, scramble
from trainer.compiled import Compiled
from trainer.config import TrainConfig
from trainer.distributed import Ranks
from trainer.first_weights import adopt
from trainer.lora import add_adapters, is_adapter, merged
from trainer.loss import IGNORED, objective_sum
from trainer.optim import broken_gradients, clip_gradients, make_optimizer
from trainer.precision import Scaler, choose
from trainer.sharding import Spread, own_part, sharded_as, whole
from trainer.upload import uploaded

ADAPTER, AVERAGE, SCALE = "adapter", "average", "loss_scale"  # beside the optimizer's own, in the saved state

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
    text_s: float = 0.0  # seconds until the rows of text were there

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
        self.precision = choose(train.precision, device)
        self.precision.prepare()
        if train.recompute:
            recompute(self.model)
        self._forward: Callable[..., Any] = self.spread.forward
        self._objective: Callable[..., Any] = objective_sum
        self.compiled: tuple[Compiled, ...] = ()
        if train.compile == "on" or (train.compile == "auto" and device.type == "cuda"):
            # apart: torch compiles a model that has copies on other processes in a way of its own
            self.compiled = self._forward, self._objective = Compiled(self.spread.forward), Compiled(objective_sum)
        self.scaler = Scaler() if self.precision.name == "fp16" else None
        self.average = Average(self.model, train.ema) if train.ema else None
        self._ahead: tuple[int, Batch] | None = None  # the rows of a step that comes
        self.mark: Callable[[str], None] = lambda part: None  # after each part of a step, for who measures
        self.optimizer = make_optimizer(
            self.model,
            kind=train.optimizer,
            lr=train.lr,
            betas=train.betas,
            eps=train.eps,
            weight_decay=train.weight_decay,
            momentum=train.momentum,
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
        base: Mapping[str, torch.Tensor] | None = None,
    ) -> Learner:
        """The first weights: of `base`, or new. What is new draws from the seed and from nothing that ran before."""
        model = Transformer(config.model.network(vocab_size))
        generator = torch.Generator().manual_seed(config.train.seed)
        if base is None:
            model.init_weights(generator)
        else:
            adopt(model, base)
        if config.lora.rank:
            add_adapters(model, config.lora, generator)
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
        if self.average is not None:
            self.average.take(index)
        if self.scaler is not None:
            self.scaler.stepped()
        self.mark("update")
        return taken

    def gradients(self, index: int) -> Taken:
        """Gradients of the mean loss over the trained tokens of the whole step, clipped; no update. Together."""
        try:
            return self._gradients(index)
        except Exception as error:
            given_up = [part.failed_later(error) for part in self.compiled]  # all: nobody knows whose way back it was
            # of several processes the others wait for this one's gradients: there is no second try
            if not self.ranks.alone or not any(given_up):
                raise
        self.forget_gradients()
        return self._gradients(index)

    def _gradients(self, index: int) -> Taken:
        taken = self._scaled_gradients(index)
        while self.scaler is not None and self.scaler.overflowed(taken.grad_norm):
            self.forget_gradients()
            taken = self._scaled_gradients(index)
        return taken

    def _scaled_gradients(self, index: int) -> Taken:
        ranks, size = self.ranks, self.micro_rows
        part = self.config.rows_per_step // ranks.world
        started = time.monotonic()
        x, y, documents = self._rows(index)
        text_s = time.monotonic() - started
        text_bytes = int(self.byte_lengths[y[y != IGNORED]].sum())
        trained, text_bytes = map(int, ranks.sum([int((y != IGNORED).sum()), text_bytes]))
        first = ranks.rank * part // size  # of this process's micro-batches, among those of the step
        nats = [0.0] * (ranks.world * part // size)
        own: list[torch.Tensor] = []  # read at the end: a device that is asked for a number is waited for
        scale = self.scaler.scale if self.scaler is not None else 1.0
        self.mark("data")
        for start in range(0, part, size):
            micro = first + start // size
            # dropout is a function of (seed, step, micro-batch): no process, stop or look at the model can change it
            torch.manual_seed(scramble(scramble(scramble(self.config.train.seed) + index) + micro) >> 1)
            rows = slice(start, start + size)
            ids, targets = uploaded(x[rows], self.device), uploaded(y[rows], self.device)
            apart = None if documents is None else uploaded(documents[rows], self.device)
            with self.spread.exchanging(last=start + size >= part):
                with self.precision.casting(self.device):
                    logits = self._forward(ids, documents=apart)
                train = self.config.train
                loss, plain = self._objective(logits, targets, smoothing=train.label_smoothing, z_loss=train.z_loss)
                # torch takes the mean over the processes, where we want the sum
                mean = loss * (scale * ranks.world / max(1, trained))
                self.mark("forward")
                mean.backward()
            own.append(plain)
            self.mark("backward")
        if self.device.type == "cuda":
            text_s += self._look_ahead(index + 1)  # while the device computes
        if self.scaler is not None:
            self.scaler.unscale(self.model)
        norm = clip_gradients(self.model.parameters(), self.config.train.clip)
        self.mark("clip")
        nats[first : first + len(own)] = torch.stack(own).tolist()
        # micro-batches are added up in the same order, whoever computed them
        return Taken(sum(ranks.sum(nats)), trained, x.size * ranks.world, text_bytes, norm, text_s)

    def _rows(self, index: int) -> Batch:
        """This process's rows of step `index`."""
        if self._ahead is not None and self._ahead[0] == index:
            return self._ahead[1]
        part = self.config.rows_per_step // self.ranks.world
        return self.batches.batch(index, range(self.ranks.rank * part, (self.ranks.rank + 1) * part))

    def _look_ahead(self, index: int) -> float:
        """Have the rows of step `index` ready when it comes; seconds that the device had to wait for them, at most.

        What is wrong with them is told when they come.
        """
        if self._ahead is not None and self._ahead[0] == index:
            return 0.0  # the same step again, with another scale
        started = time.monotonic()
        self._ahead = None
        with suppress(CorpusError, OSError):
            self._ahead = index, self._rows(index)
        idle = torch.cuda.current_stream(self.device).query()
        return time.monotonic() - started if idle else 0.0

    def _broken(self, taken: Taken) -> str:
        if not math.isfinite(taken.nats):
            return f"the loss is {taken.nats}"
        name = next(broken_gradients(self.model), None)
        # finite gradients can have a norm beyond float32
        return f"the gradient's norm is {taken.grad_norm}" if name is None else f"the gradient of {name} is not finite"

    def forget_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    @property
    def not_compiled(self) -> str:
        """Why something is not compiled that should be, once the first step has shown it; else empty."""
        return next((part.told for part in self.compiled if part.told), "")

    def looked_at(self) -> AbstractContextManager[None]:
        """Inside, the model has the weights that are evaluated, sampled and kept as the best: the average, if any."""
        return nullcontext() if self.average is None else self.average.applied()

    def weights(self) -> Arrays:
        """Whole, by name, adapters merged into them; on the first process only. Together."""
        if self.config.lora.rank:
            return to_arrays(self._merged())
        arrays: Arrays = {}
        for name, tensor in self.model.state_dict().items():
            one = whole(tensor)
            if self.ranks.first:  # one by one: what is sharded may not fit anywhere in one piece
                arrays.update(to_arrays({name: one}))
        return arrays

    def _merged(self) -> dict[str, torch.Tensor]:
        tensors = {name: whole(tensor) for name, tensor in self.model.state_dict().items()}
        if not self.ranks.first:
            return {}
        return merged(tensors, self.config.lora.scale) if self.config.lora.rank else tensors

    def state(self) -> Arrays:
        """Moments and step counts by parameter name, and adapters, whole; on the first process only. Together."""
        arrays: Arrays = {}
        for name, tensor in self.model.state_dict().items() if self.config.lora.rank else ():
            if is_adapter(name):
                one = whole(tensor)
                if self.ranks.first:
                    arrays.update(to_arrays({f"{ADAPTER}/{name}": one}))
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                one = whole(value.detach())
                if self.ranks.first:
                    arrays[f"{key}/{name}"] = one.cpu().numpy().reshape(one.shape or (1,))
        for name, average in (self.average.tensors if self.average is not None else {}).items():
            one = whole(average)
            if self.ranks.first:
                arrays[f"{AVERAGE}/{name}"] = one.cpu().numpy()
        if self.scaler is not None and self.ranks.first:
            arrays[SCALE] = np.array([self.scaler.scale, self.scaler.clean], np.float64)
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
        tensors = self._merged()
        if not self.ranks.first:
            return None
        copy = Transformer(self.model.config).to(self.device)
        copy.load_state_dict(tensors)
        return copy

    def restore(self, weights: Mapping[str, npt.NDArray[np.generic]], state: Arrays) -> None:
        """Become what `weights` and `state` were taken of. FileFormatError when they are not of this model.

        With adapters these are in `state`, and the weights are those of the base.
        """
        try:
            own = self.model.state_dict()
            if self.config.lora.rank:
                weights = {name: state[f"{ADAPTER}/{name}"] for name in own if is_adapter(name)}
            tensors = {
                name: sharded_as(torch.from_numpy(array), own[name]) if name in own else torch.from_numpy(array)
                for name, array in weights.items()
            }
            self.model.load_state_dict(tensors, strict=not self.config.lora.rank)
            muons = [group["params"] for group in self.optimizer.param_groups if group.get("muon")]
            by_muon = {id(weight) for weights in muons for weight in weights}
            for name, parameter in self.model.named_parameters():
                self._restore_moments(name, parameter, state, momentum=id(parameter) in by_muon)
                if (
                    self.average is not None and parameter.requires_grad
                ):  # without one in the file it begins with these weights
                    held = state.get(f"{AVERAGE}/{name}")
                    self.average.tensors[name] = parameter.detach().clone() if held is None else _like(held, parameter)
            if self.scaler is not None and SCALE in state:
                scale, clean = np.asarray(state[SCALE], np.float64).tolist()
                self.scaler.scale, self.scaler.clean = scale, int(clean)
        except (KeyError, RuntimeError, ValueError) as error:
            raise FileFormatError(f"The training state does not fit the model: {error}.") from error

    def _restore_moments(self, name: str, parameter: torch.nn.Parameter, state: Arrays, *, momentum: bool) -> None:
        """Those of another optimizer are left out, and begin anew: it is told elsewhere that this is not exact."""
        keys = ("momentum",) if momentum else ("exp_avg", "exp_avg_sq")
        if f"{keys[0]}/{name}" not in state:
            return
        found = {key: _like(state[f"{key}/{name}"], parameter) for key in keys}
        if not momentum:
            # torch's fused form wants its count beside the weights, the plain one on the CPU
            count = torch.from_numpy(state[f"step/{name}"]).reshape(())
            found["step"] = count if self.config.train.optimizer == "plain" else count.to(self.device)
        self.optimizer.state[parameter] = found


def _like(array: npt.NDArray[np.generic], parameter: torch.Tensor) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    if tensor.shape != parameter.shape:
        raise ValueError(f"a shape is {tuple(tensor.shape)}, its weight's {tuple(parameter.shape)}")
    return sharded_as(tensor, parameter)


def recompute(model: Transformer) -> None:
    """Keep only what enters each block; the rest is computed again on the way back (Chen et al. 2016)."""
    from torch.utils.checkpoint import checkpoint

    for block in model.blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
