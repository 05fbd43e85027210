"""Every way to train goes on to the bit where it stopped; what memory or a compiler refuse is got round and told."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from tinychat.errors import NumbersError, OutOfMemoryError_, UsageError
from tinychat.model.checkpoint import read
from trainer import checkpoints, compiled
from trainer.batches import Batch
from trainer.config import TrainConfig
from trainer.config_file import parse
from trainer.events import Evaluated, Event, Started, Stopped, TrainStep, Warned
from trainer.fitting import fit_rows
from trainer.learner import Learner
from trainer.loop import train
from trainer.loss import objective_sum
from trainer.precision import GROWS_AFTER, Scaler, choose, cpu_has_bf16
from trainer.signals import StopFlag

BASE = """
[tokenizer]
kind = "characters"
[data]
valid_fraction = 0.1
[model]
context = 16
width = 16
layers = 1
heads = 2
[train]
steps = 8
tokens_per_step = 64
lr = 1e-2
threads = 1
device = "cpu"
[eval]
every = 2
batches = 2
rows = 4
[sample]
every = 0
probe_every = 0
prompts = ["fox"]
[save]
every = 3
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    dice = random.Random(5)
    words = ["fox", "owl", "mill", "red", "ran", "saw", "the", "a", "kite", "old"]
    with path.open("w") as file:
        for _ in range(60):
            file.write(json.dumps({"text": " ".join(dice.choices(words, k=dice.randint(4, 20)))}) + "\n")
    return path


@pytest.fixture
def made(text: Path) -> Callable[..., TrainConfig]:
    return lambda *overrides: parse(BASE, name="test", overrides=[f"data.text={text}", *overrides])


def _run(config: TrainConfig, out: Path, stop_at: int = 0, **keywords: Any) -> list[Event]:
    flag, seen = StopFlag(), []
    for event in train(config, out=out, stop=flag, **keywords):
        seen.append(event)
        if isinstance(event, TrainStep) and event.step == stop_at:
            flag.request("SIGTERM")
    return seen


def _told(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]


def _bytes(out: Path) -> dict[str, bytes]:
    found, _ = checkpoints.newest(out / "checkpoints")
    assert found is not None
    arrays = (*found.weights().items(), *found.state().items())
    played = read(out / "ckpt.safetensors")[1].items()
    return {name: array.tobytes() for name, array in (*arrays, *((f"played/{name}", array) for name, array in played))}


def _losses(out: Path) -> list[tuple[str, int, float]]:
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    kinds = ("trainstep", "evaluated")
    return [(record["event"], record["step"], record["loss"]) for record in records if record["event"] in kinds]


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.optimizer=muon"],
        ["train.optimizer=muon", "train.ema=0.9", "model.activation=relu2", "model.kv_heads=1"],
        ["train.label_smoothing=0.1", "train.z_loss=1e-3", "train.ema=0.99"],
        ["train.precision=fp16", "model.dropout=0.1"],
        ["train.recompute=true", "model.dropout=0.2"],
    ],
)
def test_stopped_and_resumed_is_the_unbroken_run_bit_for_bit(
    overrides: list[str], made: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config = made(*overrides)
    _run(config, tmp_path / "whole")
    _run(config, tmp_path / "parts", stop_at=5)
    again = _run(config, tmp_path / "parts", resume=True)
    assert _told(again) == []
    assert _bytes(tmp_path / "parts") == _bytes(tmp_path / "whole")
    assert _losses(tmp_path / "parts") == _losses(tmp_path / "whole")


def test_what_is_evaluated_and_played_is_the_average_and_what_is_resumed_is_not(
    made: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    _run(made("train.ema=0.9"), tmp_path / "average")
    _run(made(), tmp_path / "plain")
    found, _ = checkpoints.newest(tmp_path / "average" / "checkpoints")
    other, _ = checkpoints.newest(tmp_path / "plain" / "checkpoints")
    assert found is not None
    assert other is not None
    weights, state, same = found.weights(), found.state(), other.weights()
    played = read(tmp_path / "average" / "ckpt.safetensors")[1]
    for name, array in weights.items():
        assert array.tobytes() == same[name].tobytes()  # averaging changes no step
        assert np.array_equal(played[name], state[f"average/{name}"])
        assert not np.array_equal(played[name], array)


def test_another_optimizer_goes_on_with_the_weights_and_says_so(
    made: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    _run(made(), tmp_path, stop_at=4)
    events = _run(made("train.optimizer=muon"), tmp_path, resume=True)
    assert any("optimizer was fused, is muon" in line for line in _told(events))
    assert isinstance(events[-1], Stopped)
    assert events[-1].reason == "finished"


def test_recomputing_gives_the_same_losses(made: Callable[..., TrainConfig], tmp_path: Path) -> None:
    _run(made("model.dropout=0.2"), tmp_path / "a")
    _run(made("model.dropout=0.2", "train.recompute=true"), tmp_path / "b")
    assert _losses(tmp_path / "a") == _losses(tmp_path / "b")


def test_patience_ends_a_run_that_gets_no_better_and_more_of_it_goes_on(
    made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = made("train.lr=1e-30", "train.min_lr=0", "eval.patience=2")  # nothing ever changes
    last = _run(frozen, tmp_path)[-1]
    assert isinstance(last, Stopped)
    assert (last.reason, last.step) == ("no better", 6)
    last = _run(frozen, tmp_path, resume=True)[-1]
    assert isinstance(last, Stopped)
    assert (last.reason, last.step) == ("already no better", 6)
    more = made("train.lr=1e-30", "train.min_lr=0", "eval.patience=9")
    last = _run(more, tmp_path, resume=True)[-1]
    assert isinstance(last, Stopped)
    assert (last.reason, last.step) == ("finished", 8)


def test_patience_without_evaluations_is_refused(made: Callable[..., TrainConfig]) -> None:
    with pytest.raises(UsageError, match="patience"):
        made("eval.every=0", "eval.patience=3")


# --- memory ---


def _hungry(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> list[int]:
    """Gradients of more than `most` rows at once fail; the rows of every attempt."""
    real, tried = Learner.gradients, []

    def gradients(self: Learner, index: int) -> Any:
        tried.append(self.micro_rows)
        if self.micro_rows > most:
            raise error
        return real(self, index)

    monkeypatch.setattr(Learner, "gradients", gradients)
    return tried


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_rows_are_halved_before_the_first_step_until_they_fit_and_the_result_is_the_same(
    error: Exception, made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(made("train.micro_rows=1"), tmp_path / "one")
    tried = _hungry(monkeypatch, 1, error)
    events = _run(made(), tmp_path / "found")
    assert tried[:4] == [4, 2, 1, 1]
    assert _told(events) == [
        "the memory is not enough for 4 rows at once: 2 now, with the same result",
        "the memory is not enough for 2 rows at once: 1 now, with the same result",
    ]
    assert _bytes(tmp_path / "found") == _bytes(tmp_path / "one")


def test_a_run_goes_on_with_the_rows_that_it_found(
    made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hungry(monkeypatch, 2, MemoryError())
    _run(made(), tmp_path, stop_at=4)
    monkeypatch.undo()  # more memory than before: other rows would be other bits
    tried = _hungry(monkeypatch, 9, MemoryError())
    assert _told(_run(made(), tmp_path, resume=True)) == []
    assert set(tried) == {2}


def test_rows_that_are_given_are_not_halved_and_one_row_is_the_least(
    made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = _hungry(monkeypatch, 0, MemoryError())
    with pytest.raises(OutOfMemoryError_) as caught:
        _run(made("train.micro_rows=4"), tmp_path / "given")
    assert "train.micro_rows=2" in caught.value.hint
    assert set(tried) == {4}
    with pytest.raises(OutOfMemoryError_, match="1 row of 16") as caught:
        _run(made(), tmp_path / "found")
    assert "train.recompute" in caught.value.hint


def test_another_error_is_not_taken_for_lack_of_memory(
    made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hungry(monkeypatch, 0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes"):
        _run(made(), tmp_path)


# --- compiler and number types ---


def test_a_compiler_that_fails_is_told_once_and_training_is_as_without(
    made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(forward: object) -> Any:
        raise RuntimeError("no C++ compiler\nand a long trace")

    monkeypatch.setattr(compiled, "compiling", broken)
    _run(made(), tmp_path / "plain")
    told = _told(_run(made("train.compile=on"), tmp_path / "compiled"))
    assert told == ["torch.compile does not work here, training goes on without it: no C++ compiler"]
    assert _losses(tmp_path / "compiled") == _losses(tmp_path / "plain")


def test_a_compiler_that_works_is_used(
    made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counting(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def fast(*args: Any, **keywords: Any) -> torch.Tensor:
            calls.append(1)
            return forward(*args, **keywords)

        return fast

    monkeypatch.setattr(compiled, "compiling", counting)
    assert _told(_run(made("train.compile=on"), tmp_path)) == []
    assert len(calls) == 2 * (8 + 1)  # model and loss, in the steps and in the trial of the rows


def test_a_loss_that_does_not_compile_is_told_and_the_model_stays_compiled(
    made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiling(work: Callable[..., Any]) -> Callable[..., Any]:
        if work is objective_sum:
            raise RuntimeError("no kernel for it")
        return work

    monkeypatch.setattr(compiled, "compiling", compiling)
    told = _told(_run(made("train.compile=on"), tmp_path))
    assert told == ["torch.compile does not work here, training goes on without it: no kernel for it"]


def test_a_way_back_that_does_not_compile_is_told_and_the_step_is_made_plainly(
    made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiling(work: Callable[..., Any]) -> Callable[..., Any]:
        def fast(*args: Any, **keywords: Any) -> Any:
            found = work(*args, **keywords)
            if isinstance(found, torch.Tensor):  # the model's, not the loss's two
                found.register_hook(broken)
            return found

        def broken(gradient: torch.Tensor) -> None:
            raise TorchDynamoException("no kernel for the way back")

        return fast

    _run(made(), tmp_path / "plain")
    monkeypatch.setattr(compiled, "compiling", compiling)
    told = _told(_run(made("train.compile=on"), tmp_path / "compiled"))
    assert told == ["torch.compile does not work here, training goes on without it: no kernel for the way back"]
    assert _losses(tmp_path / "compiled") == _losses(tmp_path / "plain")


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "backend='inductor' raised: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    ],
)
def test_memory_that_is_too_little_while_it_compiles_is_no_fault_of_the_compiler(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise RuntimeError(text)

    monkeypatch.setattr(compiled, "compiling", lambda work: full)
    work = compiled.Compiled(lambda: 7)
    with pytest.raises(RuntimeError, match=r"memory|ALLOC"):
        work()
    assert work.told == ""
    monkeypatch.setattr(compiled, "compiling", lambda work: work)
    assert work() == 7


def test_the_precision_is_chosen_by_what_the_cpu_has_and_told(
    made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not cpu_has_bf16()
    assert choose("auto", cpu).name == "fp32"
    started = next(event for event in _run(made(), tmp_path) if isinstance(event, Started))
    assert started.precision == "fp32, this CPU has no instructions for bf16"
    assert "fp32 is faster" in choose("bf16", cpu).why
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert choose("auto", cpu).name == "bf16"
    with pytest.raises(UsageError, match="tf32"):
        choose("tf32", cpu)


@pytest.mark.parametrize("wish", ["train.precision=tf32", "train.device=cuda"])
def test_what_the_machine_has_not_is_said_before_text_is_prepared(
    wish: str, made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"no tf32 here|no CUDA device here"):
        _run(made(wish), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_how_the_step_is_computed_is_told_where_it_was_chosen(made: Callable[..., TrainConfig], tmp_path: Path) -> None:
    events = _run(made("train.precision=fp32", "train.recompute=true", "train.steps=1"), tmp_path / "run")
    (started,) = (event for event in events if isinstance(event, Started))
    assert started.precision == "fp32, as set, activations computed again"


def test_bf16_and_fp16_learn_what_fp32_learns(made: Callable[..., TrainConfig], tmp_path: Path) -> None:
    found = {}
    for name in ("fp32", "bf16", "fp16"):
        events = _run(made(f"train.precision={name}"), tmp_path / name)
        found[name] = [event.loss for event in events if isinstance(event, Evaluated)][-1]
    assert found["bf16"] == pytest.approx(found["fp32"], abs=0.02)
    assert found["fp16"] == pytest.approx(found["fp32"], abs=0.02)
    assert len(set(found.values())) == 3  # the type is really used


def test_the_scale_halves_until_nothing_overflows_and_grows_after_a_long_time() -> None:
    scaler = Scaler()
    first = scaler.scale
    assert scaler.overflowed(math.inf)
    assert scaler.scale == first / 2
    assert not scaler.overflowed(3.0)
    for _ in range(GROWS_AFTER):
        scaler.stepped()
    assert scaler.scale == first
    scaler.scale = 1.0
    assert not scaler.overflowed(math.nan)  # then it is not the scale: the run has to end


def test_a_gradient_that_no_scale_saves_ends_the_run(
    made: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.learner.clip_gradients", lambda *_: math.inf)
    with pytest.raises(NumbersError):
        _run(made("train.precision=fp16", "train.micro_rows=4"), tmp_path)


# --- on a GPU ---

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.cuda
@on_cuda
@pytest.mark.parametrize("optimizer", ["fused", "muon"])
@pytest.mark.parametrize("precision", ["auto", "fp16", "tf32"])
def test_cuda_learns_what_the_cpu_learns(
    precision: str, optimizer: str, made: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    found = {}
    for device in ("cpu", "cuda"):
        wanted = precision if device == "cuda" else "fp32"
        config = made(f"train.device={device}", f"train.precision={wanted}", f"train.optimizer={optimizer}")
        events = _run(config, tmp_path / device)
        found[device] = [event.loss for event in events if isinstance(event, Evaluated)][-1]
    assert found["cuda"] == pytest.approx(found["cpu"], abs=0.03)


@pytest.mark.cuda
@on_cuda
def test_cuda_compiles_or_says_why_not(made: Callable[..., TrainConfig], tmp_path: Path) -> None:
    events = _run(made("train.device=cuda"), tmp_path)
    assert all("torch.compile" in line for line in _told(events))
    assert isinstance(events[-1], Stopped)
    assert events[-1].reason == "finished"


@pytest.mark.cuda
@on_cuda
def test_cuda_memory_that_is_too_little_halves_the_rows(made: Callable[..., TrainConfig], tmp_path: Path) -> None:
    torch.cuda.set_per_process_memory_fraction(0.02)
    try:
        config = made(
            "train.device=cuda", "train.compile=off", "model.context=1024", "model.width=512", "model.heads=4",
            "train.tokens_per_step=4194304", "train.steps=1", "eval.every=0", "data.mode=windows",
        )  # fmt: skip
        rows: Any = _Ones(config)
        lengths = np.ones(300, np.int32)
        device = torch.device("cuda")
        learner = Learner.fresh(config, batches=rows, vocab_size=300, byte_lengths=lengths, device=device)
        learner.micro_rows = config.rows_per_step
        told = list(fit_rows(learner, 0))
        assert told
        assert learner.micro_rows < config.rows_per_step
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


class _Ones:
    """Any number of rows of ones."""

    def __init__(self, config: TrainConfig) -> None:
        self.shape = (config.rows_per_step, config.model.context)

    def batch(self, index: int, part: range | None = None) -> Any:
        return Batch(np.ones(self.shape, np.int64), np.ones(self.shape, np.int64), None)


def test_torchs_compiler_can_read_the_switch_for_float32_products() -> None:
    for name in ("bf16", "fp32"):
        choose(name, torch.device("cpu")).prepare()
        # where the newer switch was set, this raises, and with it the compiler
        assert torch.get_float32_matmul_precision() == ("highest" if name == "fp32" else "high")
