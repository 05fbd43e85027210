"""`tinychat corpus` writes what the trainer reads back, and marks text and models by the language's own rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinychat.errors import UsageError
from tinychat.model.checkpoint import read, write
from trainer import corpus, judge, toy, toy_door
from trainer.config import Data, TrainConfig
from trainer.config_file import dumps
from trainer.document import Document

COUNT = 12


def _plain(documents: list[Document]) -> list[object]:
    return [document.messages or document.text for document in documents]


# --- writing -----------------------------------------------------------------------------------------------------


def test_json_lines_read_back_as_the_very_documents(tmp_path: Path) -> None:
    out = tmp_path / "toy.jsonl"
    toy_door.write(seed=4, count=COUNT, out=out, jsonl=False)
    assert _plain(list(corpus.documents([str(out)]))) == _plain(list(toy.documents(4, COUNT)))


def test_a_text_file_reads_back_as_as_many_documents_with_the_stories_whole(tmp_path: Path) -> None:
    out = tmp_path / "toy.txt"
    toy_door.write(seed=4, count=COUNT, out=out, jsonl=False)
    read_back = [document.text or "" for document in corpus.documents([str(out)])]
    wanted = list(toy.documents(4, COUNT))
    assert len(read_back) == COUNT
    for text, document in zip(read_back, wanted, strict=True):
        if document.text is not None:
            assert text.strip() == document.text.strip()
        else:
            assert all(f"{message.role}: {message.text}" in text for message in document.messages or ())


def test_stdout_gets_what_a_file_would(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for jsonl, name in ((False, "toy.txt"), (True, "toy.jsonl")):
        toy_door.write(seed=2, count=3, out=tmp_path / name, jsonl=False)
        capfdbinary.readouterr()
        toy_door.write(seed=2, count=3, out=None, jsonl=jsonl)
        assert capfdbinary.readouterr().out == (tmp_path / name).read_bytes()


def test_an_ending_that_says_no_form_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ending"):
        toy_door.write(seed=1, count=1, out=tmp_path / "toy.csv", jsonl=False)
    assert list(tmp_path.iterdir()) == []


# --- measuring and marking text ----------------------------------------------------------------------------------


def test_its_own_stories_are_all_well_formed_and_its_chats_are_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "toy.txt"
    toy_door.write(seed=9, count=COUNT, out=out, jsonl=False)
    capsys.readouterr()
    toy_door.print_check(out)
    said = capsys.readouterr().out
    assert ": 100.0% well-formed, 100.0% also true" in said
    chats = sum(document.messages is not None for document in toy.documents(9, COUNT))
    assert f"{chats} chats are passed over" in said
    assert "not of the language" not in said


def test_foreign_text_is_marked_down_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.txt"
    path.write_text("The committee adjourned \x1b[31mwithout a vote.\n")
    toy_door.print_check(path)
    said = capsys.readouterr().out
    assert "1 sentence: 0.0% well-formed" in said
    assert "not of the language: The committee" in said
    assert "\x1b" not in said


def test_the_entropy_of_each_kind_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    toy_door.print_entropy(seed=1, count=40)
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]}
    assert set(rows) == {"stories", "chats", "all"}
    assert int(rows["stories"][0]) + int(rows["chats"][0]) == int(rows["all"][0]) == 40
    assert all(0 < float(row[2]) < 4 for row in rows.values())  # bits a byte of a language with choices


# --- marking a model ---------------------------------------------------------------------------------------------


def _trained_on(checkpoint: Path, path: Path, data: Data) -> Path:
    """The checkpoint, saying that it was trained on `data`."""
    info, arrays = read(checkpoint)
    training = {**info.training, "config": dumps(TrainConfig(data=data))}
    write(
        path,
        arrays=arrays,
        config=info.config,
        tokenizer_json=info.tokenizer_json,
        chat_template=info.chat_template,
        step=info.step,
        training=training,
    )
    return path


def test_a_model_of_noise_is_marked_as_such(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy_door.print_judgement(checkpoint, seed=0, count=2)
    said = capsys.readouterr().out
    for name in ("stories, neutral", "stories, story", "stories, greedy"):
        assert re.search(rf"^{name} .*(sentences?: 0\.0% well-formed|no sentences)", said, re.MULTILINE), said
    assert re.search(r"^answers, greedy +0 of 2 right \(0\.0%\)", said, re.MULTILINE)
    assert "(right: " in said


def test_questions_that_were_trained_on_are_counted_apart(checkpoint: Path, tmp_path: Path) -> None:
    told = _trained_on(checkpoint, tmp_path / "toy.safetensors", Data(seed=judge._APART, documents=40, chat_share=1.0))
    marks = {name.strip(): said for name, said, _ in judge.judge(told, seed=0, count=3)}
    assert marks["to trained ones"] == "0 of 3 right (0.0%)"  # the same seed: all of them were trained on
    assert marks["to new questions"] == "none were asked"
    elsewhere = _trained_on(checkpoint, tmp_path / "own.safetensors", Data(text="notes.txt"))
    assert not any("new questions" in name for name, _, _ in judge.judge(elsewhere, seed=0, count=1))
