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
from trainer.batches import Batches
from trainer.config import TrainConfig
from trainer.loss import IGNORED, loss_sum
from trainer.optim import broken_gradients, clip_gradients, make_optimizer

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
    """Model, optimizer and data order of a run; everything drawn comes from `config.train.seed`."""

    def __init__(
        self,
        config: TrainConfig,
        model: Transformer,
        batches: Batches,
        byte_lengths: npt.NDArray[np.int32],
        device: torch.device,
    ) -> None:
        self.config = config
        self.batches = batches
        self.byte_lengths = byte_lengths
        self.device = device
        self.model = model.to(device).train()
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
    ) -> Learner:
        """New weights. They and dropout draw from the seed and from nothing that ran before."""
        torch.manual_seed(config.train.seed)
        model = Transformer(config.model.network(vocab_size))
        model.init_weights(torch.Generator().manual_seed(config.train.seed))
        return Learner(config, model, batches, byte_lengths, device)

    def step(self, index: int, lr: float) -> Taken:
        """Update `index` (from 0) at rate `lr`. NumbersError before the update when loss or gradient are not finite."""
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
        """Gradients of the mean loss over the trained tokens of the whole step, clipped; no update."""
        x, y, documents = self.batches.batch(index)
        trained = int((y != IGNORED).sum())
        nats = 0.0
        for start in range(0, len(x), self.config.micro_rows):
            rows = slice(start, start + self.config.micro_rows)
            ids, targets = torch.from_numpy(x[rows]).to(self.device), torch.from_numpy(y[rows]).to(self.device)
            apart = None if documents is None else torch.from_numpy(documents[rows]).to(self.device)
            with self._precision():
                logits = self.model(ids, documents=apart)
            part, _ = loss_sum(logits, targets)
            (part / max(1, trained)).backward()  # type: ignore[no-untyped-call]  # torch's own signature
            nats += float(part.detach())
        norm = clip_gradients(self.model.parameters(), self.config.train.clip)
        return Taken(nats, trained, x.size, int(self.byte_lengths[y[y != IGNORED]].sum()), norm)

    def _broken(self, taken: Taken) -> str:
        if not math.isfinite(taken.nats):
            return f"the loss is {taken.nats}"
        name = next(broken_gradients(self.model), None)
        # finite gradients can have a norm beyond float32
        return f"the gradient's norm is {taken.grad_norm}" if name is None else f"the gradient of {name} is not finite"

    def forget_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def weights(self) -> Arrays:
        return to_arrays(self.model.state_dict())

    def state(self) -> Arrays:
        """Moments and step counts by parameter name, and the generators dropout draws from."""
        arrays: Arrays = {"rng/cpu": torch.get_rng_state().numpy()}
        if self.device.type == "cuda":
            arrays["rng/cuda"] = torch.cuda.get_rng_state(self.device).numpy()
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                arrays[f"{key}/{name}"] = value.detach().cpu().numpy().reshape(value.shape or (1,))
        return arrays

    def restore(self, weights: Mapping[str, npt.NDArray[np.generic]], state: Arrays) -> None:
        """Become what `weights` and `state` were taken of. FileFormatError when they are not of this model."""
        try:
            tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
            self.model.load_state_dict(tensors)
            for name, parameter in self.model.named_parameters():
                if f"step/{name}" in state:
                    self.optimizer.state[parameter] = self._moments(name, parameter, state)
            torch.set_rng_state(torch.from_numpy(state["rng/cpu"]))
            if self.device.type == "cuda" and "rng/cuda" in state:
                torch.cuda.set_rng_state(torch.from_numpy(state["rng/cuda"]), self.device)
        except (KeyError, RuntimeError, ValueError) as error:
            raise FileFormatError(f"The training state does not fit the model: {error}.") from error

    def _moments(self, name: str, parameter: torch.nn.Parameter, state: Arrays) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in MOMENTS:
            moment = torch.from_numpy(state[f"{key}/{name}"])
            if moment.shape != parameter.shape:
                raise ValueError(f"{key} of {name} has shape {tuple(moment.shape)}")
            found[key] = moment.to(self.device)
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
