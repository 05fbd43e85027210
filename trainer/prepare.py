"""The tokens of a run: shards made from its text in the run folder, or a folder of `tinychat data build`.

A finished folder is used again when text and settings are the same; once training has begun, whatever happens to the
text. Nothing here knows models or steps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from tinychat import files
from tinychat.errors import CorpusError, FileFormatError, UsageError
from tinychat.model.checkpoint import tokenizer_of
from tinychat.text.tokenizer import Tokenizer
from trainer import base, corpus, data_folder
from trainer.config import TrainConfig
from trainer.data_build import Interrupted, build
from trainer.data_folder import DataFolder, is_prepared, open_folder, read_manifest
from trainer.data_joined import Joined, Piece
from trainer.data_recipe import Recipe, find
from trainer.events import Event, Progress, Warned
from trainer.figures import size
from trainer.run_folder import RunFolder
from trainer.shards import Shard
from trainer.signals import StopFlag


@dataclass(frozen=True, slots=True)
class Prepared:
    """The text of a run, as lines of tokens: one, or with `weights` one a source. `valid` may be empty."""

    tokenizer: Tokenizer
    train: tuple[Joined, ...]
    valid: tuple[Joined, ...]
    digest: str
    weights: tuple[float, ...] | None = None  # of the lines to train on
    valid_weights: tuple[float, ...] | None = None

    @property
    def train_tokens(self) -> int:
        return sum(map(len, self.train))

    @property
    def valid_tokens(self) -> int:
        return sum(map(len, self.valid))


def check_sources(config: TrainConfig) -> None:
    """That text and tokenizer are there. Raises CorpusError, FileFormatError, UsageError."""
    if _is_prepared(config):
        _lines(config, [open_folder(Path(source)) for source in config.data.sources])
        return
    for source in () if config.data.is_toy else config.data.sources:
        corpus.text_files(source)
    if config.tokenizer.path is not None:
        Tokenizer.from_file(Path(config.tokenizer.path))


def prepare(config: TrainConfig, folder: RunFolder, stop: StopFlag) -> Generator[Event, None, Prepared | None]:
    """The tokens of `config`, made in the run folder where they are not there yet; None when stopped before the end.

    Raises CorpusError with file and line, FileFormatError for a bad tokenizer, UsageError for what does not go
    together.
    """
    try:
        if _is_prepared(config):
            folders = yield from _given(config)
        else:
            folders = [(yield from _own(config, folder, stop))]
    except Interrupted:
        return None
    yield from _without_chats(config, folders)
    tokenizer = folders[0].tokenizer
    files.write_atomic(folder.tokenizer, tokenizer.to_json().encode())
    made = _lines(config, folders)
    need = config.model.context + 1
    for line in made.train:
        if len(line) < need:
            which = "The text" if len(made.train) == 1 else str(line.path)
            raise CorpusError(
                f"{which} has {len(line)} tokens to train on, one row needs {need} (model.context + 1).",
                "Give more text in data.text, or make model.context smaller.",
            )
    return made


def _without_chats(config: TrainConfig, folders: list[DataFolder]) -> Iterator[Event]:
    """What the config says of chats, where there are none: a field of another name is soon overlooked."""
    sources = [source for folder in folders for source in folder.manifest.sources]
    if not sources or any(source.chats for source in sources):
        return
    if config.data.loss == "assistant":
        yield Warned(step=0, message='data.loss = "assistant" has no effect: there is no chat in the text')
    if config.data.pause_tokens:
        yield Warned(step=0, message="data.pause_tokens has no effect: there is no chat in the text")


# --- shards of the run's own ---


def _own(config: TrainConfig, folder: RunFolder, stop: StopFlag) -> Generator[Event, None, DataFolder]:
    older = _version_1(folder)
    if older is not None and folder.checkpoints.exists():
        return older
    recipe = _recipe(config)
    try:
        manifest = read_manifest(folder.data)
    except CorpusError:
        manifest = None
    begun = manifest is not None and folder.checkpoints.exists()
    try:
        key = recipe.key(recipe.readings())
    except CorpusError as error:
        if not begun:
            raise
        yield Warned(step=0, message=f"{error.what} Going on with the tokens of then.")
        key = ""
    changed = manifest is None or manifest.key != key
    if begun and changed and key:
        yield Warned(step=0, message="the text has changed since the run began; going on with the text of then")
    if begun or not changed:
        try:
            found = open_folder(folder.data)
            yield from _verified(found)
        except (CorpusError, FileFormatError) as error:
            if changed:  # what could be made now would be another text
                raise
            yield Warned(step=0, message=f"{error.what} It is made again from the text.")
            find(recipe, folder.data, fresh=True)
        else:
            return found
    elif manifest is not None:
        find(recipe, folder.data, fresh=True)
    found = yield from build(recipe, folder.data, stop)
    made, wanted = found.tokenizer.vocab_size, config.tokenizer.vocab_size
    named = config.tokenizer.path is not None or config.tokenizer.kind == "characters"
    if made < wanted and not named and config.train.from_ is None:
        yield Warned(step=0, message=f"the text is good for a vocabulary of {made}, not of {wanted}")
    return found


def _recipe(config: TrainConfig) -> Recipe:
    data, tokenizer = config.data, config.tokenizer
    return Recipe(
        sources=data.sources,
        field=data.field,
        tokenizer=_base_tokenizer(config) or (Path(tokenizer.path) if tokenizer.path is not None else None),
        pauses=data.pause_tokens,
        kind=tokenizer.kind,
        vocab_size=tokenizer.vocab_size,
        sample_chars=tokenizer.sample_chars,
        valid_fraction=data.valid_fraction,
        seed=data.seed,
        toy=(data.documents, data.chat_share),
    )


def _base_tokenizer(config: TrainConfig) -> Tokenizer | None:
    return None if config.train.from_ is None else tokenizer_of(base.find(config.train.from_))


def _version_1(folder: RunFolder) -> DataFolder | None:
    """What tinychat made before there were several shards: train.bin, valid.bin and data.json."""
    try:
        made = json.loads((folder.data / "data.json").read_bytes())
        if not isinstance(made, dict) or made.get("version") != 1:
            return None
    except (OSError, ValueError):
        return None
    tokenizer = Tokenizer.from_file(folder.tokenizer)
    lines = []
    for name in ("train.bin", "valid.bin"):
        path = folder.data / name
        shard = Shard.open(path, vocab_size=tokenizer.vocab_size, tokenizer_digest=tokenizer.digest)
        shard.verify()
        piece = Piece(path, len(shard), shard.data_digest)
        lines.append(Joined([piece], path=path, vocab_size=tokenizer.vocab_size, tokenizer_digest=tokenizer.digest))
    manifest = data_folder.Manifest.model_construct(
        key="", tokenizer=tokenizer.digest, vocab_size=tokenizer.vocab_size, settings={}, sources=[]
    )
    return DataFolder(folder.data, manifest, tokenizer, (lines[0],), (lines[1],))


# --- shards that were made before ---


def _is_prepared(config: TrainConfig) -> bool:
    prepared = [source for source in config.data.sources if is_prepared(source)]
    if prepared and len(prepared) < len(config.data.sources):
        other = next(source for source in config.data.sources if source not in prepared)
        raise UsageError(
            f"data.text: {prepared[0]} holds shards and {other} is text: they do not go together.",
            f"Make shards of it too, with the same vocabulary:  tinychat data build {other} -o FOLDER"
            f" --tokenizer {prepared[0]}/tokenizer.json",
        )
    return bool(prepared)


def _given(config: TrainConfig) -> Generator[Event, None, list[DataFolder]]:
    """Folders of shards. What the config says of making shards is told to be without effect."""
    folders = [open_folder(Path(source)) for source in config.data.sources]
    first = folders[0]
    for each in folders[1:]:
        if each.tokenizer.digest != first.tokenizer.digest:
            raise UsageError(
                f"data.text: {first.path} and {each.path} were made with different tokenizers"
                f" (digests {first.tokenizer.digest[:12]} and {each.tokenizer.digest[:12]}).",
                f"Make one of them again with --tokenizer {first.path / 'tokenizer.json'}.",
            )
    if config.tokenizer.path is not None:
        named = Tokenizer.from_file(Path(config.tokenizer.path))
        if named.digest != first.tokenizer.digest:
            raise UsageError(
                f"tokenizer.path: {config.tokenizer.path} is not the tokenizer that {first.path} was made with"
                f" (digests {named.digest[:12]} and {first.tokenizer.digest[:12]}).",
                "Leave tokenizer.path out, or make the shards again with it.",
            )
    of_base = _base_tokenizer(config)
    if of_base is not None and of_base.digest != first.tokenizer.digest:
        raise UsageError(
            f"data.text: {first.path} was not made with the vocabulary of train.from"
            f" (digests {first.tokenizer.digest[:12]} and {of_base.digest[:12]}).",
            "Name the text itself, or make the shards with that tokenizer.",
        )
    if config.data.pause_tokens:
        raise UsageError(
            f"data.pause_tokens: {first.path} holds no pause tokens.", "Name the text itself: they are put in with it."
        )
    yield from _without_effect(config, first)
    for each in folders:
        yield from _verified(each)
    return folders


def _without_effect(config: TrainConfig, made: DataFolder) -> Iterator[Event]:
    settings = {**made.manifest.settings, "vocab_size": made.tokenizer.vocab_size}
    for table, keys in (("data", ("valid_fraction", "seed", "field")), ("tokenizer", ("vocab_size",))):
        given = getattr(config, table)
        for key in keys:
            wanted = getattr(given, key)
            if key in given.model_fields_set and wanted != settings.get(key):
                message = f"{table}.{key} has no effect: {made.path} was made with {settings.get(key)}"
                yield Warned(step=0, message=message)


def _verified(folder: DataFolder) -> Iterator[Event]:
    """A bit that fell over in the meantime would be trained on; but nobody waits for a terabyte."""
    if folder.size <= data_folder.READ_AT_START:
        folder.verify()
        return
    yield Progress(what="looking at the shards", done=0, total=0, unit="bytes")
    yield Warned(
        step=0,
        message=f"only the headers of {size(folder.size)} of shards are checked now;"
        f" every byte:  tinychat data inspect {folder.path}",
    )


# --- which lines ---


def _lines(config: TrainConfig, folders: list[DataFolder]) -> Prepared:
    """All sources as one line, or with weights one each."""
    weights = config.data.weights
    digests = [folder.digest for folder in folders]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    tokenizer = folders[0].tokenizer
    need = config.model.context + 1
    if not weights:
        train = _joined([line for folder in folders for line in folder.train], tokenizer)
        valid = _joined([line for folder in folders for line in folder.valid], tokenizer)
        return Prepared(tokenizer, (train,), (valid,) if len(valid) >= need else (), digest)
    if len(folders) == 1:
        trains, valids = list(folders[0].train), list(folders[0].valid)
    else:
        trains = [_joined(folder.train, tokenizer) for folder in folders]
        valids = [_joined(folder.valid, tokenizer) for folder in folders]
    if len(weights) != len(trains):
        names = ", ".join(source.name for source in folders[0].manifest.sources)
        raise UsageError(
            f"data.weights: {len(weights)} for {len(trains)} texts ({names}).", "Give one number for each."
        )
    enough = [(line, weight) for line, weight in zip(valids, weights, strict=True) if len(line) >= need]
    return Prepared(
        tokenizer,
        tuple(trains),
        tuple(line for line, _ in enough),
        digest,
        weights,
        tuple(weight for _, weight in enough),
    )


def _joined(lines: tuple[Joined, ...] | list[Joined], tokenizer: Tokenizer) -> Joined:
    if len(lines) == 1:
        return lines[0]
    pieces = [piece for line in lines for piece in line.pieces]
    return Joined(pieces, path=lines[0].path, vocab_size=tokenizer.vocab_size, tokenizer_digest=tokenizer.digest)
