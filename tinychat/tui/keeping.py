"""When the session on the screen is saved: at every pause and move, while it runs every few seconds, and at the end.

Plain Python over session/autosave.py; the screen calls `look` whenever it paints and `glance` from a slow timer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tinychat.errors import StorageError
from tinychat.session import record
from tinychat.session.autosave import Autosave
from tinychat.tui.lineview import Piece
from tinychat.tui.player import Player

EVERY_S = 5.0
MOST_SHARE = 10  # at most a tenth of the time goes into writing


class Keeper:
    """Saves the session of one player. `cursor` and `draft` ask the screen for what the player does not know."""

    def __init__(
        self,
        saver: Autosave,
        player: Player,
        *,
        cursor: Callable[[], int | None],
        draft: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.saver = saver
        self._player = player
        self._cursor = cursor
        self._draft = draft
        self._clock = clock
        self._asked_at = clock()
        self._mark = self._here()
        self._state = self._all()
        self._failed = False  # and that was said

    def look(self) -> None:
        """Save what was drawn or moved since the last time, if it is time for it. Quick when nothing was."""
        here = self._here()
        if here == self._mark:
            return
        wait = max(EVERY_S, MOST_SHARE * self.saver.took_s) if self._player.running else 0.0
        if self._clock() - self._asked_at >= wait:
            self._save()

    def save(self) -> None:
        """Save now, whatever the time."""
        self._save()

    def glance(self) -> None:
        """Save whatever else changed: settings, labels, the cursor, what stands in the prompt box."""
        self.look()
        if not self._player.running and self._all() != self._state:
            self._save()

    def name(self, name: str) -> Path:
        """Keep the session under a name, for good. UsageError for a name that is none or is taken."""
        session = self._player.session
        return self.saver.rename(name, session, cursor=self._cursor(), draft=self._draft())

    def finish(self, *, cut_off: bool = False) -> Path | None:
        """Save for the last time and wait for it; where it is, None if there was nothing to save.

        `cut_off`: the person did not leave, the line or the machine went.
        """
        if self.saver.failure is not None or self.saver.reopened_open or self._all() != self._state:
            self._save()
        return self.saver.close(cut_off=cut_off)

    @property
    def words(self) -> Piece:
        """How it stands, for the header."""
        saver = self.saver
        if saver.failure is not None:
            return ("NOT SAVED", "warn")
        if not saver.is_written:
            return ("", "quiet")
        return (f"{saver.name}, saved" if saver.name else "saved", "quiet")

    def news(self) -> str:
        """What went wrong, or that it is well again: said once."""
        failure = self.saver.failure
        if (failure is not None) == self._failed:
            return ""
        self._failed = failure is not None
        return "saved again" if failure is None else f"not saved: {self._reason(failure)}"

    def _reason(self, failure: StorageError) -> str:
        """Without the path, which is long: what is wrong has to be seen."""
        return f"{failure.what.removeprefix(f'{self.saver.path}: ')} {failure.hint}".rstrip()

    def _save(self) -> None:
        self._asked_at, self._mark, self._state = self._clock(), self._here(), self._all()
        self.saver.pause(self._player.session, cursor=self._cursor(), draft=self._draft())

    def _here(self) -> tuple[int, int]:
        tree = self._player.session.tree
        return tree.moves, len(tree)

    def _all(self) -> dict[str, object]:
        session = self._player.session
        return record.state_of(session, cursor=self._cursor(), draft=self._draft())


def farewell(keeper: Keeper, *, cut_off: bool = False) -> tuple[str, str]:
    """What to say on leaving: where the session is and how to open it again, or why it is not saved."""
    path = keeper.finish(cut_off=cut_off)
    failure: StorageError | None = keeper.saver.failure
    if failure is not None:
        return f"The session is not saved: {failure.what}", failure.hint
    if path is None:
        return "", ""
    return f"saved in {path.parent}; reopen:  tinychat play --session {keeper.saver.name or path.stem}", ""
