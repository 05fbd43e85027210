"""`tinychat bench train`: tokens a second of the trainer beside plain PyTorch, and where a step's time goes.

Both train the same network on rows of the same random tokens, in turns, in one process. Nothing here prints.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from tinychat.bench.plain_training import PlainModel, plain_step
from tinychat.bench.progress import Progress
from tinychat.bench.quiet import Watch
from tinychat.engine.runner import choose_device
from tinychat.model.tensors import write_tensors
from trainer import machine
from trainer.batches import Batches
from trainer.config import TrainConfig
from trainer.evaluate import looking
from trainer.learner import Learner
from trainer.muon import Muon
from trainer.shards import Shard, write_shard
from trainer.speed import flops_per_token, matrix_flops

TOKENS = 400_000  # of random text; the network's speed does not depend on what it says
DOCUMENT = 200  # tokens, of which the first is the document's start
PARTS = ("data", "forward", "backward", "clip", "update")


def measure(config: TrainConfig, *, rounds: int, steps: int, progress: Progress) -> dict[str, Any]:
    """`rounds` times `steps` steps of each side. The dictionary is the JSON's `train`."""
    train = config.train
    device = choose_device(train.device)
    torch.set_num_threads(machine.choose_threads(train.threads))
    vocabulary = config.tokenizer.vocab_size if config.tokenizer.kind == "bpe" else 262
    with TemporaryDirectory() as folder:
        progress.say("random text and two networks")
        learner = _learner(config, vocabulary, device, Path(folder) / "text.bin")
        model = PlainModel(learner.model).to(device).train()
        optimizer = _optimizer(config, model)
        whole = _rows(config, vocabulary, device)
        peer = partial(
            plain_step,
            model,
            optimizer,
            micro_rows=learner.micro_rows,
            clip=train.clip,
            casting=partial(learner.precision.casting, device),
        )
        agree = _difference(learner, model, whole[0][0])
        spent = dict.fromkeys(PARTS, 0.0)
        last = [0.0]

        def mark(part: str) -> None:
            _wait(device)
            now = time.perf_counter()
            spent[part] += now - last[0]
            last[0] = now

        ours: list[float] = []
        theirs: list[float] = []
        rest: list[float | None] = []
        count = 0
        for number in range(rounds + 1):  # the first warms up
            progress.say(f"round {number} of {rounds}")
            watch = Watch()
            took = [0.0, 0.0]
            for step in range(steps):  # step by step in turns: what slows the machine slows both
                started = time.perf_counter()
                learner.step(count, train.lr)
                _wait(device)
                between = time.perf_counter()
                peer(*whole[step % len(whole)])
                _wait(device)
                took[0] += between - started
                took[1] += time.perf_counter() - between
                count += 1
            if number:
                ours.append(took[0] / steps)
                theirs.append(took[1] / steps)
                rest.append(watch.rest()[0])
            progress.step()
        progress.say("the parts of a step")
        learner.mark = mark
        for _ in range(steps):
            last[0] = time.perf_counter()
            learner.step(count, train.lr)
            count += 1
        save_s = _saved(learner, Path(folder))
        peak = matrix_flops(device, learner.precision.dtype)
    tokens = config.rows_per_step * config.model.context
    speeds = [tokens / second for second in ours]
    work = flops_per_token(learner.model.config)
    median = statistics.median(speeds)
    return {
        "parameters": learner.model.config.n_parameters(),
        "tokens_per_step": tokens,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "precision": learner.precision.name,
        "optimizer": train.optimizer,
        "compiled": bool(learner.compiled) and not learner.not_compiled,
        "rounds": rounds,
        "steps": steps,
        "tokens_per_s": {"median": median, "min": min(speeds), "max": max(speeds)},
        "plain_tokens_per_s": {"median": statistics.median(tokens / second for second in theirs)},
        "ratio": {
            "median": statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
            "rounds": [b / a for a, b in zip(ours, theirs, strict=True)],
        },
        "same_network_to": agree,
        "flops_per_token": work,
        "matrix_flops": peak,
        "share_of_matrix_rate": work * median / peak if peak else None,
        "step_parts_s": {part: spent[part] / steps for part in PARTS},
        "save_s": save_s,
        "rest_cores": None if None in rest else statistics.median(value for value in rest if value is not None),
    }


def _learner(config: TrainConfig, vocabulary: int, device: torch.device, path: Path) -> Learner:
    dice = np.random.default_rng(1)
    ids = dice.integers(1, vocabulary, TOKENS, dtype=np.int64)
    ids[::DOCUMENT] = 0
    write_shard(path, [ids.astype(np.uint32)], vocab_size=vocabulary, tokenizer_digest="0" * 64)
    batches = Batches(
        Shard.open(path),
        context=config.model.context,
        rows=config.rows_per_step,
        seed=1,
        mode=config.data.mode,
        end_of_text=0,
    )
    lengths = np.ones(vocabulary, np.int32)
    learner = Learner.fresh(config, batches=batches, vocab_size=vocabulary, byte_lengths=lengths, device=device)
    for name, weight in learner.model.named_parameters():
        if "blocks" in name and weight.dim() == 2:  # zeros would make every block the identity, and any two alike
            torch.nn.init.normal_(weight, std=0.05)
    return learner


def _optimizer(config: TrainConfig, model: PlainModel) -> torch.optim.Optimizer:
    """Torch's AdamW; where the config says Muon, the trainer's own, as torch's computes in bfloat16 everywhere."""
    train, c = config.train, model.config
    matrices = [weight for name, weight in model.named_parameters() if "blocks" in name and weight.dim() == 2]
    others = [weight for name, weight in model.named_parameters() if "blocks" not in name or weight.dim() < 2]
    if train.optimizer != "muon":
        groups: list[dict[str, Any]] = [{"params": matrices, "weight_decay": train.weight_decay}]
        groups.append({"params": others, "weight_decay": 0.0})
        return torch.optim.AdamW(groups, lr=train.lr, betas=train.betas, eps=train.eps, fused=True)
    kv = c.n_kv_heads * c.head_width
    rows = {"qkv": [c.width, kv, kv], "out": [c.width], "down": [c.width]}
    rows["up"] = [c.n_hidden] * (2 if c.activation == "swiglu" else 1)
    groups = [{"params": others, "weight_decay": 0.0, "muon": False}]
    for part, sizes in rows.items():
        weights = [weight for name, weight in model.named_parameters() if name.endswith(f".{part}.weight")]
        groups.append({"params": weights, "weight_decay": train.weight_decay, "muon": True, "rows": sizes})
    return Muon(groups, lr=train.lr, betas=train.betas, eps=train.eps, momentum=train.momentum)


def _rows(config: TrainConfig, vocabulary: int, device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of windows, ready in memory: the plain side waits for no text."""
    shape = (config.rows_per_step, config.model.context + 1)
    dice = torch.Generator().manual_seed(1)
    made = [torch.randint(1, vocabulary, shape, generator=dice).to(device) for _ in range(4)]
    return [(rows[:, :-1], rows[:, 1:]) for rows in made]


@torch.no_grad()
def _difference(learner: Learner, model: PlainModel, ids: torch.Tensor) -> float:
    """The largest difference between the logits of both sides: only the same network is a fair peer."""
    with looking(learner.model), looking(model):  # type: ignore[arg-type]  # any module can be put into evaluation
        return float((learner.model(ids[:2]) - model(ids[:2])).abs().max())


def _saved(learner: Learner, folder: Path) -> float:
    """Seconds to write weights and moments, durable on disk."""
    started = time.perf_counter()
    write_tensors(folder / "weights.safetensors", learner.weights(), {})
    write_tensors(folder / "state.safetensors", learner.state(), {})
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
