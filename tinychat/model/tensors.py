"""The one reader and the one writer of safetensors files: weights, optimizer state, anything made of arrays.

Every tensor has its SHA-256 in the metadata and so has the header, so torn and changed files are refused. Written
durably through `files.write_atomic`; read into memory of its own, because a mapped file may change underneath.
bfloat16 travels as uint16 arrays. Knows neither torch nor what the tensors mean.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from tinychat import files
from tinychat.errors import FileFormatError, NumbersError, OutOfMemoryError_, StorageError
from tinychat.model import header as safetensors
from tinychat.model.header import Header, HeaderError, TensorInfo
from tinychat.text.terminal import one_line

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# numpy is imported where arrays are: `inspect` reads a header while a person waits for the first frame
Array: TypeAlias = "npt.NDArray[np.generic]"

FORMAT = 1
FORMAT_KEY = "tinychat"
DIGEST_KEY = "digest"
TENSOR_DIGEST = "sha256:"  # and the tensor's name
CHUNK = 2**20  # bytes hashed, checked and copied at a time

DTYPES: dict[str, str] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "U8": "|u1",
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
# a number is NaN or Inf exactly when all of these bits are set
_EXPONENTS: dict[str, tuple[str, int]] = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
_KINDS = (
    (b"PK\x03\x04", "a zip archive, as torch.save writes it"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"GGUF", "a GGUF model"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"version https://git-lfs", "a Git LFS pointer instead of the file it stands for"),
    (b"<", "a web page or XML"),
    (b"{", "JSON text"),
)
HINT = "Name a .safetensors file that tinychat train wrote; pickles and other formats are never opened."


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file ready to be written: its header, and its arrays in the order of the header."""

    header: Header
    arrays: tuple[Array, ...]

    @property
    def file_bytes(self) -> int:
        return len(safetensors.render(self.header)) + self.header.data_bytes


class TensorFile:
    """An open safetensors file whose header has been checked; the arrays are read when asked for.

    Raises FileFormatError for anything but such a file, StorageError when the disk fails.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = _open_regular(path)
        try:
            self.file_bytes = os.fstat(self._handle).st_size
            self.header, self._data_start = self._read_header()
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def check_seal(self) -> None:
        """It is a file of ours, of a version we read, with an unchanged header; every tensor has a digest."""
        metadata = self.header.metadata
        version = metadata.get(FORMAT_KEY)
        if version is None:
            raise self.refused("is a safetensors file, but not one that tinychat wrote")
        if not (version.isascii() and version.isdecimal() and len(version) < 10):
            raise self.refused(f"has a format version that is no number: {version[:40]!a}")
        if int(version) > FORMAT:
            raise self.refused(f"has format {version}; this tinychat reads up to {FORMAT}", "Update tinychat.")
        if metadata.get(DIGEST_KEY) != digest_of(self.header):
            raise self.refused("has a header that was changed or damaged after it was written")
        for tensor in self.header.tensors:
            if TENSOR_DIGEST + tensor.name not in metadata:
                raise self.refused(f"has no digest for tensor {tensor.name}")

    def arrays(self) -> dict[str, Array]:
        """All tensors, each checked against its digest, every number finite. Call `check_seal` first."""
        return {tensor.name: self._read_tensor(tensor) for tensor in self.header.tensors}

    def refused(self, reason: str, hint: str = HINT) -> FileFormatError:
        """The error that says why this file is not opened."""
        return FileFormatError(one_line(f"{self.path} {reason}."), hint)

    def _read_header(self) -> tuple[Header, int]:
        if self.file_bytes == 0:
            raise self.refused("is empty", "It may be left from a write that failed. Name another file.")
        start = self._read(0, 64)
        length = int.from_bytes(start[:8], "little")
        if len(start) < 8 or not 2 <= length <= safetensors.MAX_HEADER or start[8:9] not in (b"{", b""):
            raise self.refused(_kind(start))
        if 8 + length > self.file_bytes:
            raise self.refused(
                f"is cut short: a header of {length} bytes is announced, {self.file_bytes - 8} are there"
            )
        try:
            header = safetensors.parse(self._read(8, length), self.file_bytes - 8 - length)
        except HeaderError as error:
            raise self.refused(f"cannot be used: {error}") from None
        return header, 8 + length

    def _read_tensor(self, tensor: TensorInfo) -> Array:
        import numpy as np

        try:
            array: Array = np.empty(tensor.shape, DTYPES[tensor.dtype])
        except (MemoryError, ValueError):
            needed = f"{self.path} needs {tensor.nbytes / 2**20:.0f} MB for tensor {tensor.name}"
            raise OutOfMemoryError_(
                one_line(f"{needed}; there is not enough memory."), "Use a smaller model."
            ) from None
        view = _bytes_of(array)
        digest = hashlib.sha256()
        offset = self._data_start + tensor.start
        for at in range(0, tensor.nbytes, CHUNK):
            chunk = view[at : at + CHUNK]
            self._fill(chunk, offset + at)
            digest.update(chunk)
        if self.header.metadata[TENSOR_DIGEST + tensor.name] != digest.hexdigest():
            raise self.refused(f"is damaged: the bytes of tensor {tensor.name} are not the ones that were written")
        if not is_finite(array, tensor.dtype):
            raise self.refused(
                f"holds NaN or Inf in tensor {tensor.name}", "The training run diverged; use an older file."
            )
        return array

    def _read(self, offset: int, length: int) -> bytes:
        buffer = bytearray(min(length, self.file_bytes - offset))
        self._fill(memoryview(buffer), offset)
        return bytes(buffer)

    def _fill(self, target: memoryview, offset: int) -> None:
        done = 0
        while done < len(target):
            try:
                count = os.preadv(self._handle, [target[done:]], offset + done)
            except OSError as error:
                raise StorageError(
                    one_line(f"{self.path} cannot be read ({error.strerror})."), "Check the disk, then try again."
                ) from error
            if count == 0:  # only a writer that does not rename can do this
                raise self.refused(f"became shorter while it was read (at byte {offset + done})")
            done += count


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Metadata and arrays of a file that `write_tensors` wrote; everything is checked.

    Raises FileFormatError, StorageError or OutOfMemoryError_, naming file and tensor.
    """
    with TensorFile(path) as file:
        file.check_seal()
        return own_metadata(file.header), file.arrays()


def write_tensors(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> Header:
    """Write arrays (F64, F32, F16, I64, I32, U8; uint16 is bfloat16) and texts durably; the header that was written.

    Raises ValueError for what the format cannot hold, NumbersError for NaN or Inf, StorageError from the disk.
    """
    sealed = seal(arrays, metadata)
    write_sealed(path, sealed)
    return sealed.header


def write_sealed(path: Path, sealed: Sealed) -> None:
    """Put a sealed file on the disk. Raises StorageError, with the old file untouched."""
    files.write_atomic(path, _chunks(sealed))


def seal(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> Sealed:
    """Lay arrays and texts out as a file, with digests; nothing is written. Errors as in `write_tensors`."""
    if any(key in (FORMAT_KEY, DIGEST_KEY) or key.startswith(TENSOR_DIGEST) for key in metadata):
        raise ValueError(f"metadata keys {FORMAT_KEY}, {DIGEST_KEY} and {TENSOR_DIGEST}… are reserved")
    import numpy as np

    plain: dict[str, Array] = {}
    sealed = {FORMAT_KEY: str(FORMAT), **metadata}
    tensors, start = [], 0
    # wide items first: every tensor then starts at a multiple of its item size
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize):
        dtype = _NAMES.get(array.dtype.str)
        if dtype is None:
            raise ValueError(f"tensor {name!a} has dtype {array.dtype}; known are {', '.join(_NAMES.values())}")
        plain[name] = np.require(array, requirements="C")
        if not is_finite(plain[name], dtype):
            raise NumbersError(
                f"Tensor {one_line(name)} holds NaN or Inf; nothing was written.", "Go on from an older file."
            )
        tensors.append(TensorInfo(name, dtype, array.shape, array.nbytes, start))
        sealed[TENSOR_DIGEST + name] = hashlib.sha256(_bytes_of(plain[name])).hexdigest()
        start += array.nbytes
    header = Header(tuple(tensors), sealed)
    sealed[DIGEST_KEY] = digest_of(header)
    try:  # what our own reader would refuse is not written
        parsed = safetensors.parse(safetensors.render(header)[8:], start)
    except (HeaderError, UnicodeEncodeError) as error:
        raise ValueError(f"these tensors cannot be written: {error}") from error
    return Sealed(parsed, tuple(plain[tensor.name] for tensor in parsed.tensors))


def digest_of(header: Header) -> str:
    """SHA-256 of all a header says, whatever its layout; the tensors' digests are in it, so it identifies the file."""
    digest = hashlib.sha256()

    def add(text: str) -> None:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(raw))  # lengths in front: no two headers give the same bytes
        digest.update(raw)

    for key in sorted(header.metadata.keys() - {DIGEST_KEY}):
        add(key)
        add(header.metadata[key])
    for tensor in sorted(header.tensors, key=lambda tensor: tensor.name):
        add(tensor.name)
        add(f"{tensor.dtype}{list(tensor.shape)}")
    return digest.hexdigest()


def own_metadata(header: Header) -> dict[str, str]:
    """The metadata that was given to `write_tensors`, without what the format added."""
    added = {FORMAT_KEY, DIGEST_KEY, *(TENSOR_DIGEST + tensor.name for tensor in header.tensors)}
    return {key: value for key, value in header.metadata.items() if key not in added}


def is_finite(array: Array, dtype: str) -> bool:
    """No NaN and no Inf in an array of this file dtype, looked at in chunks."""
    if dtype not in _EXPONENTS:
        return True
    bits_dtype, exponent = _EXPONENTS[dtype]
    bits = array.reshape(-1).view(bits_dtype)
    step = CHUNK // bits.itemsize
    mask = bits.dtype.type(exponent)
    return not any(bool(((bits[at : at + step] & mask) == mask).any()) for at in range(0, len(bits), step))


def _open_regular(path: Path) -> int:
    """A read-only handle of a regular file; a FIFO or device is never opened, so nothing waits."""

    def refused(reason: str, hint: str = HINT) -> FileFormatError:
        return FileFormatError(one_line(f"{path} {reason}."), hint)

    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise refused("is a folder", "Name the .safetensors file in it.")
        if not stat.S_ISREG(mode):
            raise refused(f"is {_special(mode)}, not a regular file")
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise refused("does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise refused(f"cannot be opened ({getattr(error, 'strerror', None) or error})") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # swapped in between
        os.close(handle)
        raise refused("is not a regular file")
    return handle


def _special(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _kind(start: bytes) -> str:
    """What a file is that does not begin like safetensors."""
    for magic, name in _KINDS:
        if start.startswith(magic):
            return f"is {name}, not a safetensors file"
    return "is not a safetensors file"


def _bytes_of(array: Array) -> memoryview:
    return array.reshape(-1).view("|u1").data


def _chunks(sealed: Sealed) -> Iterator[bytes]:
    yield safetensors.render(sealed.header)
    for array in sealed.arrays:
        view = _bytes_of(array)
        for at in range(0, len(view), CHUNK):
            yield bytes(view[at : at + CHUNK])
