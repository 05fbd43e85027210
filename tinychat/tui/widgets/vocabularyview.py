"""Every token of the vocabulary at one place, one a row: raw and final odds side by side, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.message import Message

from tinychat.tui.bars import odds_bar, percent
from tinychat.tui.lineview import Piece, Row, fit, safe
from tinychat.tui.palette import spelled
from tinychat.tui.scrolled import WheelView
from tinychat.tui.survey import Entry, Survey
from tinychat.tui.widgets.candidates import stage_label

NUMBERS = 7 + 1 + 7 + 9 + 8 + 8 + 1  # cells of rank, id, logit, raw, final and the gaps
BAR = 24
FATE = 14


class VocabularyRows(WheelView, can_focus=False):
    """`tokens` are the ids in the order to show; only the rows in sight are made."""

    survey: Survey | None = None
    tokens: Sequence[int] = ()
    chosen = 0  # a place in `tokens`
    taken: int | None = None  # the token that stands there
    label: Callable[[int], str] = staticmethod(str)
    wheel_rows = 3
    waiting = ""
    _first = 0

    class Picked(Message):
        """A row was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if event.y >= 1 and self._first + event.y - 1 < len(self.tokens):
            self.post_message(self.Picked(self._first + event.y - 1))

    def rows(self, width: int, height: int) -> list[Row]:
        survey = self.survey
        if survey is None or not self.tokens:
            return [(), ((f"  {self.waiting}", "quiet"),)]
        room = max(height - 1, 1)
        self._first = max(0, min(self._first, self.chosen, len(self.tokens) - room))
        self._first = max(self._first, self.chosen - room + 1)
        bar = BAR if width >= 100 else 0
        name = max(min(width - NUMBERS - FATE - bar, 40), 6)
        head = f" {'rank':>7}  {fit('token', name)}{'id':>8}{'logit':>8}{'raw%':>8}{'final%':>8} "
        shown = range(self._first, min(self._first + room, len(self.tokens)))
        entries = [survey.entry(self.tokens[index]) for index in shown]
        most = max((max(each.raw, each.final) for each in entries), default=1.0)
        scale = next(scale for scale in (0.001, 0.01, 0.1, 0.25, 0.5, 1.0) if most <= scale or scale == 1.0)
        found: list[Row] = [((head, "quiet"), (f"{scale * 100:g}%".rjust(bar) if bar else "", "faint"))]
        return found + [
            self._row(each, name, bar, scale, chosen=index == self.chosen)
            for index, each in zip(shown, entries, strict=True)
        ]

    def _row(self, each: Entry, name: int, bar: int, scale: float, *, chosen: bool) -> Row:
        glyphs = self.glyphs
        over = "+selected" if chosen else ""
        taken = each.token == self.taken
        cut = each.cut_by is not None
        role = "chosen" if taken else "quiet" if cut else "text"
        quiet = "text" if chosen else "quiet"
        label = fit(safe(self.label(each.token)), name, more=glyphs.more)
        final = glyphs.lack * 2 if cut else share(each.final)
        pieces: list[Piece] = [
            (glyphs.pointer if chosen else " ", "strong" + over),
            (f"{each.rank:>7}", quiet + over),
            (" >" if taken else "  ", ("chosen" if taken else "text") + over),
            (label, role + over),
            (f"{each.token:>8}{each.logit:>8.2f}", quiet + over),
            (f"{share(each.raw):>8}", quiet + over),
            (f"{final:>8}", role + over),
            (" ", "text" + over),
        ]
        if cut:
            return (*pieces, (f"x {spelled(stage_label(each.cut_by), self.look.glyphs)}", "cut"))
        if bar:
            color = self.look.colors != "none"
            return (*pieces, *odds_bar(each.raw / scale, each.final / scale, bar, glyphs, chosen=taken, color=color))
        change = each.final / each.raw if each.raw > 0 else 1.0
        words = "" if abs(change - 1) < 0.005 else f"{change:.2f} of raw" if change < 10 else "far above raw"
        return (*pieces, (words, "quiet"))


def share(prob: float) -> str:
    """A probability in per cent; a tiny one keeps its size, for here tiny ones are compared."""
    return percent(prob) if prob >= 1e-4 or prob == 0 else f"{100 * prob:.0e}"
