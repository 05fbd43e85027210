"""Where saved sessions lie, and how they are found again.

Autosaved sessions lie in the state folder, the last KEEP of them; what a person named lies in the data folder and is
never removed unasked.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tinychat import files
from tinychat.errors import FileFormatError, UsageError
from tinychat.session import record
from tinychat.session.claim import claim, is_claimed, sweep
from tinychat.session.first_line import Summary, glimpse
from tinychat.session.recall import load
from tinychat.session.record import Source
from tinychat.session.session import Session

KEEP = 50
SUFFIX = ".jsonl"
BEFORE = 24  # tokens before a fork that a branch is searched with
LATEST = "last"  # a name for the newest one
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_WORD = re.compile(r"[a-z0-9]+")


def autosave_folder() -> Path:
    """Where autosaved sessions lie, made when missing."""
    return _made(files.state_folder() / "sessions")


def named_folder() -> Path:
    """Where sessions that a person named lie, made when missing."""
    return _made(files.data_folder() / "sessions")


def fresh_path(words: str, *, now: datetime | None = None) -> Path:
    """A file that is not there yet, named by time and first words: 20261121-143330-once-upon-a-time-3f2a.jsonl."""
    stamp = (now or datetime.now().astimezone()).strftime("%Y%m%d-%H%M%S")
    return autosave_folder() / ("-".join(part for part in (stamp, slug(words), secrets.token_hex(2)) if part) + SUFFIX)


def slug(words: str) -> str:
    """The first words as a part of a file name; "" where no letter is left."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().lower()
    return "-".join(_WORD.findall(plain)[:5])[:40].rstrip("-")


def named_path(name: str) -> Path:
    """Where a session of that name lies. UsageError for what cannot be a name."""
    if not _NAME.fullmatch(name) or name == LATEST:
        raise UsageError(f"{name!r} cannot name a session.", "Use letters, digits, dots, - and _.")
    return named_folder() / (name + SUFFIX)


def keep_as(name: str, session: Session, *, source: Source, cursor: int | None = None, replace: bool = False) -> Path:
    """Save under a name, for good. UsageError for a name that cannot be one or, without `replace`, that is taken."""
    path = named_path(name)
    if path.exists() and not replace:
        raise UsageError(f"There is a session {name} already.", "Choose another name, or replace it.")
    record.save(session, path, source=source, cursor=cursor, name=name)
    return path


def saved() -> list[Summary]:
    """All saved sessions, the newest first. Files that are none are left out."""
    found = []
    for path in _paths():
        with contextlib.suppress(FileFormatError):
            found.append(glimpse(path))
    return sorted(found, key=lambda each: (each.saved, each.path.name), reverse=True)


def find(name: str) -> Path:
    """The file a person means: a path, a name, the beginning of one, or `last`. UsageError for none or several."""
    if os.sep in name or os.path.isfile(name):
        return Path(name)
    listed = saved()
    if name == LATEST and listed:
        return listed[0].path
    exact = [each.path for each in listed if name in (each.name, each.path.name, each.path.stem)]
    near = exact or [each.path for each in listed if (each.name or each.path.stem).startswith(name)]
    if not near:
        raise UsageError(f"There is no session {name!r}.", "See:  tinychat sessions")
    if len(near) > 1:
        few = ", ".join(path.stem for path in near[:4]) + (" ..." if len(near) > 4 else "")
        raise UsageError(f"{name!r} could be any of {len(near)} sessions: {few}.", "Write more of its name.")
    return near[0]


def cut_off() -> Summary | None:
    """The newest autosaved session that nobody has open, if it was never closed: the connection or power went."""
    stamped = []
    for path in autosave_folder().glob("*" + SUFFIX):
        with contextlib.suppress(OSError):
            stamped.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(stamped, reverse=True):
        with contextlib.suppress(FileFormatError):
            if not is_claimed(path):  # another window's is left aside
                found = glimpse(path)
                return found if found.open else None
    return None


def remove(path: Path) -> None:
    """Delete a saved session. UsageError while it is open, or for a file that lies elsewhere; StorageError."""
    if path.parent not in (autosave_folder(), named_folder()):
        raise UsageError(f"{path}: not one of the saved sessions.", "Delete the file itself.")
    glimpse(path)  # nothing but a session is ever removed
    held = claim(path)
    if held is None:
        raise UsageError(f"{path.stem} is open.", "Close it first.")
    try:
        path.unlink()
    except OSError as error:
        raise files.storage_error(path, error) from error
    finally:
        held.release()


def search(text: str) -> Iterator[tuple[Summary, str]]:
    """Sessions whose name, prompt or text of any branch holds this, in any case, each with the place where it does."""
    wanted = " ".join(text.casefold().split())
    for each in saved():
        if wanted in (each.name or each.path.stem).casefold():
            yield each, each.words
            continue
        try:
            said = text_of(each.path).casefold()
        except FileFormatError:
            continue
        at = said.find(wanted)
        if at >= 0:
            yield each, " ".join(said[max(0, at - 20) : at + len(wanted) + 40].split())


def text_of(path: Path) -> str:
    """All that a session says: system message, prompt, and every branch with some of what stands before it."""
    session = load(path, steps=False).session
    tree, tokenizer = session.tree, session.tokenizer
    said = [session.system, session.prompt]
    for branch in tree.written():
        before = max(0, branch.fork - BEFORE)
        said.append(tokenizer.decode(tree.ids_of(branch.number)[before:]))
    return " ".join(" ".join(said).split())


def prune(keep: int = KEEP) -> int:
    """Remove all but the newest autosaved sessions, and what killed writers left; how many sessions went."""
    folder, removed = autosave_folder(), 0
    aged = []
    for path in folder.glob("*" + SUFFIX):
        with contextlib.suppress(OSError):
            if not path.is_symlink() and path.is_file():
                aged.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(aged, reverse=True)[max(1, keep) :]:
        with contextlib.suppress(OSError, FileFormatError):
            glimpse(path)  # nothing but a session is ever removed
            path.unlink()
            removed += 1
    sweep()
    hour = datetime.now(UTC).timestamp() - 3600
    for path in folder.glob(files.TEMP_PREFIX + "*"):
        with contextlib.suppress(OSError):  # a fresh one may belong to another process that is writing
            if path.lstat().st_mtime < hour:
                path.unlink()
    return removed


def _paths() -> Iterator[Path]:
    for folder in (named_folder(), autosave_folder()):
        yield from folder.glob("*" + SUFFIX)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.storage_error(folder, error) from error
    return folder
