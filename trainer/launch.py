"""What torchrun tells the processes it starts. Nothing here knows torch."""

from __future__ import annotations

import os

from tinychat.errors import TinychatError


class Left(TinychatError):
    """Another process of the run has ended, and has said why."""


def launched(name: str, otherwise: int) -> int:
    """RANK, WORLD_SIZE, LOCAL_RANK or LOCAL_WORLD_SIZE."""
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else otherwise


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return launched("RANK", 0) == 0
