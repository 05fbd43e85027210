"""From text to a folder of shards: in constant memory, on several cores, and going on where it was stopped.

The sources are cut into parts of about `shard_tokens` tokens. A part that is finished is written, with what it was
made of, into the journal, and is never made again; the parts, and so every byte, are the same however often the work
was stopped. Documents are held out by a hash of their text, so two equal ones are always on the same side, whatever
else is in the sources. Nothing here knows configs or steps.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinychat import files
from tinychat.errors import CorpusError, UsageError
from tinychat.text.chat import PAUSE, render_encoded
from tinychat.text.tokenizer import Tokenizer
from tinychat.text.words import Ids
from trainer import data_folder
from trainer.corpus import STDIN, Document, Reading
from trainer.data_folder import DataFolder, Made, Manifest, SourceRecord, joined, open_folder
from trainer.data_recipe import Journal, Part, Recipe, clear, sweep
from trainer.data_thinned import Thinned
from trainer.data_workers import cores, encoded
from trainer.events import Event, Progress
from trainer.shards import CHUNK, Shard, ShardWriter
from trainer.signals import StopFlag

BATCH_CHARS = 1 << 19  # encoded at a time
BATCH_DOCUMENTS = 4096
LONG = 1 << 15  # tokens: a document this long gives its end to validation, a shorter one goes whole
WORTH_WORKERS = 4 << 20  # bytes: less is encoded before a process has started
MOST_READ = 50  # times sample_chars: of more text only the first part of each file is read for the vocabulary
REPORT_S = 0.2


class Interrupted(Exception):
    """Somebody wants to stop; finished parts are kept."""


def build(recipe: Recipe, path: Path, stop: StopFlag) -> Generator[Event, None, DataFolder]:
    """Make the folder, or what is missing of it. find() comes first.

    Raises Interrupted when stopped, CorpusError with file and line, StorageError. Finished parts stay; where a bad
    text ends it before there is one, nothing does.
    """
    work = _Building(recipe, path, stop)
    try:
        yield from work.run()
    except CorpusError:
        if not work.parts:
            clear(path)
        raise
    return open_folder(path)


@dataclass
class _Counts:
    """Of a part that is being made."""

    documents: int = 0
    chats: int = 0
    held_out: int = 0
    text_bytes: int = 0


@dataclass
class _Batch:
    documents: list[Document] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    chars: int = 0
    place: tuple[int, int] = (0, 0)
    done: tuple[int, int, int] = (0, 0, 0)


class _Building:
    def __init__(self, recipe: Recipe, path: Path, stop: StopFlag) -> None:
        self.recipe, self.path, self.stop = recipe, path, stop
        self.readings = recipe.readings()
        self.key = recipe.key(self.readings)
        self.parts: list[Part] = []
        self.reported = time.monotonic()
        self.hash_key = str(recipe.seed).encode()

    def run(self) -> Iterator[Event]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            files.sweep_temps(self.path)
        except (FileExistsError, NotADirectoryError):
            raise UsageError(f"{self.path}: there is a file of that name.", "Name another folder.") from None
        except OSError as error:
            raise files.storage_error(self.path, error) from error
        yield from self._tokenizer()
        self.byte_lengths = self.tokenizer.byte_lengths()
        total = sum(reading.total for reading in self.readings)
        workers = self.recipe.workers
        if workers is None:
            # this process reads, hashes and writes, which is a core's work
            workers = max(1, cores() - 1) if total > WORTH_WORKERS or STDIN in self.recipe.sources else 0
        for source in range(len(self.readings)):
            if not any(part.last for part in self._parts_of(source)):
                yield from self._source(source, workers)
        self._finish()

    # --- the vocabulary ---

    def _tokenizer(self) -> Iterator[Event]:
        """The tokenizer and the finished parts of the last time, or a new tokenizer."""
        named = self.path / data_folder.TOKENIZER
        journal = data_folder.read_record(self.path / data_folder.JOURNAL, Journal)
        if isinstance(journal, Journal) and journal.key == self.key and named.exists():
            self.tokenizer = Tokenizer.from_file(named)
            if self.tokenizer.digest == journal.tokenizer:
                self.parts = list(self._whole(journal.parts))
                return
        clear(self.path)
        given = self.recipe.given_tokenizer()
        if given is not None:
            self.tokenizer = given
        else:
            sample = Thinned(self.recipe.sample_chars)
            share = MOST_READ * self.recipe.sample_chars / max(1, sum(reading.total for reading in self.readings))
            for reading in self.readings:
                for document in reading.sample(self.recipe.sample_chars, share):
                    for text in document.texts:
                        sample.add(text)
                    self._heed()
                    if self._due():
                        yield self._progress("reading text", reading, (reading.done, *reading.made))
            yield Progress(what="training the vocabulary", done=0, total=0, unit="tokens")
            make = Tokenizer.characters if self.recipe.kind == "characters" else Tokenizer.train
            self.tokenizer = make(sample.texts(), vocab_size=self.recipe.vocab_size)
        if self.recipe.pauses:
            self.tokenizer = self.tokenizer.with_special(PAUSE)
        files.write_atomic(named, self.tokenizer.to_json().encode())
        self._write_journal()

    def _whole(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The parts up to the first whose shards are not as they were written."""
        for part in parts:
            try:
                for made in (part.train, part.valid):
                    shard = Shard.open(self.path / made.file, tokenizer_digest=self.tokenizer.digest)
                    if len(shard) != made.tokens or shard.data_digest != made.digest:
                        return
            except CorpusError:
                return
            yield part

    # --- the shards ---

    def _source(self, source: int, workers: int) -> Iterator[Event]:
        """The parts of a source that are missing."""
        reading, before = self.readings[source], self._parts_of(source)
        seen = bytes.fromhex(before[-1].seen) if before else b""
        start = before[-1].place if before else [0, 0]
        batches = self._batches(reading, (start[0], start[1]), seen)
        stream = encoded(((batch, batch.texts) for batch in batches), self.tokenizer, workers=workers)
        number, last = len(before), False
        try:
            while not last:
                counts, last, place = _Counts(), True, (0, 0)
                with ExitStack() as stack:
                    train, valid = (
                        stack.enter_context(
                            ShardWriter(
                                self.path / f"{kind}-{source:02}-{number:05}.bin",
                                vocab_size=self.tokenizer.vocab_size,
                                tokenizer_digest=self.tokenizer.digest,
                            )
                        )
                        for kind in ("train", "valid")
                    )
                    for batch, texts in stream:
                        self._heed()
                        # the only document of a source cannot be spared
                        lonely = not number and not counts.documents and len(batch.documents) == 1
                        self._append(batch, texts, train, valid, counts, lonely=lonely)
                        place = batch.place
                        seen = _chained(seen, batch.hashes)
                        if self._due():
                            yield self._progress("encoding text", reading, batch.done)
                        if train.count >= self.recipe.shard_tokens:
                            last = False
                            break
                if last and not counts.documents and not self._parts_of(source):
                    raise CorpusError(f"{reading.source}: there is no text in it.", "Leave it out, or name another.")
                self.parts.append(
                    Part(
                        source=source,
                        train=Made(file=f"train-{source:02}-{number:05}.bin", tokens=train.count, digest=train.digest),
                        valid=Made(file=f"valid-{source:02}-{number:05}.bin", tokens=valid.count, digest=valid.digest),
                        **vars(counts),
                        place=list(place),
                        seen=seen.hex(),
                        last=last,
                    )
                )
                self._write_journal()
                number += 1
        finally:
            stream.close()
        self._heed()

    def _batches(self, reading: Reading, start: tuple[int, int], seen: bytes) -> Iterator[_Batch]:
        """Documents from `start` on, a batch at a time. Stdin is read again up to there, and must be the same."""
        skip = start[1] if reading.source == STDIN else 0
        check = b""
        batch = _Batch()
        for document in reading.documents((0, 0) if skip else start):
            texts = document.texts
            digest = self._hash(document, texts)
            if skip:
                self._heed()
                skip -= 1
                check = _chained(check, [digest])
                if not skip and check != seen:
                    raise CorpusError(
                        "stdin: not the text that the finished shards were made of.", "Start over with --fresh."
                    )
                continue
            batch.documents.append(document)
            batch.hashes.append(digest)
            batch.texts += texts
            batch.chars += sum(map(len, texts))
            if batch.chars >= BATCH_CHARS or len(batch.documents) >= BATCH_DOCUMENTS:
                batch.place, batch.done = reading.place, (reading.done, *reading.made)
                yield batch
                batch = _Batch()
        if skip:
            raise CorpusError("stdin: ends before the text of the finished shards does.", "Start over with --fresh.")
        if batch.documents:
            batch.place, batch.done = reading.place, (reading.done, *reading.made)
            yield batch

    def _append(
        self,
        batch: _Batch,
        texts: Sequence[Ids],
        train: ShardWriter,
        valid: ShardWriter,
        counts: _Counts,
        *,
        lonely: bool,
    ) -> None:
        tokenizer, share = self.tokenizer, self.recipe.valid_fraction
        begin = np.array([tokenizer.end_of_text], np.uint32)
        kept: list[Ids] = []
        held: list[Ids] = []
        given = iter(texts)
        for document, digest in zip(batch.documents, batch.hashes, strict=True):
            if document.messages is not None:
                ids = self._chat(document, [next(given) for _ in document.messages])
                counts.chats += 1
            else:
                ids = next(given)
                ids = ids if document.continues else np.concatenate((begin, ids))
            end = int(len(ids) * share)
            if len(ids) >= LONG and end:
                kept.append(ids[:-end])
                held += [begin, ids[-end:]]
                counts.held_out += 1
            elif int.from_bytes(digest[:7]) < share * 2**56 and not lonely:
                # a document of its own, though it be a later piece of one
                held += [begin, ids] if document.continues else [ids]
                counts.held_out += 1
            else:
                kept.append(ids)
        counts.documents += len(batch.documents)
        for found, writer in ((kept, train), (held, valid)):
            if found:
                all_ids = np.concatenate(found)
                counts.text_bytes += int(self.byte_lengths[all_ids].sum(dtype=np.int64))
                writer.append(all_ids)

    def _chat(self, document: Document, bodies: list[Ids]) -> Ids:
        assert document.messages is not None
        if not self.tokenizer.has_chat:
            given = self.recipe.tokenizer
            named = str(given) if isinstance(given, Path) else "the tokenizer of train.from"
            raise CorpusError(
                f"{document.origin}: a chat, for which {named} has no role tokens.",
                "Let a vocabulary be trained instead of naming a tokenizer, or leave the chats out.",
            )
        ids_of = [body.tolist() for body in bodies]
        ids = render_encoded(document.messages, ids_of, self.tokenizer, pauses=self.recipe.pauses).ids
        return np.array(ids, np.uint32)

    def _finish(self) -> None:
        """What is held out in one shard a source, then the manifest; only then what it was made of goes."""
        sources = []
        for number, reading in enumerate(self.readings):
            parts = self._parts_of(number)
            line = joined(self.path, [part.valid for part in parts], self.tokenizer, reading.source)
            file = f"valid-{number:02}.bin"
            with ShardWriter(
                self.path / file, vocab_size=self.tokenizer.vocab_size, tokenizer_digest=self.tokenizer.digest
            ) as writer:
                for start in range(0, len(line), CHUNK):
                    writer.append(line.read(start, min(start + CHUNK, len(line))))
            sources.append(
                SourceRecord(
                    name=reading.source,
                    documents=sum(part.documents for part in parts),
                    chats=sum(part.chats for part in parts),
                    held_out=sum(part.held_out for part in parts),
                    text_bytes=sum(part.text_bytes for part in parts),
                    train=[part.train for part in parts],
                    valid=Made(file=file, tokens=writer.count, digest=writer.digest),
                )
            )
        manifest = Manifest(
            key=self.key,
            tokenizer=self.tokenizer.digest,
            vocab_size=self.tokenizer.vocab_size,
            settings=self.recipe.settings,
            sources=sources,
        )
        files.write_atomic(self.path / data_folder.MANIFEST, data_folder.dump_record(manifest))
        sweep(self.path)

    # --- small things ---

    def _parts_of(self, source: int) -> list[Part]:
        return [part for part in self.parts if part.source == source]

    def _write_journal(self) -> None:
        journal = Journal(key=self.key, tokenizer=self.tokenizer.digest, parts=self.parts)
        files.write_atomic(self.path / data_folder.JOURNAL, data_folder.dump_record(journal))

    def _hash(self, document: Document, texts: Sequence[str]) -> bytes:
        """Who is held out depends on the text and the seed alone."""
        roles = [message.role for message in document.messages or ()]
        return hashlib.blake2b("\0".join((*roles, *texts)).encode(), key=self.hash_key, digest_size=16).digest()

    def _heed(self) -> None:
        if self.stop.reason is not None:
            raise Interrupted

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self.reported < REPORT_S:
            return False
        self.reported = now
        return True

    def _progress(self, what: str, reading: Reading, done: tuple[int, int, int]) -> Progress:
        """Bytes of all sources where they are files; documents of a made-up language."""
        read, made, many = done
        if many:
            return Progress(what=what, done=made, total=many, unit="documents")
        before = sum(each.total for each in self.readings[: self.readings.index(reading)])
        total = sum(each.total for each in self.readings)
        return Progress(what=what, done=before + read, total=total, unit="bytes")


def _chained(seen: bytes, hashes: Iterable[bytes]) -> bytes:
    for digest in hashes:
        seen = hashlib.blake2b(seen + digest, digest_size=16).digest()
    return seen
