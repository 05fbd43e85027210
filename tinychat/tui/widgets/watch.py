"""Watched tokens over time: a row of small bars for each, column by column under the chart above it.

Pure rows, no widget. A bar's height is the probability, from 0 to 1; what was not recorded has a sign of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinychat.engine.packing import Share
from tinychat.tui.bars import percent
from tinychat.tui.lineview import Piece, Row, fit, merged
from tinychat.tui.palette import GlyphSet

TAIL = 15  # cells of " 12.3 > 100.0%"
SEEN = 0.005  # a smaller probability leaves its cell empty


@dataclass(frozen=True, slots=True)
class Watched:
    """One token: its label, what every token's record says of it, and what is said at the cursor."""

    label: str
    shares: Sequence[Share]
    here: Share | None = None


def watch_rows(
    watched: Sequence[Watched], *, first: int, columns: int, cursor: int, label_cells: int, room: int, glyphs: GlyphSet
) -> list[Row]:
    """At most `room` rows: raw and final beneath each other where there is room for both, else raw alone.

    `first` is the token of the first column, `cursor` the column to be marked.
    """
    both = 2 * len(watched) <= room
    shown = watched if both or len(watched) <= room else watched[: max(room - 1, 0)]
    rows: list[Row] = []
    for each in shown:
        here = each.shares[first : first + columns]
        label = fit(each.label, label_cells - 1, more=glyphs.more) + " "
        tail = _tail(each.here)
        if both:
            rows.append(_row(label, "text", [s.raw for s in here], columns, cursor, glyphs, "bar", (" raw", "faint")))
            blank = " " * label_cells
            rows.append(_row(blank, "text", [s.final for s in here], columns, cursor, glyphs, "bar", tail))
        else:
            rows.append(_row(label, "text", [s.raw for s in here], columns, cursor, glyphs, "bar", tail))
    if len(shown) < len(watched) and room > 0:
        rows.append(((f" {len(watched) - len(shown)} more watched: a larger window shows them", "quiet"),))
    return rows


def _row(
    label: str,
    role: str,
    shares: list[float | None],
    columns: int,
    cursor: int,
    glyphs: GlyphSet,
    bar: str,
    tail: Piece,
) -> Row:
    cells: list[Piece] = [(label, role), (glyphs.wall, "faint")]
    for index, share in enumerate(shares):
        over = "_chosen" if index == cursor else ""
        cells.append(("?", "faint") if share is None else (_level(share, glyphs.levels), bar + over))
    cells.append((" " * (columns - len(shares)), "text"))
    return merged([*cells, tail])


def _level(share: float, levels: str) -> str:
    if share < SEEN:
        return " "
    return levels[min(max(round(share * len(levels)), 1), len(levels)) - 1]


def _tail(share: Share | None) -> Piece:
    if share is None:
        return ("", "text")
    if share.raw is None:
        return (f" raw under {percent(share.below)}%", "quiet")
    final = "?" if share.final is None else percent(share.final)
    return (f" {percent(share.raw)} > {final}%", "strong")
