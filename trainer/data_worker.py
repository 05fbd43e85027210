"""The child process of data_workers: texts in on stdin, ids out on stdout, until stdin ends.

A frame in is the number of texts, their lengths in bytes and their UTF-8; a frame out is the number of ids of each,
and the ids; all whole numbers are 4 bytes, little-endian. The very first frame holds one text, the tokenizer's file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np

from tinychat.text.tokenizer import Tokenizer
from tinychat.text.words import Ids

NUMBER = np.dtype("<u4")


def texts_to_frame(texts: Sequence[str]) -> bytes:
    """What goes in."""
    data = [text.encode() for text in texts]
    sizes = np.array([len(data), *map(len, data)], NUMBER)
    return b"".join((sizes.tobytes(), *data))


def ids_to_frame(ids: Sequence[Ids]) -> bytes:
    """What comes out."""
    sizes = np.array([len(each) for each in ids], NUMBER)
    return b"".join((sizes.tobytes(), *(each.astype(NUMBER).tobytes() for each in ids)))


def read_ids(stream: IO[bytes], count: int) -> list[Ids]:
    """The ids of `count` texts. EOFError when the child has gone."""
    sizes = _numbers(stream, count)
    ids = _numbers(stream, int(sizes.sum()))
    return np.split(ids, np.cumsum(sizes)[:-1]) if count else []


def _read_texts(stream: IO[bytes]) -> Iterator[list[str]]:
    while head := stream.read(NUMBER.itemsize):
        sizes = _numbers(stream, int(np.frombuffer(head, NUMBER)[0]))
        yield [_exactly(stream, int(size)).decode() for size in sizes]


def _numbers(stream: IO[bytes], count: int) -> Ids:
    return np.frombuffer(_exactly(stream, count * NUMBER.itemsize), NUMBER).astype(np.uint32)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def main() -> None:
    frames = _read_texts(sys.stdin.buffer)
    encoder = Tokenizer.from_json(next(frames)[0]).word_encoder()
    for texts in frames:
        sys.stdout.buffer.write(ids_to_frame(encoder.encode(texts)))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
