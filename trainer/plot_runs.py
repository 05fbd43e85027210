"""Loss curves of several runs in one frame, each drawn with its own letter; and a whole curve in a few characters.

Letters are told apart without colour. Pure: points in, lines out. Nothing here knows terminals or files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from trainer.plot import ASCII as PLAIN
from trainer.plot import (
    AXIS_STYLE,
    BRAILLE,
    SMALLEST,
    Point,
    frame_range,
    levels_of,
    round_ticks,
    row_of,
    steps_line,
    tick_text,
)

LETTERS = "ABCDEFGH"
STYLES = ("cyan", "magenta", "green", "red", "blue", "yellow", "default", "bright_black")
SHARED = "*"  # where curves meet
BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"


def plot_runs(curves: Sequence[Sequence[Point]], *, width: int, height: int, ascii_only: bool) -> list[Text]:
    """`height` lines: the curves by letter, over a common axis. Points come sorted; only finite ones are drawn."""
    signs = PLAIN if ascii_only else BRAILLE
    curves = [[point for point in curve if math.isfinite(point[1])] for curve in curves]
    points = sorted(point for curve in curves for point in curve)
    if not points:
        return [Text("there is no step yet")]
    low, high = frame_range(points, ())
    ticks = round_ticks(low, high, max(3, height // 3))
    rows = height - 2
    labels = {row_of(tick, low, high, rows): tick_text(tick, ticks) for tick in ticks}
    margin = max(map(len, labels.values()), default=1)
    columns = width - margin - 2
    if columns < SMALLEST[0] or rows < SMALLEST[1]:
        return [Text("too little room for a plot")]
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    cells: dict[tuple[int, int], int] = {}  # which curve; -1 for several
    for number, curve in enumerate(curves):
        for column, row in _places(curve, first, last, low, high, columns, rows):
            cells[row, column] = number if cells.get((row, column), number) == number else -1
    lines = []
    for row in range(rows):
        label = labels.get(row, "")
        line = Text(f"{label:>{margin}} {signs.tick if label else signs.side}", style=AXIS_STYLE, no_wrap=True)
        for column in range(columns):
            owner = cells.get((row, column))
            if owner is None:
                line.append(" ")
            else:
                line.append(*((SHARED, "bold") if owner < 0 else (LETTERS[owner], STYLES[owner])))
        lines.append(line)
    lines.append(Text(" " * (margin + 1) + signs.corner + signs.base * columns, style=AXIS_STYLE, no_wrap=True))
    lines.append(Text(" " * (margin + 2) + steps_line(first, last, columns), style=AXIS_STYLE, no_wrap=True))
    return lines


def _places(
    curve: Sequence[Point], first: float, last: float, low: float, high: float, columns: int, rows: int
) -> list[tuple[int, int]]:
    """(column, row) of a curve, without what is above the frame."""
    levels = levels_of(curve, first, last, columns) if curve else []
    return [
        (column, row_of(level, low, high, rows))
        for column, level in enumerate(levels)
        if level is not None and level <= high
    ]


def sparkline(curve: Sequence[Point], width: int, *, ascii_only: bool) -> str:
    """The curve in `width` characters of eight heights, its early peak cut off."""
    curve = [point for point in curve if math.isfinite(point[1])]
    if not curve:
        return ""
    bars = ASCII_BARS if ascii_only else BARS
    levels = levels_of(curve, curve[0][0], max(curve[-1][0], curve[0][0] + 1), width)
    low, high = frame_range(curve, ())
    return "".join(
        " " if level is None else bars[min(7, max(0, int((level - low) / (high - low) * 8)))] for level in levels
    )
