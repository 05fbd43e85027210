"""Encoding on several cores: batches of texts go to child processes and come back as ids, in order.

Looking words up is Python, which has one core a process. Nothing here knows documents or shards.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from tinychat.errors import OutOfMemoryError_
from tinychat.text.tokenizer import Tokenizer
from tinychat.text.words import Ids
from trainer.data_worker import read_ids, texts_to_frame

T = TypeVar("T")

AHEAD = 2  # batches a worker may be ahead of who writes


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def encoded(
    batches: Iterable[tuple[T, list[str]]], tokenizer: Tokenizer, *, workers: int
) -> Generator[tuple[T, list[Ids]], None, None]:
    """Each batch's texts as ids, with what came along, in order. `workers` 0 encodes in this process.

    A few batches are read ahead. OutOfMemoryError_ when a worker is killed.
    """
    if workers < 1:
        encoder = tokenizer.word_encoder()
        for what, texts in batches:
            yield what, encoder.encode(texts)
        return
    free: SimpleQueue[_Worker] = SimpleQueue()
    hands = [_Worker(tokenizer) for _ in range(workers)]
    for hand in hands:
        free.put(hand)

    def work(texts: list[str]) -> list[Ids]:
        hand = free.get()
        try:
            return hand.encode(texts)
        finally:
            free.put(hand)

    waiting: deque[tuple[T, Future[list[Ids]]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for what, texts in batches:
            waiting.append((what, pool.submit(work, texts)))
            while len(waiting) > AHEAD * workers:
                first, ids = waiting.popleft()
                yield first, ids.result()
        while waiting:
            first, ids = waiting.popleft()
            yield first, ids.result()
    finally:
        for hand in hands:
            hand.end()
        pool.shutdown(cancel_futures=True)


class _Worker:
    """One child."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        # in a group of its own: Ctrl-C is for the parent, which closes the pipe when it has finished
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trainer.data_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "OPENBLAS_NUM_THREADS": "1"},
        )
        self._first = texts_to_frame([tokenizer.to_json()])

    def encode(self, texts: list[str]) -> list[Ids]:
        sink, source = self._process.stdin, self._process.stdout
        assert sink is not None
        assert source is not None
        try:
            sink.write(self._first + texts_to_frame(texts))
            sink.flush()
            self._first = b""
            return read_ids(source, len(texts))
        except (BrokenPipeError, EOFError, ValueError):
            raise OutOfMemoryError_(
                f"A process that encodes text has ended (code {self._process.wait()}): the memory may be too small.",
                "The same command goes on; use fewer processes:  --workers 1",
            ) from None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was still in the buffer is for nobody
                    stream.close()
