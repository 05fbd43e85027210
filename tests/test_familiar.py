"""Names from other programs: each hint can be typed as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinychat import cli
from tinychat.engine.params import SamplingParams
from tinychat.errors import FileFormatError
from tinychat.familiar import DECODING, TRAINING, flags, here
from tinychat.files import find_checkpoint
from tinychat.search_options import read_search
from trainer import config_file

VALUES = {"N": "2", "X": "0.5", "TEXT": "owl", "NAME": "safe"}


def _known(command: str) -> set[str]:
    return {name for option in cli.command(command).params for name in option.opts}


@pytest.mark.parametrize(("command", "table"), [("sample", DECODING), ("train", TRAINING)])
def test_every_hint_names_options_there_are_and_no_name_is_one_of_them(command: str, table: dict[str, str]) -> None:
    known = _known(command)
    for name, words in table.items():
        assert "--" + name not in known
        assert flags(words)
        assert flags(words) <= known
        assert here("--" + name, known) == here("--" + name.replace("-", "_") + "=3", known) == words


@pytest.mark.parametrize("words", sorted({words for words in DECODING.values() if words.startswith("--search")}))
def test_every_search_that_is_named_can_be_made(words: str) -> None:
    given = words.split()
    searched = {
        flag[2:].replace("-", "_"): VALUES.get(value, value)
        for flag, value in zip(given[::2], given[1::2], strict=True)
    }
    if "phrase" in searched:
        searched["phrase"] = [searched["phrase"]]
    assert read_search(searched, SamplingParams(seed=1), max_tokens=8) is not None


@pytest.mark.parametrize("words", sorted({words for words in TRAINING.values() if words.startswith("--set")}))
def test_every_key_of_the_config_that_is_named_is_one(words: str) -> None:
    key = words.split()[1].partition("=")[0]
    table, _, name = key.partition(".")
    assert name in type(getattr(config_file.parse("", name="x"), table)).model_fields


def test_another_command_s_options_are_no_hint() -> None:
    assert here("--num-beams", _known("play")) == ""
    assert here("--temp", _known("play")) == "--temperature X"
    assert here("--temp", _known("train")) == ""
    assert here("", _known("sample")) == here("--nowhere", _known("sample")) == ""


def test_the_hint_comes_with_the_mistake(tinychat) -> None:
    assert tinychat("sample", "--num_beams", "4").err.splitlines()[1] == "Here that is:  --search beam --width N"
    assert tinychat("train", "--epochs=3").err.splitlines()[1] == "Here that is:  --set train.epochs=N"
    assert tinychat("sample", "The fox").err.splitlines()[1].startswith("A prompt is an option:  -p ")
    assert tinychat("train", "a", "b").err.splitlines()[1].endswith("train --help")


def test_a_bare_argument_of_train_is_told_what_it_is(tinychat, tmp_path: Path) -> None:
    text, config, run = tmp_path / "notes.txt", tmp_path / "my.toml", tmp_path / "run"
    text.write_text("words")
    config.write_text("")
    run.mkdir()
    (run / "config.toml").write_text("")
    assert f"--set data.text={text}" in tinychat("train", text).err
    assert f"--set data.text={tmp_path}" in tinychat("train", tmp_path).err
    assert f"--config {config}" in tinychat("train", config).err
    assert "--resume" in tinychat("train", run).err
    assert "There is no run" in tinychat("train", tmp_path / "nowhere").err


def test_a_folder_of_runs_names_them(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()
        (tmp_path / name / "ckpt.safetensors").touch()
    with pytest.raises(FileFormatError) as error:
        find_checkpoint(tmp_path)
    assert error.value.hint == "It holds runs; name one:  " + ", ".join(str(tmp_path / each) for each in "abc") + " ..."
