"""The frame around a view, and the widget that holds all of them where a PlayLayout says."""

from __future__ import annotations

from textual.containers import Container
from textual.content import Content
from textual.geometry import Region
from textual.layout import Layout
from textual.widget import Widget

from tinychat.tui.layouts import PlayLayout


class Panel(Container):
    """A border with a number and a title around one view."""

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


class Body(Widget):
    """Everything, where a PlayLayout puts it: `styles.layout` takes only Textual's own by name."""

    def __init__(self, play_layout: PlayLayout) -> None:
        super().__init__(id="body")
        self._play_layout = play_layout

    @property
    def layout(self) -> Layout:
        return self._play_layout
