"""What is in a folder of shards, or in one shard: every byte read, counted and checked, as plain facts.

Nothing here writes to a terminal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tinychat.errors import CorpusError, FileFormatError
from tinychat.text.tokenizer import Tokenizer
from trainer import data_folder
from trainer.batches import scramble
from trainer.data_folder import DataFolder, open_folder
from trainer.events import Progress
from trainer.shards import CHUNK, HEADER_BYTES, Shard

SCHEMA = "tinychat.data/1"
MOST_SHOWN = 256  # tokens of a sample
AROUND = 4  # tokens before and after a boundary

Tokens = npt.NDArray[np.int64]


class Line(Protocol):
    def __len__(self) -> int: ...
    def read(self, start: int, stop: int) -> Tokens: ...
    def chunks(self) -> Iterator[Tokens]: ...


@dataclass
class Lengths:
    """Tokens of each document, its <|endoftext|> among them, and how often each length comes."""

    counts: Counter[int] = field(default_factory=Counter)

    def facts(self) -> dict[str, Any]:
        if not self.counts:
            return {"documents": 0}
        sizes = np.array(sorted(self.counts))
        many = np.array([self.counts[int(size)] for size in sizes])
        total, upto = int(many.sum()), np.cumsum(many)

        def share(part: float) -> int:
            return int(sizes[np.searchsorted(upto, part * total)])

        bars: Counter[int] = Counter()
        for size, count in self.counts.items():
            bars[max(0, size.bit_length() - 1)] += count
        return {
            "documents": total,
            "mean": float((sizes * many).sum() / total),
            "median": share(0.5),
            "p95": share(0.95),
            "longest": int(sizes[-1]),
            "histogram": [
                {"from": 1 << power, "to": (2 << power) - 1, "documents": bars[power]}
                for power in range(min(bars), max(bars) + 1)
            ],
        }


def inspect_folder(path: Path, *, samples: int, seed: int) -> Generator[Progress, None, dict[str, Any]]:
    """The facts of a folder, or of the one inside a run folder. Raises CorpusError where something is damaged."""
    if not data_folder.is_prepared(path) and data_folder.is_prepared(path / "data"):
        path = path / "data"
    elif not data_folder.is_prepared(path) and (path / "config.toml").is_file():
        raise CorpusError(f"{path}: a run on shards that lie elsewhere.", "Its config.toml names them: data.text.")
    folder = open_folder(path)
    lengths = Lengths()
    done, total = 0, folder.size
    for line in (*folder.train, *folder.valid):
        for chunk in _measured(line, folder.tokenizer.end_of_text, lengths):
            done += chunk
            yield Progress(what="reading shards", done=done * total // _tokens(folder), total=total, unit="bytes")
    first = next((line for line in folder.train if len(line)), folder.valid[0])
    return {
        **folder_facts(folder),
        "verified": True,
        "lengths": lengths.facts(),
        "samples": [
            {"source": source.name, "text": text}
            for source, line in zip(folder.manifest.sources, folder.train, strict=True)
            for text in _samples(line, folder.tokenizer, samples, seed)
        ],
        "boundaries": _boundaries(first, folder.tokenizer, path / folder.manifest.sources[0].train[0].file),
    }


def inspect_shard(path: Path, *, samples: int, seed: int) -> Generator[Progress, None, dict[str, Any]]:
    """The facts of one shard; documents and samples only where its tokenizer.json lies beside it."""
    shard = Shard.open(path)
    tokenizer = _beside(path, shard)
    lengths = Lengths()
    end = tokenizer.end_of_text if tokenizer is not None else None
    done = 0
    for count in _measured(shard, end, lengths):
        done += count
        yield Progress(what="reading the shard", done=done, total=len(shard), unit="tokens")
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "path": str(path),
        "bytes": path.stat().st_size,
        "tokens": len(shard),
        "tokenizer": {
            "vocabulary": shard.vocab_size,
            "digest": shard.tokenizer_digest,
            "found": tokenizer is not None,
        },
        "digest": shard.data_digest,
        "verified": True,
    }
    if tokenizer is not None:
        facts["lengths"] = lengths.facts()
        facts["samples"] = [{"source": path.name, "text": text} for text in _samples(shard, tokenizer, samples, seed)]
    facts["boundaries"] = _boundaries(shard, tokenizer, path)
    return facts


def folder_facts(folder: DataFolder) -> dict[str, Any]:
    """What the manifest says, for JSON; nothing is read."""
    manifest = folder.manifest
    return {
        "schema": SCHEMA,
        "path": str(folder.path),
        "bytes": folder.size,
        "tokens": _tokens(folder),
        "train_tokens": sum(len(line) for line in folder.train),
        "valid_tokens": sum(len(line) for line in folder.valid),
        "documents": sum(source.documents for source in manifest.sources),
        "text_bytes": sum(source.text_bytes for source in manifest.sources),
        "tokenizer": {"vocabulary": manifest.vocab_size, "digest": manifest.tokenizer},
        "settings": manifest.settings,
        "digest": folder.digest,
        "sources": [
            {
                "name": source.name,
                "documents": source.documents,
                "chats": source.chats,
                "held_out": source.held_out,
                "text_bytes": source.text_bytes,
                "train_tokens": source.train_tokens,
                "valid_tokens": source.valid.tokens,
                "shards": len(source.train),
            }
            for source in manifest.sources
        ],
    }


def _tokens(folder: DataFolder) -> int:
    return sum(len(line) for line in (*folder.train, *folder.valid))


def _measured(line: Line, end: int | None, lengths: Lengths) -> Iterator[int]:
    """Read all of a line into `lengths`; tokens of each chunk."""
    open_ = 0  # tokens of the document that has not ended yet
    for tokens in line.chunks():
        if end is not None:
            starts = np.flatnonzero(tokens == end)
            if len(starts):
                if open_ + starts[0]:
                    lengths.counts[open_ + int(starts[0])] += 1
                sizes, counts = np.unique(np.diff(starts), return_counts=True)
                lengths.counts.update(dict(zip(sizes.tolist(), counts.tolist(), strict=True)))
                open_ = len(tokens) - int(starts[-1])
            else:
                open_ += len(tokens)
        yield len(tokens)
    if open_:
        lengths.counts[open_] += 1


def _samples(line: Line, tokenizer: Tokenizer, count: int, seed: int) -> Iterator[str]:
    """Beginnings of documents from anywhere in the line, each but once."""
    shown: set[int] = set()
    for number in range(count if len(line) else 0):
        at = scramble(scramble(seed) + number) % len(line)
        start = drawn = _document(line, tokenizer.end_of_text, at)
        while start in shown:
            start = _document(line, tokenizer.end_of_text, start + 1)
            if start == drawn:
                return
        shown.add(start)
        stop = _next(line, tokenizer.end_of_text, start + 1)
        text = spelled(tokenizer, line.read(start, min(stop, start + MOST_SHOWN)).tolist())
        left = stop - start - MOST_SHOWN
        yield f"{text} ... ({left} more tokens)" if left > 0 else text


def _document(line: Line, end: int, at: int) -> int:
    """The next place from `at` on where a document begins; after the last one, the first."""
    start = _next(line, end, at)
    start = _next(line, end, 0) if start == len(line) else start
    return 0 if start == len(line) else start


def _next(line: Line, token: int, at: int) -> int:
    """The next place of a token from `at` on, or the end."""
    while at < len(line):
        tokens = line.read(at, min(at + (CHUNK >> 6), len(line)))
        found = np.flatnonzero(tokens == token)
        if len(found):
            return at + int(found[0])
        at += len(tokens)
    return len(line)


def spelled(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    """Text, with control tokens by their names."""
    parts: list[str] = []
    run: list[int] = []
    for token in ids:
        if tokenizer.is_special(token):
            parts += [tokenizer.decode(run), tokenizer.label(token)]
            run = []
        else:
            run.append(token)
    return "".join([*parts, tokenizer.decode(run)])


def _boundaries(line: Line, tokenizer: Tokenizer | None, path: Path, count: int = 3) -> list[dict[str, Any]]:
    """Bytes around the first places where a document begins after another one, as they lie in the shard at `path`."""
    width = 2 if Shard.open(path).vocab_size <= 1 << 16 else 4
    found: list[dict[str, Any]] = []
    at = 0
    while tokenizer is not None and len(found) < count:
        at = _next(line, tokenizer.end_of_text, at + 1)
        if at == len(line):
            break
        first = max(0, at - AROUND)
        ids = line.read(first, min(at + AROUND, len(line)))
        data = ids.astype(f"<u{width}").tobytes()
        found.append(
            {
                "file": path.name,
                "offset": HEADER_BYTES + first * width,
                "before": data[: (at - first) * width].hex(" "),
                "after": data[(at - first) * width :].hex(" "),
                "tokens_before": [tokenizer.label(token) for token in ids[: at - first].tolist()],
                "tokens_after": [tokenizer.label(token) for token in ids[at - first :].tolist()],
            }
        )
    return found


def _beside(path: Path, shard: Shard) -> Tokenizer | None:
    """The tokenizer of a shard: in its folder, or in the run folder above."""
    for folder in (path.parent, path.parent.parent):
        try:
            tokenizer = Tokenizer.from_file(folder / data_folder.TOKENIZER)
        except (CorpusError, FileFormatError, OSError):
            continue
        if tokenizer.digest == shard.tokenizer_digest:
            return tokenizer
    return None
