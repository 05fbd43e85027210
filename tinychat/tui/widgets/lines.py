"""Single lines of the screen: header, status, help. They show the pieces they are given."""

from __future__ import annotations

from rich.cells import cell_len

from tinychat.tui.lineview import LineView, Piece, Row, fit


class Lines(LineView):
    """A few rows of pieces, cut at the edge."""

    _content: tuple[Row, ...] = ()

    def show(self, *content: Row) -> None:
        """Draw these rows."""
        if content != self._content:
            self._content = content
            self.redraw()

    def rows(self, width: int, height: int) -> list[Row]:
        return list(self._content)


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


def joined(groups: list[tuple[Piece, ...]], *, separator: str = " | ") -> Row:
    """Groups of pieces with a quiet bar between them."""
    pieces: list[Piece] = [(" ", "text")]
    for index, group in enumerate(groups):
        if index:
            pieces.append((separator, "faint"))
        pieces += group
    return tuple(pieces)
