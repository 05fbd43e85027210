"""The candidates of some lanes at one place, a column each, as rows of text. No widgets here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinychat.tui.bars import percent
from tinychat.tui.lanes import Lane
from tinychat.tui.lineview import Piece, Row, fit


def columns(
    lanes: Sequence[tuple[str, Lane, int | None]],
    label: Callable[[Lane, int], str],
    *,
    width: int,
    height: int,
    more: str,
) -> list[Row]:
    """A head and the likeliest candidates of every lane at its position, raw and final in percent."""
    if height < 2 or not lanes:
        return []
    cells = width // len(lanes) - 1
    made = [_column(name, lane, at, label, cells, height, more) for name, lane, at in lanes]
    return [tuple(piece for column in made for piece in ((" ", "text"), column[row])) for row in range(height)]


def _column(
    name: str, lane: Lane, at: int | None, label: Callable[[Lane, int], str], cells: int, height: int, more: str
) -> list[Piece]:
    step = lane.step(at) if at is not None else None
    if at is None or step is None:
        words = f"{name}: nothing here yet" if at is None else f"{name}: given, no odds"
        return [(fit(words, cells, more=more), "quiet"), *[(" " * cells, "text")] * (height - 1)]
    room = max(cells - 16, 4)
    place = f"{name} token {at - lane.start + 1}"
    rows: list[Piece] = [(fit(f"{fit(place, room + 3, more=more)}   raw% final%", cells), "quiet")]
    shown = list(step.odds.candidates[: height - 1])
    chosen = next((each for each in step.odds.candidates if each.token == step.token), None)
    if chosen is not None and chosen not in shown:
        shown[-1] = chosen
    for each in shown:
        mark = ">" if each.token == step.token else " "
        final = percent(each.final) if each.final else "cut"
        text = f"{mark}{fit(label(lane, each.token), room + 1, more=more)} {percent(each.raw):>6} {final:>6}"
        rows.append((fit(text, cells), "chosen" if mark == ">" else "text" if each.final else "quiet"))
    return rows + [(" " * cells, "text")] * (height - len(rows))
