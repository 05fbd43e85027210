"""Text out of the screen: a file beside the clipboard, because many terminals refuse OSC 52."""

from __future__ import annotations

import itertools
import os

from tinychat import files
from tinychat.errors import TinychatError
from tinychat.text.terminal import clean


def plain(text: str) -> str:
    """One line that is safe on the screen."""
    return clean(text, keep="")


def keep(name: str, text: str, what: str) -> str:
    """Write the text to a file of that name; what to tell the person."""
    try:
        path = files.state_folder() / name
        files.write_atomic(path, (text + "\n").encode())
    except TinychatError as error:
        return f"copied {what}; no file: {error.what}"
    return f"copied {what}; also in {path}"


def free_name(stem: str, suffix: str) -> str:
    """A file name in the folder we stand in that is not taken yet: story.md, story-2.md, ..."""
    names = (f"{stem}{'' if number == 1 else f'-{number}'}{suffix}" for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))
