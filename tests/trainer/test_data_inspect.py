"""Folders of shards: what is damaged is refused by name, and what is whole is told in numbers that can be checked."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinychat.errors import CorpusError, FileFormatError
from tinychat.text.tokenizer import Tokenizer
from trainer import data_joined
from trainer.data_build import build
from trainer.data_door import run_inspect
from trainer.data_folder import open_folder
from trainer.data_inspect import folder_facts, inspect_folder, inspect_shard
from trainer.data_recipe import Recipe
from trainer.shards import HEADER_BYTES, Shard
from trainer.signals import StopFlag

ROWS = [{"text": f"the {word} saw {number} kites\x1b[31m"} for number in range(40) for word in ("fox", "owl", "hen")]
CHAT = {"messages": [{"role": "user", "content": "who?"}, {"role": "assistant", "content": "the owl"}]}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    (folder / "a.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    (folder / "b.jsonl").write_text("\n".join(json.dumps(CHAT) for _ in range(30)))
    recipe = Recipe(
        sources=(str(folder / "a.jsonl"), str(folder / "b.jsonl")),
        vocab_size=290,
        shard_tokens=500,
        valid_fraction=0.1,
        workers=0,
    )
    for _ in build(recipe, folder / "out", StopFlag()):
        pass
    return folder / "out"


@pytest.fixture
def path(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "out")
    return tmp_path / "out"


def facts_of(work: Any) -> dict[str, Any]:
    while True:
        try:
            next(work)
        except StopIteration as ended:
            facts: dict[str, Any] = ended.value
            return facts


# --- damage ---


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("dataset.json", b"{", "not JSON"),
        ("dataset.json", b'{"format": "tinychat.data/9"}', "format"),
        ("dataset.json", None, "no dataset.json"),
        ("train-00-00000.bin", b"nonsense", "not a token shard"),
        ("train-00-00000.bin", None, "cannot be opened"),
        ("valid-01.bin", b"", "not a token shard"),
    ],
)
def test_what_is_damaged_is_refused_by_name(path: Path, file: str, change: bytes | None, said: str) -> None:
    if change is None:
        (path / file).unlink()
    else:
        (path / file).write_bytes(change)
    with pytest.raises(CorpusError, match=said) as caught:
        open_folder(path)
    assert file in caught.value.what
    assert caught.value.hint


def test_a_name_in_the_manifest_leads_nowhere_else(path: Path) -> None:
    made = json.loads((path / "dataset.json").read_text())
    made["sources"][0]["train"][0]["file"] = "../../secret.bin"
    (path / "dataset.json").write_text(json.dumps(made))
    with pytest.raises(CorpusError, match="file"):
        open_folder(path)


def test_shards_that_changed_places_are_refused(path: Path) -> None:
    shutil.copyfile(path / "train-01-00000.bin", path / "train-00-00000.bin")
    with pytest.raises(CorpusError, match="not the shard that was made here"):
        open_folder(path)


def test_another_tokenizer_is_refused_with_both_digests(path: Path) -> None:
    own = open_folder(path).tokenizer
    other = Tokenizer.train(["another text"], vocab_size=own.vocab_size)
    (path / "tokenizer.json").write_text(other.to_json())
    with pytest.raises(CorpusError, match=f"{other.digest[:12]}.*{own.digest[:12]}"):
        open_folder(path)
    (path / "tokenizer.json").write_text("no")
    with pytest.raises(FileFormatError):
        open_folder(path)


def test_one_bit_is_found_by_inspect_and_not_by_a_look_at_headers(path: Path) -> None:
    shard = path / "train-00-00000.bin"
    data = bytearray(shard.read_bytes())
    data[HEADER_BYTES + 40] ^= 1
    shard.write_bytes(data)
    open_folder(path)
    with pytest.raises(CorpusError, match="have changed since they were written"):
        facts_of(inspect_folder(path, samples=0, seed=0))
    with pytest.raises(CorpusError, match="have changed since they were written"):
        open_folder(path).verify()


# --- numbers ---


def test_the_numbers_are_those_of_the_tokens(path: Path) -> None:
    folder = open_folder(path)
    facts = facts_of(inspect_folder(path, samples=2, seed=0))
    ids = np.concatenate([line.read(0, len(line)) for line in (*folder.train, *folder.valid)])
    starts = np.flatnonzero(ids == folder.tokenizer.end_of_text)
    sizes = np.diff(np.append(starts, len(ids)))
    lengths = facts["lengths"]
    assert lengths["documents"] == len(ROWS) + 30 == sum(row["documents"] for row in lengths["histogram"])
    assert lengths["mean"] == pytest.approx(sizes.mean())
    assert lengths["longest"] == sizes.max()
    assert lengths["median"] == sorted(sizes)[(len(sizes) - 1) // 2]
    for row in lengths["histogram"]:
        assert row["documents"] == ((sizes >= row["from"]) & (sizes <= row["to"])).sum()
    assert facts["tokens"] == len(ids) == facts["train_tokens"] + facts["valid_tokens"]
    assert [source["chats"] for source in facts["sources"]] == [0, 30]
    assert facts["verified"] is True
    assert {key: facts[key] for key in folder_facts(folder)} == folder_facts(folder)


def test_samples_are_documents_of_their_source(path: Path) -> None:
    facts = facts_of(inspect_folder(path, samples=4, seed=3))
    texts = {row["text"] for row in ROWS}
    first, second = (
        [sample["text"].removeprefix("<|endoftext|>") for sample in facts["samples"] if sample["source"].endswith(name)]
        for name in ("a.jsonl", "b.jsonl")
    )
    assert len(first) == len(second) == 4
    assert set(first) <= texts
    assert set(second) == {"<|user|>who?<|end|><|assistant|>the owl<|end|>"}
    assert facts["samples"] != facts_of(inspect_folder(path, samples=4, seed=4))["samples"]


def test_no_document_is_shown_twice(tmp_path: Path) -> None:
    texts = {"a.jsonl": ["the fox"], "b.jsonl": ["the owl saw hay", "the owl saw jam", "the owl saw tea"]}
    for name, rows in texts.items():
        (tmp_path / name).write_text("\n".join(json.dumps({"text": row}) for row in rows))
    sources = tuple(str(tmp_path / name) for name in texts)
    for _ in build(Recipe(sources=sources, valid_fraction=0.0, workers=0), tmp_path / "out", StopFlag()):
        pass
    facts = facts_of(inspect_folder(tmp_path / "out", samples=3, seed=0))
    shown = [sample["text"].removeprefix("<|endoftext|>") for sample in facts["samples"]]
    assert sorted(shown) == [*texts["a.jsonl"], *texts["b.jsonl"]]


def test_boundaries_are_the_bytes_of_the_file(path: Path) -> None:
    facts = facts_of(inspect_folder(path, samples=0, seed=0))
    assert len(facts["boundaries"]) == 3
    end = open_folder(path).tokenizer.end_of_text
    for each in facts["boundaries"]:
        data = (path / each["file"]).read_bytes()
        before, after = bytes.fromhex(each["before"]), bytes.fromhex(each["after"])
        at = each["offset"]
        assert data[at : at + len(before) + len(after)] == before + after
        assert struct.unpack_from("<H", after)[0] == end


def test_a_shard_alone_and_without_its_tokenizer(path: Path) -> None:
    shard = path / "train-01-00000.bin"
    facts = facts_of(inspect_shard(shard, samples=1, seed=0))
    assert facts["tokens"] == len(Shard.open(shard))
    assert facts["samples"][0]["text"].startswith("<|endoftext|><|user|>who?")
    (path / "tokenizer.json").unlink()
    facts = facts_of(inspect_shard(shard, samples=1, seed=0))
    assert facts["tokenizer"]["found"] is False
    assert "samples" not in facts
    with pytest.raises(CorpusError, match="not a token shard"):
        facts_of(inspect_shard(path / "dataset.json", samples=1, seed=0))


@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_report_is_clean_lines_of_eighty_columns(
    path: Path, ascii_only: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(path.parent)
    run_inspect(Path("out"), samples=1, seed=0, json_output=False, ascii_only=ascii_only)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "every byte checked" in said
    assert ("█" in said) is not ascii_only
    assert max(map(len, said.splitlines())) <= 80
    run_inspect(path, samples=1, seed=0, json_output=True, ascii_only=False)
    assert json.loads(capsys.readouterr().out)["verified"] is True


# --- several shards as one line ---


def test_a_line_reads_across_its_shards_with_few_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_joined, "MOST_OPEN", 2)
    digest = "ab" * 32
    pieces = []
    sizes = [3, 0, 5, 1, 7]
    at = 0
    for number, size in enumerate(sizes):
        name = tmp_path / f"{number}.bin"
        with data_shard(name, digest) as writer:
            writer.append(list(range(at, at + size)))
        pieces.append(data_joined.Piece(name, size, writer.digest))
        at += size
    before = Counter(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd))
    line = data_joined.Joined(pieces, path=tmp_path, vocab_size=100, tokenizer_digest=digest)
    for start in range(at + 1):
        for stop in range(start, at + 1):
            assert line.read(start, stop).tolist() == list(range(start, stop))
    after = Counter(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd))
    assert sum(count for name, count in (after - before).items() if name.startswith(str(tmp_path))) == 2
    assert np.concatenate(list(line.chunks())).tolist() == list(range(at))
    with pytest.raises(ValueError, match="a range must lie in"):
        line.read(0, at + 1)
    with data_shard(tmp_path / "2.bin", digest) as writer:
        writer.append([9] * 5)
    line.read(8, 16)  # the others push it out
    with pytest.raises(CorpusError, match="not the shard that was made here"):
        line.read(0, at)


def data_shard(path: Path, digest: str) -> Any:
    from trainer.shards import ShardWriter

    return ShardWriter(path, vocab_size=100, tokenizer_digest=digest)


def _is_link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")
