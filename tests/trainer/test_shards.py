"""Token shards: what is written comes back, in any ranges, and every damage is named before it does harm."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinychat import files
from tinychat.errors import CorpusError, StorageError
from trainer.shards import HEADER_BYTES, Shard, ShardWriter, write_shard

DIGEST = hashlib.sha256(b"a tokenizer").hexdigest()
OTHER = hashlib.sha256(b"another tokenizer").hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.bin"


def made(path: Path, ids: Any, vocab_size: int = 1000) -> Shard:
    write_shard(path, [ids], vocab_size=vocab_size, tokenizer_digest=DIGEST)
    return Shard.open(path)


@given(chunks=st.lists(st.lists(st.integers(0, 69_999), max_size=20), max_size=8), data=st.data())
def test_every_range_reads_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[list[int]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("shard") / "a.bin"
    flat = [token for chunk in chunks for token in chunk]
    assert write_shard(path, chunks, vocab_size=70_000, tokenizer_digest=DIGEST) == len(flat)
    shard = Shard.open(path, vocab_size=70_000, tokenizer_digest=DIGEST)
    start = data.draw(st.integers(0, len(flat)))
    stop = data.draw(st.integers(start, len(flat)))
    assert shard.read(start, stop).tolist() == flat[start:stop]
    assert len(shard) == len(flat)
    shard.verify()


@pytest.mark.parametrize(("vocab_size", "width"), [(65_536, 2), (65_537, 4), (2, 2)])
def test_a_token_takes_two_bytes_while_the_vocabulary_fits(path: Path, vocab_size: int, width: int) -> None:
    ids = [0, vocab_size - 1]
    assert made(path, ids, vocab_size).read(0, 2).tolist() == ids
    assert path.stat().st_size == HEADER_BYTES + 2 * width


def test_the_bytes_are_those_numpy_reads(path: Path) -> None:
    ids = np.arange(500, dtype=np.int64)
    made(path, ids)
    assert np.array_equal(np.fromfile(path, "<u2", offset=HEADER_BYTES), ids)


@pytest.mark.parametrize("bad", [-1, 1000, 2**31])
def test_an_id_outside_the_vocabulary_is_refused_and_nothing_stays(path: Path, bad: int) -> None:
    with pytest.raises(ValueError, match=rf"token 3 must be in \[0, 1000\), got {bad}"):
        write_shard(path, [[1, 2], [3, bad]], vocab_size=1000, tokenizer_digest=DIGEST)
    assert list(path.parent.iterdir()) == []


def test_a_broken_off_writer_leaves_the_old_shard_and_no_temp_file(path: Path) -> None:
    made(path, [1, 2, 3])

    def broken() -> Iterator[list[int]]:
        yield [7] * 10
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(path, broken(), vocab_size=1000, tokenizer_digest=DIGEST)
    assert Shard.open(path).read(0, 3).tolist() == [1, 2, 3]
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_said_and_leaves_the_old_shard(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(path, [1, 2, 3])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        write_shard(path, [[4, 5]], vocab_size=1000, tokenizer_digest=DIGEST)
    monkeypatch.undo()
    assert Shard.open(path).read(0, 3).tolist() == [1, 2, 3]
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_there_before_the_writer_ends_and_its_temp_is_one_that_is_swept(path: Path) -> None:
    with ShardWriter(path, vocab_size=10, tokenizer_digest=DIGEST) as writer:
        writer.append([1])
        assert not path.exists()
        assert all(file.name.startswith(files.TEMP_PREFIX) for file in path.parent.iterdir())
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="folder does not exist"):
        write_shard(tmp_path / "no" / "a.bin", [], vocab_size=10, tokenizer_digest=DIGEST)


# --- damage ------------------------------------------------------------------------------------------------------


def patched(path: Path, offset: int, data: bytes) -> None:
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(data)] = data
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("offset", "data", "said"),
    [
        (0, b"PK\3\4", "not a token shard"),
        (8, struct.pack("<I", 2), "version 2 is newer"),
        (8, struct.pack("<I", 0), "version 0 is unknown"),
        (12, struct.pack("<I", 4), "damaged header"),
        (16, struct.pack("<Q", 4), "its header promises 136"),
        (16, struct.pack("<Q", 2**63), "its header promises"),
        (24, struct.pack("<Q", 0), "damaged header"),
        (100, b"\1", "damaged header"),
    ],
)
def test_a_damaged_header_is_refused_by_file_and_reason(path: Path, offset: int, data: bytes, said: str) -> None:
    made(path, [1, 2, 3])
    patched(path, offset, data)
    with pytest.raises(CorpusError, match=said) as caught:
        Shard.open(path)
    assert str(path) in caught.value.what
    assert caught.value.hint
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("size", [0, 5, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 5])
def test_a_short_shard_is_refused(path: Path, size: int) -> None:
    made(path, [1, 2, 3])
    os.truncate(path, size)
    with pytest.raises(CorpusError):
        Shard.open(path)


def test_a_shard_of_another_tokenizer_is_refused_with_both_digests(path: Path) -> None:
    made(path, [1])
    with pytest.raises(CorpusError, match=f"{DIGEST[:12]}.*{OTHER[:12]}"):
        Shard.open(path, vocab_size=1000, tokenizer_digest=OTHER)
    with pytest.raises(CorpusError, match="vocabulary of 1000, this one has 999"):
        Shard.open(path, vocab_size=999, tokenizer_digest=DIGEST)


def test_a_token_outside_the_vocabulary_is_found_where_it_is_read(path: Path) -> None:
    shard = made(path, [1, 2, 3, 4])
    patched(path, HEADER_BYTES + 2 * 2, struct.pack("<H", 1000))
    assert shard.read(0, 2).tolist() == [1, 2]
    with pytest.raises(CorpusError, match="token 2 is 1000, the vocabulary has 1000"):
        shard.read(1, 4)
    with pytest.raises(CorpusError, match="token 2 is 1000"):
        shard.verify()


def test_verify_finds_a_changed_token(path: Path) -> None:
    shard = made(path, list(range(100)))
    shard.verify()
    patched(path, HEADER_BYTES + 60, b"\7")
    with pytest.raises(CorpusError, match="have changed since they were written"):
        shard.verify()


def test_a_shard_cut_short_while_in_use_is_an_error_and_not_a_signal(path: Path) -> None:
    """In a child process: with a memory map this would be SIGBUS."""
    made(path, np.zeros(1 << 20, np.int64))
    code = (
        "import sys, os, pathlib\n"
        "from trainer.shards import Shard\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "shard = Shard.open(path)\n"
        "os.truncate(path, 4096)\n"
        "shard.read(500_000, 500_010)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "became shorter while it was in use" in run.stderr


def test_a_replaced_shard_stays_readable_for_who_has_it_open(path: Path) -> None:
    shard = made(path, [1, 2, 3])
    made(path, [9])
    assert shard.read(0, 3).tolist() == [1, 2, 3]


def test_a_pipe_or_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(CorpusError, match="not a regular file"):
            Shard.open(path)
    with pytest.raises(CorpusError, match="cannot be opened"):
        Shard.open(tmp_path / "missing.bin")


def test_a_range_outside_is_the_callers_mistake(path: Path) -> None:
    shard = made(path, [1, 2, 3])
    for start, stop in ((-1, 2), (2, 1), (0, 4)):
        with pytest.raises(ValueError, match="a range must lie in"):
            shard.read(start, stop)


def test_a_closed_shard_gives_its_descriptor_back(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        made(path, [1, 2, 3]).close()
    assert len(os.listdir("/proc/self/fd")) == before
