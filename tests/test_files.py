"""Writing a file that matters: the old one or the new one, whole, whatever fails."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tinychat import files
from tinychat.errors import FileFormatError, StorageError, UsageError

OLD, NEW = b"old content", b"new content " * 1000


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "kept.bin"
    path.write_bytes(OLD)
    return path


def left_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_written_bytes_are_there_and_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "new.bin"
    files.write_atomic(path, [b"one ", b"", b"two"])
    assert path.read_bytes() == b"one two"
    files.write_atomic(path, b"")
    assert path.read_bytes() == b""
    assert left_in(tmp_path) == ["new.bin"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_follows_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        files.write_atomic(tmp_path / "new.bin", NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.bin").stat().st_mode) == 0o666 & ~mask


def test_an_old_file_keeps_its_mode(target: Path) -> None:
    target.chmod(0o640)
    files.write_atomic(target, NEW)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Path, target: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "latest"
    link.symlink_to(target)
    files.write_atomic(link, NEW)
    assert link.is_symlink()
    assert target.read_bytes() == NEW
    assert left_in(tmp_path / "elsewhere") == ["latest"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("stage", ["open", "write", "flush", "fchmod", "fsync", "replace"])
def test_a_failing_call_leaves_the_old_file_and_no_temp(
    target: Path, monkeypatch: pytest.MonkeyPatch, stage: str, code: int
) -> None:
    break_at(stage, OSError(code, os.strerror(code)), monkeypatch)
    with pytest.raises(StorageError) as caught:
        files.write_atomic(target, [NEW, NEW])
    assert str(target) in caught.value.what
    assert caught.value.hint
    assert caught.value.exit_code == 6
    if code in (errno.ENOSPC, errno.EDQUOT):
        assert "disk is full" in caught.value.what
    monkeypatch.undo()
    assert target.read_bytes() == OLD
    assert left_in(target.parent) == [target.name]


@pytest.mark.parametrize("stage", ["write", "flush", "fsync", "replace"])
def test_an_interrupt_leaves_the_old_file_and_no_temp(
    target: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    break_at(stage, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(target, NEW)
    monkeypatch.undo()
    assert target.read_bytes() == OLD
    assert left_in(target.parent) == [target.name]


def test_a_failing_source_of_chunks_leaves_the_old_file(target: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield NEW
        raise RuntimeError("the producer broke")

    with pytest.raises(RuntimeError, match="producer"):
        files.write_atomic(target, chunks())
    assert target.read_bytes() == OLD
    assert left_in(target.parent) == [target.name]


def test_a_folder_that_cannot_be_synced_is_a_failed_save(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "sync_folder", refuse)
    with pytest.raises(StorageError):
        files.write_atomic(target, NEW)
    assert target.read_bytes() == NEW
    assert left_in(target.parent) == [target.name]


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="folder does not exist") as caught:
        files.write_atomic(tmp_path / "no" / "file", NEW)
    assert "mkdir -p" in caught.value.hint
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="folder: "):
        files.write_atomic(tmp_path / "folder", NEW)
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(StorageError, match="file/below"):
        files.write_atomic(tmp_path / "file" / "below", NEW)
    assert left_in(tmp_path) == ["file", "folder"]


def test_every_state_a_power_loss_may_leave_is_old_or_new(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk may hold after the power fails at any point: synced data for sure, everything else perhaps."""
    record: list[tuple[str, Any]] = []
    fsync, replace, fdopen = os.fsync, os.replace, os.fdopen

    def recorded_fsync(handle: int) -> None:
        folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        size = os.fstat(handle).st_size
        fsync(handle)
        record.append(("sync folder", None) if folder else ("sync", size))

    def recorded_replace(source: str, destination: str) -> None:
        replace(source, destination)
        record.append(("rename", None))

    def recorded_fdopen(*args: Any, **kwargs: Any) -> Any:
        file = fdopen(*args, **kwargs)
        return Proxy(file, write=lambda chunk: (record.append(("write", bytes(chunk))), file.write(chunk))[1])

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    monkeypatch.setattr(os, "fdopen", recorded_fdopen)
    new = [b"a" * 5000, b"b" * 700, b"c" * 9000]
    files.write_atomic(target, new)
    whole = b"".join(new)
    for length in range(len(record) + 1):
        broken = set(disk_states(record[:length])) - {OLD, whole}
        assert not broken, f"after {[name for name, _ in record[:length]]}"
    assert set(disk_states(record)) == {whole}, "once acknowledged it is the new one"
    unsynced = [(name, value) for name, value in record if name != "sync"]
    assert set(disk_states(unsynced)) - {OLD, whole}, "and this test would see a missing fsync"


def disk_states(record: list[tuple[str, Any]]) -> Iterator[bytes]:
    """Every content of the target after these operations: writes lost or torn until synced, a rename early or lost."""
    writes: list[bytes] = []
    synced, renamed, certain = 0, False, False
    for name, value in record:
        if name == "write":
            writes.append(value)
        elif name == "sync":
            assert value == sum(map(len, writes)), "synced before all of it had left the program"
            synced = len(writes)
        elif name == "rename":
            renamed = True
        elif name == "sync folder":
            certain = renamed
    if not certain:
        yield OLD
    if renamed:
        fates = [[chunk] if n < synced else [chunk, b"", chunk[:512], chunk[:4096]] for n, chunk in enumerate(writes)]
        for pieces in itertools.product(*fates):
            yield b"".join(pieces)


def test_only_orphans_are_swept(tmp_path: Path) -> None:
    (tmp_path / f"{files.TEMP_PREFIX}abc").write_bytes(OLD)
    (tmp_path / "model.safetensors").write_bytes(OLD)
    (tmp_path / f"{files.TEMP_PREFIX}folder").mkdir()
    (tmp_path / f"{files.TEMP_PREFIX}link").symlink_to(tmp_path / "model.safetensors")
    assert files.sweep_temps(tmp_path) == 1
    assert left_in(tmp_path) == [f"{files.TEMP_PREFIX}folder", f"{files.TEMP_PREFIX}link", "model.safetensors"]
    assert files.sweep_temps(tmp_path / "nowhere") == 0


def test_readers_see_whole_files_while_a_writer_writes(target: Path) -> None:
    contents = [bytes([65 + n]) * 50_000 for n in range(4)]
    files.write_atomic(target, contents[0])
    done = threading.Event()

    def write() -> None:
        for n in range(60):
            files.write_atomic(target, contents[n % 4])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert target.read_bytes() in contents
    writer.join()


def test_state_and_data_live_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.state_folder() == tmp_path / "s" / "tinychat"
    assert files.data_folder() == tmp_path / "home" / ".local" / "share" / "tinychat"
    assert files.state_folder().is_dir()
    (tmp_path / "file").write_bytes(OLD)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError):
        files.state_folder()


def test_a_missing_asset_says_how_to_make_it() -> None:
    with pytest.raises(UsageError, match=r"no-such-thing\.bin") as caught:
        files.asset("no-such-thing.bin")
    assert "make assets" in caught.value.hint


def test_a_checkpoint_is_a_file_or_the_best_of_a_folder(tmp_path: Path) -> None:
    latest = tmp_path / "ckpt.safetensors"
    latest.write_bytes(OLD)
    assert files.find_checkpoint(latest) == files.find_checkpoint(tmp_path) == latest
    best = tmp_path / "best.safetensors"
    best.write_bytes(OLD)
    assert files.find_checkpoint(tmp_path) == best


@pytest.mark.parametrize("name", ["missing", "loop", "a" * 5000, "nul\0"])
def test_a_checkpoint_that_is_not_there_is_a_bad_file_whatever_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(FileFormatError, match="no such file"):
        files.find_checkpoint(tmp_path / name)


class Proxy:
    """A file with some of its methods replaced."""

    def __init__(self, file: Any, **replaced: Callable[..., Any]) -> None:
        self._file = file
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        return self._replaced.get(name) or getattr(self._file, name)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *args: object) -> None:
        self._file.close()


def break_at(stage: str, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one call inside `write_atomic` raise."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise error

    if stage in ("write", "flush"):
        fdopen = os.fdopen
        monkeypatch.setattr(os, "fdopen", lambda *args, **kwargs: Proxy(fdopen(*args, **kwargs), **{stage: refuse}))
    else:
        monkeypatch.setattr(os, stage, refuse)  # open, fchmod, fsync, replace
