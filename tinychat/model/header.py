"""The header of a safetensors file: parsed strictly, or refused with a reason.

The format: 8 bytes little-endian header length, a JSON object {name: {dtype, shape, data_offsets}} with an optional
`__metadata__` of strings, then the data without holes. The parser walks that one grammar instead of building whatever
JSON a stranger wrote, so time and memory stay bounded. Knows no files, arrays or models.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_HEADER = 16 * 2**20  # bytes
MAX_TENSORS = 100_000
MAX_METADATA = MAX_TENSORS + 1_000  # one digest a tensor, and room for facts
MAX_RANK = 8
MAX_NAME = 1024  # bytes
MAX_EXTENT = 2**63 - 1  # what a file offset can be

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1}
METADATA = "__metadata__"

_TOO_MANY = f"it has more than {MAX_TENSORS} tensors"
_SPACE = re.compile(r"[ \t\n\r]*")
_ENTRY = re.compile(r"\{[^{}]{0,1024}\}")  # no braces: an entry holds no object and, in 1 kB, no bomb
_SURROGATE = re.compile("[\ud800-\udfff]")


class HeaderError(Exception):
    """Why this is no header; the reader adds the file's name."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file; `start` counts from the beginning of the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """Tensors in the order of their bytes, and the metadata."""

    tensors: tuple[TensorInfo, ...]
    metadata: dict[str, str]

    @property
    def data_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)


def parse(raw: bytes, data_bytes: int) -> Header:
    """The header in `raw` (without the 8 length bytes) of a file with `data_bytes` after it. Raises HeaderError."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HeaderError(f"its header is no UTF-8 (byte {error.start})") from None
    del raw
    if not text.startswith("{"):
        raise HeaderError("its header is no JSON object")
    if text.count('"data_offsets"') > MAX_TENSORS:  # said before a second is spent on reading them
        raise HeaderError(_TOO_MANY)
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] | None = None
    walk = _Walk(text)
    for name in walk.members():
        if name == METADATA:
            if metadata is not None:
                raise HeaderError("its metadata stands there twice")
            metadata = {}
            for key in walk.members():
                if key in metadata or len(metadata) >= MAX_METADATA:
                    raise HeaderError(f"metadata {key[:80]!a} is twice or one too many")
                metadata[key] = walk.string()
        elif name in tensors:
            raise HeaderError(f"tensor {name!a} is named twice")
        elif len(tensors) >= MAX_TENSORS:
            raise HeaderError(_TOO_MANY)
        elif len(name.encode()) > MAX_NAME:
            raise HeaderError(f"a tensor has a name above {MAX_NAME} bytes: {name[:40]!a}…")
        else:
            tensors[name] = _tensor(name, walk.entry(name))
    walk.end()
    ordered = tuple(sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.nbytes)))
    _check_extents(ordered, data_bytes)
    return Header(ordered, metadata or {})


def render(header: Header) -> bytes:
    """The bytes of a header, its length in front, padded so that the data starts at a multiple of 8."""
    entries: dict[str, Any] = {METADATA: header.metadata} if header.metadata else {}
    for tensor in header.tensors:
        extent = [tensor.start, tensor.start + tensor.nbytes]
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": extent}
    raw = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw


def _tensor(name: str, entry: dict[str, Any]) -> TensorInfo:
    if sorted(entry) != ["data_offsets", "dtype", "shape"]:
        raise HeaderError(f"tensor {name!a} needs dtype, shape and data_offsets and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise HeaderError(f"tensor {name!a} has the unknown dtype {str(dtype)[:40]!a} (known: {', '.join(ITEM_BYTES)})")
    if not _counts(shape) or len(shape) > MAX_RANK:
        raise HeaderError(f"tensor {name!a} has a shape that is no list of at most {MAX_RANK} sizes")
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise HeaderError(f"tensor {name!a} has data_offsets that are no range")
    nbytes = math.prod(shape) * ITEM_BYTES[dtype]  # Python integers: cannot overflow
    if nbytes != offsets[1] - offsets[0]:
        found = offsets[1] - offsets[0]
        raise HeaderError(f"tensor {name!a}: {dtype} {shape} takes {nbytes} bytes, but its range holds {found}")
    return TensorInfo(name, dtype, tuple(shape), nbytes, offsets[0])


def _counts(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= MAX_EXTENT for n in value)


def _check_extents(tensors: tuple[TensorInfo, ...], data_bytes: int) -> None:
    position = 0
    for tensor in tensors:
        if tensor.start != position:
            what = "overlaps the one before it" if tensor.start < position else "leaves a hole before it"
            raise HeaderError(f"tensor {tensor.name!a} {what} (starts at {tensor.start}, not {position})")
        position += tensor.nbytes
    if position > data_bytes:
        raise HeaderError(f"it is cut short: {position} bytes of tensors are announced, {data_bytes} are there")
    if position < data_bytes:
        raise HeaderError(f"it goes on for {data_bytes - position} bytes after the last tensor")


class _Walk:
    """A cursor over the header's text that accepts the next expected thing only."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._strings = json.JSONDecoder()
        self._entries = json.JSONDecoder(
            object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse, parse_int=_whole
        )

    def members(self) -> Iterator[str]:
        """Yields the keys of an object; the caller takes each value before asking for the next key."""
        self._take("{")
        if self._peek() == "}":
            self._position += 1
            return
        while True:
            key = self.string()
            self._take(":")
            yield key
            if self._peek() == "}":
                self._position += 1
                return
            self._take(",")

    def string(self) -> str:
        if self._peek() != '"':
            raise HeaderError(f"its header has no text where one must be (character {self._position})")
        value = self._decoded(self._strings)
        if not isinstance(value, str) or _SURROGATE.search(value):
            raise HeaderError(f"its header has half a character (before character {self._position})")
        return value

    def entry(self, name: str) -> dict[str, Any]:
        self._peek()
        if not _ENTRY.match(self._text, self._position):
            raise HeaderError(f"tensor {name!a} has no valid entry in the header")
        value = self._decoded(self._entries)
        assert isinstance(value, dict)
        return value

    def end(self) -> None:
        if self._peek():
            raise HeaderError(f"its header goes on after its end (character {self._position})")

    def _decoded(self, decoder: json.JSONDecoder) -> object:
        try:
            value, self._position = decoder.raw_decode(self._text, self._position)
        except (ValueError, RecursionError):
            raise HeaderError(f"its header is no valid JSON (near character {self._position})") from None
        return value

    def _peek(self) -> str:
        sign = self._text[self._position : self._position + 1]
        if sign and sign in " \t\n\r":
            space = _SPACE.match(self._text, self._position)
            assert space is not None
            self._position = space.end()
            sign = self._text[self._position : self._position + 1]
        return sign

    def _take(self, sign: str) -> None:
        if self._peek() != sign:
            raise HeaderError(f"its header is no valid JSON: no {sign} at character {self._position}")
        self._position += 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands there twice")
    return dict(pairs)


def _refuse(text: str) -> object:
    raise ValueError(f"{text} is no whole number")


def _whole(text: str) -> int:
    if text.startswith("-") or len(text) > 20:
        raise ValueError(f"{text[:30]} is no size")
    return int(text)
