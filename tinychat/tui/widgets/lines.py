"""Single lines of the screen: header, status, help. They show the pieces they are given."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from tinychat.tui.lineview import LineView, Piece, Row, fit

FACT = 30  # cells of the longest group that is shown whole or not at all


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
