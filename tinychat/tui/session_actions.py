"""The actions that keep, open and export sessions, and the saving that nobody asks for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.widgets.input import Selection

from tinychat import files
from tinychat.errors import TinychatError
from tinychat.session import record
from tinychat.session.export import FORMATS, export, still
from tinychat.session.first_line import Summary
from tinychat.session.recall import Recording
from tinychat.session.record import Source, first_words
from tinychat.session.saved import slug
from tinychat.text.terminal import clean
from tinychat.tui import copying
from tinychat.tui.choosing import chooser
from tinychat.tui.keeping import EVERY_S, Keeper
from tinychat.tui.lineview import Piece
from tinychat.tui.player import Player
from tinychat.tui.walking import BranchScreen
from tinychat.tui.wording import error_line

SESSION = "session.jsonl"
ENDINGS = FORMATS | {SESSION: "all branches with their odds: tinychat play opens it, without the model too"}
OF_A_RECORDING = "this is a recording: its file stays as it is, x exports"


class SessionScreen(BranchScreen):
    """Sessions on the play screen. `keeper` is None while nothing is open, and for a recording."""

    keeper: Keeper | None = None
    source = Source()  # the model of what is open
    reopen: Callable[[Path], Awaitable[None]] | None = None  # puts a saved session in place of the one on the screen

    def on_mount(self) -> None:
        self.set_interval(EVERY_S, self._glance)

    def resume(self, player: Player, *, cursor: int | None, draft: str) -> None:
        """Show a saved session as it stood."""
        self.player = player
        self.selected = None
        session = player.session
        text = draft or (session.prompt if session.mode == "completion" else "")
        self.prompt_box.load_text(clean(text))
        self.prompt_box.move_cursor(self.prompt_box.document.end)
        self.set_focus(None)
        self.paint_all()
        self.stream.aim(cursor)
        self.paint_all()

    def paint(self) -> None:
        super().paint()
        if self.keeper is not None:
            self.keeper.look()

    def _glance(self) -> None:
        if self.keeper is not None:
            self.keeper.glance()

    @property
    def kept_words(self) -> Piece:
        """Whether the session is saved, for the header."""
        return ("", "quiet") if self.keeper is None else self.keeper.words

    def kept(self) -> None:
        """Something was written, or could not be."""
        if not self.is_attached:  # the last write ends while the app does
            return
        if self.keeper is not None and (news := self.keeper.news()):
            self.say(news, "warn" if self.keeper.saver.failure is not None else "strong")
        self.paint_lines()

    # opening

    def action_open(self) -> None:
        """The list of saved sessions."""
        self.calm()
        if self.player is None:
            self.say("the model is being opened")
            return
        saver = None
        if self.keeper is not None:
            saver = self.keeper.saver
            self.keeper.save()
        from tinychat.tui.views.sessions import SessionsView

        self.app.push_screen(SessionsView(self.look, saver), self._open)

    def _open(self, path: Path | None) -> None:
        if path is not None and self.reopen is not None:
            self.say(f"opening {path.stem}")
            self.run_worker(self.reopen(path), exclusive=True, group="reopen")

    # keeping

    def open_command(self, text: str) -> None:
        """The command line, with this in it."""
        raise NotImplementedError

    def action_save(self) -> None:
        if (player := self.ready(draws=False)) is None:
            return
        if self.keeper is None:
            self.say(OF_A_RECORDING)
        elif not self.keeper.saver.name:
            self.say("saved already; a name keeps it for good, Esc leaves it nameless")
            self.open_command(f"name {slug(first_words(player.session))}")
            self.command_box.selection = Selection(len("name "), len(self.command_box.value))  # typing replaces it
        else:
            self.keeper.save()
            self.say(f"saved as {self.keeper.saver.name}")

    def name_session(self, name: str) -> None:
        """Keep it under a name, for good."""
        if self.keeper is None:
            self.say(OF_A_RECORDING, "warn")
            return
        try:
            path = self.keeper.name(name)
        except TinychatError as error:
            self.say(error_line(error), "warn")
        else:
            self.say(f"kept as {name}, in {path.parent}")

    # exporting

    def action_export(self) -> None:
        """Choose a format, then say where to."""
        player = self.ready(draws=False)
        if player is None:
            return
        name = self.keeper.saver.name if self.keeper is not None else ""
        stem = name or slug(first_words(player.session)) or "text"

        def choose(kind: str) -> Callable[[], None]:
            return lambda: self.open_command(f"export {copying.free_name(stem, '.' + kind)}")

        entries = [(kind, choose(kind), about) for kind, about in ENDINGS.items()]
        self.app.push_screen(chooser(entries, placeholder="Export what is on the screen as; then its file name"))

    def export_to(self, text: str) -> None:
        """Write the path on the screen to a file of this name; the ending says the format."""
        player = self.ready(draws=False)
        if player is None:
            return
        if not text:
            self.action_export()
            return
        path = Path(text).expanduser()
        kind = next((each for each in reversed(ENDINGS) if path.name.lower().endswith("." + each)), "")
        if not kind:
            self.say(f"export needs a file name that ends in {', '.join('.' + each for each in ENDINGS)}", "warn")
        elif os.path.lexists(path):
            self.say(f"{path} is there already: choose another name", "warn")
        else:
            self.run_worker(self._export(path, kind, player), group="export")

    async def _export(self, path: Path, kind: str, player: Player) -> None:
        session, source = still(player.session), self.source
        try:
            if kind == SESSION:
                await asyncio.to_thread(record.save, session, path, source=source, cursor=self.stream.cursor)
            else:
                now = record.snapshot(session, source).first
                summary = Summary(
                    path=path, saved=now["saved"], name=now["name"], mode=session.mode, tokens=now["tokens"],
                    branches=now["branches"], words=now["words"], source=source,
                )  # fmt: skip
                chunks = (chunk.encode() for chunk in export(Recording(session=session, summary=summary), kind))
                await asyncio.to_thread(files.write_atomic, path, chunks)
        except TinychatError as error:
            self.say(error_line(error), "warn")
        else:
            self.say(f"exported to {path.absolute()}")
