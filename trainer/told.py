"""The events that say how a run stands: its beginning, every step, its end. Numbers in, events out."""

from __future__ import annotations

from pathlib import Path

import torch

from trainer import figures, machine
from trainer.checkpoints import Progressed
from trainer.config import TrainConfig
from trainer.distributed import Ranks
from trainer.events import Started, Stopped, TrainStep
from trainer.learner import Learner, Taken
from trainer.meter import Meter
from trainer.prepare import Prepared
from trainer.run_folder import RunFolder
from trainer.speed import flops_per_token, matrix_flops


def started(
    now: Progressed,
    config: TrainConfig,
    learner: Learner,
    prepared: Prepared,
    ranks: Ranks,
    *,
    folder: Path,
    name: str,
    threads: int,
) -> Started:
    """The run as it is set up. How fast the machine multiplies is measured here."""
    model = learner.model.config
    shared = f", {model.n_kv_heads} kv" if model.n_kv_heads != model.heads else ""
    return Started(
        name=name,
        out=folder,
        step=now.step,
        steps=now.steps,
        parameters=model.n_parameters(),
        shape=f"{_number(model.layers, 'layer')} x {model.width}, {_number(model.heads, 'head')}{shared},"
        f" {config.model.family}" + _origin(config, learner),
        vocab_size=model.vocab_size,
        context=model.context,
        tokens_per_step=config.rows_per_step * model.context,
        micro_batches=config.rows_per_step // (learner.micro_rows * ranks.world),
        train_tokens=prepared.train_tokens,
        valid_tokens=prepared.valid_tokens,
        device=str(learner.device),
        threads=threads,
        precision=f"{learner.precision.name}, {learner.precision.why}" + _ways(config, learner),
        elapsed_s=now.elapsed_s,
        rate_scale=now.rate_scale,
        flops_per_token=flops_per_token(model),
        matrix_flops=matrix_flops(learner.device, learner.precision.dtype) * ranks.world,
        planned_lr=config.train.rates(now.steps).planned(),
    )


def _ways(config: TrainConfig, learner: Learner) -> str:
    """How the step is computed, where that is not the plain way."""
    ways = ", compiled at the first step" if learner.compiled else ""
    return ways + (", activations computed again" if config.train.recompute else "")


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _origin(config: TrainConfig, learner: Learner) -> str:
    """What is trained of which checkpoint, where a run starts from one."""
    if config.train.from_ is None:
        return ""
    base = f" from {Path(config.train.from_).name}"
    if not config.lora.rank:
        return base
    count = sum(parameter.numel() for parameter in learner.model.parameters() if parameter.requires_grad)
    return f"{base}, adapters of rank {config.lora.rank} ({figures.count(count)})"


def trained(taken: Taken, lr: float, now: Progressed, config: TrainConfig, learner: Learner, meter: Meter) -> TrainStep:
    """The step that brought the run to `now`."""
    minutes = config.train.minutes
    eta_s = meter.eta_s(now.steps - now.step)
    if minutes is not None:
        eta_s = max(0.0, min(eta_s, minutes * 60 - now.elapsed_s))
    on_device = torch.cuda.max_memory_allocated(learner.device) if learner.device.type == "cuda" else 0
    return TrainStep(
        step=now.step,
        loss=taken.loss,
        smooth_loss=now.smooth_loss / now.smooth_weight,
        bits_per_byte=now.smooth_bits / now.smooth_weight,
        lr=lr,
        grad_norm=taken.grad_norm,
        tokens=now.tokens,
        tokens_per_s=taken.seen / meter.step_s if meter.step_s else 0.0,
        epoch=learner.batches.epoch(now.step),
        elapsed_s=now.elapsed_s,
        eta_s=eta_s,
        memory_bytes=on_device or machine.memory_bytes(),
        text_share=meter.text_share,
    )


def stopped(now: Progressed, folder: RunFolder, reason: str, *, saved: bool) -> Stopped:
    """The end; `saved`: there are weights of the run on disk."""
    return Stopped(
        step=now.step,
        steps=now.steps,
        reason=reason,
        elapsed_s=now.elapsed_s,
        saved=folder.latest if saved else None,
        best=folder.best if folder.best.exists() else None,
        loss=now.mean_loss,
        valid_loss=now.valid_loss,
        best_loss=now.best_loss,
        tokens=now.tokens,
    )
