"""Entropy over time: one column a token, with the cursor's place beneath.

Knows nothing of tokens; two series of bits come in, the second (after sampling settings) is drawn inside the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinychat.tui import palette
from tinychat.tui.lineview import LineView, Piece, Row

AXIS = 6  # cells of "12.0 |"
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
        rows = [self._bar_row(shown, second, top, bars, row, cursor) for row in range(bars - 1, -1, -1)]
        if height > 1:
            rows.append(self._axis_row(first, len(shown), columns, cursor))
        return rows

    def _window(self, columns: int) -> int:
        """The first token shown: the last screenful, or one around the cursor."""
        last = max(len(self._values) - columns, 0)
        if self._cursor is None or self._cursor >= last:
            return last
        return min(max(self._cursor - columns // 2, 0), last)

    def _bar_row(self, shown: list[float], second: list[float], top: float, bars: int, row: int, cursor: int) -> Row:
        glyphs = self.glyphs
        pieces: list[Piece] = [(f"{top * (row + 1) / bars:4.1f} ", "quiet"), (glyphs.tee, "faint")]
        for index, bits in enumerate(shown):
            inner = second[index] if index < len(second) else bits
            glyph = _level(bits, top, bars, row, glyphs.levels)
            inner_glyph = _level(inner, top, bars, row, glyphs.levels)
            if glyph == " ":
                role = "text"
            elif inner_glyph == " " and bits > inner:
                role = "ghost"
            else:
                # where the two meet in one cell the inner one wins: it is what was drawn from
                glyph, role = inner_glyph, f"heat{max(palette.heat_of_bits(bits), 0)}"
            if index == cursor and glyph != " ":
                role = "bar_chosen"
            if len(pieces) > 2 and pieces[-1][1] == role:
                pieces[-1] = (pieces[-1][0] + glyph, role)
            else:
                pieces.append((glyph, role))
        return tuple(pieces)

    def _axis_row(self, first: int, shown: int, columns: int, cursor: int) -> Row:
        glyphs = self.glyphs
        span = f" {first + 1}..{first + shown}" if shown else ""
        length = max(min(max(shown, cursor + 1), columns), 1)
        if length + len(span) > columns:
            span = ""
        before = min(max(cursor, 0), length)
        pieces: list[Piece] = [(" " * (AXIS - 1), "text"), (glyphs.corner, "faint")]
        if 0 <= cursor < length:
            pieces += [(glyphs.rule * before, "faint"), (glyphs.up, "chosen"),
                       (glyphs.rule * (length - before - 1), "faint")]  # fmt: skip
        else:
            pieces.append((glyphs.rule * length, "faint"))
        pieces.append((span, "quiet"))
        return tuple(pieces)


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
