"""Where files live, and the one way to write a file that matters.

A reader sees the old file or the new one, whole, whatever kills the writer: temp file in the same
folder, write, flush, fsync, rename, fsync of the folder. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from tinychat.errors import FileFormatError, StorageError, UsageError

TEMP_PREFIX = ".tinychat-tmp-"


def write_atomic(path: Path, chunks: bytes | Iterable[bytes]) -> None:
    """Replace `path` by the chunks, durably. The mode follows the umask; a link is written through.

    Raises StorageError, with the old file untouched and no temp file left.
    """
    target = Path(os.path.realpath(path))
    temp = ""
    try:
        mode = _mode_of(target)
        name = str(target.parent / (TEMP_PREFIX + os.urandom(8).hex()))
        # the kernel applies the umask: asking for it means setting it, for every thread of the process
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else mode)
        temp = name
        with os.fdopen(handle, "wb") as file:
            if mode is not None:
                os.fchmod(handle, mode)
            for chunk in [chunks] if isinstance(chunks, bytes) else chunks:
                file.write(chunk)
            file.flush()
            os.fsync(handle)
        os.replace(temp, target)
        sync_folder(target.parent)
    except OSError as error:
        _discard(temp)
        raise storage_error(path, error) from error
    except BaseException:
        _discard(temp)
        raise


def append(path: Path, chunks: Iterable[bytes], *, size: int, inode: tuple[int, int]) -> bool:
    """Add the chunks to the end of a file, durably; False where it is not the one with this size, device and inode.

    Raises StorageError, with the file as long as it was. A killed writer may leave any beginning of the chunks behind.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(handle)
        if (found.st_dev, found.st_ino) != inode or found.st_size != size:
            return False
        for chunk in chunks:
            left = memoryview(chunk)
            while left:
                left = left[os.write(handle, left) :]
        os.fsync(handle)
    except OSError as error:
        _cut_back(handle, size)
        raise storage_error(path, error) from error
    except BaseException:
        _cut_back(handle, size)
        raise
    finally:
        os.close(handle)
    return True


def _cut_back(handle: int, size: int) -> None:
    with contextlib.suppress(OSError):
        os.ftruncate(handle, size)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power loss."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep_temps(folder: Path) -> int:
    """Remove what killed writers left behind in `folder`; the number of files removed."""
    removed = 0
    for orphan in folder.glob(TEMP_PREFIX + "*"):
        if orphan.is_file() and not orphan.is_symlink():
            _discard(str(orphan))
            removed += 1
    return removed


def storage_error(path: Path, error: OSError) -> StorageError:
    """The two lines for a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = _free_bytes(path)
        return StorageError(
            f"{path}: the disk is full ({free} bytes free). The old file is untouched.", "Free some space and go on."
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StorageError(f"{path}: may not be written ({error.strerror}).", "Choose a folder you may write to.")
    if error.errno == errno.ENOENT:
        return StorageError(f"{path}: its folder does not exist.", f"Make it:  mkdir -p {path.parent}")
    return StorageError(f"{path}: {error.strerror or error}.", "Check the disk, then try again.")


def asset(name: str) -> Path:
    """A file that ships with tinychat: inside the wheel, or in assets/ of a checkout.

    Raises UsageError when it is not there.
    """
    package = Path(str(resources.files("tinychat")))
    for candidate in (package / "assets" / name, package.parent / "assets" / name):
        if candidate.is_file():
            return candidate
    raise UsageError(
        f"The shipped file {name} is not installed.",
        "In a checkout, build it:  make assets   Or name a model of yours.",
    )


SHIPPED = "tinychat.safetensors"


def find_checkpoint(named: Path | None) -> Path:
    """The checkpoint a person means: a file, the best one of a run folder, or the shipped one for None."""
    if named is None:
        return asset(SHIPPED)
    # os.path, not Path: it answers False for a name that no file can have
    if os.path.isdir(named):
        for name in ("best.safetensors", "ckpt.safetensors"):
            if (named / name).is_file():
                return named / name
        runs = sorted(each.parent.name for each in Path(named).glob("*/ckpt.safetensors"))
        raise FileFormatError(
            f"{named}: a folder without best.safetensors or ckpt.safetensors.",
            f"It holds runs; name one:  {', '.join(str(named / run) for run in runs[:3])}{' ...' * (len(runs) > 3)}"
            if runs else "Name a checkpoint file, or a folder that `tinychat train` made.",
        )  # fmt: skip
    if not os.path.exists(named):
        raise FileFormatError(
            f"{named}: no such file.", "Name a checkpoint that `tinychat train` made, or none for the one that ships."
        )
    return named


def state_folder() -> Path:
    """$XDG_STATE_HOME/tinychat (logs, history), made when missing."""
    return _home("XDG_STATE_HOME", ".local/state")


def data_folder() -> Path:
    """$XDG_DATA_HOME/tinychat (sessions), made when missing."""
    return _home("XDG_DATA_HOME", ".local/share")


def config_path(name: str) -> Path:
    """A file of $XDG_CONFIG_HOME/tinychat (what a person sets); nothing is made."""
    return _place("XDG_CONFIG_HOME", ".config") / name


def _place(variable: str, fallback: str) -> Path:
    base = os.environ.get(variable, "")
    return (Path(base) if base.startswith("/") else Path.home() / fallback) / "tinychat"


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/tinychat (what can be made again), made when missing."""
    return _home("XDG_CACHE_HOME", ".cache")


def _home(variable: str, fallback: str) -> Path:
    folder = _place(variable, fallback)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    return folder


def _mode_of(target: Path) -> int | None:
    """The permissions of a file that is there."""
    with contextlib.suppress(OSError):
        return target.stat().st_mode & 0o777
    return None


def _free_bytes(path: Path) -> int:
    with contextlib.suppress(OSError):
        stat = os.statvfs(path.parent)
        return stat.f_bavail * stat.f_frsize
    return 0


def _discard(temp: str) -> None:
    if temp:
        with contextlib.suppress(OSError):
            os.unlink(temp)
