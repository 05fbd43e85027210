"""The tokens of a run: from its text, or from shards that were made before, mixed by weights where wanted."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tinychat.errors import CorpusError, UsageError
from tinychat.text.tokenizer import Tokenizer
from trainer import data_build, data_folder, prepare
from trainer.config import TrainConfig
from trainer.config_file import parse
from trainer.data_build import build
from trainer.data_recipe import Recipe
from trainer.events import Event, Progress, Warned
from trainer.prepare import Prepared, check_sources
from trainer.run_folder import RunFolder
from trainer.shards import write_shard
from trainer.signals import StopFlag

BASE = """
[tokenizer]
vocab_size = 280
[data]
valid_fraction = 0.2
[model]
context = 16
width = 16
heads = 2
[train]
steps = 3
tokens_per_step = 64
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two texts, and shards of both."""
    home = tmp_path_factory.mktemp("home")
    dice = random.Random(1)
    for name, words in (("a", ["fox", "owl", "mill"]), ("b", ["kite", "saw", "red"])):
        rows = [{"body": " ".join(dice.choices(words, k=dice.randint(4, 20)))} for _ in range(120)]
        (home / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    shards(home / "a.jsonl", home / "b.jsonl", out=home / "both")
    shards(home / "a.jsonl", out=home / "one", tokenizer=home / "both" / "tokenizer.json")
    shards(home / "b.jsonl", out=home / "other")
    return home


def shards(*sources: Path, out: Path, **keys: Any) -> None:
    recipe = Recipe(
        sources=tuple(map(str, sources)), field="body", vocab_size=280, valid_fraction=0.2, workers=0, **keys
    )
    for _ in build(recipe, out, StopFlag()):
        pass


def config(home: Path, *names: str, **keys: str) -> TrainConfig:
    given = ", ".join(f'"{home / name}"' for name in names)
    overrides = [
        f"data.text=[{given}]",
        "data.field=body",
        *(f"{key.replace('__', '.')}={v}" for key, v in keys.items()),
    ]
    return parse(BASE, name="test", overrides=overrides)


def ended(work: Generator[Event, None, Prepared | None], heed: Any = None) -> tuple[Prepared | None, list[Event]]:
    """What the work comes to, and its events, each of which `heed` may see."""
    events: list[Event] = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            made: Prepared | None = end.value
            return made, events
        if heed is not None:
            heed(events[-1])


def prepared(config: TrainConfig, out: Path) -> tuple[Prepared, list[str]]:
    out.mkdir(exist_ok=True)
    made, events = ended(prepare.prepare(config, RunFolder(out, locked=True), StopFlag()))
    assert made is not None
    return made, [event.message for event in events if isinstance(event, Warned)]


def test_text_and_its_shards_are_the_same_tokens(home: Path, tmp_path: Path) -> None:
    own, told = prepared(config(home, "a.jsonl", "b.jsonl"), tmp_path / "run")
    given, told_too = prepared(config(home, "both"), tmp_path / "run2")
    assert told == told_too == []
    assert own.digest == given.digest
    assert len(own.train) == len(own.valid) == 1
    assert own.train[0].read(0, own.train_tokens).tolist() == given.train[0].read(0, given.train_tokens).tolist()
    assert not (tmp_path / "run2" / "data").exists()  # they are used where they are
    assert Tokenizer.from_file(tmp_path / "run2" / "tokenizer.json").digest == given.tokenizer.digest
    again, _ = prepared(config(home, "a.jsonl", "b.jsonl"), tmp_path / "run")
    assert again.digest == own.digest


def test_weights_make_a_line_of_each_source(home: Path, tmp_path: Path) -> None:
    both, _ = prepared(config(home, "both", data__weights="[3, 1]"), tmp_path / "a")
    own, _ = prepared(config(home, "a.jsonl", "b.jsonl", data__weights="[3, 1]"), tmp_path / "b")
    folders, _ = prepared(config(home, "both", "one", data__weights="[1, 1]"), tmp_path / "c")
    assert both.weights == own.weights == both.valid_weights == (3, 1)
    assert [len(line) for line in both.train] == [len(line) for line in own.train]
    assert [len(line) for line in folders.train] == [both.train_tokens, len(both.train[0])]


def test_a_source_with_too_little_held_out_is_left_out_of_that_alone(home: Path, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps({"body": "the one and only long enough text of this little file"}))
    shutil.copy(home / "a.jsonl", tmp_path)
    made, _ = prepared(config(tmp_path, "c.jsonl", "a.jsonl", data__weights="[3, 1]"), tmp_path / "run")
    assert (len(made.train), len(made.valid)) == (2, 1)
    assert (made.weights, made.valid_weights) == ((3, 1), (1,))


@pytest.mark.parametrize(
    ("names", "keys", "said"),
    [
        (["both"], {"data__weights": "[1, 2, 3]"}, "data.weights: 3 for 2 texts"),
        (["both", "other"], {}, "different tokenizers"),
        (["both", "a.jsonl"], {}, "holds shards and .*a.jsonl is text"),
        (["both"], {"tokenizer__path": "OTHER"}, "is not the tokenizer that"),
    ],
)
def test_what_does_not_go_together_is_refused(
    names: list[str], keys: dict[str, str], said: str, home: Path, tmp_path: Path
) -> None:
    keys = {key: value.replace("OTHER", f'"{home / "other" / "tokenizer.json"}"') for key, value in keys.items()}
    with pytest.raises(UsageError, match=said) as caught:
        prepared(config(home, *names, **keys), tmp_path / "run")
    assert caught.value.hint


def test_weights_are_counted_before_anything_is_made(home: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.weights: one for each text: 1 for 2"):
        config(home, "a.jsonl", "b.jsonl", data__weights="[1]")
    with pytest.raises(UsageError, match=r"data\.weights"):
        config(home, "a.jsonl", data__weights="[0]")
    with pytest.raises(UsageError, match="3 for 2 texts"):
        check_sources(config(home, "both", data__weights="[1, 2, 3]"))


def test_settings_that_shards_have_behind_them_are_told(home: Path, tmp_path: Path) -> None:
    _, told = prepared(config(home, "both", data__valid_fraction="0.5", tokenizer__vocab_size="300"), tmp_path / "run")
    assert [message.partition(" has no effect")[0] for message in told] == [
        "data.valid_fraction",
        "tokenizer.vocab_size",
    ]


def test_what_is_asked_of_chats_where_there_are_none_is_told(home: Path, tmp_path: Path) -> None:
    _, told = prepared(config(home, "a.jsonl", data__loss="assistant", data__pause_tokens="2"), tmp_path / "text")
    assert [message.split(" has no effect")[0] for message in told[1:]] == [
        'data.loss = "assistant"',
        "data.pause_tokens",
    ]
    (home / "chat.jsonl").write_text(json.dumps({"body": [{"role": "user", "content": "who is there? " * 9}]}))
    _, told = prepared(config(home, "a.jsonl", "chat.jsonl", data__loss="assistant"), tmp_path / "chats")
    assert not any("no effect" in message for message in told)


def test_unfinished_shards_are_refused(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "both", tmp_path / "both")
    (tmp_path / "both" / "dataset.json").rename(tmp_path / "both" / "build.json")
    with pytest.raises(CorpusError, match="not finished"):
        check_sources(config(tmp_path, "both"))


def test_great_shards_are_not_all_read_at_every_start(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(home / "both", tmp_path / "both")
    shard = tmp_path / "both" / "train-00-00000.bin"
    data = bytearray(shard.read_bytes())
    data[-10] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorpusError, match="have changed"):
        prepared(config(tmp_path, "both"), tmp_path / "run")
    monkeypatch.setattr(data_folder, "READ_AT_START", 10)
    _, told = prepared(config(tmp_path, "both"), tmp_path / "run")
    assert any("only the headers" in message and "tinychat data inspect" in message for message in told)


def test_a_stop_while_text_is_encoded_keeps_finished_shards(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_build, "BATCH_CHARS", 200)
    stop = StopFlag()
    folder = RunFolder(tmp_path, locked=True)
    monkeypatch.setattr(data_build, "REPORT_S", 0.0)

    def heed(event: Event) -> None:
        if isinstance(event, Progress) and event.what == "encoding text":
            stop.request("SIGINT")

    made, _ = ended(prepare.prepare(config(home, "a.jsonl"), folder, stop), heed)
    assert made is None
    assert (folder.data / "build.json").exists()
    again, _ = prepared(config(home, "a.jsonl"), tmp_path)
    whole, _ = prepared(config(home, "a.jsonl"), tmp_path / "whole")
    assert again.digest == whole.digest


def test_a_run_of_before_there_were_several_shards_goes_on(home: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(home / "both" / "tokenizer.json")
    folder = RunFolder(tmp_path, locked=True)
    folder.data.mkdir()
    folder.checkpoints.mkdir()
    folder.tokenizer.write_text(tokenizer.to_json())
    ids = tokenizer.encode_document("the fox saw the kite " * 20)
    for name in ("train.bin", "valid.bin"):
        write_shard(folder.data / name, [ids], vocab_size=tokenizer.vocab_size, tokenizer_digest=tokenizer.digest)
    (folder.data / "data.json").write_text('{"version": 1, "key": "x", "tokenizer": "y"}')
    made, told = prepared(config(home, "a.jsonl"), tmp_path)
    assert told == []
    assert made.train[0].read(0, made.train_tokens).tolist() == ids
    assert made.valid_tokens == len(ids)
