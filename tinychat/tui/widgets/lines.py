"""Single lines of the screen: header, status, help. They show the pieces they are given."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size
from textual import events

from tinychat.tui.keynames import read_shown
from tinychat.tui.lineview import LineView, Piece, Row, fit

FACT = 30  # cells of the longest group that is shown whole or not at all


class Lines(LineView):
    """A few rows of pieces, cut at the edge."""

    has_keys = False  # its first row says keys and what they do: a click on one presses it
    _content: tuple[Row, ...] = ()

    def show(self, *content: Row) -> None:
        """Draw these rows."""
        if content != self._content:
            self._content = content
            self.redraw()

    def rows(self, width: int, height: int) -> list[Row]:
        return list(self._content)

    def on_click(self, event: events.Click) -> None:
        line = "".join(text for text, _ in self._content[0]) if self.has_keys and self._content else ""
        if (key := key_at(line, event.x)) is not None:
            event.stop()
            self.app.simulate_key(key)


def key_at(line: str, x: int) -> str | None:
    """The key that stands in column `x` of a line like ` Space run  ← → token`, or that the word there belongs to."""
    for part in re.finditer(r"\S+(?: \S+)*", line):
        begin = cell_len(line[: part.start()])
        if begin <= x < begin + cell_len(part.group()):
            words = part.group().split(" ")
            for word in words:
                if x <= begin + cell_len(word):
                    return read_shown(word) or read_shown(words[0])
                begin += cell_len(word) + 1
    return None


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` cells, broken at spaces where there are any."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and cell_len(line) + 1 + cell_len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [fit(each, max(width, 1)).rstrip() for each in [*lines, line]]


def joined(groups: list[tuple[Piece, ...]], *, width: int = 0, separator: str = " | ") -> Row:
    """Groups of pieces with a quiet bar between them; of a width, a fact there is no room for is left out whole."""
    pieces: list[Piece] = [(" ", "text")]
    used = 1
    for index, group in enumerate(groups):
        cells = sum(cell_len(text) for text, _ in group) + (len(separator) if index else 0)
        if index and width and used + cells > width and cells <= FACT:
            continue  # half a number would be another number
        if index:
            pieces.append((separator, "faint"))
        if width and used + cells > width and len(group) == 1:
            text, role = group[0]
            group = ((shortened(text, width - used - (len(separator) if index else 0)), role),)
        pieces += group
        used += cells
    return tuple(pieces)


def shortened(text: str, width: int) -> str:
    """The sentences of a text that have room in `width` cells; without one, the words, with dots behind."""
    if cell_len(text) <= width:
        return text
    kept = set_cell_size(text, max(width, 0))
    if (end := kept.rfind(". ")) > 0:
        return kept[: end + 1]
    return set_cell_size(text, max(width - 4, 0)).rpartition(" ")[0] + " ..."
