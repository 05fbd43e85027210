"""Which lessons a person has been through: lessons.json in the state folder."""

from __future__ import annotations

import contextlib
import json

from tinychat import files
from tinychat.lessons.catalogue import BY_NAME

FILE = "lessons.json"


def done() -> frozenset[str]:
    """Names of lessons; none where the file is missing or is not ours."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        found = json.loads((files.state_folder() / FILE).read_text(encoding="utf-8"))
        return frozenset(name for name in found["done"] if name in BY_NAME)
    return frozenset()


def remember(name: str) -> None:
    """This one is done. StorageError when it cannot be written."""
    names = sorted(done() | {name})
    files.write_atomic(files.state_folder() / FILE, json.dumps({"done": names}).encode() + b"\n")
