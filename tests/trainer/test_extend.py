"""`tinychat train RUN` goes on by the run's own config, and --extend makes a run longer than it was meant to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinychat.errors import UsageError
from trainer.checkpoints import newest
from trainer.config import TrainConfig
from trainer.config_file import load, parse
from trainer.events import Stopped, TrainStep
from trainer.extend import longer
from trainer.loop import train

BASE = """
[tokenizer]
vocab_size = 280
[data]
valid_fraction = 0.1
[model]
context = 16
width = 16
layers = 1
heads = 2
[train]
steps = 4
tokens = 100000
tokens_per_step = 64
schedule = "wsd"
warmup = 0
hold_until = 0.75
threads = 1
device = "cpu"
[sample]
every = 0
"""


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    text = tmp_path / "text.jsonl"
    text.write_text("".join(json.dumps({"text": f"the fox ran to the red mill {n}"}) + "\n" for n in range(60)))
    return parse(BASE, name="test", overrides=[f"data.text={text}"])


@pytest.fixture
def run(config: TrainConfig, tmp_path: Path) -> Path:
    list(train(config, out=tmp_path / "run"))
    return tmp_path / "run"


@pytest.mark.parametrize("amount", ["6", "6steps", " 6 steps"])
def test_more_steps_come_after_the_end_and_no_other_limit_stands_in_the_way(amount: str, run: Path) -> None:
    config = load(run / "config.toml", longer(run, amount))
    assert (config.train.steps, config.train.tokens) == (10, None)
    events = list(train(config, out=run, resume=True))
    steps = [event for event in events if isinstance(event, TrainStep)]
    assert [event.step for event in steps] == list(range(5, 11))
    assert steps[0].lr == config.train.lr  # of the ten steps' schedule: the decay begins at 7.5
    assert steps[-1].lr < config.train.lr
    assert isinstance(events[-1], Stopped)
    assert (events[-1].reason, events[-1].step) == ("finished", 10)


def test_more_minutes_count_from_where_it_is(run: Path) -> None:
    found, _ = newest(run / "checkpoints")
    assert found is not None
    config = load(run / "config.toml", longer(run, "1.5m"))
    assert config.train.minutes == pytest.approx(found.progress.elapsed_s / 60 + 1.5, rel=1e-4)
    assert (config.train.steps, config.train.tokens) == (None, None)


def test_a_run_that_ended_early_goes_on_from_where_it_stands(config: TrainConfig, tmp_path: Path) -> None:
    slow = ["train.lr=1e-12", "train.steps=60", "eval.every=2", "eval.patience=1", f"data.text={config.data.text}"]
    events = list(train(parse(BASE, name="test", overrides=slow), out=tmp_path / "run"))
    assert isinstance(events[-1], Stopped)
    assert (events[-1].reason, events[-1].step) == ("no better", 4)
    longer_ = load(tmp_path / "run" / "config.toml", longer(tmp_path / "run", "3"))
    events = list(train(longer_, out=tmp_path / "run", resume=True))
    assert isinstance(events[-1], Stopped)
    assert (events[-1].reason, events[-1].step) == ("finished", 7)


def test_more_steps_come_after_the_end_that_the_config_names_by_now(run: Path) -> None:
    shorter = load(run / "config.toml", ["train.steps=2"])
    list(train(shorter, out=run, resume=True))  # finished already: nothing is saved
    assert load(run / "config.toml", longer(run, "6")).train.steps == 10


@pytest.mark.parametrize("amount", ["", "x", "0", "-5", "1.5", "5 hours", "1e3"])
def test_an_amount_that_is_none_is_refused(amount: str, run: Path) -> None:
    with pytest.raises(UsageError, match="--extend"):
        longer(run, amount)


def test_the_door_goes_on_by_the_run_alone(run: Path, tinychat: Any) -> None:
    done = tinychat("train", "--resume", run, "--plain")
    assert done.code == 0
    assert "finished already" in done.text
    assert f"More:   tinychat train --extend 500 {run}".split(maxsplit=1)[1].split("train")[1] in done.text
    longer_ = tinychat("train", run, "--extend", "2", "--plain")
    assert longer_.code == 0
    assert "Finished: 6 steps" in longer_.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Nothing says what to train"),
        (["{run}"], "go on with it, or make it longer"),
        (["{run}", "--resume", "--out", "b"], "its own config and folder count"),
        (["none", "--resume"], "There is no run in none"),
        (["--config", "a.toml", "--extend", "5"], "--extend needs a run"),
    ],
)
def test_contradictions_are_said_before_anything_starts(
    words: list[str], message: str, tmp_path: Path, tinychat: Any
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text(BASE)
    told = tinychat("train", *[word.format(run=tmp_path / "run") for word in words])
    assert told.code == 2
    assert message in told.err
