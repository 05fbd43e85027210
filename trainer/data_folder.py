"""A folder of token shards: what lies where, the manifest that is written last, and the checks before it is used.

    dataset.json        what was made of what: counts, digests, settings; only a finished folder has it
    tokenizer.json      the vocabulary
    train-SS-NNNNN.bin  tokens to train on: source SS, shard NNNNN
    valid-SS.bin        tokens of the source that are held out
    build.json          while it is made: the shards that are finished

Nothing here knows text or configs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tinychat.errors import CorpusError
from tinychat.text.tokenizer import Tokenizer
from trainer.data_joined import Joined, Piece

MANIFEST = "dataset.json"
JOURNAL = "build.json"
TOKENIZER = "tokenizer.json"
FORMAT: Literal["tinychat.data/1"] = "tinychat.data/1"
READ_AT_START = 1 << 30  # bytes of shards: so much is read and checked before each use, more on request only
LARGEST_MANIFEST = 256 << 20

Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Made(Record):
    """One shard. Its name is no path: a manifest from elsewhere can lead nowhere."""

    file: Annotated[str, Field(pattern=r"^(train|valid)-\d{2,}(-\d{5,})?\.bin$")]
    tokens: Count
    digest: Digest


class SourceRecord(Record):
    """One source, as it was named."""

    name: str
    documents: Count  # pieces of a long text count as one each
    chats: Count
    held_out: Count  # documents of it that are held out, whole or by their end
    text_bytes: Count
    train: list[Made]
    valid: Made

    @property
    def train_tokens(self) -> int:
        return sum(made.tokens for made in self.train)


class Manifest(Record):
    format: Literal["tinychat.data/1"] = FORMAT
    key: str  # of all that the tokens depend on
    tokenizer: Digest
    vocab_size: Annotated[int, Field(ge=1)]
    settings: dict[str, str | int | float | None]
    sources: Annotated[list[SourceRecord], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A finished folder, open: for each source the tokens to train on and those held out."""

    path: Path
    manifest: Manifest
    tokenizer: Tokenizer
    train: tuple[Joined, ...]
    valid: tuple[Joined, ...]

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        width = 2 if self.manifest.vocab_size <= 1 << 16 else 4
        return width * sum(len(line) for line in (*self.train, *self.valid))

    @property
    def digest(self) -> str:
        """Of every token, in order."""
        digests = [line.data_digest for lines in zip(self.train, self.valid, strict=True) for line in lines]
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()

    def verify(self) -> None:
        """Read every byte; CorpusError where something has changed."""
        for line in (*self.train, *self.valid):
            line.verify()


def is_prepared(path: str | Path) -> bool:
    """Whether a folder holds shards, finished or not."""
    return any((Path(path) / name).is_file() for name in (MANIFEST, JOURNAL))


def read_manifest(path: Path) -> Manifest | None:
    """The manifest of a folder, None where there is none. CorpusError for one that cannot be read."""
    found = read_record(path / MANIFEST, Manifest)
    assert found is None or isinstance(found, Manifest)
    return found


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """A JSON file of ours, checked; None where there is none. CorpusError for a damaged one."""
    try:
        if path.stat().st_size > LARGEST_MANIFEST:
            raise CorpusError(f"{path}: too big for what it should be.", "Make the folder again with --fresh.")
        return kind.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}).", "Check the disk.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CorpusError(f"{path}: {where}: {first['msg']}.", "Make the folder again with --fresh.") from None
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path}: not JSON ({error}).", "Make the folder again with --fresh.") from None


def dump_record(record: Record) -> bytes:
    return (json.dumps(record.model_dump(), indent=1) + "\n").encode()


def open_folder(path: Path) -> DataFolder:
    """A finished folder, with tokenizer, headers, sizes and counts checked.

    Raises CorpusError naming the file, FileFormatError for a bad tokenizer.
    """
    manifest = read_manifest(path)
    if manifest is None:
        if (path / JOURNAL).is_file():
            raise CorpusError(
                f"{path}: its shards are not finished yet.", "Give the same  tinychat data build  again: it goes on."
            )
        raise CorpusError(f"{path}: no {MANIFEST}, so no folder of shards.", "Make one:  tinychat data build")
    tokenizer = Tokenizer.from_file(path / TOKENIZER)
    if tokenizer.digest != manifest.tokenizer:
        raise CorpusError(
            f"{path / TOKENIZER}: not the tokenizer of these shards"
            f" (digest {tokenizer.digest[:12]}, they were made with {manifest.tokenizer[:12]}).",
            "Put the old one back, or make the folder again with --fresh.",
        )
    return DataFolder(
        path,
        manifest,
        tokenizer,
        tuple(joined(path, source.train, tokenizer, source.name) for source in manifest.sources),
        tuple(joined(path, [source.valid], tokenizer, source.name) for source in manifest.sources),
    )


def joined(path: Path, shards: Sequence[Made], tokenizer: Tokenizer, name: str) -> Joined:
    """Shards of a folder as one line of tokens; `name` stands for it in messages."""
    pieces = [Piece(path / made.file, made.tokens, made.digest) for made in shards]
    return Joined(pieces, path=Path(name), vocab_size=tokenizer.vocab_size, tokenizer_digest=tokenizer.digest)
