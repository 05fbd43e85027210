"""Facts of shards as lines for a person. Nothing here reads shards."""

from __future__ import annotations

import struct
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from tinychat.text.terminal import clean, one_line
from trainer.figures import count, size

_NAMES = 14


def summary(facts: dict[str, Any], width: int) -> Iterator[str]:
    """Counts of a folder or shard, a row a fact, and a table of its sources."""
    tokenizer = facts["tokenizer"]
    yield _row("shards", f"{facts['path']} ({size(facts['bytes'])})")
    if "sources" not in facts:
        yield _row("tokens", f"{facts['tokens']:,}")
    else:
        yield _row("tokens", f"{facts['train_tokens']:,} to train on, {facts['valid_tokens']:,} held out")
        per = facts["text_bytes"] / max(1, facts["tokens"])
        yield _row("text", f"{facts['documents']:,} documents, {size(facts['text_bytes'])}, {per:.2f} bytes a token")
    yield _row("vocabulary", f"{tokenizer['vocabulary']:,} tokens, digest {tokenizer['digest'][:16]}")
    yield _row("digest", facts["digest"][:16] + (", every byte checked" if facts.get("verified") else ""))
    if "sources" in facts:
        yield ""
        yield from _sources(facts["sources"], width)


def details(facts: dict[str, Any], header: bytes, width: int, *, ascii_only: bool) -> Iterator[str]:
    """Lengths, samples and bytes."""
    lengths = facts.get("lengths")
    if lengths is None:
        yield ""
        yield "its tokenizer.json is not beside it: no documents, no text"
    elif lengths["documents"]:
        yield ""
        yield (
            f"tokens a document: mean {lengths['mean']:.1f}, median {lengths['median']:,}, 95 % below"
            f" {lengths['p95'] + 1:,}, longest {lengths['longest']:,}"
        )
        yield from _bars(lengths["histogram"], width, "#" if ascii_only else "█")
    for sample in facts.get("samples", ()):
        yield ""
        yield f"sample of {one_line(sample['source'])}"
        for line in clean(sample["text"], keep="\n").splitlines():
            yield from textwrap.wrap(line, width - 4, initial_indent="    ", subsequent_indent="    ") or [""]
    yield ""
    yield "header"
    yield from _header(header)
    if facts["boundaries"]:
        yield ""
        yield f"boundaries of documents in {facts['boundaries'][0]['file']}"
        for each in facts["boundaries"]:
            yield from _boundary(each, width)


def _row(name: str, value: str) -> str:
    return f"{name:<{_NAMES}}{one_line(value)}"


def _sources(sources: Sequence[dict[str, Any]], width: int) -> Iterator[str]:
    whole = sum(source["train_tokens"] for source in sources) or 1
    heads = ("documents", "chats", "held out", "tokens", "share", "shards")
    rows = [
        (
            count(source["documents"]),
            count(source["chats"]),
            count(source["held_out"]),
            count(source["train_tokens"]),
            f"{source['train_tokens'] / whole:.1%}",
            str(source["shards"]),
        )
        for source in sources
    ]
    sizes = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    room = max(12, width - sum(sizes) - 2 * len(sizes))
    names = [_tail(one_line(source["name"]), room) for source in sources]
    first = max(len("source"), *map(len, names))
    for name, cells in zip(("source", *names), (heads, *rows), strict=True):
        yield f"{name:<{first}}" + "".join(f"  {cell:>{size}}" for cell, size in zip(cells, sizes, strict=True))


def _tail(name: str, room: int) -> str:
    return name if len(name) <= room else "..." + name[len(name) - room + 3 :]


def _bars(rows: Sequence[dict[str, int]], width: int, sign: str) -> Iterator[str]:
    most = max(row["documents"] for row in rows)
    names = [f"{row['from']:,} to {row['to']:,}" if row["to"] > row["from"] else f"{row['from']}" for row in rows]
    left, right = max(map(len, names)), max(len(f"{row['documents']:,}") for row in rows)
    room = max(8, min(50, width - left - right - 6))
    for name, row in zip(names, rows, strict=True):
        bar = sign * (round(room * row["documents"] / most) or bool(row["documents"]))
        yield f"  {name:>{left}}  {row['documents']:>{right},}  {bar}".rstrip()


def _header(data: bytes) -> Iterator[str]:
    """The 128 bytes as they lie in the file, with what each field says."""
    fields = [(0, 8, data[:8].decode("ascii", "replace"))]
    fields.append((8, 4, f"version {struct.unpack_from('<I', data, 8)[0]}"))
    fields.append((12, 4, f"{struct.unpack_from('<I', data, 12)[0]} bytes a token"))
    fields.append((16, 8, f"{struct.unpack_from('<Q', data, 16)[0]:,} tokens"))
    fields.append((24, 8, f"vocabulary of {struct.unpack_from('<Q', data, 24)[0]:,}"))
    fields += [(32, 16, "tokenizer, SHA-256"), (48, 16, "")]
    fields += [(64, 16, "tokens, SHA-256"), (80, 16, "")]
    fields += [(96, 16, "zero"), (112, 16, "")]
    for offset, length, what in fields:
        yield f"  {offset:06x}  {data[offset : offset + length].hex(' '):<47}  {what}".rstrip()


def _boundary(each: dict[str, Any], width: int) -> Iterator[str]:
    yield f"  {each['offset']:06x}  {each['before']} | {each['after']}"
    words = " ".join(each["tokens_before"]) + " | " + " ".join(each["tokens_after"])
    yield "          " + (words if len(words) <= width - 10 else words[: width - 13] + "...")
