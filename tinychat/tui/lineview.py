"""A widget that paints finished rows: the base of every view that changes many times a second.

Rows are tuples of (text, role). They become strips once, are kept, and only cells that changed are painted again.
Overriding `render_lines` skips Textual's borders, padding and filters: put a border on a container around a view;
filters are applied here, once to each style. Knows nothing of tokens or odds.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tinychat.text.terminal import clean
from tinychat.tui import palette
from tinychat.tui.palette import GLYPHS, GlyphSet, Look
from tinychat.tui.wrap import cut_cells

Piece = tuple[str, str]  # text, role of palette.ROLES; several roles joined by "+" are laid over each other
Row = tuple[Piece, ...]

EMPTY: Row = ()


def safe(text: str) -> str:
    """The text as one line without control, bidi or zero-width characters: the last fence before a Segment."""
    return text if text.isprintable() else clean(text, keep="")


@functools.lru_cache(maxsize=1 << 14)  # most pieces of a picture were in the last one too
def measured(text: str) -> tuple[str, int]:
    """The text as `safe` makes it, and its cells."""
    text = safe(text)
    return text, cell_len(text)


def fit(text: str, width: int, *, more: str = "", right: bool = False) -> str:
    """The text in exactly `width` cells; a longer one ends in `more`."""
    size = cell_len(text)
    if size > width:
        text = set_cell_size(text, max(width - cell_len(more), 0)) + more if width > cell_len(more) else text
        return set_cell_size(text, width)
    return " " * (width - size) + text if right else text + " " * (width - size)


def bare(label: str) -> str:
    """A token's label without the quotes and signs for blanks around it, for places where every cell counts."""
    return safe(label).strip("\"' ␣⎵·") or safe(label)


def row_text(row: Row, width: int) -> str:
    """The plain text of a row as painted, `width` cells wide."""
    return set_cell_size("".join(safe(text) for text, _ in row), width)


def merged(pieces: Iterable[Piece]) -> Row:
    """The pieces with neighbours of one role joined: a Segment costs time and bytes."""
    joined: list[Piece] = []
    for text, role in pieces:
        if joined and joined[-1][1] == role:
            joined[-1] = (joined[-1][0] + text, role)
        elif text:
            joined.append((text, role))
    return tuple(joined)


def padded(row: Row, width: int) -> Row:
    """The row in exactly `width` cells, so that something can stand at a fixed column after it."""
    pieces: list[Piece] = []
    for text, role in row:
        text, cells = measured(text)
        if cells > width:
            text, cells = fit(text, width), width
        width -= cells
        pieces.append((text, role))
    return (*pieces, (" " * width, "text"))


def changed_cells(old: Row, new: Row) -> tuple[int, int]:
    """The cells of a row, first and behind the last, outside which both look the same; equal if all do."""
    size = min(len(old), len(new))
    same = 0
    while same < size and old[same] == new[same]:
        same += 1
    first = _cells(new[:same])
    left, right = _cells(old[same:]), _cells(new[same:])
    last = first + max(left, right)
    if left == right:  # what ends both rows stands in the same place
        tail = -1
        while tail >= same - size and old[tail] == new[tail]:
            last -= measured(new[tail][0])[1]
            tail -= 1
    if same < size and last > first:
        (was, role), (now, other) = old[same], new[same]
        if role == other and was.isascii() and now.isascii():
            first = min(first + _common(was, now), last)
    return first, last


def _cells(row: Row) -> int:
    return sum([measured(text)[1] for text, _ in row])


def _common(one: str, other: str) -> int:
    """How many cells of two ASCII texts begin alike."""
    count = 0
    for a, b in zip(safe(one), safe(other), strict=False):
        if a != b:
            break
        count += 1
    return count


class LineView(Widget):
    """Paints `rows(width, height)`; call `redraw()` when their content changed."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "LineView { width: 1fr; height: 1fr; }"

    def __init__(
        self,
        look: Look | None = None,
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._look = look or Look()
        self._rows: list[Row] = []
        self._rows_size = (-1, -1)
        self._strips: dict[int, Strip] = {}
        self._styles: dict[str, Style] = {}

    # -- what a view says ---------------------------------------------------------------------------------------------

    def rows(self, width: int, height: int) -> list[Row]:
        """The rows to show, at most `height`; each is padded or cut to `width` cells."""
        raise NotImplementedError

    @property
    def look(self) -> Look:
        return self._look

    @look.setter
    def look(self, look: Look) -> None:
        if look != self._look:
            self._look = look
            self.restyle()
            self.look_changed()

    def look_changed(self) -> None:
        """Called after another look was set; for views that lay out glyphs ahead of painting."""

    @property
    def glyphs(self) -> GlyphSet:
        return GLYPHS[self._look.glyphs]

    # -- painting -----------------------------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Take the rows again and repaint the cells that differ."""
        width, height = self.size
        if not width or not height:
            self._rows_size = (-1, -1)  # taken again when it is seen again
            return
        new = self._take_rows(width, height)
        old, self._rows = self._rows, new
        if self._rows_size != (width, height):
            self._rows_size = (width, height)
            self._strips.clear()
            self.refresh()
            return
        changed: list[Region] = []
        for y, (row, before) in enumerate(zip(new, old, strict=True)):
            if row is not before and row != before:
                self._strips.pop(y, None)
                first, last = changed_cells(before, row)
                if first < min(last, width):
                    changed.append(Region(first, y, min(last, width) - first, 1))
        if changed:
            self.refresh(*changed)

    def restyle(self) -> None:
        """Forget all styles and strips, after a change of theme or look."""
        self._styles.clear()
        self._strips.clear()
        self._rows_size = (-1, -1)
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.restyle()

    def strip_at(self, y: int) -> Strip:
        """The finished strip of a visible row."""
        width, height = self.size
        if self._rows_size != (width, height):
            self._rows_size = (width, height)
            self._rows = self._take_rows(width, height)
            self._strips.clear()
        strip = self._strips.get(y)
        if strip is None:
            strip = self._strips[y] = self.make_strip(self._rows[y] if y < len(self._rows) else EMPTY, width)
        return strip

    def part_at(self, y: int, first: int, last: int) -> list[Segment]:
        """The cells `first` to `last` of a visible row."""
        width, height = self.size
        if self._rows_size != (width, height):
            self.strip_at(y)
        segments, x = [], 0
        for text, role in self._rows[y] if y < len(self._rows) else EMPTY:
            text, cells = measured(text)
            if x + cells > first and x < last:
                start, stop = max(first - x, 0), min(last - x, cells)
                text = text if stop - start == cells else cut_cells(text, start, stop)
                segments.append(Segment(text, self.style_of(role)))
            x += cells
            if x >= last:
                return segments
        segments.append(Segment(" " * (last - max(x, first)), self.style_of("text")))
        return segments

    def _take_rows(self, width: int, height: int) -> list[Row]:
        rows = self.rows(width, height)[:height]
        return rows + [EMPTY] * (height - len(rows))

    def make_strip(self, row: Iterable[Piece], width: int) -> Strip:
        """A strip of exactly `width` cells in the styles of this look."""
        segments, cells = [], 0
        for text, role in row:
            text, size = measured(text)
            if text:
                segments.append(Segment(text, self.style_of(role)))
                cells += size
        if cells > width:
            return Strip(segments, cells).crop(0, width)
        if cells < width:
            segments.append(Segment(" " * (width - cells), self.style_of("text")))
        return Strip(segments, width)

    def style_of(self, role: str) -> Style:
        """The style of a role over the widget's own, through the app's filters."""
        style = self._styles.get(role)
        if style is None:
            dark = self.app.current_theme.dark if self.is_attached else True
            table = palette.styles(self._look.colors, dark=dark)
            style = self.rich_style if self.is_attached else Style()
            if self._look.colors == "none":
                style = style.without_color
            for part in role.split("+"):
                style += table[part]
            self._styles[role] = style = self._filtered(style)
        return style

    def _filtered(self, style: Style) -> Style:
        if not self.is_attached:
            return style
        _, background = self.background_colors
        segments = [Segment(" ", style)]
        for line_filter in self.get_line_filters():
            segments = line_filter.apply(segments, background)
        return segments[0].style or style

    def render_lines(self, crop: Region) -> list[Strip]:
        strips = [self.strip_at(y) for y in crop.line_range]
        if crop.x or crop.width != self.size.width:
            strips = [strip.crop(crop.x, crop.right) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        return self.strip_at(y)

    def on_resize(self) -> None:
        self.redraw()
