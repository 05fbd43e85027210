"""The person's own editor on a text, outside the screen."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from textual.app import App, SuspendNotSupported

from tinychat.text.terminal import clean

USUAL = ("nano", "vim", "vi")  # where a person named none


def editor_of(environ: Mapping[str, str]) -> list[str]:
    """The words of the command: $VISUAL, $EDITOR, or what there is. ValueError says what a person can do."""
    for name in ("VISUAL", "EDITOR"):
        if wish := environ.get(name, "").strip():
            try:
                words = shlex.split(wish)
            except ValueError as error:
                raise ValueError(f"${name} cannot be read ({error})") from None
            if shutil.which(words[0]) is None:
                raise ValueError(f"{words[0]} of ${name} is not there; set it to an editor of yours")
            return words
    for name in USUAL:
        if shutil.which(name) is not None:
            return [name]
    raise ValueError("no editor found: set EDITOR, for example  export EDITOR=nano")


def edit(command: list[str], text: str) -> str:
    """The text as the editor left it. ValueError when the editor failed; then nothing has changed.

    Editors end a file with a line break: one that was not there before is taken off again.
    """
    with tempfile.TemporaryDirectory(prefix="tinychat-") as folder:
        path = Path(folder) / "prompt.txt"
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            code = subprocess.run([*command, os.fspath(path)], check=False).returncode
        except OSError as error:
            raise ValueError(f"{command[0]} did not start ({error.strerror})") from None
        if code:
            raise ValueError(f"{command[0]} ended with {code}: the text is as it was")
        try:
            found = path.read_bytes().decode("utf-8", errors="replace")
        except OSError as error:
            raise ValueError(f"the text could not be read back ({error.strerror})") from None
    found = found.replace("\r\n", "\n")
    if found.endswith("\n") and not text.endswith("\n"):
        found = found.removesuffix("\n")
    return clean(found)


def edit_outside(app: App[int], command: list[str], text: str, *, listen: Callable[[], None]) -> str:
    """As `edit`, with the screen out of the way; `listen` makes signals ours again. ValueError as of edit."""
    # Ctrl+C in the editor reaches us as well: it is the editor's, and a handler of ours is not handed on to it
    ours = asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
    before = signal.signal(signal.SIGINT, lambda *_: None)
    found, failure = text, None
    try:
        with app.suspend():
            try:
                found = edit(command, text)
            except ValueError as error:  # passed on through `suspend` it would leave the screen suspended
                failure = error
    except SuspendNotSupported:
        raise ValueError("an editor needs a terminal of its own") from None
    finally:
        signal.signal(signal.SIGINT, before)
        if ours:
            listen()
    if failure is not None:
        raise failure
    return found
