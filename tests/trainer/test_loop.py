"""A run goes on to the bit where it stopped, looks without touching, stops cleanly and never saves a NaN."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tinychat.errors import CorpusError, NumbersError, OutOfMemoryError_, StorageError, UsageError
from tinychat.model.checkpoint import inspect, read
from tinychat.model.transformer import load
from trainer import checkpoints, loop
from trainer.batches import Batch
from trainer.config import TrainConfig
from trainer.config_file import load as load_config
from trainer.config_file import parse
from trainer.events import Evaluated, Event, Sampled, Saved, Started, Stopped, TrainStep, Warned
from trainer.learner import Learner
from trainer.loop import train
from trainer.loss import IGNORED
from trainer.signals import StopFlag

STEPS = 12
BASE = f"""
[tokenizer]
vocab_size = 280
[data]
valid_fraction = 0.1
seed = 2
[model]
context = 16
width = 16
layers = 1
heads = 2
dropout = 0.1
[train]
steps = {STEPS}
tokens_per_step = 128
micro_rows = 4
lr = 1e-2
optimizer = "plain"
threads = 1
device = "cpu"
[eval]
every = 4
batches = 2
rows = 4
[sample]
every = 6
prompts = ["fox"]
max_tokens = 8
[save]
every = 3
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small documents, enough for two epochs."""
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    dice = random.Random(5)
    words = ["fox", "owl", "mill", "red", "ran", "saw", "the", "a", "kite", "old"]
    with path.open("w") as file:
        for _ in range(60):
            file.write(json.dumps({"text": " ".join(dice.choices(words, k=dice.randint(4, 20)))}) + "\n")
    return path


@pytest.fixture
def config(text: Path) -> TrainConfig:
    return _config(text)


def _config(text: Path, *overrides: str) -> TrainConfig:
    return parse(BASE, name="test", overrides=[f"data.text={text}", *overrides])


def _run(config: TrainConfig, out: Path, **keywords: Any) -> list[Event]:
    return list(train(config, out=out, **keywords))


def _losses(events: list[Event]) -> list[tuple[int, float, float, float]]:
    return [(e.step, e.loss, e.smooth_loss, e.grad_norm) for e in events if isinstance(e, TrainStep)]


def _logged(out: Path, kind: str = "trainstep") -> list[tuple[int, float]]:
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss"]) for record in records if record["event"] == kind]


def _bytes(out: Path) -> dict[str, bytes]:
    """Weights, moments, counts and generators of the newest checkpoint."""
    found, broken = checkpoints.newest(out / "checkpoints")
    assert found is not None
    assert broken == []
    return {name: array.tobytes() for name, array in (*found.weights().items(), *found.state().items())}


@pytest.fixture(scope="module")
def unbroken(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    _run(_config(text), out)
    return out


def _stop_after(step: int, kind: type[Event] = TrainStep) -> Callable[[Iterator[Event], StopFlag], list[Event]]:
    def consume(events: Iterator[Event], flag: StopFlag) -> list[Event]:
        seen = []
        for event in events:
            seen.append(event)
            if isinstance(event, kind) and getattr(event, "step", 0) >= step:
                flag.request("SIGTERM")
        return seen

    return consume


@pytest.mark.parametrize("stop_at", range(1, STEPS))
def test_stopped_and_resumed_is_the_unbroken_run_bit_for_bit(
    stop_at: int, config: TrainConfig, unbroken: Path, tmp_path: Path
) -> None:
    flag = StopFlag()
    first = _stop_after(stop_at)(train(config, out=tmp_path, stop=flag), flag)
    last = first[-1]
    assert isinstance(last, Stopped)
    assert (last.step, last.reason) == (stop_at, "SIGTERM")
    torch.manual_seed(999)  # what ran in between must not matter
    second = _run(config, tmp_path, resume=True)
    assert not [event for event in second if isinstance(event, Warned)]
    assert _bytes(tmp_path) == _bytes(unbroken)
    for kind in ("trainstep", "evaluated"):
        assert _logged(tmp_path, kind) == _logged(unbroken, kind)


def test_many_sittings_are_one_run(config: TrainConfig, unbroken: Path, tmp_path: Path) -> None:
    for sitting in range(20):
        flag = StopFlag()
        events = train(config, out=tmp_path, stop=flag, resume=sitting > 0)
        last = _stop_after(sitting * 2 + 1)(events, flag)[-1]
        assert isinstance(last, Stopped)
        if last.reason == "finished":
            break
    assert _bytes(tmp_path) == _bytes(unbroken)
    assert _logged(tmp_path) == _logged(unbroken)


def test_a_kill_loses_only_the_steps_since_the_last_save(config: TrainConfig, unbroken: Path, tmp_path: Path) -> None:
    for event in train(config, out=tmp_path):  # closing the generator is what a kill leaves behind: no last save
        if isinstance(event, TrainStep) and event.step == 8:
            break
    assert _logged(tmp_path)[-1][0] == 8
    again = _run(config, tmp_path, resume=True)
    assert _losses(again)[0][0] == 7
    assert _bytes(tmp_path) == _bytes(unbroken)
    assert _logged(tmp_path) == _logged(unbroken)


def test_a_broken_newest_checkpoint_is_told_and_the_one_before_is_used(
    config: TrainConfig, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    state = out / "checkpoints" / f"step-{STEPS:06d}" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-3])
    events = _run(config, out, resume=True)
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert any("passed over, state.safetensors is not what was written" in message for message in warned)
    assert _losses(events)[0][0] == 10
    assert _bytes(out) == _bytes(unbroken)


@pytest.mark.parametrize("kind", [Evaluated, Sampled])
def test_a_stop_wish_is_heard_inside_evaluation_and_sampling(
    kind: type[Event], config: TrainConfig, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = StopFlag()
    name = "evaluate" if kind is Evaluated else "sample"
    real = getattr(loop, name)

    def interrupted(*args: Any, **keywords: Any) -> Any:
        flag.request("SIGINT")
        return (yield from real(*args, **keywords))

    monkeypatch.setattr(loop, name, interrupted)
    events = _run(config, tmp_path, stop=flag)
    assert not [event for event in events if isinstance(event, kind)]
    assert isinstance(events[-1], Stopped)
    assert events[-1].reason == "SIGINT"
    monkeypatch.undo()
    _run(config, tmp_path, resume=True)
    assert _logged(tmp_path, "evaluated") == _logged(unbroken, "evaluated")  # what was cut off came after all
    assert _bytes(tmp_path) == _bytes(unbroken)


def test_a_stop_wish_is_heard_while_text_is_prepared(config: TrainConfig, tmp_path: Path) -> None:
    flag = StopFlag()
    flag.request("SIGHUP")
    events = _run(config, tmp_path, stop=flag)
    last = events[-1]
    assert isinstance(last, Stopped)
    assert (last.reason, last.saved, last.step) == ("SIGHUP", None, 0)
    assert _run(config, tmp_path)[-1].reason == "finished"  # type: ignore[union-attr]  # nothing stands in the way


@pytest.mark.parametrize(
    "overrides",
    [
        ["eval.every=1", "sample.every=1", "save.every=1"],
        ["eval.every=1000", "sample.every=0", "save.every=0"],
        ["eval.batches=1", "sample.temperature=0", "run.log_every=1", "sample.seed=9"],
    ],
)
def test_looking_changes_no_training_number(overrides: list[str], text: Path, unbroken: Path, tmp_path: Path) -> None:
    _run(_config(text, *overrides), tmp_path)
    assert _logged(tmp_path) == _logged(unbroken)
    assert _bytes(tmp_path) == _bytes(unbroken)


def test_accumulation_equals_one_batch_though_the_parts_have_unequal_tokens(text: Path, tmp_path: Path) -> None:
    whole, parts = (
        _config(text, "train.micro_rows=8", "model.dropout=0"),
        _config(text, "train.micro_rows=1", "model.dropout=0"),
    )
    learners = [_learner(config) for config in (whole, parts)]
    uneven = {int((learners[0].batches.batch(0, range(8))[1][row] != IGNORED).sum()) for row in range(8)}
    assert len(uneven) > 2
    taken = [learner.gradients(0) for learner in learners]
    assert taken[0].trained == taken[1].trained
    assert taken[0].nats == pytest.approx(taken[1].nats, rel=1e-6)
    for a, b in zip(*(learner.model.parameters() for learner in learners), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, atol=1e-6)


class _Rows:
    """Fixed batches with rows of very unequal numbers of trained tokens."""

    batches_per_epoch = 1.0

    def __init__(self, rows: int, context: int, vocab_size: int) -> None:
        dice = np.random.default_rng(0)
        tokens = dice.integers(0, vocab_size, (rows, context + 1))
        self.x, self.y = tokens[:, :-1].copy(), tokens[:, 1:].copy()
        for row in range(rows):
            self.y[row, row + 1 :] = IGNORED

    def batch(self, index: int, part: range) -> Batch:
        return Batch(self.x[part], self.y[part], None)


def _learner(config: TrainConfig, vocab_size: int = 280) -> Learner:
    batches: Any = _Rows(config.rows_per_step, config.model.context, vocab_size)
    byte_lengths = np.full(vocab_size, 2, np.int32)
    return Learner.fresh(
        config, batches=batches, vocab_size=vocab_size, byte_lengths=byte_lengths, device=torch.device("cpu")
    )


def test_the_first_loss_is_the_log_of_the_vocabulary(config: TrainConfig) -> None:
    learner = _learner(config)
    assert learner.gradients(0).loss == pytest.approx(math.log(280), abs=0.05)


def test_one_batch_can_be_learnt_by_heart(text: Path) -> None:
    learner = _learner(_config(text, "model.dropout=0"), vocab_size=64)
    losses = [learner.step(0, 1e-2).loss for _ in range(200)]
    assert losses[-1] < 0.05


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_gradient_stops_the_run_before_the_update_and_no_checkpoint_is_touched(
    bad: float, config: TrainConfig, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Learner.gradients

    def poisoned(self: Learner, index: int) -> Any:
        taken = real(self, index)
        if index == 7:
            weight = self.model.embedding.weight
            assert weight.grad is not None
            weight.grad[0, 0] = bad
            return type(taken)(taken.nats, taken.trained, taken.seen, taken.text_bytes, bad)
        return taken

    monkeypatch.setattr(Learner, "gradients", poisoned)
    with pytest.raises(NumbersError, match=r"Step 8: the gradient of embedding\.weight") as caught:
        _run(config, tmp_path)
    assert caught.value.exit_code == 7
    assert "--resume" in caught.value.hint
    monkeypatch.undo()
    found, broken = checkpoints.newest(tmp_path / "checkpoints")
    assert found is not None
    assert (found.progress.step, broken) == (6, [])
    _run(config, tmp_path, resume=True)
    assert _bytes(tmp_path) == _bytes(unbroken)


def test_a_rate_beyond_reason_ends_with_numbers_error_and_finite_files(text: Path, tmp_path: Path) -> None:
    config = _config(text, "train.lr=1e30", "train.warmup=0", "save.every=1", "train.clip=0")
    with pytest.raises(NumbersError):
        _run(config, tmp_path)
    for file in tmp_path.rglob("*.safetensors"):
        if file.name != "state.safetensors":
            read(file)  # refuses what is not finite


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_too_little_memory_names_the_knob(
    error: Exception, config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(Learner, "gradients", hungry)
    with pytest.raises(OutOfMemoryError_, match="4 rows of 16 tokens") as caught:
        _run(config, tmp_path)
    assert caught.value.exit_code == 8
    assert "train.micro_rows=2" in caught.value.hint


def test_a_full_disk_is_told_and_tried_again(
    config: TrainConfig, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = checkpoints.save, 0

    def full(*args: Any, **keywords: Any) -> Path:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise StorageError("x: the disk is full.", "Free some space.")
        return real(*args, **keywords)

    monkeypatch.setattr(checkpoints, "save", full)
    events = _run(config, tmp_path)
    assert [event.message for event in events if isinstance(event, Warned)] == [
        "not saved: x: the disk is full. Training goes on."
    ] * 2
    assert _bytes(tmp_path) == _bytes(unbroken)


def test_a_disk_that_stays_full_ends_the_run(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Path:
        raise StorageError("x: the disk is full.")

    monkeypatch.setattr(checkpoints, "save", full)
    with pytest.raises(StorageError) as caught:
        _run(config, tmp_path)
    assert caught.value.exit_code == 6


def test_the_files_play_by_themselves(config: TrainConfig, unbroken: Path) -> None:
    model, info = load(unbroken / "ckpt.safetensors")
    assert info.step == STEPS
    assert info.tokenizer_json == (unbroken / "tokenizer.json").read_text()
    assert model.config.width == 16
    best = inspect(unbroken / "best.safetensors")
    losses = dict(_logged(unbroken, "evaluated"))
    assert losses[best.step] == min(losses.values())
    assert best.training["valid_loss"] == pytest.approx(min(losses.values()))


def test_the_stored_config_is_the_one_that_ran(config: TrainConfig, unbroken: Path) -> None:
    assert load_config(unbroken / "config.toml") == config


def test_a_finished_run_says_so(config: TrainConfig, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    events = _run(config, tmp_path / "run", resume=True)
    assert len(events) == 1
    assert isinstance(events[0], Stopped)
    assert events[0].reason == "already finished"


def test_a_run_that_is_there_is_never_trained_over(config: TrainConfig, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    before = _bytes(tmp_path / "run")
    with pytest.raises(UsageError) as caught:
        _run(config, tmp_path / "run")
    assert "--resume" in caught.value.hint
    assert "--fresh" in caught.value.hint
    assert _bytes(tmp_path / "run") == before
    assert isinstance(_run(config, tmp_path / "run", fresh=True)[-1], Stopped)
    with pytest.raises(UsageError, match="no run"):
        _run(config, tmp_path / "none", resume=True)


def test_resuming_as_another_run_is_refused(text: Path, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    for override in ("model.width=32", "tokenizer.vocab_size=300", "data.seed=7"):
        with pytest.raises(UsageError, match="holds another run"):
            _run(_config(text, override), tmp_path / "run", resume=True)


@pytest.mark.parametrize("override", ["train.lr=2e-2", "train.micro_rows=8", "train.optimizer=fused", "train.steps=14"])
def test_what_makes_a_resumed_run_differ_is_said_or_refused(
    override: str, text: Path, unbroken: Path, tmp_path: Path
) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    with pytest.raises(UsageError, match="not go on bit-exact"):
        _run(_config(text, override, "run.exact_resume=true", "train.steps=14"), tmp_path / "run", resume=True)
    events = _run(_config(text, override, "train.steps=14"), tmp_path / "run", resume=True)
    warned = [event.message for event in events if isinstance(event, Warned)]
    key = override.partition("=")[0].removeprefix("train.")
    assert any(message.startswith("not bit-exact: ") and key in message for message in warned)
    assert isinstance(events[-1], Stopped)
    assert events[-1].step == 14


def test_a_packed_mixture_goes_on_bit_for_bit(text: Path, tmp_path: Path) -> None:
    rows = text.read_text().splitlines(keepends=True)
    for name, part in (("a", rows[:25]), ("b", rows[25:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(part))
    sources = f'data.text=["{tmp_path / "a.jsonl"}", "{tmp_path / "b.jsonl"}"]'
    config = _config(text, sources, "data.weights=[2, 1]", "data.mode=packed")
    whole = _run(config, tmp_path / "whole")
    flag = StopFlag()
    first = _stop_after(5)(train(config, out=tmp_path / "run", stop=flag), flag)
    second = _run(config, tmp_path / "run", resume=True)
    assert _losses(first) + _losses(second) == _losses(whole)
    assert _bytes(tmp_path / "run") == _bytes(tmp_path / "whole")


def test_other_text_in_the_folder_is_refused_by_digest(
    config: TrainConfig, text: Path, unbroken: Path, tmp_path: Path
) -> None:
    out, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(unbroken, out)
    _run(_config(text, "data.valid_fraction=0.3", "train.steps=1"), other)
    shutil.rmtree(out / "data")
    shutil.copytree(other / "data", out / "data")
    with pytest.raises(CorpusError, match="data of this run has changed"):
        _run(config, out, resume=True)


def test_changed_text_outside_is_told_and_the_old_text_is_used(text: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    shutil.copyfile(text, own)
    flag = StopFlag()
    _stop_after(3)(train(_config(own), out=tmp_path / "run", stop=flag), flag)
    own.write_text(own.read_text() + '{"text": "one more"}\n')
    events = _run(_config(own), tmp_path / "run", resume=True)
    assert any("the text has changed" in event.message for event in events if isinstance(event, Warned))
    assert isinstance(events[-1], Stopped)


def test_too_little_text_is_named(tmp_path: Path, text: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("a few words")
    with pytest.raises(CorpusError) as caught:
        _run(_config(short), tmp_path / "run")
    assert caught.value.exit_code == 4


def test_the_time_limit_ends_with_evaluation_sample_and_save(text: Path, tmp_path: Path) -> None:
    config = _config(
        text, "train.steps=100000", "train.minutes=0.02", "eval.every=0", "sample.every=1000", "save.every=0"
    )
    events = _run(config, tmp_path)
    kinds = [type(event) for event in events]
    assert {Evaluated, Sampled, Saved} <= set(kinds)
    last = events[-1]
    assert isinstance(last, Stopped)
    assert last.reason == "time limit"
    assert any("train.minutes = 0.02 ends the run" in event.message for event in events if isinstance(event, Warned))


def test_minutes_alone_set_the_steps_so_that_the_rate_comes_down(text: Path, tmp_path: Path) -> None:
    config = _config(text, "train.steps=", "train.minutes=0.02", "eval.every=0", "sample.every=0", "save.every=0")
    events = _run(config, tmp_path)
    started = next(event for event in events if isinstance(event, Started))
    assert 5 < started.steps < 5000
    last = events[-1]
    assert isinstance(last, Stopped)
    assert last.steps == started.steps


@pytest.mark.parametrize(
    ("override", "steps"),
    [("train.tokens=1000", 8), ("train.epochs=1", None), ("train.steps=5", 5)],
)
def test_every_limit_counts_and_the_smallest_wins(override: str, steps: int | None, text: Path, tmp_path: Path) -> None:
    events = _run(_config(text, override), tmp_path)
    last = events[-1]
    assert isinstance(last, Stopped)
    if steps is not None:
        assert last.step == steps
    else:
        final = [event for event in events if isinstance(event, TrainStep)][-1]
        assert final.step == STEPS or 1.0 <= final.epoch < 1.2


def test_a_prompt_without_room_is_told(text: Path, tmp_path: Path) -> None:
    config = _config(text, f'sample.prompts=["{"fox " * 20}", "owl"]', "train.steps=6")
    events = _run(config, tmp_path)
    assert any("leaves no room" in event.message for event in events if isinstance(event, Warned))
    assert [event.prompt for event in events if isinstance(event, Sampled)] == ["owl"]


def test_bits_per_byte_count_the_bytes_of_the_targets(text: Path) -> None:
    learner = _learner(_config(text, "model.dropout=0"))
    taken = learner.gradients(0)
    assert taken.text_bytes == 2 * taken.trained


def test_signals_set_the_flag_and_a_second_ctrl_c_leaves() -> None:
    import signal

    from trainer.signals import caught_signals

    flag = StopFlag()
    before = signal.getsignal(signal.SIGTERM)
    with caught_signals(flag):
        signal.raise_signal(signal.SIGUSR1)  # a queue's notice: the default would end the process
        assert flag.reason == "SIGUSR1"
        flag.reason = None
        signal.raise_signal(signal.SIGTERM)
        assert flag.reason == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGCONT)
        assert flag.take_suspended()
        assert not flag.take_suspended()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("name", ["evaluate", "sample"])
def test_what_a_stop_cuts_off_at_the_last_step_comes_when_the_run_is_gone_on_with(
    name: str, config: TrainConfig, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = StopFlag()
    real, calls = getattr(loop, name), 0

    def interrupted(*args: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == (3 if name == "evaluate" else 2):  # of the last step
            flag.request("SIGTERM")
        return (yield from real(*args, **keywords))

    monkeypatch.setattr(loop, name, interrupted)
    stopped = _run(config, tmp_path, stop=flag)[-1]
    assert isinstance(stopped, Stopped)
    assert (stopped.step, stopped.reason) == (STEPS, "SIGTERM")
    monkeypatch.undo()
    for _ in range(2):  # and no line of it twice
        _run(config, tmp_path, resume=True)
        for kind in ("evaluated", "sampled"):
            records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
            told = [record["step"] for record in records if record["event"] == kind]
            assert told == sorted(set(told))
            assert told[-1] == STEPS
