"""Entropy over time: one column a token, with the cursor's place beneath.

Knows nothing of tokens; two series of bits come in, the second (after sampling settings) is drawn inside the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinychat.tui import palette
from tinychat.tui.lineview import LineView, Piece, Row, merged

AXIS = 6  # cells of "12.0 |"
MOST_LABELS = 6
_TOPS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0)


class EntropyView(LineView, can_focus=False):
    """Bars of bits. `second` lies inside `values` and is drawn stronger."""

    _values: Sequence[float] = ()
    _second: Sequence[float] = ()
    _cursor: int | None = None

    def show(self, values: Sequence[float], cursor: int | None, second: Sequence[float] = ()) -> None:
        """Show these bits; the window follows the cursor, or the end where it is None."""
        self._values, self._second, self._cursor = values, second, cursor
        self.redraw()

    def rows(self, width: int, height: int) -> list[Row]:
        columns = width - AXIS
        if columns < 2 or height < 1:
            return []
        first = self._window(columns)
        shown = [_finite(bits) for bits in self._values[first : first + columns]]
        second = [_finite(bits) for bits in self._second[first : first + columns]]
        bars = height - 1 if height > 1 else 1
        top = _top(max(shown, default=0.0))
        cursor = -1 if self._cursor is None else self._cursor - first
        roles = [f"tint{max(palette.heat_of_bits(bits), 0)}" for bits in shown]
        if 0 <= cursor < len(roles):
            roles[cursor] = "bar_chosen"
        rows = [self._bar_row(shown, second, roles, top, bars, row) for row in range(bars - 1, -1, -1)]
        if height > 1:
            rows.append(self._axis_row(first, len(shown), columns, cursor))
        return rows

    def _window(self, columns: int) -> int:
        """The first token shown: the last screenful, or one around the cursor."""
        last = max(len(self._values) - columns, 0)
        if self._cursor is None or self._cursor >= last:
            return last
        return min(max(self._cursor - columns // 2, 0), last)

    def _bar_row(
        self, shown: list[float], second: list[float], roles: list[str], top: float, bars: int, row: int
    ) -> Row:
        plain, levels = self._plain, self.glyphs.levels
        labelled = (bars - 1 - row) % math.ceil(bars / MOST_LABELS) == 0
        label = f"{top * (row + 1) / bars:4.1f} " if labelled else " " * (AXIS - 1)
        pieces: list[Piece] = [(label, "quiet"), (self.glyphs.tee if labelled else self.glyphs.wall, "faint")]
        for index, bits in enumerate(shown):
            outer = _level(bits, top, bars, row, levels)
            if outer == " ":
                pieces.append((outer, "text"))  # of one role, so that a row of them is one segment
                continue
            role = roles[index]
            if index >= len(second):
                pieces.append((outer, role))
                continue
            inner = _level(min(second[index], bits), top, bars, row, levels)
            if plain:
                pieces.append(self._plain_cell(bits / top * bars - row, second[index] / top * bars - row, outer, role))
            elif inner == " ":
                pieces.append((outer, "ghost"))
            elif outer == levels[-1] != inner:
                pieces.append((inner, role + "+on_ghost"))  # both meet inside this cell
            else:
                pieces.append((inner, role))
        return merged(pieces)

    @property
    def _plain(self) -> bool:
        """Whether glyphs, not colours, must tell the two series apart."""
        return self.look.colors == "none" or self.look.glyphs == "ascii"

    def _plain_cell(self, outer: float, inner: float, glyph: str, role: str) -> Piece:
        """A cell of two series in glyphs: full, shaded, or the tip of the shaded part; in shares of the cell."""
        if inner >= 0.5:
            return self.glyphs.levels[-1], role
        return (self.glyphs.shade, "ghost") if outer >= 0.5 else (glyph, "ghost")

    def _axis_row(self, first: int, shown: int, columns: int, cursor: int) -> Row:
        glyphs = self.glyphs
        cells = [(glyphs.rule, "faint")] * columns
        if 0 <= cursor < columns:
            cells[cursor] = (glyphs.up, "chosen")
        span = f" {first + 1}..{first + shown}" if shown else ""
        if len(span) < columns // 2:
            # the numbers of the first and last token shown, on the side where the cursor is not
            at = columns - len(span) if cursor < columns - len(span) else 0
            cells[at : at + len(span)] = [(char, "quiet") for char in (span if at else span[1:] + " ")]
        return ((" " * (AXIS - 1), "text"), (glyphs.corner, "faint"), *merged(cells))


def _finite(bits: float) -> float:
    return bits if math.isfinite(bits) and bits > 0 else 0.0


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
