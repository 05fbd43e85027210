"""The errors a person can act on, and the exit codes they end with.

    TinychatError                1  something failed while running
    |- UsageError                2  wrong options, arguments or config
    |- FileFormatError           3  bad model, tokenizer or session file
    |- CorpusError               4  bad training text or token shards
    |- RunBusyError              5  the run folder belongs to another process
    |- StorageError              6  disk full, read-only, I/O error
    |- NumbersError              7  NaN, Inf, divergence
    `- OutOfMemoryError_         8  not enough memory

A caller that passes nonsense gets ValueError; our own mistakes are assertions and crash.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_INTERRUPTED = 130  # 128 + SIGINT
EXIT_TERMINATED = 143  # 128 + SIGTERM
EXIT_HANGUP = 129  # 128 + SIGHUP


class TinychatError(Exception):
    """What went wrong, and what to do about it: the two lines a person sees on stderr."""

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n{self.hint}" if self.hint else self.what


class UsageError(TinychatError):
    """Options, arguments or config that cannot work."""

    exit_code = 2


class FileFormatError(TinychatError):
    """A model, tokenizer or session file that is not what it should be."""

    exit_code = 3


class CorpusError(TinychatError):
    """Training text or token shards that cannot be used."""

    exit_code = 4


class RunBusyError(TinychatError):
    """Another process writes this run folder."""

    exit_code = 5


class StorageError(TinychatError):
    """The disk is full, read-only or failing."""

    exit_code = 6


class NumbersError(TinychatError):
    """NaN, Inf or divergence."""

    exit_code = 7


class OutOfMemoryError_(TinychatError):
    """Not enough memory; the name avoids torch's own OutOfMemoryError."""

    exit_code = 8
