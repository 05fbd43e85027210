"""Runs of tokens as lines of a session file, and back.

A line holds up to RUN tokens of one branch: ids, kinds and setting numbers as plain JSON, so that other programs can
read what was said, the few numbers of each choice that a screen needs of all, and the packed records of the choices
(engine/packing.py) deflated, in base64. That is about 1 kB a token of 64 candidates; a deflated block also knows by its
checksum that it is whole.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import sys
import zlib
from array import array
from typing import Any, NamedTuple

from tinychat.engine.packing import FATES, Glances
from tinychat.session.tree import Column
from tinychat.session.values import read_line

RUN = 256  # tokens a line
SEEN = (("raw_rank", "I"), ("final", "f"), ("surprisal", "f"), ("entropy", "f"), ("final_entropy", "f"), ("fate", "B"),
        ("lane", "H"))  # of Glances, and the kinds of their arrays  # fmt: skip
KINDS = "pdfs"  # prompt, drawn, forced, searched
MOST_RECORD = 1 << 14  # bytes of one packed step: ten times what 64 candidates and every stage take
_LENGTH = struct.Struct("<I")
_STEPS, _END = b',"steps":"', b'"}\n'  # what stands before the records, which are last in a line, and behind them
_QUICK = 1  # zlib's level: the slow ones save 3 % and take twice to eight times as long


def _write_seen(seen: Glances, there: bytes) -> str:
    columns = [getattr(seen, name) for name, _ in SEEN]
    return base64.b64encode(b"".join((*map(_little, columns, (kind for _, kind in SEEN)), there))).decode("ascii")


def read_seen(text: object, count: int) -> tuple[Glances, bytes]:
    """What the records of so many tokens would say at a glance, and which tokens have one; ValueError if wrong."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True) if isinstance(text, str) else b""
    except binascii.Error as error:
        raise ValueError(f"a packed block is damaged ({error})") from None
    if len(data) != count * (sum(array(kind).itemsize for _, kind in SEEN) + 1):
        raise ValueError("the glances of a run are not as many as its tokens")
    columns, at = dict[str, bytes](), 0
    for name, kind in SEEN:
        size = count * array(kind).itemsize
        columns[name], at = _little(data[at : at + size], kind), at + size
        if kind == "f" and not math.isfinite(sum(array(kind, columns[name]))):
            raise ValueError("a glance of a run has a number that is none")
    if max(columns["fate"]) >= len(FATES):
        raise ValueError("a glance of a run has an unknown fate")
    return Glances(**columns), data[at:]


def _little(data: bytes, kind: str) -> bytes:
    """The bytes of an array in the order of a file, or back."""
    if sys.byteorder == "little":
        return data
    column = array(kind, data)
    column.byteswap()
    return column.tobytes()


class Run(NamedTuple):
    """Tokens in a row."""

    ids: list[int]
    kinds: bytes  # as in a Column
    settings: list[int]


def write_run(own: Column, start: int, stop: int) -> dict[str, Any]:
    """The tokens from `start` to `stop` of a branch as values for JSON."""
    record: dict[str, Any] = {
        "ids": list(own.ids[start:stop]),
        "kinds": "".join(KINDS[kind] for kind in own.kinds[start:stop]),
        "settings": list(own.setting[start:stop]),
    }
    if (block := own.packed.block(start, stop)) is not None:
        record["seen"] = _write_seen(own.seen(start, stop), block.there)
        record["steps"] = block.text()  # as it was read
        return record
    packed = own.packed[start:stop]
    if any(packed):
        record["seen"] = _write_seen(own.seen(start, stop), bytes(each is not None for each in packed))
        parts = (piece for each in packed for piece in (_LENGTH.pack(len(each or b"")), each or b""))
        record["steps"] = deflate(b"".join(parts))
    return record


def read_line_of_tokens(line: bytes) -> dict[str, Any]:
    """A line as values, of which the packed records, nearly all of it, are not looked at: they stay bytes."""
    head, mark, rest = line.partition(_STEPS)
    if not mark or not rest.endswith(_END) or rest.find(b'"') != len(rest) - len(_END) or b"\\" in rest:
        return read_line(line)  # written by another program, or cut
    return read_line(head + b"}") | {"steps": rest[: -len(_END)]}


def read_run(record: dict[str, Any], *, vocab_size: int, n_settings: int) -> Run:
    """The tokens of a line, without their records. ValueError says what is wrong."""
    ids, kinds, settings = record.get("ids"), record.get("kinds"), record.get("settings")
    if not (isinstance(ids, list) and isinstance(kinds, str) and isinstance(settings, list)):
        raise ValueError("a run of tokens needs ids, kinds and settings")
    if not (0 < len(ids) == len(kinds) == len(settings) <= RUN):
        raise ValueError(f"a run has {len(ids)} ids, {len(kinds)} kinds and {len(settings)} settings")
    if not _are_below(ids, vocab_size):
        raise ValueError(f"a run has an id that is none of the {vocab_size} tokens")
    if not set(kinds) <= set(KINDS):
        raise ValueError("a run has a kind that is none of prompt, drawn, forced, searched")
    if not _are_below(settings, max(n_settings, 1)):
        raise ValueError(f"a run names settings beyond the {n_settings} there are")
    return Run(ids, bytes(map(KINDS.index, kinds)), settings)


def read_records(text: object, count: int) -> list[bytes | None]:
    """The packed records of a line of so many tokens; ValueError says what is wrong."""
    blob = inflate(text, count * (MOST_RECORD + _LENGTH.size))
    found: list[bytes | None] = []
    at, size_at = 0, _LENGTH.unpack_from
    try:
        for _ in range(count):
            (size,) = size_at(blob, at)
            at += _LENGTH.size + size
            found.append(blob[at - size : at] or None)
    except struct.error:
        raise ValueError("the records of a run are cut short") from None
    if at > len(blob) or any(each and len(each) > MOST_RECORD for each in found):
        raise ValueError("the records of a run are cut short")
    if at != len(blob):
        raise ValueError("the records of a run are overlong")
    return found


def _are_below(numbers: list[Any], limit: int) -> bool:
    return set(map(type, numbers)) == {int} and min(numbers) >= 0 and max(numbers) < limit


def deflate(data: bytes) -> str:
    """Bytes as deflated base64 text."""
    return base64.b64encode(zlib.compress(data, _QUICK)).decode("ascii")


def inflate(text: object, limit: int) -> bytes:
    """The inverse of deflate; ValueError for anything else, and for more than `limit` bytes."""
    if not isinstance(text, str | bytes):
        raise ValueError("a packed block is no text")
    try:
        pump = zlib.decompressobj()
        data = pump.decompress(binascii.a2b_base64(text, strict_mode=True), limit + 1)
    except (zlib.error, binascii.Error) as error:
        raise ValueError(f"a packed block is damaged ({error})") from None
    if len(data) > limit:
        raise ValueError(f"a packed block holds more than {limit} bytes")
    if not pump.eof or pump.unused_data:
        raise ValueError("a packed block is damaged (cut or overlong)")
    return data
