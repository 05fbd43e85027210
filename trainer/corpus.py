"""Text from people, as a stream of documents: files, folders, globs, JSON lines, stdin, the toy language.

Bytes are data and are never guessed: what is not UTF-8 text is refused by file, line and column. Memory stays
bounded: a long text comes in pieces. Nothing here knows tokens or shards.
"""

from __future__ import annotations

import codecs
import glob
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from tinychat.errors import CorpusError
from tinychat.text.chat import parse_messages
from trainer import toy
from trainer.document import Document, encode_document

__all__ = ["Document", "documents", "encode_document"]

SEPARATOR = "<|endoftext|>"  # alone on a line of a text file: here one document ends
PIECE_CHARS = 1 << 20  # a longer text comes in pieces of about this many characters
MOST_LINE_BYTES = 64 << 20  # of a .jsonl file
TOY_DOCUMENTS = 20_000
TEXT_ENDINGS = (".txt", ".md")
_BLOCK = 1 << 16


def documents(sources: Sequence[str]) -> Iterator[Document]:
    """Every document of the sources, in their order; folders recursively and sorted.

    A source is a file, a folder (its .txt, .md and .jsonl), a glob, "-" (stdin as text) or "toy". Raises CorpusError.
    """
    for source in sources:
        if source == "toy":
            yield from toy.documents(1, TOY_DOCUMENTS)
        elif source == "-":
            yield from _text_documents(sys.stdin.buffer, "stdin")
        else:
            for path in text_files(source):
                yield from _file_documents(path)


def text_files(source: str) -> list[Path]:
    """The files a source names, sorted; CorpusError when it names none."""
    path = Path(source)
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.suffix in (*TEXT_ENDINGS, ".jsonl") and file.is_file()]
        if not found:
            raise CorpusError(
                f"{source}: no .txt, .md or .jsonl file in this folder.", "Name a folder with text in it."
            )
        return sorted(found)
    if path.exists():
        if not path.is_file():
            raise CorpusError(f"{source}: not a regular file.", 'Name a file or a folder; "-" reads from stdin.')
        return [path]
    found = [Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file()]
    if not found:
        raise CorpusError(f"{source}: no such file or folder.", "Name files, folders or globs of .txt, .md and .jsonl.")
    return sorted(found)


def _file_documents(path: Path) -> Iterator[Document]:
    try:
        with path.open("rb") as file:
            yield from (_json_documents if path.suffix == ".jsonl" else _text_documents)(file, str(path))
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror or error}.", "Check the file, then try again.") from error


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


def _json_documents(file: IO[bytes], origin: str) -> Iterator[Document]:
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
            document = _json_document(text, f"{origin}:{number}", f"{origin}: line {number}")
            if document.messages or (document.text or "").strip():
                yield document


def _json_document(line: str, origin: str, place: str) -> Document:
    try:
        found = json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        raise CorpusError(
            f"{place}, column {error.colno}: {error.msg}.", "One JSON object a line is wanted."
        ) from error
    except RecursionError as error:
        raise CorpusError(f"{place}: nested too deeply.", "One flat JSON object a line is wanted.") from error
    match found:
        case {"text": str(text)}:
            document = Document(text, None, origin)
        case {"messages": messages}:
            try:
                document = Document(None, parse_messages(messages), origin)
            except ValueError as error:
                raise CorpusError(f"{place}: {error}.", _ROW) from error
        case _:
            raise CorpusError(f"{place}: neither a text nor messages.", _ROW)
    for text in [document.text or "", *(message.text for message in document.messages or ())]:
        if not _encodable(text):
            raise CorpusError(f"{place}: half of a surrogate pair (\\ud800 to \\udfff alone) is no character.", _ROW)
    return document


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_ROW = 'A line is {"text": "..."} or {"messages": [{"role": "user", "content": "..."}, ...]}.'
