"""The header parser against mutants: never more lenient than the reference, never another exception."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
import safetensors

from tinychat.model import header as own
from tinychat.model.header import Header, HeaderError, TensorInfo, parse, render

DATA = bytes(range(64))
ENTRIES: dict[str, Any] = {
    "__metadata__": {"format": "pt", "what": 'é \u202e "quoted" {[]}'},
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b.weight": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
    "empty": {"dtype": "I64", "shape": [0, 5], "data_offsets": [32, 32]},
    "scalar": {"dtype": "I64", "shape": [], "data_offsets": [32, 40]},
    "z": {"dtype": "U8", "shape": [24], "data_offsets": [40, 64]},
}


def raw(entries: object) -> bytes:
    return json.dumps(entries).encode()


def changed(**edits: Any) -> bytes:
    """The good header with some entries replaced, or removed by None."""
    entries = {**ENTRIES, **edits}
    return raw({name: entry for name, entry in entries.items() if entry is not None})


def entry(**edits: Any) -> dict[str, Any]:
    return {**ENTRIES["a"], **edits}


def reference_accepts(header: bytes, data: bytes) -> bool:
    try:
        safetensors.deserialize(len(header).to_bytes(8, "little") + header + data)
    except safetensors.SafetensorError:
        return False
    return True


def test_a_good_header_is_read_as_it_stands() -> None:
    header = parse(raw(ENTRIES), 64)
    assert header.metadata == ENTRIES["__metadata__"]
    assert [tensor.name for tensor in header.tensors] == ["a", "b.weight", "empty", "scalar", "z"]
    assert header.tensors[0] == TensorInfo("a", "F32", (2, 3), 24, 0)
    assert header.data_bytes == 64
    assert reference_accepts(raw(ENTRIES), DATA)


def test_render_and_parse_are_inverse_and_aligned() -> None:
    header = parse(raw(ENTRIES), 64)
    written = render(header)
    length = int.from_bytes(written[:8], "little")
    assert len(written) == 8 + length
    assert length % 8 == 0
    assert parse(written[8:], 64) == header
    assert reference_accepts(written[8:], DATA)
    assert parse(b"{}", 0) == Header((), {})


BAD: dict[str, tuple[bytes, str]] = {
    "not UTF-8": (raw(ENTRIES)[:-1] + b"\xff}", "UTF-8"),
    "array": (b"[]      ", "no JSON object"),
    "space in front": (b" " + raw(ENTRIES), "no JSON object"),
    "BOM": ("\ufeff{}".encode(), "no JSON object"),
    "unclosed": (raw(ENTRIES)[:-1], "JSON"),
    "trailing comma": (raw(ENTRIES)[:-1] + b",}", "no text"),
    "two objects": (raw(ENTRIES) + b"{}", "after its end"),
    "NUL at the end": (raw(ENTRIES) + b"\0\0\0", "after its end"),
    "tensor twice": (raw(ENTRIES)[:-1] + b', "a": ' + raw(ENTRIES["a"]) + b"}", "'a' is named twice"),
    "metadata twice": (raw(ENTRIES)[:-1] + b', "__metadata__": {}}', "metadata"),
    "metadata key twice": (b'{"__metadata__": {"x": "1", "x": "2"}}', "'x'"),
    "dtype twice": (b'{"t": {"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', "JSON"),
    "metadata number": (b'{"__metadata__": {"x": 1}}', "no text"),
    "metadata null": (b'{"__metadata__": null}', "JSON"),
    "metadata nested": (b'{"__metadata__": {"x": {"y": "z"}}}', "no text"),
    "half character": (b'{"__metadata__": {"x": "\\ud800"}}', "half a character"),
    "half character in a name": (b'{"\\udc00": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', "half a character"),
    "control in a name": (b'{"a\nb": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', "JSON"),
    "unknown dtype": (changed(a=entry(dtype="F8_E4M3")), "'a' has the unknown dtype"),
    "dtype list": (changed(a=entry(dtype=["F32"])), "'a' has the unknown dtype"),
    "lower case dtype": (changed(a=entry(dtype="f32")), "'a' has the unknown dtype"),
    "missing shape": (changed(a={"dtype": "F32", "data_offsets": [0, 24]}), "'a' needs"),
    "extra key": (changed(a=entry(extra=1)), "'a' needs"),
    "entry is a list": (changed(a=[1, 2]), "'a' has no valid entry"),
    "entry holds an object": (changed(a=entry(shape={})), "'a' has no valid entry"),
    "shape null": (changed(a=entry(shape=None)), "'a' has a shape"),
    "shape float": (changed(a=entry(shape=[2.0, 3])), "JSON"),
    "shape exponent": (raw(ENTRIES).replace(b"[2, 3]", b"[2e0, 3]"), "JSON"),
    "shape boolean": (changed(a=entry(shape=[True, 6])), "'a' has a shape"),
    "shape text": (changed(a=entry(shape=["2", 3])), "'a' has a shape"),
    "shape negative": (changed(a=entry(shape=[-2, -3])), "JSON"),
    "shape minus zero": (raw(ENTRIES).replace(b"[0, 5]", b"[-0, 5]"), "JSON"),
    "shape NaN": (raw(ENTRIES).replace(b"[2, 3]", b"[NaN, 3]"), "JSON"),
    "rank 9": (changed(a=entry(shape=[1] * 7 + [2, 3])), "'a' has a shape"),
    "overflowing shape": (changed(a=entry(shape=[2**62, 4, 6])), "'a': F32"),
    "shape that wraps to the right size": (changed(a=entry(shape=[2**62 + 6])), "'a': F32"),
    "huge number": (raw(ENTRIES).replace(b"[2, 3]", b"[" + b"9" * 500 + b"]"), "JSON"),
    "wrong size": (changed(a=entry(shape=[2, 4])), "'a': F32"),
    "offsets backwards": (changed(a=entry(data_offsets=[24, 0])), "'a' has data_offsets"),
    "three offsets": (changed(a=entry(data_offsets=[0, 12, 24])), "'a' has data_offsets"),
    "hole": (changed(a=None), "'b.weight' leaves a hole"),
    "overlap": (changed(a=entry(shape=[7], data_offsets=[0, 28])), "'b.weight' overlaps"),
    "same bytes twice": (changed(aa=ENTRIES["a"]), "overlaps"),
    "beyond the file": (changed(more=entry(data_offsets=[64, 88])), "cut short: 88 bytes"),
    "bytes left over": (changed(z=None), "24 bytes after the last tensor"),
    "long name": (changed(**{"n" * 1025: entry()}), "above 1024 bytes"),
    "deep metadata": (b'{"__metadata__":' + b'{"a":' * 100_000, "no text"),
    "deep array": (b'{"a":' + b"[" * 500_000, "'a' has no valid entry"),
    "deep shape": (b'{"a":{"dtype":"F32","shape":' + b"[" * 500 + b"}}", "JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_header_is_refused_with_its_reason(name: str) -> None:
    header, reason = BAD[name]
    with pytest.raises(HeaderError) as caught:
        parse(header, 64)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


def test_too_many_tensors_are_refused_in_bounded_time() -> None:
    item = '"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    many = "{" + ",".join(item % n for n in range(own.MAX_TENSORS + 1)) + "}"
    start = time.process_time()
    with pytest.raises(HeaderError, match="more than 100000 tensors"):
        parse(many.encode(), 0)
    assert time.process_time() - start < 0.5
    hidden = many.replace("data_offsets", "data\\u005foffsets")
    with pytest.raises(HeaderError, match="more than 100000 tensors"):
        parse(hidden.encode(), 0)


def test_metadata_of_endless_keys_is_refused() -> None:
    many = '{"__metadata__":{' + ",".join(f'"{n}":""' for n in range(own.MAX_METADATA + 1)) + "}}"
    with pytest.raises(HeaderError, match="one too many"):
        parse(many.encode(), 0)


def flip(header: bytearray, dice: random.Random) -> None:
    header[dice.randrange(len(header))] = dice.randrange(256)


def drop(header: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(header))
    del header[at : at + dice.choice((1, 1, 2, 5, 30))]


def double(header: bytearray, dice: random.Random) -> None:
    at, size = dice.randrange(len(header)), dice.choice((1, 2, 10, 60))
    header[at:at] = header[at : at + size]


def insert(header: bytearray, dice: random.Random) -> None:
    signs = (b"0", b"-", b"1e3", b"[", b"]", b"{}", b"null", b'"', b"\\u0000", b" ", b"\t", b",", b":", b"\\ud83d")
    at = dice.randrange(len(header) + 1)
    header[at:at] = dice.choice(signs)


def renumber(header: bytearray, dice: random.Random) -> None:
    digits = [at for at, sign in enumerate(header) if 48 <= sign <= 57]
    if digits:
        header[dice.choice(digits)] = dice.randrange(48, 58)


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (flip, drop, double, insert, renumber)


def test_no_mutant_is_accepted_that_the_reference_refuses() -> None:
    dice = random.Random(7)
    good = raw(ENTRIES)
    accepted = 0
    for _ in range(15_000):
        mutant = bytearray(good)
        for _ in range(dice.choice((1, 1, 1, 2, 4))):
            dice.choice(MUTATIONS)(mutant, dice)
        try:
            header = parse(bytes(mutant), 64)
        except HeaderError:
            continue
        accepted += 1
        assert reference_accepts(bytes(mutant), DATA), bytes(mutant)
        theirs = safetensors.deserialize(len(mutant).to_bytes(8, "little") + bytes(mutant) + DATA)
        assert {(t.name, t.dtype, t.shape, t.nbytes) for t in header.tensors} == {
            (name, info["dtype"], tuple(info["shape"]), len(info["data"])) for name, info in theirs
        }
    assert accepted > 500, "mutants that change nothing that matters are still read"
