"""Text out of the screen: a file beside the clipboard, because many terminals refuse OSC 52, and transcripts."""

from __future__ import annotations

import time

from tinychat import files
from tinychat.errors import TinychatError
from tinychat.session.replay import command
from tinychat.session.session import Session
from tinychat.session.transcript import whole_text
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


def save_transcript(session: Session) -> str:
    """Text and command in a new file; what to tell the person."""
    try:
        folder = files.data_folder()
        path = folder / time.strftime("transcript-%Y%m%d-%H%M%S.txt")
        text = f"{whole_text(session)}\n\n$ {command(session)}\n"
        files.write_atomic(path, text.encode())
    except TinychatError as error:
        return f"{error.what} {error.hint}"
    return f"saved {path}"
