"""A loss curve in characters: braille dots for training, circles for the held-out points, axes with round numbers.

The two can be told apart without colour, and without Unicode (dots and o). Pure: points in, lines out. Nothing here
knows terminals or training.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

Point = tuple[float, float]

# no yellow: nothing of it is seen on a white ground
TRAIN_STYLE, VALID_STYLE, AXIS_STYLE = "cyan", "bold magenta", "dim"
EARLY = 0.1  # of the steps: a start far above all else would press the rest flat, so it may leave the frame
SMALLEST = (12, 3)  # columns and rows below which a plot says nothing


@dataclass(frozen=True, slots=True)
class Signs:
    """What a plot is drawn with: `across` x `down` dots in one character."""

    across: int
    down: int
    valid: str
    corner: str
    side: str
    base: str
    tick: str


BRAILLE = Signs(2, 4, "●", "└", "│", "─", "┤")
ASCII = Signs(1, 2, "o", "+", "|", "-", "+")
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of U+2800, by column and row
_HALVES = (" ", "'", ".", ":")  # ASCII: nothing, upper, lower, both


def plot(train: Sequence[Point], valid: Sequence[Point], *, width: int, height: int, ascii_only: bool) -> list[Text]:
    """`height` lines of at most `width` columns: loss over step. Points come sorted; those that are not finite go."""
    signs = ASCII if ascii_only else BRAILLE
    train = [point for point in train if math.isfinite(point[1])]
    valid = [point for point in valid if math.isfinite(point[1])]
    if not train and not valid:
        return _empty(width, height)
    low, high = frame_range(train, valid)
    ticks = round_ticks(low, high, max(3, height // 3))
    labels = {row_of(tick, low, high, height - 2): tick_text(tick, ticks) for tick in ticks}
    margin = max(map(len, labels.values()), default=1)
    columns, rows = width - margin - 2, height - 2
    if columns < SMALLEST[0] or rows < SMALLEST[1]:
        return _empty(width, height)
    last = max(point[0] for point in (*train[-1:], *valid[-1:]))
    first = min(point[0] for point in (*train[:1], *valid[:1]))
    last = max(last, first + 1)
    grid = _curve(train, first, last, low, high, columns, rows, signs)
    circles = _circles(valid, first, last, low, high, columns, rows)
    lines = []
    for row in range(rows):
        label = labels.get(row, "")
        line = Text(f"{label:>{margin}} {signs.tick if label else signs.side}", style=AXIS_STYLE, no_wrap=True)
        start = 0
        for place in sorted(column for held, column in circles if held == row):
            line.append("".join(grid[row][start:place]), TRAIN_STYLE)
            line.append(signs.valid, VALID_STYLE)
            start = place + 1
        line.append("".join(grid[row][start:]), TRAIN_STYLE)
        lines.append(line)
    lines.append(Text(" " * (margin + 1) + signs.corner + signs.base * columns, style=AXIS_STYLE, no_wrap=True))
    lines.append(Text(" " * (margin + 2) + steps_line(first, last, columns), style=AXIS_STYLE, no_wrap=True))
    return lines


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers (1, 2, 5 times a power of ten) from low to high."""
    span = max(high - low, 1e-12)
    power = 10.0 ** math.floor(math.log10(span / max(1, most)))
    step = next(power * times for times in (1, 2, 5, 10, 20) if span / (power * times) <= most)
    return [count * step for count in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)][:most]


def frame_range(train: Sequence[Point], valid: Sequence[Point]) -> tuple[float, float]:
    """The lowest and the highest loss to show, with a little room."""
    points = [*train, *valid]
    last = max(step for step, _ in points)
    settled = [loss for step, loss in points if step >= last * EARLY] or [loss for _, loss in points]
    low, high = min(settled), max(settled)
    room = max(0.05 * (high - low), 1e-3, 1e-6 * abs(high))
    return low - room, high + room


def row_of(value: float, low: float, high: float, rows: int) -> int:
    """The row of a loss, from the top."""
    return min(rows - 1, max(0, int((high - value) / (high - low) * rows)))


def _curve(
    train: Sequence[Point], first: float, last: float, low: float, high: float, columns: int, rows: int, signs: Signs
) -> list[list[str]]:
    """Characters of the curve, joined from column to column by upright strokes."""
    across, down = columns * signs.across, rows * signs.down
    dots = [[0] * columns for _ in range(rows)]
    before: int | None = None
    for x, loss in enumerate(levels_of(train, first, last, across)):
        if loss is None:
            continue
        y = (high - loss) / (high - low) * down
        here = min(down - 1, max(-1, int(y)))  # -1: above the frame
        start, end = (here, here) if before is None else (min(here, before), max(here, before))
        if before is not None and end > start:  # the dot before stands in its own column already
            start, end = (start + 1, end) if before == start else (start, end - 1)
        for dot in range(max(0, start), end + 1):
            dots[dot // signs.down][x // signs.across] |= _bit(x % signs.across, dot % signs.down, signs)
        before = here
    return [
        [_HALVES[bits] if signs is ASCII else (chr(0x2800 + bits) if bits else " ") for bits in row] for row in dots
    ]


def _bit(x: int, y: int, signs: Signs) -> int:
    return 1 << y if signs is ASCII else _DOTS[x][y]


def levels_of(points: Sequence[Point], first: float, last: float, across: int) -> list[float | None]:
    """The loss at each of `across` columns: the mean of the points there, or between its neighbours."""
    steps = [step for step, _ in points]
    levels: list[float | None] = []
    for column in range(across):
        start = first + (last - first) * column / across
        end = first + (last - first) * (column + 1) / across
        begin, stop = bisect_left(steps, start), bisect_left(steps, end)
        if column == across - 1:
            stop = len(steps)
        if stop > begin:
            levels.append(sum(loss for _, loss in points[begin:stop]) / (stop - begin))
        elif 0 < begin < len(points):
            (x0, y0), (x1, y1) = points[begin - 1], points[begin]
            levels.append(y0 + (y1 - y0) * ((start + end) / 2 - x0) / (x1 - x0))
        else:
            levels.append(None)
    return levels


def _circles(
    valid: Sequence[Point], first: float, last: float, low: float, high: float, columns: int, rows: int
) -> set[tuple[int, int]]:
    return {
        (row_of(loss, low, high, rows), min(columns - 1, int((step - first) / (last - first) * columns)))
        for step, loss in valid
        if loss <= high
    }


def steps_line(first: float, last: float, columns: int) -> str:
    """Round whole numbers below the axis."""
    line = [" "] * columns
    for tick in round_ticks(first, last, max(2, columns // 14)):
        label = f"{int(tick)}"
        place = int((tick - first) / (last - first) * columns)
        start = min(place, columns - len(label))
        if tick == int(tick) and all(letter == " " for letter in line[max(0, start - 1) : start + len(label) + 1]):
            line[start : start + len(label)] = label
    return "".join(line).rstrip()


def tick_text(tick: float, ticks: Sequence[float]) -> str:
    """A tick with the digits that tell it from its neighbours."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else tick
    digits = max(0, -math.floor(math.log10(abs(step)) + 1e-9)) if step else 0
    return f"{tick:.{digits}f}"


def _empty(width: int, height: int) -> list[Text]:
    note = "the curve comes with the first steps"[: max(0, width)]
    return [Text(note if row == height // 2 else "", style=AXIS_STYLE, no_wrap=True) for row in range(height)]
