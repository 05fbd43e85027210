"""A whole screen over the play screen: a title, its rows, and a line that says which keys it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widget import Widget

from tinychat.engine.wire import Answer
from tinychat.tui.compositor import use_rows
from tinychat.tui.lineview import Piece, Row
from tinychat.tui.palette import Look, spelled
from tinychat.tui.player import Player
from tinychat.tui.widgets.lines import Lines

Result = TypeVar("Result")


class View(Screen[Result]):
    """Subclasses yield their widgets in `body`; Esc or q goes back."""

    TITLE_TEXT = ""
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="view.back", tooltip="Back to the play screen.", show=False),
        Binding("ctrl+q", "leave", "Leave", id="view.leave", tooltip="End the program.", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    View { layout: vertical; background: $background; color: $foreground; }
    View > .view-line { height: 1; background: $background; }
    View > .view-body { height: 1fr; background: $background; }
    """

    _left = False

    def __init__(self, look: Look) -> None:
        super().__init__()
        use_rows(self)
        self.look = look
        self.title_line = Lines(look, classes="view-line")
        self.foot_line = Lines(look, classes="view-line")
        self.foot_line.has_keys = True
        self.set_class(look.glyphs == "ascii", "ascii")

    def body(self) -> ComposeResult:
        """The widgets between the title and the foot."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        yield self.title_line
        with Container(classes="view-body"):
            yield from self.body()
        yield self.foot_line

    def show_title(self, *pieces: tuple[str, str]) -> None:
        """The first row: what this is, and how things stand."""
        row = self._spelled((" ", "text"), (self.TITLE_TEXT, "strong"), ("  ", "text"), *pieces)
        used, whole = 0, 4  # the name and the first fact stay, cut if need be; of the others none is cut
        for count, (text, _) in enumerate(row, 1):
            used += cell_len(text)
            if used <= self.app.size.width:
                whole = max(whole, count)
        self.title_line.show(row[:whole])

    def show_foot(self, *pieces: tuple[str, str]) -> None:
        """The last row: its keys, or a notice; what is not wholly in sight is left out, but for the first."""
        row: list[Piece] = [(" ", "text")]
        used = 1
        for text, role in pieces:
            shown = text if self.look.glyphs == "ascii" else text.replace("<- ->", "← →").replace("Up Down", "↑ ↓")
            if used + cell_len(shown.rstrip()) > self.app.size.width and len(row) > 1:
                if text.startswith(" "):
                    del row[-1]  # a key goes with its word
                break
            used += cell_len(shown)
            row.append((shown, role))
        self.foot_line.show(self._spelled(*row))

    def _spelled(self, *pieces: tuple[str, str]) -> Row:
        return tuple((spelled(text, self.look.glyphs), role) for text, role in pieces)

    def panel(self, view: Widget, title: str, *, id: str) -> Container:
        """A border with a title around one widget."""
        panel = Container(view, id=id, classes="panel")
        panel.border_title = title
        return panel

    def ask(self, player: Player, kind: str, values: dict[str, Any], listener: Callable[[Answer], None]) -> None:
        """Ask the engine, unless this view is being left: an answer must not meet a screen whose widgets are gone."""
        if not self._left:
            player.ask(kind, values, listener)

    def forget(self) -> None:
        """Called on leaving: take back what was asked."""

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        # only once: what else came in the same burst of keys would take away the screen below
        if self.app.screen is not self:
            return AwaitComplete()
        self._leave()
        return super().dismiss(result)

    def on_unmount(self) -> None:
        self._leave()  # the program may end without a dismissal

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self.forget()

    def action_back(self) -> None:
        self.dismiss(None)

    def action_leave(self) -> None:
        self.app.exit(0)
