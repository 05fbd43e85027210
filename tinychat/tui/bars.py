"""Bars and numbers out of characters: a share of 1 as cells, and as percent."""

from __future__ import annotations

from tinychat.tui.lineview import Piece
from tinychat.tui.palette import GlyphSet


def bar(share: float, width: int, glyphs: GlyphSet) -> str:
    """A bar of `share` of `width` cells; anything above 0 shows something."""
    return _cells(_eighths(share, width, glyphs), glyphs)


def odds_bar(raw: float, final: float, width: int, glyphs: GlyphSet, *, chosen: bool, color: bool) -> list[Piece]:
    """One bar for two shares: solid up to `final`, of which the part that the settings added is lighter.

    Where they took something away, a ghost goes on to `raw`. Without colour the added part has a glyph of its own.
    """
    tail = "_chosen" if chosen else ""
    had, has = _eighths(raw, width, glyphs), _eighths(final, width, glyphs)
    levels = len(glyphs.eighths)
    if has <= had:
        solid = _cells(has, glyphs)
        return [(solid, "bar" + tail), (glyphs.ghost * (round(had / levels) - len(solid)), "ghost")]
    if not color or levels == 1:
        whole = round(had / levels)
        return [
            (glyphs.eighths[-1] * whole, "bar" + tail),
            (glyphs.gain * (round(has / levels) - whole), "gain" + tail),
        ]
    whole, part = divmod(had, levels)
    pieces = [(glyphs.eighths[-1] * whole, "bar" + tail)]
    if part and has >= (whole + 1) * levels:  # both meet inside a cell: one is its background
        pieces.append((glyphs.eighths[part - 1], f"bar{tail}+on_gain{tail}"))
        whole += 1
    return [*pieces, (_cells(has - whole * levels, glyphs), "gain" + tail)]


def percent(share: float) -> str:
    """A probability as at most five characters of percent: 100.0, 36.5, 0.04, <.01."""
    value = share * 100
    if value >= 0.1 or value == 0:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.01 else "<.01"


def _eighths(share: float, width: int, glyphs: GlyphSet) -> int:
    """How many of the finest steps of the bar are filled."""
    filled = round(min(max(share, 0.0), 1.0) * width * len(glyphs.eighths))
    return 1 if share > 0 and width and not filled else filled


def _cells(filled: int, glyphs: GlyphSet) -> str:
    whole, part = divmod(filled, len(glyphs.eighths))
    return glyphs.eighths[-1] * whole + (glyphs.eighths[part - 1] if part else "")
