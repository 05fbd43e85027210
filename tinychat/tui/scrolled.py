"""A list of rows that may be longer than its panel, for keys and the wheel."""

from __future__ import annotations

from textual import events
from textual.message import Message

from tinychat.tui.lineview import LineView


class ScrolledView(LineView):
    """`_first` is the first row to be seen; `rows` keeps it where there are rows."""

    _first = 0

    def scroll_rows(self, delta: int) -> None:
        """Move over the rows, as far as there are any."""
        self._first += delta
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_rows(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_rows(-1)


class WheelView(LineView):
    """Rows whose screen keeps the place: the wheel is told to it, `wheel_rows` at a time."""

    wheel_rows = 1

    class Scrolled(Message):
        """The wheel was turned."""

        def __init__(self, delta: int) -> None:
            super().__init__()
            self.delta = delta

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.post_message(self.Scrolled(self.wheel_rows))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.post_message(self.Scrolled(-self.wheel_rows))
