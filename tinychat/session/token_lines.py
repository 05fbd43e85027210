"""Runs of tokens as lines of a session file, and back.

A line holds up to RUN tokens of one branch: ids, kinds and setting numbers as plain JSON, so that other programs can
read what was said, and the packed records of the choices (engine/packing.py) deflated, in base64. That is about 1 kB a
token of 64 candidates; a deflated block also knows by its checksum that it is whole.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from typing import Any

from tinychat.engine import packing
from tinychat.session.tree import Column

RUN = 256  # tokens a line
KINDS = "pdfs"  # prompt, drawn, forced, searched
MOST_RECORD = 1 << 14  # bytes of one packed step: ten times what 64 candidates and every stage take
_LENGTH = struct.Struct("<I")
_QUICK = 1  # zlib's level: the slow ones save 3 % and take twice to eight times as long


def write_run(own: Column, start: int, stop: int) -> dict[str, Any]:
    """The tokens from `start` to `stop` of a branch as values for JSON."""
    record: dict[str, Any] = {
        "ids": list(own.ids[start:stop]),
        "kinds": "".join(KINDS[kind] for kind in own.kinds[start:stop]),
        "settings": list(own.setting[start:stop]),
    }
    packed = own.packed[start:stop]
    if any(packed):
        parts = (piece for each in packed for piece in (_LENGTH.pack(len(each or b"")), each or b""))
        record["steps"] = deflate(b"".join(parts))
    return record


def read_run(record: dict[str, Any], own: Column, *, vocab_size: int, n_settings: int, steps: bool) -> int:
    """Add the tokens of a line to a branch; without `steps` their records are left out. The bytes of the records.

    ValueError says what is wrong.
    """
    ids, kinds, settings = record.get("ids"), record.get("kinds"), record.get("settings")
    if not (isinstance(ids, list) and isinstance(kinds, str) and isinstance(settings, list)):
        raise ValueError("a run of tokens needs ids, kinds and settings")
    if not (0 < len(ids) == len(kinds) == len(settings) <= RUN):
        raise ValueError(f"a run has {len(ids)} ids, {len(kinds)} kinds and {len(settings)} settings")
    if not all(type(token) is int and 0 <= token < vocab_size for token in ids):
        raise ValueError(f"a run has an id that is none of the {vocab_size} tokens")
    if not set(kinds) <= set(KINDS):
        raise ValueError("a run has a kind that is none of prompt, drawn, forced, searched")
    if not all(type(number) is int and 0 <= number < max(n_settings, 1) for number in settings):
        raise ValueError(f"a run names settings beyond the {n_settings} there are")
    packed = _records(record["steps"], len(ids)) if steps and "steps" in record else [None] * len(ids)
    for token, kind, setting, data in zip(ids, kinds, settings, packed, strict=True):
        seen = None if data is None else packing.glance(data, vocab_size)
        if seen is not None and seen.token != token:
            raise ValueError(f"a record is about token {seen.token}, the run has {token} there")
        own.restore(token, KINDS.index(kind), seen, setting, data)
    return sum(len(data) for data in packed if data)


def _records(text: object, count: int) -> list[bytes | None]:
    blob = inflate(text, count * (MOST_RECORD + _LENGTH.size))
    found: list[bytes | None] = []
    at = 0
    for _ in range(count):
        if len(blob) < at + _LENGTH.size:
            raise ValueError("the records of a run are cut short")
        (size,) = _LENGTH.unpack_from(blob, at)
        at += _LENGTH.size
        if len(blob) < at + size or size > MOST_RECORD:
            raise ValueError("the records of a run are cut short")
        found.append(blob[at : at + size] or None)
        at += size
    if at != len(blob):
        raise ValueError("the records of a run are overlong")
    return found


def deflate(data: bytes) -> str:
    """Bytes as deflated base64 text."""
    return base64.b64encode(zlib.compress(data, _QUICK)).decode("ascii")


def inflate(text: object, limit: int) -> bytes:
    """The inverse of deflate; ValueError for anything else, and for more than `limit` bytes."""
    if not isinstance(text, str):
        raise ValueError("a packed block is no text")
    try:
        pump = zlib.decompressobj()
        data = pump.decompress(base64.b64decode(text, validate=True), limit + 1)
    except (zlib.error, binascii.Error) as error:
        raise ValueError(f"a packed block is damaged ({error})") from None
    if len(data) > limit:
        raise ValueError(f"a packed block holds more than {limit} bytes")
    if not pump.eof or pump.unused_data:
        raise ValueError("a packed block is damaged (cut or overlong)")
    return data
