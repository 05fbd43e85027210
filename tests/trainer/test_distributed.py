"""Two processes train the model that one trains; whoever is stopped or breaks, all end together."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinychat.model.checkpoint import read
from trainer import checkpoints
from trainer.config import TrainConfig
from trainer.config_file import parse
from trainer.events import Evaluated, TrainStep
from trainer.loop import train
from trainer.signals import StopFlag

from .ports import free_port

BASE = """
[tokenizer]
vocab_size = 280
[data]
valid_fraction = 0.1
[model]
context = 16
width = 16
layers = 2
heads = 2
dropout = 0.1
[train]
steps = 8
tokens_per_step = 128
micro_rows = 4
lr = 1e-2
optimizer = "plain"
threads = 1
device = "cpu"
[eval]
every = 4
batches = 3
rows = 4
[sample]
every = 4
prompts = ["fox"]
max_tokens = 4
[save]
every = 2
"""
MUON = ["train.optimizer=muon", "train.ema=0.9", "train.steps=4"]


def _numbers(events: list[Any]) -> tuple[list[list[float]], list[list[float]]]:
    return (
        [[event.step, event.loss, event.grad_norm] for event in events if isinstance(event, TrainStep)],
        [[event.step, event.loss, event.tokens] for event in events if isinstance(event, Evaluated)],
    )


def _bytes(out: Path) -> dict[str, bytes]:
    found, broken = checkpoints.newest(out / "checkpoints")
    assert found is not None
    assert broken == []
    return {name: array.tobytes() for name, array in (*found.weights().items(), *found.state().items())}


class Pair:
    """What both processes said of every job, and where it ran."""

    def __init__(self, folder: Path, answers: dict[str, list[dict[str, Any]]]) -> None:
        self.folder, self.answers = folder, answers

    def __getitem__(self, name: str) -> list[dict[str, Any]]:
        return self.answers[name]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    dice = random.Random(5)
    rows = [" ".join(dice.choices(["fox", "owl", "mill", "red", "ran"], k=dice.randint(4, 20))) for _ in range(60)]
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return path


def _config(text: Path, *overrides: str) -> TrainConfig:
    return parse(BASE, name="test", overrides=[f"data.text={text}", *overrides])


@pytest.fixture(scope="module")
def alone(text: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The run of one process, with two micro-batches a step."""
    out = tmp_path_factory.mktemp("alone")
    return out, list(train(_config(text), out=out))


@pytest.fixture(scope="module")
def pair(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """All jobs in one pair of processes: starting them costs more than all they do."""
    folder = tmp_path_factory.mktemp("pair")
    flag = StopFlag()
    for event in train(_config(text), out=folder / "resumed", stop=flag):
        if isinstance(event, TrainStep) and event.step == 3:
            flag.request("SIGTERM")
    jobs: dict[str, dict[str, Any]] = {
        "copies": {},
        "parts": {"set": ["train.shard=fsdp"]},
        "fused parts": {"set": ["train.shard=fsdp", "train.optimizer=fused", "train.steps=2"]},
        "muon parts": {"set": ["train.shard=fsdp", *MUON]},
        "adapters": {
            "config": BASE.replace("[tokenizer]\nvocab_size = 280\n", ""),
            "set": ["train.shard=fsdp", "lora.rank=2", "train.steps=2", f"train.from={folder / 'resumed'}"],
        },
        "resumed": {"resume": True, "victim": 1, "stop_at": 6},
        "stopped": {"victim": 1, "stop_at": 5},
        "stopped early": {"victim": 1, "stop_at": 0},
        "broken": {"victim": 1, "break": "loss"},
        "full": {"break": "disk"},
        "uneven": {"set": ["train.micro_rows=8"]},
    }
    for name, job in jobs.items():
        given = [f"data.text={text}", *job.get("set", [])]
        job.update(config=job.get("config", BASE), out=str(folder / name), port=free_port(), set=given)
    path = folder / "jobs.json"
    path.write_text(json.dumps(list(jobs.values())))
    running = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "pair.py"), str(path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        said = running.communicate(timeout=300)[0].decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 0, said
    answers = {
        name: [json.loads((folder / f"jobs-{number}-{rank}.json").read_text()) for rank in range(2)]
        for number, name in enumerate(jobs)
    }
    return Pair(folder, answers)


def test_two_copies_are_one_process_with_twice_the_micro_batches(pair: Pair, alone: tuple[Path, list[Any]]) -> None:
    losses, held_out = _numbers(alone[1])
    for answer in pair["copies"]:
        assert (answer["error"], answer["stopped"]) == (None, [[8, "finished"]])
        assert (answer["losses"], answer["held_out"]) == (losses, held_out)
    assert _bytes(pair.folder / "copies") == _bytes(alone[0])


def test_a_model_in_parts_is_the_whole_one(pair: Pair, alone: tuple[Path, list[Any]]) -> None:
    losses, held_out = _numbers(alone[1])
    for answer in pair["parts"]:
        assert (answer["error"], answer["stopped"]) == (None, [[8, "finished"]])
        # not to the bit: the gradient's norm is summed over parts
        assert np.allclose(answer["losses"], losses, rtol=1e-5)
        assert np.allclose(answer["held_out"], held_out, rtol=1e-5)
    parts, _ = checkpoints.newest(pair.folder / "parts" / "checkpoints")
    one, _ = checkpoints.newest(alone[0] / "checkpoints")
    assert parts is not None
    assert one is not None
    for mine, theirs in ((parts.weights(), one.weights()), (parts.state(), one.state())):
        assert list(mine) == list(theirs)
        for name, array in theirs.items():
            assert mine[name].shape == array.shape
            assert np.allclose(mine[name], array, rtol=1e-3, atol=1e-5), name


def test_a_run_goes_from_one_process_to_two_and_back(pair: Pair, alone: tuple[Path, list[Any]], text: Path) -> None:
    first = pair["resumed"][0]
    assert first["losses"][0][0] == 4
    assert "not bit-exact: ranks was 1, is 2" in first["warned"]
    assert [answer["stopped"] for answer in pair["resumed"]] == [[[6, "SIGTERM"]]] * 2
    out = pair.folder / "resumed"
    events = list(train(_config(text), out=out, resume=True))
    assert _numbers(events)[0][0][0] == 7
    assert _bytes(out) == _bytes(alone[0])  # two shares of one sum: in this case even the bits are the same


def test_a_signal_to_one_stops_all_at_one_step_with_one_save(pair: Pair) -> None:
    assert [answer["stopped"] for answer in pair["stopped"]] == [[[5, "SIGTERM"]]] * 2
    kept = sorted(folder.name for folder in (pair.folder / "stopped" / "checkpoints").iterdir())
    assert kept == ["step-000004", "step-000005"]
    saved = [json.loads(line) for line in (pair.folder / "stopped" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in saved if line["event"] == "saved" and not line["best"]] == [2, 4, 5]


def test_a_signal_while_the_first_prepares_the_text_reaches_it(pair: Pair) -> None:
    for answer in pair["stopped early"]:
        assert (answer["stopped"], answer["error"]) == ([[0, "SIGTERM"]], None)


def test_a_loss_that_is_no_number_on_one_stops_all_before_the_update(pair: Pair) -> None:
    for answer in pair["broken"]:
        assert answer["error"] == ["NumbersError", "Step 1: the loss is nan."]
        assert answer["losses"] == []
    assert list((pair.folder / "broken").rglob("*.safetensors")) == []


def test_a_disk_that_stays_full_ends_all(pair: Pair) -> None:
    first, second = pair["full"]
    assert first["error"][0] == "StorageError"
    assert second["error"][0] == "Left"


def test_a_step_that_cannot_be_shared_names_the_nearest_that_can(pair: Pair) -> None:
    for answer in pair["uneven"]:
        kind, what = answer["error"]
        assert kind == "UsageError"
        assert "cannot be shared by 2 processes" in what
        assert what.endswith("nearest is 256.")
    assert not (pair.folder / "uneven").exists()


def test_the_fused_optimizer_takes_parts(pair: Pair) -> None:
    assert [answer["stopped"] for answer in pair["fused parts"]] == [[[2, "finished"]]] * 2


def test_muon_and_the_average_take_parts(pair: Pair, text: Path, tmp_path: Path) -> None:
    events = list(train(_config(text, *MUON), out=tmp_path))
    for answer in pair["muon parts"]:
        assert answer["error"] is None
        assert np.allclose(answer["losses"], _numbers(events)[0], rtol=1e-4)
        assert np.allclose(answer["held_out"], _numbers(events)[1], rtol=1e-4)
    parts, whole = (read(folder / "ckpt.safetensors")[1] for folder in (pair.folder / "muon parts", tmp_path))
    assert all(np.allclose(parts[name], array, atol=1e-3) for name, array in whole.items())


def test_adapters_of_parts_learn_after_a_look_at_the_base(pair: Pair) -> None:
    # evaluation comes before the first step here: weights first gathered there must still be trainable
    for answer in pair["adapters"]:
        assert (answer["error"], answer["stopped"]) == (None, [[2, "finished"]])
        assert len(answer["held_out"]) == 2
    assert _bytes(pair.folder / "adapters")
