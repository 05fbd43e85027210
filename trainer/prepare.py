"""From text to token shards: the vocabulary, then train.bin and valid.bin with a manifest written last.

Documents stream through in constant memory, twice: once thinned out for the vocabulary, once to be encoded. A
finished folder is used again when text and vocabulary are the same. Nothing here knows models or steps.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tinychat import files
from tinychat.errors import CorpusError, FileFormatError
from tinychat.text.tokenizer import Tokenizer
from trainer import corpus, toy
from trainer.config import TrainConfig
from trainer.events import Event, Progress, Warned
from trainer.run_folder import RunFolder
from trainer.shards import Shard, ShardWriter
from trainer.signals import StopFlag

VERSION = 1
LONG = 1 << 15  # tokens: a document this long gives its end to validation, a shorter one goes whole
REPORT_S = 0.2


@dataclass(frozen=True, slots=True)
class Prepared:
    """The text of a run, as tokens. `valid` is None where there is too little to hold out."""

    tokenizer: Tokenizer
    train: Shard
    valid: Shard | None
    digest: str


class Interrupted(Exception):
    """Somebody wants to stop; what was written so far counts for nothing."""


def prepare(config: TrainConfig, folder: RunFolder, stop: StopFlag) -> Generator[Event, None, Prepared | None]:
    """The shards of `config` in the run folder, made where they are not there yet; None when stopped before the end.

    Raises CorpusError with file and line, FileFormatError for a bad tokenizer.
    """
    manifest = _manifest(folder)
    begun = manifest is not None and folder.checkpoints.exists()
    try:
        key = _key(config)
    except CorpusError as error:
        if not begun:
            raise
        yield Warned(step=0, message=f"{error.what} Going on with the tokens of then.")
        key = ""
    changed = manifest is None or manifest.get("key") != key
    if begun and changed and key:
        yield Warned(step=0, message="the text has changed since the run began; going on with the text of then")
    if begun or not changed:
        try:
            prepared = _open(folder, verify=True)
        except (CorpusError, FileFormatError) as error:
            if changed:  # what could be made now would be another text
                raise
            yield Warned(step=0, message=f"{error.what} It is made again from the text.")
        else:
            return _enough(config, prepared)
    try:
        yield from _build(config, folder, key, stop)
    except Interrupted:
        return None
    return _enough(config, _open(folder))


def _build(config: TrainConfig, folder: RunFolder, key: str, stop: StopFlag) -> Generator[Event, None, None]:
    try:
        folder.data.mkdir(exist_ok=True)
        _manifest_path(folder).unlink(missing_ok=True)
    except OSError as error:
        raise files.storage_error(folder.data, error) from error
    if config.tokenizer.path is not None:
        tokenizer = Tokenizer.from_file(Path(config.tokenizer.path))
    else:
        tokenizer = yield from _train_tokenizer(config, stop)
    files.write_atomic(folder.tokenizer, tokenizer.to_json().encode())
    yield from _encode(config, folder, tokenizer, stop)
    made = {"version": VERSION, "key": key, "tokenizer": tokenizer.digest}
    files.write_atomic(_manifest_path(folder), (json.dumps(made) + "\n").encode())


def _train_tokenizer(config: TrainConfig, stop: StopFlag) -> Generator[Event, None, Tokenizer]:
    sample = Thinned(config.tokenizer.sample_chars)
    report = Reporter("reading text", _total(config))
    for document in _documents(config, stop):
        for text in _texts(document):
            sample.add(text)
        if report.due():
            yield report.event
    yield Progress(what="training the vocabulary", done=0, total=0, unit="tokens")
    return Tokenizer.train(sample.texts(), vocab_size=config.tokenizer.vocab_size)


def _encode(
    config: TrainConfig, folder: RunFolder, tokenizer: Tokenizer, stop: StopFlag
) -> Generator[Event, None, None]:
    report = Reporter("encoding text", _total(config))
    share = config.data.valid_fraction
    with ExitStack() as stack:
        train, valid = (
            stack.enter_context(ShardWriter(path, vocab_size=tokenizer.vocab_size, tokenizer_digest=tokenizer.digest))
            for path in (train_path(folder), valid_path(folder))
        )
        for number, document in enumerate(_documents(config, stop)):
            if document.messages is not None and not tokenizer.has_chat:
                raise CorpusError(
                    f"{document.origin}: a chat, for which {config.tokenizer.path} has no role tokens.",
                    "Leave tokenizer.path out to train a vocabulary, or train on text alone (data.chat_share = 0).",
                )
            ids = corpus.encode_document(document, tokenizer)
            held_out = int(len(ids) * share)
            if len(ids) >= LONG and held_out:
                train.append(ids[:-held_out])
                valid.append(_begun(ids[-held_out:], tokenizer))
            elif _lot(config.data.seed, number) < share:
                valid.append(_begun(ids, tokenizer))
            else:
                train.append(ids)
            if report.due():
                yield report.event
        if stop.reason is not None:
            raise Interrupted


def _begun(ids: list[int], tokenizer: Tokenizer) -> list[int]:
    """The ids as a document of their own, though they be the end or a later piece of one."""
    return ids if ids[:1] == [tokenizer.end_of_text] else [tokenizer.end_of_text, *ids]


def _open(folder: RunFolder, *, verify: bool = False) -> Prepared:
    tokenizer = Tokenizer.from_file(folder.tokenizer)

    def shard(path: Path) -> Shard:
        return Shard.open(path, vocab_size=tokenizer.vocab_size, tokenizer_digest=tokenizer.digest)

    train, valid = shard(train_path(folder)), shard(valid_path(folder))
    if verify:  # a bit that fell over in the meantime would be trained on
        train.verify()
        valid.verify()
    digest = hashlib.sha256(f"{train.data_digest} {valid.data_digest}".encode()).hexdigest()
    return Prepared(tokenizer, train, valid, digest)


def _enough(config: TrainConfig, made: Prepared) -> Prepared:
    """`made`, if a row can be cut from it; without what is held out, if that is less than a row."""
    need = config.model.context + 1
    if len(made.train) < need:
        raise CorpusError(
            f"The text has {len(made.train)} tokens to train on, one row needs {need} (model.context + 1).",
            "Give more text in data.text, or make model.context smaller.",
        )
    return made if made.valid is not None and len(made.valid) >= need else replace(made, valid=None)


def train_path(folder: RunFolder) -> Path:
    return folder.data / "train.bin"


def valid_path(folder: RunFolder) -> Path:
    return folder.data / "valid.bin"


class Thinned:
    """A sample of texts with a bounded number of characters, spread evenly over however many come.

    Texts are kept by a fixed lot; whenever there are too many characters, the bar is halved.
    """

    def __init__(self, most: int) -> None:
        self._most, self._bar, self._chars, self._count = most, 1.0, 0, 0
        self._kept: list[tuple[float, str]] = []

    def add(self, text: str) -> None:
        for start in range(0, len(text), self._most // 8):  # one huge text must not be all or nothing
            self._add(text[start : start + self._most // 8])

    def _add(self, text: str) -> None:
        self._count += 1
        lot = _lot(0, self._count)
        if lot < self._bar:
            self._kept.append((lot, text))
            self._chars += len(text)
        while self._chars > self._most:
            self._bar /= 2
            self._kept = [(lot, text) for lot, text in self._kept if lot < self._bar]
            self._chars = sum(len(text) for _, text in self._kept)

    def texts(self) -> Iterator[str]:
        return (text for _, text in self._kept)


class Reporter:
    """A Progress event now and then."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done, self._last = what, total, 0, time.monotonic()

    def due(self) -> bool:
        """Count one document; whether it is time to say so."""
        self._done += 1
        if time.monotonic() - self._last < REPORT_S:
            return False
        self._last = time.monotonic()
        return True

    @property
    def event(self) -> Progress:
        return Progress(what=self._what, done=self._done, total=self._total, unit="documents")


def _documents(config: TrainConfig, stop: StopFlag) -> Iterator[corpus.Document]:
    data = config.data
    source = (
        toy.documents(data.seed, data.documents, chat_share=data.chat_share)
        if data.is_toy
        else corpus.documents(data.sources)
    )
    for document in source:
        if stop.reason is not None:
            raise Interrupted
        yield document


def _texts(document: corpus.Document) -> Iterator[str]:
    if document.text is not None:
        yield document.text
    for message in document.messages or ():
        yield message.text


def _total(config: TrainConfig) -> int:
    return config.data.documents if config.data.is_toy else 0


def _lot(seed: int, number: int) -> float:
    """A fixed number in [0, 1): who is held out does not depend on the length of the text."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=7).digest()) / 2**56


def _key(config: TrainConfig) -> str:
    """What the shards depend on; files by name, size and time of change."""
    parts = [config.data.model_dump(exclude={"mode"}), config.tokenizer.model_dump()]
    for source in () if config.data.is_toy else config.data.sources:
        parts.append({"files": _stamps(source)})
    if config.tokenizer.path is not None:
        parts.append({"tokenizer": Tokenizer.from_file(Path(config.tokenizer.path)).digest})
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _stamps(source: str) -> list[tuple[str, int, int]]:
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in corpus.text_files(source)]


def _manifest_path(folder: RunFolder) -> Path:
    return folder.data / "data.json"


def _manifest(folder: RunFolder) -> dict[str, object] | None:
    try:
        found = json.loads(_manifest_path(folder).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("version") == VERSION else None
