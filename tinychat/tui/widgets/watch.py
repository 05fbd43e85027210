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

TAIL = 13  # cells of " final 100.0%"
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
        here, at = each.shares[first : first + columns], each.here
        label = fit(each.label, label_cells - 1, more=glyphs.more) + " "
        raws = _row(label, [_bar(share) for share in here], columns, cursor, glyphs)
        if both:
            rows.append((*raws, (f" raw   {_raw(at)}" if at else "", "strong")))
            finals = _row(" " * label_cells, [share.final for share in here], columns, cursor, glyphs)
            rows.append((*finals, (f" final {_final(at)}" if at else "", "strong")))
        else:
            rows.append((*raws, (f" {_raw(at)[:-1]}>{_final(at)}" if at else "", "strong")))
    if len(shown) < len(watched) and room > 0:
        rows.append(((f" {len(watched) - len(shown)} more watched: a larger window shows them", "quiet"),))
    return rows


def _row(label: str, shares: list[float | None], columns: int, cursor: int, glyphs: GlyphSet) -> Row:
    cells: list[Piece] = [(label, "text"), (glyphs.wall, "faint")]
    for index, share in enumerate(shares):
        bar = "bar_chosen" if index == cursor else "bar"
        cells.append(("?", "faint") if share is None else (_level(share, glyphs.levels), bar))
    return merged([*cells, (" " * (columns - len(shares)), "text")])


def _bar(share: Share) -> float | None:
    """The raw probability to draw; what is known to be too small for a bar needs no sign of its own."""
    return share.below if share.raw is None and share.below < SEEN else share.raw


def _level(share: float, levels: str) -> str:
    if share < SEEN:
        return " "
    return levels[min(max(round(share * len(levels)), 1), len(levels)) - 1]


def _raw(share: Share) -> str:
    if share.raw is not None:
        return f"{percent(share.raw)}%"
    return f"<{percent(share.below).removeprefix('<')}%"


def _final(share: Share) -> str:
    return "?" if share.final is None else f"{percent(share.final)}%"
