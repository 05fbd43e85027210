"""Text from people, as a stream of documents: files, folders, globs, JSON lines, parquet, stdin, the toy language.

Bytes are data and are never guessed: what is not UTF-8 text is refused by file, line and column. Memory stays
bounded: a long text comes in pieces. Nothing here knows tokens or shards.
"""

from __future__ import annotations

import codecs
import contextlib
import glob
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from tinychat.errors import CorpusError
from tinychat.text.chat import parse_messages
from trainer import data_parquet, toy
from trainer.document import Document, encode_document

__all__ = ["Document", "Reading", "documents", "encode_document"]

Form = Literal["text", "jsonl"]

SEPARATOR = "<|endoftext|>"  # alone on a line of a text file: here one document ends
PIECE_CHARS = 1 << 20  # a longer text comes in pieces of about this many characters
MOST_LINE_BYTES = 64 << 20  # of a .jsonl file
TOY_DOCUMENTS = 20_000
TEXT_ENDINGS = (".txt", ".md")
ENDINGS = (*TEXT_ENDINGS, ".jsonl", ".parquet")
STDIN = "-"
_BLOCK = 1 << 16


def documents(sources: Sequence[str], *, field: str | None = None) -> Iterator[Document]:
    """Every document of the sources, in their order; folders recursively and sorted.

    A source is a file, a folder (its .txt, .md, .jsonl and .parquet), a glob, "-" (stdin) or "toy". `field` is what
    rows call their text or messages. Raises CorpusError.
    """
    for source in sources:
        yield from Reading(source, field=field).documents()


class Reading:
    """The documents of one source, and how far they are read: `place` is (file, document in it) of the next one.

    `form` is what stdin holds. `made` gives documents from a number on, in place of files.
    """

    def __init__(
        self,
        source: str,
        *,
        field: str | None = None,
        form: Form = "text",
        made: Callable[[int], Iterable[Document]] | None = None,
        many: int = 0,
    ) -> None:
        self.source, self._field, self._form = source, field, form
        self.place = (0, 0)
        self.stamps: list[tuple[str, int, int]] = []  # name, size, time of change of the files
        self._files: list[Path] = []
        self._open: IO[bytes] | None = None
        self._before = 0
        self._made, self._many = made, many  # how many are made, where that is known
        self._stdin: Iterator[Document] | None = None
        self._held: list[Document] = []
        if source == "toy" and made is None:
            self._made, self._many = _toy, TOY_DOCUMENTS
        if self._made is None and source != STDIN:
            self._files = text_files(source)
            self.stamps = [_stamp(file) for file in self._files]

    @property
    def total(self) -> int:
        """Bytes to read; 0 when nobody knows."""
        return sum(size for _, size, _ in self.stamps)

    @property
    def done(self) -> int:
        """Bytes read so far."""
        return self._before + self.here

    @property
    def here(self) -> int:
        """Bytes read of the file that is open."""
        with contextlib.suppress(OSError, ValueError):
            return self._open.tell() if self._open is not None else 0
        return 0

    @property
    def made(self) -> tuple[int, int]:
        """Documents made so far and in all, of a language that is made up."""
        return (self.place[1], self._many) if self._made is not None else (0, 0)

    def sample(self, chars: int, share: float) -> Iterator[Document]:
        """Documents for a vocabulary: the first `chars` characters of stdin, which come again in documents(); else all,
        or from the beginning of every file that `share` of it."""
        if self.source == STDIN:
            held: list[Document] = []
            for document in self._of_file(0):
                held.append(document)
                yield document
                chars -= document.chars
                if chars <= 0:
                    break
            self._held = held
        elif self._made is not None:
            yield from self.documents()
        else:
            for number, (_, size, _) in enumerate(self.stamps):
                for document in self._of_file(number):
                    yield document
                    if share < 1 and self.here > share * size:
                        break
                self._before += size

    def documents(self, start: tuple[int, int] = (0, 0)) -> Iterator[Document]:
        """Documents from a place on; whole files before it are not read again."""
        self._before = sum(size for _, size, _ in self.stamps[: start[0]])
        if self._made is not None:
            yield from self._counted(self._made(start[1]), start[1])
            return
        for number in range(start[0], max(1, len(self._files))):
            self.place = (number, 0)
            skip = start[1] if number == start[0] else 0
            yield from self._counted(islice(self._of_file(number), skip, None), skip)
            self._before += self.stamps[number][1] if self.stamps else 0

    def _counted(self, found: Iterable[Document], first: int) -> Iterator[Document]:
        file = self.place[0]
        for number, document in enumerate(found, first + 1):
            self.place = (file, number)
            yield document

    def _of_file(self, number: int) -> Iterator[Document]:
        if self.source == STDIN:
            if self._stdin is None:
                self._stdin = (self._json if self._form == "jsonl" else _text_documents)(sys.stdin.buffer, "stdin")
            held, self._held = self._held, []
            yield from held
            for document in self._stdin:  # noqa: UP028  # "yield from" would close it for who leaves early
                yield document
            return
        path = self._files[number]
        if path.suffix == ".parquet":
            yield from data_parquet.documents(path, self._field, _row)
            return
        try:
            with path.open("rb") as file:
                self._open = file
                yield from (self._json if path.suffix == ".jsonl" else _text_documents)(file, str(path))
        except OSError as error:
            raise CorpusError(f"{path}: {error.strerror or error}.", "Check the file, then try again.") from error
        finally:
            self._open = None

    def _json(self, file: IO[bytes], origin: str) -> Iterator[Document]:
        return _json_documents(file, origin, self._field)


def text_files(source: str) -> list[Path]:
    """The files a source names, sorted, each once however many links lead to it; CorpusError when it names none."""
    path = Path(source)
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.suffix in ENDINGS and file.is_file()]
        if not found:
            raise CorpusError(
                f"{source}: no .txt, .md, .jsonl or .parquet file in this folder.", "Name a folder with text in it."
            )
        return _once(found)
    if path.exists():
        if not path.is_file():
            raise CorpusError(f"{source}: not a regular file.", 'Name a file or a folder; "-" reads from stdin.')
        return [path]
    if path.is_symlink():
        raise CorpusError(f"{source}: a link that leads nowhere.", "Name the file itself.")
    found = [Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file()]
    if not found:
        raise CorpusError(
            f"{source}: no such file or folder.", "Name files, folders or globs of .txt, .md, .jsonl and .parquet."
        )
    return _once(found)


def _once(found: list[Path]) -> list[Path]:
    """A link to a folder above would bring every file forty times."""
    return sorted({os.path.realpath(file): file for file in sorted(found, reverse=True)}.values())


def _stamp(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns


def _toy(start: int) -> Iterator[Document]:
    return (toy.document(1, number)[0] for number in range(start, TOY_DOCUMENTS))


# --- plain text --------------------------------------------------------------------------------------------------


def _text_documents(file: IO[bytes], origin: str) -> Iterator[Document]:
    kept: list[str] = []
    size = 0
    continues = False
    for line in _lines(file, origin):
        ends = line.strip() == SEPARATOR
        # a paragraph is a good place to cut, a line is good enough when there is none for long
        if ends or (size >= PIECE_CHARS and (not line.strip() or size >= 2 * PIECE_CHARS)):
            text = "".join(kept)
            if continues or text.strip():
                yield Document(text, None, origin, continues)
            kept, size, continues = [], 0, not ends and (continues or bool(text.strip()))
        if not ends:
            kept.append(line)
            size += len(line)
    text = "".join(kept)
    if text.strip():
        yield Document(text, None, origin, continues)


def _lines(file: IO[bytes], origin: str) -> Iterator[str]:
    """Lines with their ends, \\r\\n as \\n; a very long line comes in parts, so that memory stays bounded."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    number, column = 1, 0  # column: characters of this line that are already decoded
    while raw := file.readline(_BLOCK):
        if number == 1 and column == 0:
            _refuse_binary(raw, origin)
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            text = decoder.decode(raw)
        except UnicodeDecodeError as error:
            column += len(error.object[: error.start].decode("utf-8", "ignore")) + 1
            raise _not_utf8(origin, number, column, error.object[error.start]) from error
        if "\0" in text:
            raise _binary(origin, f"it holds a zero byte in line {number}")
        yield text.replace("\r\n", "\n")
        number, column = (number + 1, 0) if text.endswith("\n") else (number, column + len(text))
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_utf8(origin, number, column + 1, error.object[error.start]) from error


def _refuse_binary(head: bytes, origin: str) -> None:
    for magic, name in _MAGICS.items():
        if head.startswith(magic):
            raise _binary(origin, f"it looks like {name}")


_MAGICS = {
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a zip archive or an office document",
    b"\x1f\x8b": "a gzip archive",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x7fELF": "a program",
    b"PAR1": "a parquet file (its name must end in .parquet)",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\xfd7zXZ": "an xz archive",
    b"BZh9": "a bzip2 archive",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def _binary(origin: str, why: str) -> CorpusError:
    return CorpusError(f"{origin}: not plain text: {why}.", "Convert it to UTF-8 text, or leave it out.")


def _not_utf8(origin: str, line: int, column: int, byte: int) -> CorpusError:
    return CorpusError(
        f"{origin}: line {line}, column {column}: byte 0x{byte:02x} is not UTF-8.",
        f"Convert it:  iconv -f latin1 -t utf-8 {origin} > new.txt   (put the encoding it really has)",
    )


# --- JSON lines --------------------------------------------------------------------------------------------------


def _json_documents(file: IO[bytes], origin: str, field: str | None) -> Iterator[Document]:
    number = 0
    while raw := file.readline(MOST_LINE_BYTES + 1):
        number += 1
        if number == 1:
            _refuse_binary(raw, origin)
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if len(raw) > MOST_LINE_BYTES:
            raise CorpusError(f"{origin}: line {number} is longer than {MOST_LINE_BYTES} bytes.", "Split it up.")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            column = len(raw[: error.start].decode("utf-8", "ignore")) + 1
            raise _not_utf8(origin, number, column, raw[error.start]) from error
        if text.strip():
            place = f"{origin}: line {number}"
            document = _row(_json_row(text, place), field, f"{origin}:{number}", place)
            if document.messages or (document.text or "").strip():
                yield document


def _json_row(line: str, place: str) -> object:
    try:
        found: object = json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        raise CorpusError(
            f"{place}, column {error.colno}: {error.msg}.", "One JSON object a line is wanted."
        ) from error
    except RecursionError as error:
        raise CorpusError(f"{place}: nested too deeply.", "One flat JSON object a line is wanted.") from error
    return found


def _row(found: object, field: str | None, origin: str, place: str) -> Document:
    """The document of one row: its text or its messages."""
    row: dict[str, Any] = found if isinstance(found, dict) else {}
    name = field or ("messages" if "messages" in row and "text" not in row else "text")
    match row.get(name):
        case str(text):
            document = Document(text, None, origin)
        case list(messages):
            try:
                document = Document(None, parse_messages(messages), origin)
            except ValueError as error:
                raise CorpusError(f"{place}: {error}.", _ROW) from error
        case _ if field is not None and field not in row:
            known = ", ".join(list(row)[:8]) or "none"
            raise CorpusError(f"{place}: no field {field!r}; it has: {known}.", "Name the one with the text.")
        case _:
            raise CorpusError(f"{place}: neither a text nor messages.", _ROW)
    for text in document.texts:
        if not text.isascii() and not _encodable(text):
            raise CorpusError(f"{place}: half of a surrogate pair (\\ud800 to \\udfff alone) is no character.", _ROW)
    return document


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_ROW = (
    'A row is {"text": "..."} or {"messages": [{"role": "user", "content": "..."}, ...]}; '
    "another name of the field is set as data.field, or --field."
)
