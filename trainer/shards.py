"""Tokens on disk: written while they are made, read by range, never loaded whole.

A shard is a header of 128 bytes and then the tokens, all little-endian:

    offset  bytes
         0      8  magic "TINYSHRD"
         8      4  version, 1
        12      4  bytes a token: 2 while the vocabulary fits, else 4
        16      8  number of tokens
        24      8  vocabulary size
        32     32  SHA-256 of the tokenizer
        64     32  SHA-256 of the token bytes
        96     32  zero

Reading is by os.pread on an open descriptor, not by mmap: when somebody truncates the file under a run, a map kills
the process with SIGBUS, which no exception handler sees, while pread returns less and becomes a CorpusError. The
page cache serves both alike. Nothing here knows text or batches.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import struct
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from tinychat import files
from tinychat.errors import CorpusError

Ids = Sequence[int] | npt.NDArray[np.integer]

MAGIC = b"TINYSHRD"
VERSION = 1
HEADER_BYTES = 128
CHUNK = 1 << 20  # tokens read at a time where all are read
_HEADER = struct.Struct("<8sIIQQ32s32s32x")
_AGAIN = "Delete it, and make it again from the text."


class ShardWriter:
    """Writes one shard in constant memory; the file appears, whole and durable, when the `with` block ends well.

    Raises StorageError when the disk fails, ValueError for an id outside the vocabulary; no temp file is left.
    """

    def __init__(self, path: Path, *, vocab_size: int, tokenizer_digest: str) -> None:
        if not 1 <= vocab_size <= 1 << 32:
            raise ValueError(f"vocab_size must be between 1 and 2**32, got {vocab_size}")
        self._digest = _raw_digest(tokenizer_digest)
        self._vocab_size = vocab_size
        self._dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
        self._hash = hashlib.sha256()
        self._path = path
        self._target = Path(os.path.realpath(path))
        self._temp = self._target.parent / f"{files.TEMP_PREFIX}{secrets.token_hex(8)}"
        self.count = 0
        self.digest = ""  # of the tokens, once all are written
        try:
            self._file = self._temp.open("xb", buffering=1 << 20)
            self._file.write(bytes(HEADER_BYTES))
        except OSError as error:
            self._discard()
            raise files.storage_error(path, error) from error

    def append(self, ids: Ids) -> None:
        """Add tokens."""
        tokens = np.asarray(ids, dtype=np.int64)
        if not tokens.size:
            return
        if tokens.min() < 0 or tokens.max() >= self._vocab_size:
            where = int(np.flatnonzero((tokens < 0) | (tokens >= self._vocab_size))[0])
            raise ValueError(
                f"token {self.count + where} must be in [0, {self._vocab_size}), got {int(tokens.flat[where])}"
            )
        data = tokens.astype(self._dtype).tobytes()
        self._hash.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise files.storage_error(self._path, error) from error
        self.count += tokens.size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except OSError as failed:
            self._discard()
            raise files.storage_error(self._path, failed) from failed

    def _finish(self) -> None:
        width = self._dtype.itemsize
        self.digest = self._hash.hexdigest()
        self._file.seek(0)
        self._file.write(
            _HEADER.pack(MAGIC, VERSION, width, self.count, self._vocab_size, self._digest, self._hash.digest())
        )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temp, self._target)
        files.sync_folder(self._target.parent)

    def _discard(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._temp.unlink()


def write_shard(path: Path, chunks: Iterable[Ids], *, vocab_size: int, tokenizer_digest: str) -> int:
    """Write all chunks as one shard; the number of tokens. Errors of ShardWriter."""
    with ShardWriter(path, vocab_size=vocab_size, tokenizer_digest=tokenizer_digest) as writer:
        for chunk in chunks:
            writer.append(chunk)
    return writer.count


@dataclass(frozen=True)
class _Header:
    width: int
    count: int
    vocab_size: int
    tokenizer_digest: str
    data_digest: str


class Shard:
    """An open shard. `read` may be called from several threads."""

    def __init__(self, path: Path, descriptor: int, header: _Header) -> None:
        self.path = path
        self.vocab_size = header.vocab_size
        self.tokenizer_digest = header.tokenizer_digest
        self.data_digest = header.data_digest
        self._count = header.count
        self._dtype = np.dtype("<u2" if header.width == 2 else "<u4")
        self._descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)

    @classmethod
    def open(cls, path: Path, *, vocab_size: int | None = None, tokenizer_digest: str | None = None) -> Self:
        """The shard at `path`, its header and size checked, and that it was made with this vocabulary.

        Raises CorpusError with the file, what was found and what to do.
        """
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would wait for a writer for ever
                raise CorpusError(f"{path}: not a regular file.", _AGAIN)
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise CorpusError(f"{path}: cannot be opened ({error.strerror}).", _AGAIN) from error
        try:
            header = _read_header(path, descriptor)
            _check_vocabulary(path, header, vocab_size, tokenizer_digest)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, header)

    def __len__(self) -> int:
        return self._count

    def read(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Tokens start to stop (stop - start,), each inside the vocabulary; CorpusError when the file has changed."""
        if not 0 <= start <= stop <= self._count:
            raise ValueError(f"a range must lie in [0, {self._count}], got [{start}, {stop})")
        width = self._dtype.itemsize
        data = self._bytes(HEADER_BYTES + start * width, (stop - start) * width)
        tokens = np.frombuffer(data, self._dtype).astype(np.int64)
        if tokens.size and tokens.max() >= self.vocab_size:
            where = int(np.argmax(tokens >= self.vocab_size))
            raise CorpusError(
                f"{self.path}: token {start + where} is {tokens[where]}, the vocabulary has {self.vocab_size}.", _AGAIN
            )
        return tokens

    def verify(self) -> None:
        """Read it all, in chunks: every token inside the vocabulary and the digest right, else CorpusError."""
        for _ in self.chunks():
            pass

    def chunks(self) -> Iterator[npt.NDArray[np.int64]]:
        """All tokens, a chunk at a time; as verify() once the last has been taken."""
        found = hashlib.sha256()
        for start in range(0, self._count, CHUNK):
            tokens = self.read(start, min(start + CHUNK, self._count))
            found.update(tokens.astype(self._dtype).tobytes())
            yield tokens
        if found.hexdigest() != self.data_digest:
            raise CorpusError(
                f"{self.path}: the tokens have changed since they were written"
                f" (digest {found.hexdigest()[:12]}, header says {self.data_digest[:12]}).",
                _AGAIN,
            )

    def close(self) -> None:
        """Give the descriptor back; done by itself when the shard is forgotten."""
        self._close()

    def _bytes(self, offset: int, size: int) -> bytes:
        parts: list[bytes] = []
        missing = size
        while missing:
            try:
                part = os.pread(self._descriptor, missing, offset + size - missing)
            except OSError as error:
                raise CorpusError(f"{self.path}: cannot be read ({error.strerror}).", "Check the disk.") from error
            if not part:
                raise CorpusError(f"{self.path}: became shorter while it was in use.", _AGAIN)
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _read_header(path: Path, descriptor: int) -> _Header:
    head = os.pread(descriptor, HEADER_BYTES, 0)
    if not head.startswith(MAGIC):
        raise CorpusError(f"{path}: not a token shard (it begins with {head[:8]!r}).", _AGAIN)
    if len(head) < HEADER_BYTES:
        raise CorpusError(f"{path}: ends inside its header ({len(head)} of {HEADER_BYTES} bytes).", _AGAIN)
    _, version, width, count, vocab_size, tokenizer, data = _HEADER.unpack(head)
    if version != VERSION:
        newer = "newer than this tinychat reads" if version > VERSION else "unknown"
        raise CorpusError(f"{path}: shard version {version} is {newer} (it reads {VERSION}).", _AGAIN)
    if width != (2 if vocab_size <= 1 << 16 else 4) or not 1 <= vocab_size <= 1 << 32 or any(head[96:]):
        raise CorpusError(f"{path}: a damaged header ({width} bytes a token, vocabulary {vocab_size}).", _AGAIN)
    size, wanted = os.fstat(descriptor).st_size, HEADER_BYTES + count * width
    if size != wanted:
        raise CorpusError(f"{path}: has {size} bytes, its header promises {wanted} ({count} tokens).", _AGAIN)
    return _Header(width, count, vocab_size, tokenizer.hex(), data.hex())


def _check_vocabulary(path: Path, header: _Header, vocab_size: int | None, tokenizer_digest: str | None) -> None:
    if vocab_size is not None and vocab_size != header.vocab_size:
        raise CorpusError(f"{path}: made for a vocabulary of {header.vocab_size}, this one has {vocab_size}.", _AGAIN)
    if tokenizer_digest is not None and tokenizer_digest != header.tokenizer_digest:
        raise CorpusError(
            f"{path}: made with another tokenizer"
            f" (digest {header.tokenizer_digest[:12]}, this one is {tokenizer_digest[:12]}).",
            _AGAIN,
        )


def _raw_digest(digest: str) -> bytes:
    try:
        raw = bytes.fromhex(digest)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ValueError(f"tokenizer_digest must be 64 hex digits, got {digest!r}")
    return raw
