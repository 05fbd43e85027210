"""What a GPU would be asked to do in training: tensors of one device only, and no waiting for it within a step.

There is no GPU: `pretend.py` says what this can show and what not. The oracle is the same run on the CPU.
"""

from __future__ import annotations

import json
import random
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tinychat.errors import UsageError
from trainer import distributed
from trainer.batches import Batch
from trainer.config import TrainConfig
from trainer.config_file import parse
from trainer.distributed import Agreed, Ranks
from trainer.evaluate import evaluate
from trainer.events import Evaluated, Event, Probed, Sampled, Stopped, TrainStep, Warned
from trainer.fitting import fit_rows
from trainer.learner import Learner
from trainer.loop import train
from trainer.signals import StopFlag

from . import pretend

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
VOCABULARY = 40
READS = ["aten._local_scalar_dense", "tolist"]  # a step: the norm, which decides whether there is an update; the losses
BASE = """
[tokenizer]
kind = "characters"
[model]
context = 16
width = 16
layers = 2
heads = 2
[train]
steps = 6
tokens_per_step = 64
micro_rows = 2
lr = 1e-2
threads = 1
compile = "off"
[data]
valid_fraction = 0.2
[eval]
every = 2
batches = 4
rows = 2
[sample]
every = 3
prompts = ["fox"]
max_tokens = 4
probe_every = 2
[save]
every = 3
"""
WAYS = [
    "",
    "",
    "train.optimizer=muon train.ema=0.9 model.activation=relu2",
    "train.optimizer=plain train.clip=0.01",
    "model.kv_heads=1 model.dropout=0.2",
    "model.family=gpt2 train.label_smoothing=0.1 train.z_loss=1e-3",
    "train.recompute=true model.dropout=0.2",
    "train.precision=bf16 train.recompute=true",
    "train.precision=fp16 train.ema=0.9",
    "train.precision=fp16 train.optimizer=muon",
]


class _Rows:
    """Steps of random rows, some places of which are not trained; `packed` into documents, or not."""

    def __init__(self, config: TrainConfig, *, packed: bool) -> None:
        self.shape, self.packed = (config.rows_per_step, config.model.context), packed

    def batch(self, index: int, part: range | None = None) -> Batch:
        dice = np.random.default_rng(index)
        x, y = dice.integers(0, VOCABULARY, (2, *self.shape))
        y[:, :3] = -1
        return Batch(x, y, np.sort(dice.integers(0, 3, self.shape), axis=1) if self.packed else None)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with pretend.pretended(monkeypatch) as watch:
        yield watch


def _learner(ways: str, device: torch.device, *, packed: bool = False) -> Learner:
    wanted = ways.split() if "precision" in ways else ["train.precision=fp32", *ways.split()]
    config = parse(BASE, name="test", overrides=wanted)
    rows: Any = _Rows(config, packed=packed)
    lengths = np.ones(VOCABULARY, np.int32)
    return Learner.fresh(config, batches=rows, vocab_size=VOCABULARY, byte_lengths=lengths, device=device)


@pytest.mark.parametrize(("ways", "packed"), [(ways, place % 2 == 1) for place, ways in enumerate(WAYS)])
def test_a_step_stays_on_the_device_waits_for_it_once_and_is_the_step_of_the_cpu(
    ways: str, packed: bool, watch: Any
) -> None:
    there, here = _learner(ways, CUDA, packed=packed), _learner(ways, CPU, packed=packed)
    for index in range(2):
        watch.clear()
        taken = there.step(index, 1e-2)
        assert watch.reads == READS
        assert watch.waiting == []
        assert len(watch.uploads) == 2 * (3 if packed else 2)  # two micro-batches; nothing else
        expected = here.step(index, 1e-2)
        rough = "muon" in ways or "precision" in ways  # Muon's products have half the bits on CUDA
        assert taken.loss == pytest.approx(expected.loss, abs=5e-3 if rough else 1e-5)
        assert taken.grad_norm == pytest.approx(expected.grad_norm, rel=5e-2 if rough else 1e-4)
    assert all(parameter.is_cuda for parameter in there.model.parameters())


@pytest.mark.parametrize("ways", ["", "train.optimizer=plain", "train.optimizer=muon train.ema=0.9"])
def test_a_state_from_the_device_goes_on_there_to_the_bit_and_lies_where_it_lay(ways: str, watch: Any) -> None:
    whole, other = _learner(ways, CUDA), _learner(ways, CUDA)
    whole.step(0, 1e-2)
    kept = {name: array.copy() for name, array in whole.state().items()}  # as a file would
    other.restore(whole.weights(), kept)
    for weight, same in zip(whole.model.parameters(), other.model.parameters(), strict=True):
        places = {key: value.is_cuda for key, value in whole.optimizer.state[weight].items()}
        assert {key: value.is_cuda for key, value in other.optimizer.state[same].items()} == places
    for index in range(1, 3):
        one, again = other.step(index, 1e-2), whole.step(index, 1e-2)
        assert (one.nats, one.grad_norm) == (again.nats, again.grad_norm)
    copy = other.weights()
    assert all(array.tobytes() == copy[name].tobytes() for name, array in whole.weights().items())


@pytest.mark.parametrize("packed", [False, True])
def test_held_out_text_is_read_off_the_device_once_however_many_batches(packed: bool, watch: Any) -> None:
    scores = {}
    for device in (CUDA, CPU):
        learner = _learner("train.ema=0.9", device, packed=packed)
        watch.clear()
        with learner.looked_at():
            running = evaluate(
                learner.model, learner.batches, 5, learner.byte_lengths, Agreed(StopFlag(), Ranks()), Ranks()
            )
            while True:
                try:
                    next(running)
                except StopIteration as end:
                    scores[device.type] = end.value
                    break
        if device == CUDA:
            assert watch.reads == ["tolist"]
            assert watch.waiting == []
    assert scores["cuda"].loss == pytest.approx(scores["cpu"].loss, abs=1e-5)
    assert (scores["cuda"].tokens, scores["cuda"].text_bytes) == (scores["cpu"].tokens, scores["cpu"].text_bytes)


def test_what_a_pass_without_memory_had_made_is_gone_before_a_smaller_one(
    watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = _learner("", CUDA)
    learner.config = parse(BASE.replace("micro_rows = 2\n", ""), name="test", overrides=["train.precision=fp32"])
    learner.micro_rows = 4
    made: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []
    block: Any = learner.model.blocks[1]
    forward = block.forward

    def limited(x: torch.Tensor, *args: Any) -> torch.Tensor:
        made.append(weakref.ref(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        found: torch.Tensor = forward(x, *args)
        return found

    block.forward = limited
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(sum(ref() is not None for ref in made)))
    told = list(fit_rows(learner, 0))
    assert [line.split()[-6] for line in told] == ["2", "1"]
    assert alive == [0, 0]
    assert all(parameter.grad is None for parameter in learner.model.parameters())


def test_a_whole_run_on_the_device_is_the_run_of_the_cpu(
    watch: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("trainer.loop.choose_device", torch.device)
    monkeypatch.setattr("trainer.told.matrix_flops", lambda *_: 1.0)
    dice = random.Random(5)
    text = tmp_path / "text.jsonl"
    words = ["fox", "owl", "mill", "red", "ran", "saw", "the", "a", "kite", "old"]
    text.write_text("".join(json.dumps({"text": " ".join(dice.choices(words, k=12))}) + "\n" for _ in range(60)))
    seen: dict[str, list[Event]] = {}
    for device in ("cuda", "cpu"):
        wanted = [f"data.text={text}", f"train.device={device}", "train.precision=fp32", "train.ema=0.9"]
        wanted += ["train.steps=4", "train.micro_rows=4"]
        config = parse(BASE, name="test", overrides=wanted)
        seen[device] = list(train(config, out=tmp_path / device))
    assert [event.message for event in seen["cuda"] if isinstance(event, Warned)] == []
    ended = seen["cuda"][-1]
    assert isinstance(ended, Stopped)
    assert (ended.reason, ended.step) == ("finished", 4)
    for kind in (TrainStep, Evaluated):
        there, here = ([event.loss for event in seen[d] if isinstance(event, kind)] for d in ("cuda", "cpu"))
        assert there == pytest.approx(here, abs=1e-4)
        assert there
    kinds = Counter(type(event) for event in seen["cuda"])
    assert (kinds[Sampled], kinds[Probed]) == (2, 2)


@pytest.mark.parametrize(("packed", "precision"), [(True, "bf16"), (False, "fp32"), (False, "bf16")])
def test_groups_of_heads_go_where_cuda_has_a_fast_kernel_for_them(
    packed: bool, precision: str, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bool, torch.dtype]] = []
    attention = F.scaled_dot_product_attention

    def spied(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **given: Any) -> torch.Tensor:
        seen.append((k.shape[1], given["enable_gqa"], q.dtype))
        found: torch.Tensor = attention(q, k, v, **given)
        return found

    monkeypatch.setattr(F, "scaled_dot_product_attention", spied)
    _learner(f"model.kv_heads=1 train.precision={precision}", CUDA, packed=packed).step(0, 1e-2)
    # flash alone takes groups, half types and no mask; the others want as many keys as queries
    flash = precision == "bf16" and not packed
    assert set(seen) == {(1 if flash else 2, flash, torch.bfloat16 if precision == "bf16" else torch.float32)}


def test_the_pretended_device_refuses_what_a_real_one_refuses(watch: Any) -> None:
    there = torch.ones(3, device="cuda")
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.ones(3)
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    assert (there * torch.tensor(2.0)).tolist() == [2, 2, 2]  # a number of the host may take part
    assert float(there.sum()) == 3
    there[there > 0].sum()
    torch.zeros(3).to("cuda")
    assert watch.reads == ["tolist", "aten._local_scalar_dense", "aten.index"]
    assert watch.waiting == ["to the device"]


def test_processes_on_gpus_exchange_gradients_there_and_what_they_agree_on_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    set_devices: list[int] = []
    groups: list[str] = []

    def group(backend: str, **_: Any) -> None:
        groups.append(backend)
        raise RuntimeError("nobody is there")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", set_devices.append)
    monkeypatch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(None, 1, 2)]))
    monkeypatch.setattr(distributed.dist, "init_process_group", group)
    with pytest.raises(UsageError, match="nobody is there"), distributed.joined("cuda"):
        pass
    assert set_devices == [1]
    assert groups == ["cpu:gloo,cuda:nccl"]
