"""The frame around a view, and the widget that holds all of them where a PlayLayout says."""

from __future__ import annotations

from textual.containers import Container
from textual.layout import Layout
from textual.widget import Widget

from tinychat.tui.layouts import PlayLayout


class Panel(Container):
    """A border with a number and a title around one view."""

    def __init__(self, view: Widget, *, id: str) -> None:
        super().__init__(view, id=id, classes="panel")


class Body(Widget):
    """Everything, where a PlayLayout puts it: `styles.layout` takes only Textual's own by name."""

    def __init__(self, play_layout: PlayLayout) -> None:
        super().__init__(id="body")
        self._play_layout = play_layout

    @property
    def layout(self) -> Layout:
        return self._play_layout
