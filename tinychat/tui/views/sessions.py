"""The list of saved sessions: type to search names, texts and models, Enter opens, Delete asks and deletes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from tinychat.errors import TinychatError
from tinychat.session.autosave import Autosave
from tinychat.session.claim import is_claimed
from tinychat.session.first_line import Summary
from tinychat.session.saved import remove, saved, text_of
from tinychat.text.terminal import clean
from tinychat.tui.lineview import EMPTY, Piece, Row, fit, safe
from tinychat.tui.palette import Look
from tinychat.tui.scrolled import ScrolledView
from tinychat.tui.views.view import View
from tinychat.tui.widgets.lines import Lines
from tinychat.tui.widgets.prompt import OneLine
from tinychat.tui.wording import clock_time, error_line

WHEN, NAME, NUMBER, MODEL = 15, 16, 8, 24  # cells of the columns
AROUND = 24  # characters of the text before what was found


class SessionRows(ScrolledView):
    """One row a session, the chosen one marked."""

    entries: tuple[tuple[Summary, str, str], ...] = ()  # session, what is special about it, the words to show
    chosen = 0

    class Opened(Message):
        """A row was clicked that was chosen already."""

    def show(self, entries: tuple[tuple[Summary, str, str], ...]) -> None:
        """These rows; the choice stays within them."""
        self.entries = entries
        self.choose(self.chosen)

    def choose(self, index: int) -> None:
        self.chosen = max(0, min(index, len(self.entries) - 1))
        self.redraw()

    def scroll_rows(self, delta: int) -> None:
        self.choose(self.chosen + delta)

    def rows(self, width: int, height: int) -> list[Row]:
        room = max(height - 1, 1)
        self._first = max(0, min(self._first, self.chosen, len(self.entries) - room))
        self._first = max(self._first, self.chosen - room + 1)
        if not self.entries:
            return [EMPTY, (("  nothing is saved here yet, or nothing has these words", "quiet"),)]
        shown = self.entries[self._first : self._first + room]
        return [self._head(width), *(self._row(self._first + i, each, width) for i, each in enumerate(shown))]

    def _widths(self, width: int) -> tuple[int, int]:
        """Cells of the words and of the model; a narrow list has no room for the model."""
        model = MODEL if width >= 110 else 0
        return max(width - 2 - WHEN - 1 - NAME - 1 - 2 * (NUMBER + 1) - (model + 1 if model else 0) - 1, 8), model

    def _head(self, width: int) -> Row:
        words, model = self._widths(width)
        numbers = f"{'tokens':>{NUMBER}} {'branches':>{NUMBER}}"
        text = f"  {'saved':<{WHEN}} {'name':<{NAME}} {'first words':<{words}} {numbers}"
        return ((f"{text} {'model':<{model}}" if model else text, "quiet"),)

    def _row(self, index: int, entry: tuple[Summary, str, str], width: int) -> Row:
        each, special, said = entry
        words, model = self._widths(width)
        chosen = index == self.chosen
        more = self.glyphs.more
        mark = ">" if chosen and self.look.glyphs == "ascii" else self.glyphs.pointer if chosen else " "
        pieces: list[Piece] = [
            (f"{mark} {fit(clock_time(each.saved), WHEN, more=more)} ", "text"),
            (fit(safe(each.name), NAME, more=more) + " ", "strong"),
        ]
        if special:
            tag = f"{special} "
            pieces.append((tag, "dart"))
            words = max(words - cell_len(tag), 4)
        pieces.append((fit(safe(said), words, more=more), "quiet" if special else "text"))
        pieces.append((f" {each.tokens:>{NUMBER}} {each.branches:>{NUMBER}}", "quiet"))
        if model:
            pieces.append((" " + fit(safe(Path(each.source.path).name or "?"), model, more=more), "quiet"))
        return tuple((text, f"{role}+selected" if chosen else role) for text, role in pieces)

    def on_click(self, event: events.Click) -> None:
        index = self._first + event.y - 1
        if event.y < 1 or index >= len(self.entries):
            return
        if index == self.chosen:
            self.post_message(self.Opened())
        self.choose(index)


class SessionsView(View[Path | None]):
    """Gives the file of the session to open, or None. `saver` writes the one on the screen."""

    TITLE_TEXT = "Sessions"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", id="sessions.up", tooltip="The session above.", show=False, priority=True),
        Binding("down", "move(1)", "Down", id="sessions.down", tooltip="The session below.", show=False, priority=True),
        Binding("pageup", "move(-10)", "Page up", id="sessions.page_up", tooltip="Ten rows up.", show=False,
                priority=True),
        Binding("pagedown", "move(10)", "Page down", id="sessions.page_down", tooltip="Ten rows down.", show=False,
                priority=True),
        Binding("enter", "open", "Open", id="sessions.open", tooltip="Open this session; the present one is saved.",
                show=False, priority=True),
        Binding("delete,ctrl+d", "delete", "Delete", id="sessions.delete", tooltip="Delete this session; asks first.",
                show=False, priority=True),
    ]  # fmt: skip
    DEFAULT_CSS = """
    SessionsView #find, SessionsView #find:focus {
        border: none; height: 1; padding: 0 1; background: $background; color: $foreground;
    }
    SessionsView #find .input--cursor { text-style: reverse; background: transparent; color: $foreground; }
    SessionsView .view-body { layout: vertical; }
    SessionsView #detail { height: 1; }
    """

    def __init__(self, look: Look, saver: Autosave | None = None) -> None:
        super().__init__(look)
        self._saver = saver
        self._here: Path | None = None
        self._all: list[Summary] = []
        self._special: dict[Path, str] = {}
        self._texts: dict[Path, str] = {}  # as far as they are read; case folded
        self._asking: Summary | None = None
        self._sought = ""  # what the list shows the sessions for

    def body(self) -> ComposeResult:
        self.find = OneLine(placeholder="type to search names, texts, models", id="find", select_on_focus=False)
        self.list = SessionRows(self.look, id="list")
        self.detail = Lines(self.look, id="detail")
        yield self.find
        yield self.list
        yield self.detail

    def on_mount(self) -> None:
        self.set_focus(self.find)
        self._say_keys()
        self.run_worker(self._read(), group="read")

    async def _read(self) -> None:
        """The list at once; then the texts, for the search."""
        if self._saver is not None:
            await asyncio.to_thread(self._saver.settle)  # so that it is in the list
            self._here = self._saver.path
        self._all = await asyncio.to_thread(saved)
        for each in self._all:
            if each.path == self._here:
                self._special[each.path] = "on screen"
            elif await asyncio.to_thread(is_claimed, each.path):
                self._special[each.path] = "open elsewhere"
            elif each.open:
                self._special[each.path] = "cut off"
        newest = [each for each in self._all if self._special.get(each.path) == "cut off"]
        self._filter()
        if self._all and newest and newest[0].path in {each.path for each in self._all[:2]}:
            self.list.choose(self._all.index(newest[0]))
        self._say_detail()
        for each in list(self._all):
            try:
                self._texts[each.path] = (await asyncio.to_thread(text_of, each.path)).casefold()
            except TinychatError:
                self._special[each.path] = "damaged"
        self._filter()

    @on(Input.Changed, "#find")
    def _filter(self) -> None:
        self._sought = self.find.value
        wanted = " ".join(self._sought.casefold().split())
        entries = []
        for each in self._all:
            words = each.words
            if wanted and wanted not in f"{each.name} {each.path.stem} {words} {self._about(each)}".casefold():
                at = self._texts.get(each.path, "").find(wanted)
                if at < 0:
                    continue
                words = self._texts[each.path][max(0, at - AROUND) : at + 80]
            entries.append((each, self._special.get(each.path, ""), clean(words, keep="")))
        self.list.show(tuple(entries))
        count = f"{len(entries)} of {len(self._all)}" if wanted else f"{len(self._all)}"
        self.show_title((count, "quiet"))
        self._say_detail()

    def _picked(self) -> Summary | None:
        """The chosen session among those that fit what is typed: Enter may overtake the box's own message."""
        if self.find.value != self._sought:
            self._filter()
        return self.list.entries[self.list.chosen][0] if self.list.entries else None

    def _say_detail(self) -> None:
        """What drew the chosen session, and the name by which a command finds it."""
        each = self._picked()
        if each is None:
            self.detail.show(EMPTY)
            return
        # the name first: on a narrow screen the rest is cut off
        self.detail.show(((f" {clean(each.path.stem, keep='')}  {self._about(each)}", "quiet"),))

    def _about(self, each: Summary) -> str:
        """What drew it, and how."""
        model = Path(each.source.path).name or "unknown model"
        step = f" step {each.source.step}" if each.source.step else ""
        return f"{each.mode}, {clean(model, keep='')}{step}"

    def _say_keys(self) -> None:
        keys = (("Enter", "open"), ("Del", "delete"), ("Esc", "back"))
        self.show_foot(*(piece for key, word in keys for piece in ((key, "strong"), (f" {word}  ", "quiet"))))

    # keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While it asks, only the answer counts."""
        return self._asking is None or action in ("back", "leave")

    def action_move(self, delta: int) -> None:
        self.list.choose(self.list.chosen + delta)
        self._say_keys()
        self._say_detail()

    def action_open(self) -> None:
        if (each := self._picked()) is not None:
            self.dismiss(each.path)

    @on(SessionRows.Opened)
    def _clicked(self) -> None:
        self.action_open()

    def action_back(self) -> None:
        if self._asking is not None:
            self._answered(yes=False)
        elif self.find.value:
            self.find.value = ""
        else:
            self.dismiss(None)

    def action_delete(self) -> None:
        each = self._picked()
        if each is None:
            return
        if each.path == self._here:
            self.show_foot(("that is the session on the screen", "warn"))
            return
        self._asking = each
        self.set_focus(None)
        name = each.name or each.words or each.path.stem
        self.show_foot(
            (f"delete '{clean(name, keep='')[:30]}', {each.tokens} tokens, for good?", "warn"), ("  y", "strong"),
            (" deletes  ", "quiet"), ("any other key", "strong"), (" keeps it", "quiet"),
        )  # fmt: skip

    def on_key(self, event: events.Key) -> None:
        if self._asking is not None:
            event.stop()
            event.prevent_default()
            self._answered(yes=event.key == "y")

    def _answered(self, *, yes: bool) -> None:
        each, self._asking = self._asking, None
        self.set_focus(self.find)
        self._say_keys()
        if not yes or each is None:
            return
        try:
            remove(each.path)
        except TinychatError as error:
            self.show_foot((error_line(error), "warn"))
            return
        self._all.remove(each)
        self._filter()
