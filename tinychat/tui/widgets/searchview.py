"""The hypotheses of a search as a tree of lines, with scores and marks; one token of it is selected.

Reads the Growth; a function spells the tokens of a line.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import cell_len
from textual import events
from textual.message import Message

from tinychat.engine.search_tree import Node
from tinychat.tui.lineview import Piece, Row, fit, safe
from tinychat.tui.scrolled import WheelView
from tinychat.tui.searchtree import CUT_OFF, Growth, Line

BEST, COMPLETE, LIVE, GIVEN_UP = "*", "=", "+", "x"
REASONS = {"no_legal_token": "no token left", "beaten": "", "interrupted": "stopped", "phrases_unsaid": "unsaid"}
GUIDES = {"unicode": ("│ ", "├ ", "└ ", "  "), "ascii": ("| ", "|-", "`-", "  ")}
SCORE = 8
DEEPEST = 12  # levels that are drawn: further ones stand beneath each other


class SearchTree(WheelView, can_focus=False):
    """`lines` are what is there, `selected` the number of a node (0 for none)."""

    growth = Growth()
    lines: tuple[Line, ...] = ()
    selected = 0
    spell: Callable[[list[int]], list[str]] = staticmethod(lambda ids: [str(each) for each in ids])
    waiting = ""  # what to say while there is no line
    _first = 0

    class Picked(Message):
        """A line was clicked; its last token."""

        def __init__(self, node: int) -> None:
            super().__init__()
            self.node = node

    def on_click(self, event: events.Click) -> None:
        event.stop()
        at = self._first + event.y
        if at < len(self.lines):
            self.post_message(self.Picked(self.lines[at].nodes[-1]))

    def rows(self, width: int, height: int) -> list[Row]:
        if not self.lines:
            return [(), ((f"  {self.waiting}", "quiet"),)]
        at = next((index for index, line in enumerate(self.lines) if self.selected in line.nodes), 0)
        self._first = max(0, min(self._first, at, len(self.lines) - height))
        self._first = max(self._first, at - height + 1)
        best = self.growth.best
        way = set(self.growth.path(best)) if best is not None else set()
        shown = self.lines[self._first : self._first + height]
        return [self._row(line, width, way, best) for line in shown]

    def _row(self, line: Line, width: int, way: set[int], best: int | None) -> Row:
        growth = self.growth
        last = growth.nodes[line.nodes[-1]]
        mine = self.selected in line.nodes
        mark, role = self._mark(last, best)
        reason = last.reason or ""
        reason = REASONS.get(reason, reason) if last.state != "live" else ""
        if (times := growth.times(line.nodes[-1])) > 1:
            reason = f"{reason} x{times}"
        guides = GUIDES[self.look.glyphs]
        stem = "".join(guides[0] if more else guides[3] for more in line.branches[:-1][:DEEPEST])
        if line.branches:
            stem += guides[1] if line.branches[-1] else guides[2]
        pieces: list[Piece] = [
            (self.glyphs.pointer if mine else " ", "strong"),
            (mark, role),
            (f"{last.score:>{SCORE}.2f}", "quiet" if role == "cut" else "text"),
        ]
        if width >= 90:
            pieces.append((f"{last.logprob:>{SCORE}.2f}", "quiet"))
        place = "" if line.place == 1 else f"@{line.place}"
        pieces += [(" ", "text"), (stem, "faint"), (f"{place} " if place else "", "faint")]
        used = sum(cell_len(text) for text, _ in pieces)
        end = f" {reason}" if reason else ""
        room = max(width - used - cell_len(end), 4)
        text_role = "faint" if role == "cut" else "text"
        pieces += self._text(line, room, text_role, way)
        gap = width - sum(cell_len(text) for text, _ in pieces) - cell_len(end)
        return (*pieces, (" " * max(gap, 0), "text"), (end, "cut" if role == "cut" else "quiet"))

    def _mark(self, node: Node, best: int | None) -> tuple[str, str]:
        if node.id == best:
            return BEST, "chosen"
        if node.state == "finished" and node.reason not in CUT_OFF:
            return COMPLETE, "strong"
        if node.state == "pruned":
            return GIVEN_UP, "cut"
        return LIVE, "text"

    def _text(self, line: Line, room: int, role: str, way: set[int]) -> list[Piece]:
        """The tokens of a line; the selected one is in sight, else its beginning and its end are."""
        newline = self.glyphs.newline
        words = [safe(text.replace("\n", newline)) for text in self.spell(list(line.nodes))]
        parts = [
            (text, ("chosen" if number in way else role) + ("+cursor" if number == self.selected else ""))
            for number, text in zip(line.nodes, words, strict=True)
        ]
        if self.selected in line.nodes:
            at = line.nodes.index(self.selected)
            if not parts[at][0]:
                parts[at] = (" ", parts[at][1])  # half a character: it has a cell to stand on all the same
        if sum(cell_len(text) for text, _ in parts) <= room:
            return parts
        at = line.nodes.index(self.selected) if self.selected in line.nodes else -1
        more = self.glyphs.more
        if at < 0:
            head = _from_left(parts, room * 2 // 5, more)
            return head + _from_right(parts, room - sum(cell_len(text) for text, _ in head), "")
        size = [cell_len(text) for text, _ in parts]
        if sum(size[: at + 1]) + 1 <= room:
            return _from_left(parts, room, more)
        if sum(size[at:]) + 1 <= room:
            return _from_right(parts, room, more)
        before = _from_right(parts[: at + 1], room * 2 // 3, more)
        return before + _from_left(parts[at + 1 :], room - sum(cell_len(text) for text, _ in before), more)


def _from_left(parts: list[Piece], room: int, more: str) -> list[Piece]:
    """What fits of the beginning, and a sign that there is more."""
    found: list[Piece] = []
    left = room - cell_len(more)
    for text, role in parts:
        if cell_len(text) > left:
            return [*found, (fit(text, max(left, 0)), role), (more, "faint")] if left > 0 else [*found, (more, "faint")]
        found.append((text, role))
        left -= cell_len(text)
    return found


def _from_right(parts: list[Piece], room: int, more: str) -> list[Piece]:
    """What fits of the end, behind a sign that there was more."""
    found: list[Piece] = []
    left = room - cell_len(more)
    for text, role in reversed(parts):
        if cell_len(text) > left:
            return [*([(more, "faint")] if more else []), *reversed(found)]
        found.append((text, role))
        left -= cell_len(text)
    return found[::-1]
