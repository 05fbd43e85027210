"""Numbers over time: one column a token, with the cursor's place beneath, and the watched tokens under it.

Knows nothing of tokens; two series come in, raw and final (after the sampling settings), drawn into each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinychat.tui import palette
from tinychat.tui.lineview import LineView, Piece, Row, merged
from tinychat.tui.palette import Look
from tinychat.tui.widgets.watch import TAIL, Watched, watch_rows

AXIS = 6  # cells of "12.0 |"
LABELLED_AXIS = 14  # the same with names of watched tokens before it
LEGEND = 20  # cells of what the parts of a bar are
LEAST_CHART = 3  # rows that the watched tokens leave to the chart
PAGES = 4  # the window moves on by this part of itself: then most tokens change one column of the screen
MOST_COLUMNS = 2048  # finished ones that are kept
MOST_LABELS = 6
_TOPS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0)


class EntropyView(LineView, can_focus=False):
    """Bars of bits. What `second` lacks of `values` is a ghost, what it has beyond them is lighter."""

    _values: Sequence[float] = ()
    _second: Sequence[float] = ()
    _watched: Sequence[Watched] = ()
    _cursor: int | None = None
    _heat = True

    def __init__(self, look: Look | None = None, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self._columns: dict[tuple[object, ...], list[Piece]] = {}

    def look_changed(self) -> None:
        self._columns.clear()

    def show(
        self,
        values: Sequence[float],
        cursor: int | None,
        second: Sequence[float] = (),
        *,
        watched: Sequence[Watched] = (),
        heat: bool = True,
    ) -> None:
        """Show these bits; the window follows the cursor, or the end where it is None. `heat` tints by surprise."""
        self._values, self._second, self._cursor = values, second, cursor
        self._watched, self._heat = watched, heat
        self.redraw()

    def rows(self, width: int, height: int) -> list[Row]:
        watched = self._watched if height > LEAST_CHART else ()
        axis, tail = (LABELLED_AXIS, TAIL) if watched else (AXIS, 0)
        if width < 44:  # a narrow panel gives the names up before the picture
            watched, axis, tail = (), AXIS, 0
        columns = width - axis - tail
        if columns < 2 or height < 1:
            return []
        first = self._window(columns)
        cursor = -1 if self._cursor is None else self._cursor - first
        below = watch_rows(
            watched, first=first, columns=columns, cursor=cursor, label_cells=axis - 1,
            room=height - LEAST_CHART, glyphs=self.glyphs,
        )  # fmt: skip
        chart = self._chart(axis, columns, height - len(below), first, cursor)
        return chart + below

    def _chart(self, axis: int, wide: int, height: int, first: int, cursor: int) -> list[Row]:
        shown = [_finite(bits) for bits in self._values[first : first + wide]]
        second = [_known(bits) for bits in self._second[first : first + wide]]
        bars = height - 1 if height > 1 else 1
        top = _top(max((*shown, *(bits or 0.0 for bits in second)), default=0.0))
        columns = [
            self._column(bits, second[at] if at < len(second) else None, top, bars, chosen=at == cursor)
            for at, bits in enumerate(shown)
        ]
        rows = [
            merged([*self._label(top, bars, row, axis), *(column[row] for column in columns)])
            for row in range(bars - 1, -1, -1)
        ]
        if height > 1:
            rows.append(self._axis_row(first, len(shown), wide, cursor, axis))
        return rows

    def _window(self, columns: int) -> int:
        """The first token shown: the last screenful, or one around the cursor."""
        page = max(columns // PAGES, 1)
        last = max(-(-(len(self._values) - columns) // page) * page, 0)
        if self._cursor is None or self._cursor >= last:
            return last
        return min(max(self._cursor - columns // 2, 0), last)

    def _label(self, top: float, bars: int, row: int, axis: int) -> Row:
        """What stands before the bars of a row."""
        labelled = (bars - 1 - row) % math.ceil(bars / MOST_LABELS) == 0
        label = f"{top * (row + 1) / bars:{axis - 2}.1f} " if labelled else " " * (axis - 1)
        return ((label, "quiet"), (self.glyphs.tee if labelled else self.glyphs.wall, "faint"))

    def _column(self, bits: float, final: float | None, top: float, bars: int, *, chosen: bool) -> list[Piece]:
        """The cells of one token from the lowest up; made once."""
        key = (bits, final, top, bars, chosen, self._heat)
        column = self._columns.get(key)
        if column is None:
            if len(self._columns) >= MOST_COLUMNS:
                self._columns.clear()
            role = "bar_chosen" if chosen else f"tint{max(palette.heat_of_bits(bits), 0)}" if self._heat else "bar"
            column = self._columns[key] = [self._bar(bits, final, top, bars, row, role) for row in range(bars)]
        return column

    def _bar(self, bits: float, final: float | None, top: float, bars: int, row: int, role: str) -> Piece:
        levels = self.glyphs.levels
        most = bits if final is None else max(bits, final)
        outer = _level(most, top, bars, row, levels)
        if outer == " ":
            return outer, "text"  # of one role, so that a row of them is one segment
        if final is None:
            return outer, role
        least = min(bits, final)
        inner = _level(least, top, bars, row, levels)
        tops = (most / top * bars - row, least / top * bars - row)
        return self._cell(outer, inner, tops, role, gain=final > bits)

    def _cell(self, outer: str, inner: str, tops: tuple[float, float], role: str, *, gain: bool) -> Piece:
        """A cell of both series: the larger one's glyph, the smaller one's, and where they end in shares of it."""
        beyond, levels = "gain" if gain else "ghost", self.glyphs.levels
        if self._plain:
            if tops[1] >= 0.5:
                return levels[-1], role
            return (self.glyphs.gain if gain else self.glyphs.shade, beyond) if tops[0] >= 0.5 else (outer, beyond)
        if inner == " ":
            return outer, beyond
        if outer == levels[-1] != inner:
            return inner, f"{role}+on_{beyond}"  # both meet inside this cell
        return inner, role

    @property
    def _plain(self) -> bool:
        """Whether glyphs, not colours, must tell the two series apart."""
        return self.look.colors == "none" or self.look.glyphs == "ascii"

    def _legend(self) -> list[Piece]:
        """Which part of a bar is which, in cells."""
        full = self.glyphs.levels[-1]
        ghost = self.glyphs.shade if self._plain else full
        return [*_signs(" "), (full, "bar_chosen"), *_signs(" final "), (ghost, "ghost"), *_signs(" more raw ")]

    def _axis_row(self, first: int, shown: int, columns: int, cursor: int, axis: int) -> Row:
        glyphs = self.glyphs
        cells = [(glyphs.rule, "faint")] * columns
        if 0 <= cursor < columns:
            cells[cursor] = (glyphs.up, "chosen")
        told = [(char, "quiet") for char in f" {first + 1}..{first + shown}"] if shown else []
        if len(told) + LEGEND < columns // 2 and len(self._second):
            told = self._legend() + told
        if len(told) < columns // 2:
            # the numbers of the first and last token shown, on the side where the cursor is not
            at = columns - len(told) if cursor < columns - len(told) else 0
            cells[at : at + len(told)] = told if at else [*told[1:], (" ", "quiet")]
        return ((" " * (axis - 1), "text"), (glyphs.corner, "faint"), *merged(cells))


def _signs(text: str) -> list[Piece]:
    return [(char, "quiet") for char in text]


def _finite(bits: float) -> float:
    return bits if math.isfinite(bits) and bits > 0 else 0.0


def _known(bits: float) -> float | None:
    return None if math.isnan(bits) else _finite(bits)


def _top(most: float) -> float:
    """The end of the axis: few steps, so that it rarely moves while text streams."""
    return next((top for top in _TOPS if most <= top), math.ceil(most))


def _level(bits: float, top: float, bars: int, row: int, levels: str) -> str:
    """The glyph of one cell of a column; row 0 is the lowest, where anything above zero shows."""
    filled = bits / top * bars - row
    if filled >= 1:
        return levels[-1]
    step = round(filled * len(levels))
    if row == 0 and bits > 0:
        step = max(step, 1)
    return levels[step - 1] if step > 0 else " "
