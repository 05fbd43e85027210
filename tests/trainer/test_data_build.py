"""Shards of text: the same bytes however often the work was stopped, held out by what a document says."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinychat import files
from tinychat.errors import CorpusError, OutOfMemoryError_, StorageError, UsageError
from tinychat.text.tokenizer import SPECIALS, Tokenizer
from trainer import data_build, data_workers
from trainer.corpus import documents, encode_document
from trainer.data_build import Interrupted, build
from trainer.data_folder import DataFolder, is_prepared, open_folder
from trainer.data_recipe import Recipe, find, finished_parts
from trainer.data_workers import encoded
from trainer.shards import ShardWriter
from trainer.signals import StopFlag

WORDS = ["fox", "owl", "mill", "red", "ran", "saw", "the", "a", "kite", "old", "über", "日"]
COUNT = 300


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts and chats, all different."""
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    dice = random.Random(5)
    with path.open("w") as file:
        for number in range(COUNT):
            said = f"{number} " + " ".join(dice.choices(WORDS, k=dice.randint(4, 20)))
            chat = [{"role": "user", "content": said}, {"role": "assistant", "content": "the owl"}]
            file.write(json.dumps({"messages": chat} if number % 5 == 0 else {"text": said}) + "\n")
    return path


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_build, "BATCH_CHARS", 400)


def recipe(*sources: Path | str, **keys: Any) -> Recipe:
    keys = {"vocab_size": 280, "valid_fraction": 0.1, "shard_tokens": 700, "workers": 0, **keys}
    return Recipe(sources=tuple(map(str, sources)), **keys)


def made(what: Recipe, path: Path, stop: StopFlag | None = None) -> DataFolder:
    work = build(what, path, stop or StopFlag())
    while True:
        try:
            next(work)
        except StopIteration as ended:
            folder: DataFolder = ended.value
            return folder


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def pieces(folder: DataFolder, *, valid: bool) -> list[str]:
    """Documents of all sources as ids, to be compared."""
    found = []
    for line in folder.valid if valid else folder.train:
        ids, end = line.read(0, len(line)).tolist(), folder.tokenizer.end_of_text
        starts = [at for at, token in enumerate(ids) if token == end]
        found += [str(ids[a:b]) for a, b in zip(starts, [*starts[1:], len(ids)], strict=True)]
    return found


# --- what is in the shards ---


def test_every_document_is_there_once_in_its_order(text: Path, tmp_path: Path) -> None:
    folder = made(recipe(text), tmp_path / "out")
    wanted = [str(encode_document(document, folder.tokenizer)) for document in documents([str(text)])]
    train, valid = pieces(folder, valid=False), pieces(folder, valid=True)
    assert sorted(train + valid) == sorted(wanted)
    assert train == [each for each in wanted if each in set(train)]
    assert valid == [each for each in wanted if each in set(valid)]
    assert 10 <= len(valid) <= 60
    (source,) = folder.manifest.sources
    assert (source.documents, source.chats, source.held_out) == (COUNT, COUNT // 5, len(valid))
    said = sum(len(word.encode()) for document in documents([str(text)]) for word in document.texts)
    assert source.text_bytes == said
    assert len(source.train) > 3


def test_who_is_held_out_depends_on_the_text_alone(text: Path, tmp_path: Path) -> None:
    first = set(pieces(made(recipe(text), tmp_path / "a"), valid=True))
    rows = text.read_text().splitlines()
    backwards = tmp_path / "b.jsonl"
    backwards.write_text("\n".join([*rows[::-1], *rows]))
    folder = made(recipe(backwards, tokenizer=tmp_path / "a" / "tokenizer.json"), tmp_path / "b")
    second = pieces(folder, valid=True)
    assert set(second) == first  # and the copy of a document is never on the other side
    assert not first & set(pieces(folder, valid=False))
    other = made(recipe(text, seed=2), tmp_path / "c")
    assert set(pieces(other, valid=True)) != first


def test_a_long_document_gives_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_build, "LONG", 100)
    path = tmp_path / "a.txt"
    path.write_text(" ".join(f"{number} owl" for number in range(200)))
    folder = made(recipe(path), tmp_path / "out")
    end = folder.tokenizer.end_of_text
    train = folder.train[0].read(0, len(folder.train[0])).tolist()
    valid = folder.valid[0].read(0, len(folder.valid[0])).tolist()
    assert (train[0], valid[0]) == (end, end)
    assert train + valid[1:] == folder.tokenizer.encode_document(path.read_text())
    assert len(valid) == 1 + len(train + valid[1:]) // 10


def test_the_only_document_is_never_held_out(tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / f"{number}.txt"
        path.write_text(f"{number} the only one")
        assert len(made(recipe(path, valid_fraction=0.5), tmp_path / f"out{number}").valid[0]) == 0


def test_sources_stay_apart(text: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.txt"
    other.write_text("the red kite\n<|endoftext|>\nthe old mill")
    folder = made(recipe(text, other, "toy", toy=(20, 0.5)), tmp_path / "out")
    assert [source.name for source in folder.manifest.sources] == [str(text), str(other), "toy"]
    assert folder.manifest.sources[1].documents == 2
    assert folder.manifest.sources[2].documents == 20
    assert len(folder.train) == len(folder.valid) == 3


def test_a_tokenizer_that_is_given_is_the_one(text: Path, tmp_path: Path) -> None:
    given = Tokenizer.train(["the fox"], vocab_size=270)
    named = tmp_path / "given.json"
    named.write_text(given.to_json())
    assert made(recipe(text, tokenizer=named), tmp_path / "out").tokenizer.digest == given.digest


def test_chats_need_a_vocabulary_with_roles(text: Path, tmp_path: Path) -> None:
    plain = json.loads(Tokenizer.train(["the fox ran " * 20], vocab_size=270).to_json())
    plain["added_tokens"] = plain["added_tokens"][:1]
    specials = SPECIALS[1:]
    kept = [name for name in sorted(plain["model"]["vocab"], key=plain["model"]["vocab"].get) if name not in specials]
    plain["model"]["vocab"] = {name: number for number, name in enumerate(kept, 0 if SPECIALS[0] in kept else 1)}
    named = tmp_path / "plain.json"
    named.write_text(json.dumps(plain))
    with pytest.raises(CorpusError, match=r"1: a chat, for which .*plain\.json has no role tokens"):
        made(recipe(text, tokenizer=named), tmp_path / "out")


# --- stopping, going on ---


class _After(StopFlag):
    """Wants to stop when so many shards of a folder are finished."""

    def __init__(self, path: Path, shards: int) -> None:
        self._path, self._shards = path, shards
        super().__init__()

    @property
    def reason(self) -> str | None:  # type: ignore[override]
        return "SIGINT" if finished_parts(self._path) >= self._shards else None

    @reason.setter
    def reason(self, value: str | None) -> None:
        pass


@pytest.mark.parametrize("shards", [0, 1, 4, 13, 14])
def test_stopped_and_gone_on_gives_the_same_bytes(shards: int, text: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.txt"
    other.write_text("\n<|endoftext|>\n".join(f"kite {number}" for number in range(200)))
    what = recipe(text, other)
    made(what, tmp_path / "whole")
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        made(what, out, _After(out, shards))
    assert find(what, out) is None
    assert finished_parts(out) == shards
    kept = contents(out)
    folder = made(what, out)
    assert contents(out) == contents(tmp_path / "whole")
    assert find(what, out) is not None
    folder.verify()
    assert not any(name.startswith(files.TEMP_PREFIX) for name in kept)


def test_killed_at_the_very_end_leaves_nothing_behind(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(recipe(text), tmp_path / "whole")

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data_build, "sweep", killed)
    with pytest.raises(KeyboardInterrupt):
        made(recipe(text), tmp_path / "out")
    assert len(contents(tmp_path / "out")) > len(contents(tmp_path / "whole"))
    assert find(recipe(text), tmp_path / "out") is not None
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_finished_shard_that_was_damaged_is_made_again(text: Path, tmp_path: Path) -> None:
    made(recipe(text), tmp_path / "whole")
    with pytest.raises(Interrupted):
        made(recipe(text), tmp_path / "out", _After(tmp_path / "out", 3))
    os.truncate(tmp_path / "out" / "train-00-00001.bin", 200)
    made(recipe(text), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_another_text_or_setting_needs_fresh(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        made(recipe(text), out, _After(out, 1))
    with pytest.raises(UsageError, match="the beginning of other shards"):
        find(recipe(text, seed=2), out)
    made(recipe(text), out)
    with pytest.raises(UsageError, match="other text or settings"):
        find(recipe(text, seed=2), out)
    (out / "mine.txt").write_text("not tinychat's")
    assert find(recipe(text, seed=2), out, fresh=True) is None
    assert {file.name for file in out.iterdir()} == {"mine.txt"}


def test_a_full_disk_keeps_what_is_finished(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(recipe(text), tmp_path / "whole")
    finish, calls = ShardWriter._finish, iter(range(1000))

    def full(self: ShardWriter) -> None:
        if next(calls) == 6:
            raise OSError(errno.ENOSPC, "no space")
        finish(self)

    monkeypatch.setattr(ShardWriter, "_finish", full)
    out = tmp_path / "out"
    with pytest.raises(StorageError, match="disk is full"):
        made(recipe(text), out)
    monkeypatch.undo()
    monkeypatch.setattr(data_build, "BATCH_CHARS", 400)
    assert finished_parts(out) == 3
    assert not [name for name in contents(out) if name.startswith(files.TEMP_PREFIX)]
    made(recipe(text), out)
    assert contents(out) == contents(tmp_path / "whole")


# --- stdin ---


def piped(monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data.encode())))


def test_stdin_is_read_once_for_vocabulary_and_shards(text: Path, tmp_path: Path, monkeypatch: Any) -> None:
    whole = made(recipe(text), tmp_path / "whole")
    piped(monkeypatch, text.read_text())
    folder = made(recipe("-", form="jsonl"), tmp_path / "out")
    assert pieces(folder, valid=False) == pieces(whole, valid=False)
    piped(monkeypatch, text.read_text())
    bounded = made(recipe("-", form="jsonl", sample_chars=10_000), tmp_path / "bounded")
    assert bounded.manifest.sources[0].documents == COUNT


def test_stdin_goes_on_where_it_is_the_same_text_and_is_refused_where_not(
    text: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    what = recipe("-", form="jsonl")
    piped(monkeypatch, text.read_text())
    made(what, tmp_path / "whole")
    piped(monkeypatch, text.read_text())
    with pytest.raises(Interrupted):
        made(what, tmp_path / "out", _After(tmp_path / "out", 2))
    piped(monkeypatch, text.read_text().replace("fox", "cat", 1))
    with pytest.raises(CorpusError, match="not the text that the finished shards were made of"):
        made(what, tmp_path / "out")
    piped(monkeypatch, text.read_text()[:600].rpartition("\n")[0])
    with pytest.raises(CorpusError, match="ends before"):
        made(what, tmp_path / "out")
    assert finished_parts(tmp_path / "out") == 2
    piped(monkeypatch, text.read_text())
    made(what, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


# --- sources that will not do ---


def test_an_empty_source_is_refused_each_time(text: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text(" \n")
    for _ in range(2):
        with pytest.raises(CorpusError, match=r"empty\.txt: there is no text in it"):
            made(recipe(text, empty), tmp_path / "out")
    assert is_prepared(tmp_path / "out")
    with pytest.raises(CorpusError, match="not finished"):
        open_folder(tmp_path / "out")


def test_a_text_that_will_not_do_leaves_nothing_in_the_way_of_the_mended_one(tmp_path: Path) -> None:
    source = tmp_path / "text.jsonl"
    source.write_text("\n")
    with pytest.raises(CorpusError, match="no text"):
        made(recipe(source), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    source.write_text('{"text": "the fox"}\n{"text": "the owl"}\n')
    assert find(recipe(source), tmp_path / "out") is None


def test_the_beginning_of_shards_without_a_finished_one_is_nothing_to_lose(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_build, "REPORT_S", 0.0)
    for _ in build(recipe(text), tmp_path / "out", StopFlag()):
        if (tmp_path / "out" / "build.json").exists():
            break
    assert finished_parts(tmp_path / "out") == 0
    assert find(recipe(text, seed=2), tmp_path / "out") is None
    made(recipe(text, seed=2), tmp_path / "out")
    made(recipe(text, seed=2), tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_file_in_the_place_of_the_folder_is_left_alone(text: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="a file of that name"):
        made(recipe(text), tmp_path / "out")


def test_of_much_text_only_the_beginning_of_each_file_makes_the_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_build, "MOST_READ", 1)
    for name in ("a", "b"):
        rows = [f"{name}{'z' if number > 400 else 'y'} {number}" for number in range(800)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": row}) for row in rows))
    folder = made(recipe(tmp_path, sample_chars=10_000), tmp_path / "out")
    tokens = {folder.tokenizer.token_bytes(token) for token in range(folder.tokenizer.vocab_size)}
    assert {b"ay", b"by"} <= tokens
    assert not {b"az", b"bz"} & tokens
    assert folder.manifest.sources[0].documents == 1600


# --- several processes ---


def test_processes_give_what_one_gives_and_in_order() -> None:
    tokenizer = Tokenizer.train([" ".join(WORDS)] * 20, vocab_size=300)
    batches = [(number, [f"{word} {number} ü日" for word in WORDS] + ["", "\0"]) for number in range(9)]
    alone = [(what, [ids.tolist() for ids in found]) for what, found in encoded(batches, tokenizer, workers=0)]
    apart = [(what, [ids.tolist() for ids in found]) for what, found in encoded(batches, tokenizer, workers=2)]
    assert apart == alone
    assert [what for what, _ in apart] == list(range(9))


def test_a_process_that_dies_is_an_error_with_a_remedy() -> None:
    tokenizer = Tokenizer.train([" ".join(WORDS)] * 20, vocab_size=300)
    hand = data_workers._Worker(tokenizer)
    assert hand.encode(["the fox"])[0].tolist() == tokenizer.encode("the fox")
    hand._process.kill()
    with pytest.raises(OutOfMemoryError_) as caught:
        hand.encode(["the fox"])
    assert "--workers 1" in caught.value.hint
    hand.end()


def test_leaving_early_ends_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer.train([" ".join(WORDS)] * 20, vocab_size=300)
    hands: list[Any] = []
    worker = data_workers._Worker

    def kept(of: Tokenizer) -> Any:
        hands.append(worker(of))
        return hands[-1]

    monkeypatch.setattr(data_workers, "_Worker", kept)

    def endless() -> Iterator[tuple[None, list[str]]]:
        while True:
            yield None, ["the fox"]

    stream = encoded(endless(), tokenizer, workers=1)
    next(stream)
    stream.close()
    assert [hand._process.poll() for hand in hands] == [-9]
