"""A text of one's own is sampled from its own words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer import config_file
from trainer.beginning import first_words, with_own_beginning
from trainer.config import Sample, TrainConfig


def _config(source: Path | str, more: str = "") -> TrainConfig:
    return config_file.parse(f"[data]\ntext = {json.dumps(str(source))}\n{more}", name="x.toml")


def _chats(path: Path) -> Path:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who is there?"},
                {"role": "assistant", "content": "An owl."}]  # fmt: skip
    path.write_text(json.dumps({"messages": messages}) + "\n")
    return path


def test_the_first_words_of_the_text_begin_the_samples(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" \n\n  ")
    (tmp_path / "b.txt").write_text("\nMoby Dick;\tor, The Whale\nCall me Ishmael.\n")
    for source in (tmp_path, tmp_path / "b.txt", f"{tmp_path}/*.txt"):
        assert with_own_beginning(_config(source)).sample == Sample(prompts=("Moby Dick; or, The",))


def test_chats_are_asked_their_own_first_question(tmp_path: Path) -> None:
    source = _chats(tmp_path / "c.jsonl")
    assert with_own_beginning(_config(source)).sample == Sample(prompts=(), chats=("Who is there?",))
    asked = with_own_beginning(_config(source, '[sample]\nchats = ["Why?"]\n')).sample
    assert (asked.prompts, asked.chats) == ((), ("Why?",))


@pytest.mark.parametrize("prompts", ['["Once upon a time"]', '["x", "y"]'])
def test_what_the_config_says_stays(tmp_path: Path, prompts: str) -> None:
    (tmp_path / "b.txt").write_text("Call me Ishmael.")
    config = _config(tmp_path, f"[sample]\nprompts = {prompts}\n")
    assert with_own_beginning(config) == config


def test_the_toy_and_what_cannot_be_read_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    for source in ("toy", tmp_path / "nowhere.txt", tmp_path / "empty.txt", tmp_path / "bad.txt"):
        config = _config(source)
        assert with_own_beginning(config) == config


def test_nothing_else_of_the_config_changes_and_it_survives_being_written(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text('Say "no" \\ to\x07 it all')
    before = _config(tmp_path / "b.txt", "[train]\nsteps = 3\nlr = 1e-2\n")
    after = with_own_beginning(before)
    assert [key for key, _, _ in config_file.differences(before, after)] == ["sample.prompts"]
    assert config_file.parse(config_file.dumps(after), name="y.toml") == after


def test_a_text_without_blanks_gives_some_characters() -> None:
    assert first_words("字" * 500) == "字" * 40
    assert first_words("one") == "one"
