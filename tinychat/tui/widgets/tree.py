"""The list of branches: a row for each, and only those that are seen are made. Choosing one goes out as a message."""

from __future__ import annotations

from typing import Protocol

from rich.cells import cell_len
from textual import events
from textual.message import Message

from tinychat.tui.branchrows import BranchRow
from tinychat.tui.lineview import LineView, Piece, Row, fit, padded
from tinychat.tui.palette import Look, spelled

FACTS = 16  # cells of tokens and perplexity
NAME = 30  # cells that the name of a branch gets before its settings do
WHEEL_ROWS = 3


def _end(row: BranchRow) -> str:
    return ", ".join(word for word in ("here" if row.here else "", row.end) if word)


class Rows(Protocol):
    """Rows on demand."""

    @property
    def total(self) -> int: ...
    def __len__(self) -> int: ...
    def row(self, index: int) -> BranchRow: ...


class TreeView(LineView):
    """The tree panel's inside. `selected` is a row; None: the one we stand on."""

    class Chosen(Message):
        """The person wants to go to a branch."""

        def __init__(self, view: TreeView, number: int) -> None:
            super().__init__()
            self.view = view
            self.number = number

        @property
        def control(self) -> TreeView:
            return self.view

    def __init__(self, look: Look | None = None, *, id: str | None = None) -> None:
        super().__init__(look, id=id)
        self.selected: int | None = None
        self._rows_of: Rows | None = None
        self._here = 0
        self._first = 0
        self._held: int | None = None  # first row by the wheel, until the selection moves

    def show(self, rows: Rows, *, here: int) -> None:
        """Show these rows; `here` is the row we stand on."""
        if here != self._here:
            self._held = None
        self._rows_of, self._here = rows, here
        if self.selected is not None:
            self.selected = min(self.selected, max(len(rows) - 1, 0))
        self.redraw()

    def walk(self, delta: int) -> int | None:
        """Select another row; the branch it shows."""
        if self._rows_of is None or not len(self._rows_of):
            return None
        self._held = None
        at = self._here if self.selected is None else self.selected
        self.selected = min(max(at + delta, 0), len(self._rows_of) - 1)
        self.redraw()
        return self._rows_of.row(self.selected).number

    def forget(self) -> None:
        """Nothing is selected: back to the branch we stand on."""
        self.selected = self._held = None
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        event.stop()
        row = self._first + event.y - self._head(self.size.height)
        if self._rows_of is not None and event.y >= self._head(self.size.height) and 0 <= row < len(self._rows_of):
            self.selected = row
            self.post_message(self.Chosen(self, self._rows_of.row(row).number))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._wheel(WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._wheel(-WHEEL_ROWS)

    def _wheel(self, delta: int) -> None:
        self._held = self._first + delta
        self.redraw()

    # -- painting -----------------------------------------------------------------------------------------------------

    def _head(self, height: int) -> int:
        return 1 if height > 3 else 0

    def rows(self, width: int, height: int) -> list[Row]:
        if self._rows_of is None or not len(self._rows_of):
            return [((" no text yet", "quiet"),)]
        head, count = self._head(height), len(self._rows_of)
        room = max(height - head, 1)
        mark = self._here if self.selected is None else self.selected
        if self._held is not None:
            self._first = self._held
        elif not self._first <= mark < self._first + room:
            self._first = mark - room // 2
        self._first = max(0, min(self._first, count - room))
        shown = [self._rows_of.row(at) for at in range(self._first, min(self._first + room, count))]
        ends = min(max([len(_end(row)) for row in shown], default=0), max(width - FACTS - NAME // 2, 0))
        settings = max([cell_len(row.settings) for row in shown], default=0)
        settings = min(settings, max(width - FACTS - ends - NAME, 0))
        name = width - FACTS - ends - settings - (2 if settings else 0)
        rows: list[Row] = []
        if head:
            titles = f"{'tok':>6}{'ppl':>8}  {fit('differs', settings) + '  ' if settings else ''}"
            total = self._rows_of.total
            about = f"   branch @ token where it parts ({total})" if name > 40 else f"   branch @ token ({total})"
            rows.append(((fit(about, name), "faint"), (titles, "faint")))
        for at, row in enumerate(shown, self._first):
            rows.append(self._row(row, name=name, settings=settings, width=width, selected=at == mark))
        return rows

    def _row(self, row: BranchRow, *, name: int, settings: int, width: int, selected: bool) -> Row:
        glyphs = self.look.glyphs
        role = "chosen" if row.here else "strong" if row.on_path else "text"
        sign = ">" if selected else " "
        first = f"{sign}{self._rails(row)}{'*' if row.here else ''}{row.number} "
        folded = f" +{row.below}" if row.below else ""
        pieces: list[Piece] = [(first, role)]
        if row.label:
            pieces.append((f"{row.label} ", role))
        pieces += [(spelled(row.begins, glyphs), "text" if row.on_path else "quiet"), (folded, "dart")]
        lack = self.glyphs.lack
        ppl = lack if row.perplexity is None else f"{row.perplexity:.1f}" if row.perplexity < 1e4 else ">9999"
        facts = f"{row.tokens:>6}{ppl:>8}  "
        changed = fit(spelled(row.settings, glyphs), settings, more=self.glyphs.more) + "  " if settings else ""
        whole = (
            *padded(tuple(pieces), name - 1), (" ", "text"), (facts, "text"), (changed, "moved"), (_end(row), "quiet"),
        )  # fmt: skip
        if not selected:
            return whole
        return tuple((text, f"{role}+selected") for text, role in padded(whole, width))

    def _rails(self, row: BranchRow) -> str:
        through, corner, tee = ("|  ", "`- ", "|- ") if self.look.glyphs == "ascii" else ("│ ", "└ ", "├ ")
        if not row.depth:
            return ""
        above = "".join(through if rail else " " * len(through) for rail in row.rails)
        far = "~ " if row.depth - 1 > len(row.rails) else ""
        if row.goes_on:
            return far + above + (" " * len(through) if row.last else through)
        return far + above + (corner if row.last else tee)
