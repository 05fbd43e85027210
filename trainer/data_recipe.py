"""What a folder of shards is to be made of, and whether it is there already.

Nothing here encodes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tinychat import files
from tinychat.errors import UsageError
from tinychat.text.tokenizer import Tokenizer
from trainer import data_folder, toy
from trainer.corpus import Document, Form, Reading
from trainer.data_folder import Count, DataFolder, Made, Record, open_folder

Kind = Literal["bpe", "characters"]
VERSION = 2  # of how text becomes tokens: another one makes the shards anew
SHARD_TOKENS = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the shards are made of, and how."""

    sources: tuple[str, ...]
    field: str | None = None  # of rows: what holds the text or the messages
    form: Form = "text"  # of stdin
    tokenizer: Path | Tokenizer | None = None  # None: one is trained
    pauses: int = 0  # pause tokens before each reply of a chat
    kind: Kind = "bpe"  # of the tokenizer that is trained
    vocab_size: int = 1024
    sample_chars: int = 8_000_000
    valid_fraction: float = 0.02
    seed: int = 1
    toy: tuple[int, float] = (20_000, toy.CHAT_SHARE)  # documents and share of chats of the source "toy"
    shard_tokens: int = SHARD_TOKENS
    workers: int | None = None  # None: one a core, if there is enough to do

    def readings(self) -> list[Reading]:
        """The sources, looked up. Raises CorpusError."""
        return [self._reading(source) for source in self.sources]

    def _reading(self, source: str) -> Reading:
        if source != "toy":
            return Reading(source, field=self.field, form=self.form)
        many, chats = self.toy

        def made(start: int) -> Iterator[Document]:
            return (toy.document(self.seed, number, chat_share=chats)[0] for number in range(start, many))

        return Reading(source, made=made, many=many)

    @property
    def settings(self) -> dict[str, str | int | float | None]:
        """What the tokens depend on beside the text."""
        found: dict[str, str | int | float | None] = {"valid_fraction": self.valid_fraction, "seed": self.seed}
        found |= {"field": self.field, "form": self.form, "shard_tokens": self.shard_tokens}
        if "toy" in self.sources:
            found |= {"documents": self.toy[0], "chat_share": self.toy[1]}
        if self.pauses:
            found |= {"pause_tokens": self.pauses}
        if self.tokenizer is None:
            found |= {"vocab_size": self.vocab_size, "sample_chars": self.sample_chars}
            found |= {"kind": self.kind} if self.kind != "bpe" else {}
        return found

    def given_tokenizer(self) -> Tokenizer | None:
        """The one that is named or given. Raises FileFormatError for a bad one."""
        return Tokenizer.from_file(self.tokenizer) if isinstance(self.tokenizer, Path) else self.tokenizer

    def key(self, readings: Sequence[Reading]) -> str:
        """A digest of all that; files by name, size and time of change. Raises FileFormatError for a bad tokenizer."""
        tokenizer = self.given_tokenizer()
        given = None if tokenizer is None else tokenizer.digest
        parts = [VERSION, self.settings, given, [[reading.source, reading.stamps] for reading in readings]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Part(Record):
    """One finished part of a source."""

    source: Count
    train: Made
    valid: Made
    documents: Count
    chats: Count
    held_out: Count
    text_bytes: Count
    place: Annotated[list[Count], Field(min_length=2, max_length=2)]  # where the next part begins
    seen: str  # a digest of all documents of the source up to here
    last: bool


class Journal(Record):
    format: Literal["tinychat.build/2"] = "tinychat.build/2"
    key: str
    tokenizer: str
    parts: list[Part]


def find(recipe: Recipe, path: Path, *, fresh: bool = False) -> DataFolder | None:
    """The finished folder of this recipe, if it is there; with `fresh`, what is there of others is removed.

    Raises UsageError where another data set is and `fresh` is not, CorpusError for sources that are not there. The
    beginning of one, without a finished shard, is nothing to lose: a mended text may take its place.
    """
    key = recipe.key(recipe.readings())
    if fresh:
        clear(path)
        return None
    manifest = data_folder.read_manifest(path)
    journal = data_folder.read_record(path / data_folder.JOURNAL, Journal)
    other = "Name another folder with --out, or replace it with --fresh."
    if manifest is not None:
        if manifest.key != key:
            raise UsageError(f"{path} holds shards of other text or settings.", other)
        found = open_folder(path)
        sweep(path)  # somebody was killed between the manifest and this
        return found
    if isinstance(journal, Journal) and journal.parts and journal.key != key:
        raise UsageError(f"{path} holds the beginning of other shards: its text or settings were others.", other)
    return None


def sweep(path: Path) -> None:
    """Remove what only the making of a folder needs."""
    for file in (path / data_folder.JOURNAL, *path.glob("valid-[0-9]*-[0-9]*.bin")):
        file.unlink(missing_ok=True)


def clear(path: Path) -> None:
    """Remove shards and what belongs to them, and nothing that tinychat did not put there."""
    try:
        for name in (data_folder.MANIFEST, data_folder.JOURNAL, data_folder.TOKENIZER):
            (path / name).unlink(missing_ok=True)
        for pattern in ("train-[0-9]*.bin", "valid-[0-9]*.bin"):
            for file in path.glob(pattern):
                file.unlink()
    except OSError as error:
        raise files.storage_error(path, error) from error


def finished_parts(path: Path) -> int:
    """Shards of a folder that need not be made again."""
    journal = data_folder.read_record(path / data_folder.JOURNAL, Journal)
    return len(journal.parts) if isinstance(journal, Journal) else 0
