"""The candidates of one position: raw and final odds as numbers and bars, who cut whom, and where the draw fell.

Reads Odds and Step records; a function gives the label of an id. Selecting and taking go out as messages.
"""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.message import Message
from textual.reactive import reactive

from tinychat.engine.trace import Candidate, Odds, Step
from tinychat.tui.bars import odds_bar, percent
from tinychat.tui.lineview import LineView, Piece, Row, fit, safe
from tinychat.tui.palette import Look, spelled
from tinychat.tui.widgets.dart import dart_rows

DART_HEIGHT = 12  # from this height on the unit interval is drawn beneath the table
WHEEL_ROWS = 3


class CandidatesView(LineView, can_focus=True):
    """The candidates panel's inside. `selected` is an index into `odds.candidates`."""

    selected: reactive[int] = reactive(0, init=False, repaint=False)

    class Selected(Message):
        """The person pointed at a candidate."""

        def __init__(self, view: CandidatesView, index: int) -> None:
            super().__init__()
            self.view = view
            self.index = index

        @property
        def control(self) -> CandidatesView:
            return self.view

    class Taken(Message):
        """The person wants this token."""

        def __init__(self, view: CandidatesView, token: int) -> None:
            super().__init__()
            self.view = view
            self.token = token

        @property
        def control(self) -> CandidatesView:
            return self.view

    def __init__(self, look: Look | None = None, *, name: str | None = None, id: str | None = None,
                 classes: str | None = None) -> None:  # fmt: skip
        super().__init__(look, name=name, id=id, classes=classes)
        self._odds: Odds | None = None
        self._step: Step | None = None
        self._label: Callable[[int], str] = str
        self._first = 0  # the first candidate shown
        self._row_index: list[int] = []  # which candidate each row shows

    def show(self, odds: Odds | None, *, step: Step | None, label: Callable[[int], str], selected: int = 0) -> None:
        """Show these odds, and the draw if there was one."""
        if odds is None or self._odds is None or odds.position != self._odds.position:
            self._first = 0  # of another token the likeliest are seen first
        self._odds, self._step, self._label = odds, step, label
        self.set_reactive(CandidatesView.selected, self.validate_selected(selected))
        self.redraw()

    def move(self, dy: int) -> None:
        """Select another candidate."""
        before = self.selected
        self.selected = before + dy
        if self.selected != before:
            self.post_message(self.Selected(self, self.selected))

    def validate_selected(self, selected: int) -> int:
        count = len(self._odds.candidates) if self._odds else 0
        return min(max(selected, 0), max(count - 1, 0))

    def watch_selected(self) -> None:
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move(WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move(-WHEEL_ROWS)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        index = self.candidate_under(event.y)
        if index is None or self._odds is None:
            return
        self.move(index - self.selected)
        if event.chain > 1:
            self.post_message(self.Taken(self, self._odds.candidates[index].token))

    def candidate_under(self, y: int) -> int | None:
        """The index of the candidate in a row of the widget."""
        return self._row_index[y] if 0 <= y < len(self._row_index) and self._row_index[y] >= 0 else None

    # -- painting -----------------------------------------------------------------------------------------------------

    def rows(self, width: int, height: int) -> list[Row]:
        odds = self._odds
        self._row_index = []
        if odds is None:
            return [(("no odds here", "quiet"),)]
        plain = self.look.colors == "none" or self.look.glyphs == "ascii"
        dart: list[Row] = []
        if height >= DART_HEIGHT:
            dart = dart_rows(odds, self._step, self._label, width, self.glyphs, plain=plain)
        room = max(height - 1 - len(dart) - (1 if height > 7 else 0), 1)
        table = _Table(self, width)
        order = self._visible(len(odds.candidates), room)
        rows = [table.head()]
        rows += [table.row(index, odds.candidates[index]) for index in order]
        self._row_index = [-1, *order]
        if height > 7:
            rows.append(table.others([odds.candidates[index] for index in order]))
        return (rows + dart)[:height]

    def _visible(self, count: int, room: int) -> list[int]:
        """The candidates shown: a window with the selected one in it, and the chosen one pinned to its edge."""
        chosen, scrolled = self._chosen_index(), self._first > 0
        if chosen is not None and chosen >= room >= 3 and chosen == self.selected and not scrolled:
            return [*range(room - 1), chosen]  # the likeliest stay in sight until somebody moves away
        shown = self._window(count, room)
        if chosen is None or chosen in shown or room < 3:
            return list(shown)
        shown = self._window(count, room - 1)
        return [chosen, *shown] if chosen < shown[0] else [*shown, chosen]

    def _window(self, count: int, room: int) -> range:
        first = max(min(self._first, self.selected), self.selected - room + 1)
        self._first = max(min(first, count - room), 0)
        return range(self._first, min(self._first + room, count))

    def _chosen_index(self) -> int | None:
        if self._odds is None or self._step is None:
            return None
        for index, candidate in enumerate(self._odds.candidates):
            if candidate.token == self._step.token:
                return index
        return None


class _Table:
    """The columns at one width."""

    def __init__(self, view: CandidatesView, width: int) -> None:
        odds = view._odds
        assert odds is not None
        self.view, self.odds, self.glyphs = view, odds, view.glyphs
        self.label_width = min(max(width // 4, 6), 22)
        self.fixed = 4 + 1 + self.label_width + 6 + 7 + 1
        self.bar_width = max(width - self.fixed, 0)
        most = max((max(c.raw, c.final) for c in odds.candidates), default=1.0)
        self.scale = next(scale for scale in (0.1, 0.25, 0.5, 1.0) if most <= scale or scale == 1.0)

    def head(self) -> Row:
        scale = f"{self.scale * 100:.0f}%"
        text = "   # " + fit("token", self.label_width) + "  raw%" + " final%"
        return ((text + " ", "quiet"), (scale.rjust(self.bar_width), "faint"))

    def row(self, index: int, candidate: Candidate) -> Row:
        view, glyphs = self.view, self.glyphs
        chosen = view._step is not None and view._step.token == candidate.token
        selected = index == view.selected
        cut = candidate.final <= 0
        role = "chosen" if chosen else "quiet" if cut else "text"
        over = "+selected" if selected else ""
        quiet = "text" if selected else "quiet"  # dim letters on a reversed ground are hard to read
        rank = f"{candidate.rank:>3}"
        room = self.label_width + 3 - len(rank)  # a long rank takes of the name, and the columns stay
        label = fit(safe(view._label(candidate.token)), room, more=glyphs.more)
        pieces: list[Piece] = [
            (glyphs.pointer if selected else " ", "strong" + over),
            (rank, quiet + over),
            (">" if chosen else " ", ("chosen" if chosen else "text") + over),
            (label, role + over),
            (f"{percent(candidate.raw):>6}", quiet + over),
            (f"{glyphs.lack * 2 if cut else percent(candidate.final):>7}", role + over),
            (" ", "text" + over),
        ]
        if cut:
            return (*pieces, (f"x {spelled(stage_label(candidate.cut_by), view.look.glyphs)}", "cut"))
        color = view.look.colors != "none"
        raw, final = candidate.raw / self.scale, candidate.final / self.scale
        return (*pieces, *odds_bar(raw, final, self.bar_width, glyphs, chosen=chosen, color=color))

    def others(self, shown: list[Candidate]) -> Row:
        raw = max(1.0 - sum(candidate.raw for candidate in shown), 0.0)
        final = max(1.0 - sum(candidate.final for candidate in shown), 0.0) if self.odds.kept else 0.0
        count = self.odds.vocab_size - len(shown)
        text = " " * 5 + fit("others", self.label_width)
        count_said = next((t for t in (f"({count} tokens)", str(count)) if len(t) <= self.bar_width), "")
        return ((f"{text}{percent(raw):>6}{percent(final):>7} {count_said}", "quiet"),)


def stage_label(stage: str | None) -> str:
    """A stage's name as a person says it."""
    return (stage or "cut").replace("top_n_sigma", "top-nσ").replace("_", "-")
