"""The unit interval as the draw saw it: every kept token owns a slice, the uniform number falls into one.

Pure rows, no widget.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import cell_len

from tinychat.engine.trace import Odds, Step
from tinychat.tui.lineview import Piece, Row, bare, fit
from tinychat.tui.palette import GlyphSet

SLACK = 1e-4  # a share is told in single precision


def dart_rows(
    odds: Odds, step: Step | None, label: Callable[[int], str], width: int, glyphs: GlyphSet, *, plain: bool
) -> list[Row]:
    """Three rows: the dart, the slices, the numbers. `plain` draws the slices without grounds of colour."""
    if width < 12:
        return []
    if step is not None and not is_dart(step):
        step = None  # slices without a dart
    kept = sorted((c for c in odds.candidates if c.final > 0), key=lambda c: (-c.final, c.token))
    pieces: list[Piece] = []
    low = 0.0
    x = 0
    for index, candidate in enumerate(kept):
        high = min(low + candidate.final, 1.0)
        chosen = step is not None and candidate.token == step.token
        if chosen and step is not None:
            low, high = step.low, step.high
        stop = round(high * width)
        role = "slice_chosen" if chosen else "slice_a" if index % 2 == 0 else "slice_b"
        size = stop - x
        if size > 0:
            pieces.append((_inside(label(candidate.token), size, glyphs, plain=plain), role))
            x = stop
        low = high
    pieces.append((glyphs.ghost * (width - x), "ghost"))
    top: Row = ()
    numbers = [(0, "0"), (width - 1, "1")]
    if step is not None:
        at = min(int(step.u * width), width - 1)
        text = f"u {step.u:.3f}"
        before = at + 2 + len(text) <= width
        gap = at if before else at - len(text) - 1
        top = (
            (" " * at, "text"), (glyphs.dart + " " + text, "dart"),
        ) if before else ((" " * gap, "text"), (text + " " + glyphs.dart, "dart"))  # fmt: skip
        numbers += [(round(step.low * width), f"{step.low:.3f}"), (round(step.high * width), f"{step.high:.3f}")]
    return [top, tuple(pieces), _scale(numbers, width)]


def is_dart(step: Step) -> bool:
    """Whether its u fell into its slice: not for a person's token, nor for a guess that passed a test of its own."""
    return not step.forced and abs(step.high - step.low - step.final) < SLACK


def _inside(label: str, size: int, glyphs: GlyphSet, *, plain: bool) -> str:
    """A slice with the label in its middle, if there is room for some of it."""
    text = bare(label)
    room = size - 2 if size > 3 else 0
    if cell_len(text) > room:
        text = fit(text, room, more=glyphs.more) if room >= 3 else ""
    fill = glyphs.fill if plain else " "
    left = (size - cell_len(text)) // 2
    inside = fill * left + text + fill * (size - cell_len(text) - left)
    return glyphs.wall + inside[1:] if plain else inside


def _scale(numbers: list[tuple[int, str]], width: int) -> Row:
    cells = [" "] * width
    taken = [False] * (width + 1)
    for x, text in numbers:
        start = min(max(x, 0), width - len(text))
        if not any(taken[max(start - 1, 0) : start + len(text) + 1]):
            cells[start : start + len(text)] = text
            taken[start : start + len(text)] = [True] * len(text)
    return (("".join(cells), "quiet"),)
