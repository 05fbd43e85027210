"""The frame around a view, and the widget that holds all of them where a PlayLayout says."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.containers import Container
from textual.content import Content
from textual.geometry import Region
from textual.layout import Layout
from textual.message import Message
from textual.widget import Widget

from tinychat.tui.layouts import PlayLayout


class Panel(Container):
    """A border with a number and a title around one view."""

    class NoteClicked(Message):
        """A click on the words of the lower border: all of them, and the place in them, counted from 0."""

        def __init__(self, note: str, at: int) -> None:
            super().__init__()
            self.note, self.at = note, at

    def __init__(self, view: Widget, *, id: str) -> None:
        super().__init__(view, id=id, classes="panel")

    def entitle(self, title: str, note: str) -> None:
        """What stands on the upper and the lower border, as plain text."""
        width, height = self.size  # inside the border
        if (words := Content(title)) != self._border_title:
            # Textual's own way to set a title paints all that is inside again
            self._border_title = words
            self.refresh(Region(-1, -1, width + 2, 1))
        if (words := Content(note)) != self._border_subtitle:
            self._border_subtitle = words
            self.refresh(Region(-1, height, width + 2, 1))

    def on_click(self, event: events.Click) -> None:
        width, height = self.outer_size
        note = "" if self._border_subtitle is None else self._border_subtitle.plain
        at = event.x - (width - 3 - cell_len(note))  # at the right, before a blank and two cells of the border
        if event.y == height - 1 and 0 <= at < len(note):
            self.post_message(self.NoteClicked(note, at))


class Body(Widget):
    """Everything, where a PlayLayout puts it: `styles.layout` takes only Textual's own by name."""

    def __init__(self, play_layout: PlayLayout) -> None:
        super().__init__(id="body")
        self._play_layout = play_layout

    @property
    def layout(self) -> Layout:
        return self._play_layout
