"""The card of one token: sentences, and beneath them the unit interval with every token's slice and the draw."""

from __future__ import annotations

from collections.abc import Callable

from tinychat.engine.trace import Odds, Step
from tinychat.tui.lineview import Piece, Row
from tinychat.tui.scrolled import ScrolledView
from tinychat.tui.widgets.dart import dart_rows
from tinychat.tui.widgets.lines import wrap

LEAST_TEXT = 3  # rows of text beside which the interval has a place


class WhyView(ScrolledView, can_focus=False):
    """Wrapped sentences, one role each; the picture stays in place while they scroll."""

    _text: tuple[Piece, ...] = ()
    _odds: Odds | None = None
    _step: Step | None = None
    _label: Callable[[int], str] = staticmethod(str)

    def show(self, text: tuple[Piece, ...], odds: Odds | None, step: Step | None, label: Callable[[int], str]) -> None:
        """These sentences, of a step or of the odds before it."""
        if text != self._text:
            self._text, self._first = text, 0
        self._odds, self._step, self._label = odds, step, label
        self.redraw()

    def rows(self, width: int, height: int) -> list[Row]:
        rows: list[Row] = [((f" {line}", role),) for text, role in self._text for line in wrap(text, max(width - 2, 1))]
        picture = self._picture(width - 2) if height >= LEAST_TEXT + 3 else []
        room = height - len(picture)
        self._first = max(0, min(self._first, len(rows) - room))
        shown = rows[self._first : self._first + room]
        if picture and len(rows) > self._first + room > 0:  # said where it can be seen: at the end of the last line
            more = f" {self.glyphs.more}{len(rows) - self._first - room} more"
            shown[-1] = (*_cut(shown[-1], width - len(more) - 1), (more, "quiet"))
        return [*shown, *[()] * (room - len(shown)), *picture]

    def _picture(self, width: int) -> list[Row]:
        if self._odds is None or not self._odds.kept:
            return []
        plain = self.look.colors == "none" or self.look.glyphs == "ascii"
        rows = dart_rows(self._odds, self._step, self._label, width, self.glyphs, plain=plain)
        return [((" ", "text"), *row) for row in rows]


def _cut(row: Row, width: int) -> Row:
    ((text, role),) = row
    return ((text[:width].ljust(width), role),)
