"""Sessions are saved without being asked.

For a screen, two calls. `Autosave.pause(session, cursor=...)` whenever tokens stop coming or a person moved (also from
time to time while they come): it takes a snapshot at once and writes it on a thread of its own, the newest one last.
`close()` waits for that and says where the file is. A failed write ends nothing: it stands in `failure` until the next.
Where the files lie is saved.py. Nothing here knows a screen.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tinychat.errors import StorageError, UsageError
from tinychat.session import record
from tinychat.session.claim import Claim, claim
from tinychat.session.growing import GrowingFile
from tinychat.session.record import Source
from tinychat.session.saved import KEEP, fresh_path, named_path, prune
from tinychat.session.session import Session
from tinychat.session.tree import PROMPT


class Autosave:
    """One session's file, written whenever there is something new. Nothing is written before the first drawn token.

    Until `close` the file says that it is open: found so later, with nobody who claims it, it was cut off.
    """

    def __init__(
        self,
        source: Source,
        *,
        path: Path | None = None,
        name: str = "",
        was_open: bool = False,
        read: tuple[GrowingFile, Session] | None = None,
        keep: int = KEEP,
        done: Callable[[], None] | None = None,
    ) -> None:
        """`path` is the file of a reopened session; None makes one at the first save, and so does a path that another
        process has open: then `is_copy`. `was_open`: it was cut off, and says so until it is written again. `read` is
        what was read of `path`, and the session that is in it: saves add to it.
        `done` is called after each write, by the thread that wrote.
        """
        self.source = source
        self._claim = claim(path) if path is not None else None
        self.is_copy = path is not None and self._claim is None
        self.path = None if self.is_copy else path
        self.name = "" if self.is_copy else name
        self._reopened = self.path is not None
        self.reopened_open = was_open and self._reopened
        self.failure: StorageError | None = None
        self.took_s = 0.0  # of the last write
        self._done = done
        self._keep = keep
        self._file = GrowingFile()
        self._file_of: Session | None = None  # whose tokens are in it
        if read is not None and self.path is not None:
            self._file, self._file_of = read
        self._next: record.Snapshot | None = None
        self._last: record.Snapshot | None = None  # as it stands in the file
        self._failed: record.Snapshot | None = None  # newer, and could not be written; the end tries once more
        self._old: list[Path] = []  # nameless files of before a new name
        self._left: list[tuple[Path, str, Claim | None]] = []  # named ones, which stay: they are closed
        self._closed = self._cut_off = False
        self._writing = False
        self._thread: threading.Thread | None = None
        self._news = threading.Condition()

    @property
    def is_written(self) -> bool:
        """Whether there is a file, though perhaps not with the last tokens yet."""
        return self._last is not None or self._reopened

    def pause(self, session: Session, *, cursor: int | None = None, draft: str = "") -> None:
        """Save what there is now, soon. Costs no more than copying the list of branches."""
        if not self.name and not is_worth_keeping(session):
            return
        taken = record.snapshot(session, self.source, cursor=cursor, draft=draft, name=self.name, going=True)
        with self._news:
            if self._file_of is not session:  # its tokens are others
                self._file, self._file_of = GrowingFile(), session
            self._next = taken
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="autosave", daemon=True)
                self._thread.start()
            self._news.notify()

    def rename(self, name: str, session: Session, *, cursor: int | None = None, draft: str = "") -> Path:
        """Go on in a file of that name, which is never removed. A nameless one goes once that is written, a named one
        stays as it is now.

        UsageError for a name that cannot be one or is taken.
        """
        path = named_path(name)
        held = claim(path)
        if path.exists() or held is None:
            if held is not None:
                held.release()
            raise UsageError(f"There is a session {name} already.", "Choose another name.")
        with self._news:
            if self.path is not None and self.name:
                self._left.append((self.path, self.name, self._claim))
            else:
                if self.path is not None:
                    self._old.append(self.path)
                if self._claim is not None:
                    self._claim.release()
            self._claim, self.path, self.name = held, path, name
        self.pause(session, cursor=cursor, draft=draft)
        return path

    def settle(self, timeout_s: float = 2.0) -> None:
        """Wait until what there is has been written, or that failed; at most so long."""
        with self._news:
            self._news.wait_for(lambda: self._next is None and not self._writing, timeout_s)

    def close(self, *, cut_off: bool = False) -> Path | None:
        """Wait until all is written; the file, None if there was nothing to save. Older autosaves beyond KEEP go.

        `cut_off`: nobody left it, the terminal or the machine goes; the file stays open for the next start.
        """
        with self._news:
            self._closed, self._cut_off = True, cut_off
            self._news.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            if self.failure is None:
                prune(self._keep)
        if self._claim is not None:
            self._claim.release()
            self._claim = None
        return self.path

    def _run(self) -> None:
        while True:
            with self._news:
                while self._next is None and not self._closed:
                    self._news.wait()
                taken, file, self._next = self._next or self._failed or self._last, self._file, None
                closing, self._writing = self._closed, True
            assert taken is not None, "the thread starts with the first snapshot"
            if closing:
                taken = replace(taken, first=taken.first | {"open": self._cut_off})
            self._write(taken, file)
            with self._news:
                self._writing = False
                self._news.notify_all()
            if self._done is not None:
                self._done()
            if closing:
                return

    def _write(self, taken: record.Snapshot, file: GrowingFile) -> None:
        started = time.monotonic()
        try:
            if self.path is None:
                path = fresh_path(str(taken.first["words"]))
                self._claim, self.path = claim(path), path
            self._close_left(taken, file)
            file.write(taken, self.path)
            self._last, self._failed, self.failure = taken, None, None
            while self._old:
                with contextlib.suppress(OSError):
                    self._old.pop().unlink()
        except StorageError as error:
            self._failed, self.failure = taken, error
        self.took_s = time.monotonic() - started

    def _close_left(self, taken: record.Snapshot, file: GrowingFile) -> None:
        """Write the files that another name was given to for the last time."""
        while self._left:
            path, name, held = self._left.pop(0)
            with contextlib.suppress(StorageError):
                file.write(replace(taken, first=taken.first | {"open": False, "name": name}), path)
            if held is not None:
                held.release()


def is_worth_keeping(session: Session) -> bool:
    """Whether anything was drawn or chosen, or said in a chat: a prompt alone can be typed again."""
    given = bytes((PROMPT,))
    return any(
        session.mode == "chat" or branch.own.kinds.count(given) < len(branch.own)
        for branch in session.tree.branches
        if len(branch.own)
    )
