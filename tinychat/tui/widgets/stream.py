"""The text as it grows, token by token: tinted by surprise, with a cursor over tokens.

Widget over tinychat.tui.wrap. Numbers stay in arrays, finished lines are kept as strips, and one `append` a tick costs
the same at a hundred tokens and at a hundred thousand. Knows nothing of the session: tokens come in, cursor moves go out.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rich.cells import cell_len
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tinychat.tui import palette
from tinychat.tui.lineview import LineView, Piece, Row, fit, safe
from tinychat.tui.palette import Look, Mode
from tinychat.tui.wrap import Wrap, cut_cells, shape_of

Kind = Literal["prompt", "drawn", "forced"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_PROMPT, _DRAWN, _FORCED = range(3)

NOTE_CELLS = 24
WHEEL_LINES = 3
MOST_STRIPS = 512


@dataclass(frozen=True, slots=True)
class StreamToken:
    """One token to show. Probabilities are shares of 1, surprisal and entropy bits, ranks count from 1.

    `text` is already cleaned; it is empty for half a character. Unknown numbers are NaN, an unknown rank 0.
    """

    text: str
    kind: Kind
    surprisal: float
    prob: float
    entropy: float
    rank: int
    moved: str = ""  # knob changes in effect from this token on, as in "T 0.80"


class StreamView(LineView, can_focus=True):
    """The stream panel's inside. `cursor` None follows the end."""

    cursor: reactive[int | None] = reactive(None, init=False, repaint=False)
    mode: reactive[Mode] = reactive("surprisal", init=False, repaint=False)
    marks: reactive[bool] = reactive(False, init=False, repaint=False)
    notes: reactive[bool] = reactive(True, init=False, repaint=False)
    live: reactive[bool] = reactive(False, init=False, repaint=False)
    placeholder: reactive[str] = reactive("", init=False)

    class CursorMoved(Message):
        """The person moved the cursor: to a token, or back to following the end (None)."""

        def __init__(self, view: StreamView, index: int | None) -> None:
            super().__init__()
            self.view = view
            self.index = index

        @property
        def control(self) -> StreamView:
            return self.view

    def __init__(self, look: Look | None = None, *, name: str | None = None, id: str | None = None,
                 classes: str | None = None) -> None:  # fmt: skip
        super().__init__(look, name=name, id=id, classes=classes)
        self._wrap = Wrap()
        self._kinds = bytearray()
        self._surprisal, self._prob, self._entropy = array("f"), array("f"), array("f")
        self._rank = array("q")
        self._text: list[str] = []
        self._moved: dict[int, str] = {}
        self._noted = -1  # the token that shows a note because no later one has replaced it
        self._top = 0
        self._following = True
        self._goal: int | None = None  # the column that vertical moves aim at
        self._line_strips: dict[tuple[int, int, bool], Strip] = {}
        self._thumb = range(0)
        self.set_reactive(StreamView.marks, self.look.needs_marks)

    # -- tokens -------------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        return len(self._kinds)

    def token(self, index: int) -> StreamToken:
        """The token as it was given (numbers in single precision)."""
        return StreamToken(
            self._text[index], _KINDS[self._kinds[index]], self._surprisal[index], self._prob[index],
            self._entropy[index], self._rank[index], self._moved.get(index, ""),
        )  # fmt: skip

    def set_tokens(self, tokens: Sequence[StreamToken]) -> None:
        """Show these tokens instead; the common beginning is kept as it is laid out."""
        same = 0
        for index, token in enumerate(tokens[: self.count]):
            if not self._equals(index, token):
                break
            same = index + 1
        self.truncate(same)
        self.append(tokens[same:])

    def append(self, tokens: Sequence[StreamToken]) -> None:
        """Add tokens at the end."""
        if not tokens:
            return
        last = self.count - 1
        if tokens[0].moved and last in self._moved:  # of a knob dragged over many tokens only the end is written
            self._wrap.truncate(last)
            self._wrap.append([shape_of(self._text[last])])
        first = self.count
        shapes = []
        for index, token in enumerate(tokens, first):
            self._kinds.append(_KINDS.index(token.kind))
            self._surprisal.append(token.surprisal)
            self._prob.append(token.prob)
            self._entropy.append(token.entropy)
            self._rank.append(token.rank)
            self._text.append(token.text)
            if token.moved:
                self._moved[index] = token.moved
            follower = tokens[index - first + 1] if index - first + 1 < len(tokens) else None
            shapes.append(shape_of(token.text, self._note(token.moved, follower)))
        self._changed_from(self._wrap.append(shapes))

    def truncate(self, count: int) -> None:
        """Keep the first `count` tokens."""
        if count >= self.count:
            return
        for column in (self._kinds, self._surprisal, self._prob, self._entropy, self._rank, self._text):
            del column[count:]
        for index in [index for index in self._moved if index >= count]:
            del self._moved[index]
        line = self._wrap.truncate(count)
        if count and count - 1 in self._moved:  # its note may have been left to a token that is gone
            self._wrap.truncate(count - 1)
            line = min(line, self._wrap.append([shape_of(self._text[-1], self._note(self._moved[count - 1], None))]))
        if self.cursor is not None and self.cursor >= count:
            self.cursor = None
        self._changed_from(line)

    def _note(self, moved: str, follower: StreamToken | None) -> str:
        if not moved or not self.notes or (follower is not None and follower.moved):
            return ""
        before, after = self.glyphs.note
        short = safe(moved)
        return (
            before + (short if cell_len(short) <= NOTE_CELLS else fit(short, NOTE_CELLS, more=self.glyphs.more)) + after
        )

    def _equals(self, index: int, token: StreamToken) -> bool:
        return (
            self._text[index] == token.text
            and _KINDS[self._kinds[index]] == token.kind
            and self._rank[index] == token.rank
            and array("f", (token.surprisal, token.prob, token.entropy)).tobytes()
            == array("f", (self._surprisal[index], self._prob[index], self._entropy[index])).tobytes()
            and self._moved.get(index, "") == token.moved
        )

    # -- cursor -------------------------------------------------------------------------------------------------------

    def move(self, dx: int, dy: int = 0) -> None:
        """Move the cursor by tokens and by lines; past the last one it follows the end again."""
        if not self.count:
            return
        if dx:
            self._goal = None
            place = (self.count if self.cursor is None else self.cursor) + dx
            self._choose(max(place, 0) if place < self.count else None)
        if dy:
            self._move_lines(dy)

    def home(self) -> None:
        """To the first token."""
        self._goal = None
        self._choose(0 if self.count else None)

    def end(self) -> None:
        """Follow the end."""
        self._goal = None
        self._choose(None)

    def page(self, direction: int) -> None:
        """Scroll by a screen, without moving the cursor."""
        self._scroll_by(direction * max(self._visible_lines - 1, 1))

    def _move_lines(self, dy: int) -> None:
        wrap = self._wrap
        if self.cursor is None:
            cell = wrap.total
        else:
            cell = wrap.token_span(self.cursor)[0] + wrap.shapes[self.cursor].anchor
        line = wrap.line_of(cell)
        if self._goal is None:
            self._goal = cell - wrap.line_span(line)[0]
        target = line + dy
        if target >= wrap.n_lines:
            self._choose(None)
            return
        start, stop = wrap.line_span(max(target, 0))
        at = min(start + self._goal, stop - 1) if stop > start else start
        self._choose(max(wrap.token_at(at), 0) if at < wrap.total else None)

    def _choose(self, index: int | None) -> None:
        if index == self.cursor:
            if index is None:
                self._follow()
            return
        self.cursor = index
        self.post_message(self.CursorMoved(self, index))

    def validate_cursor(self, index: int | None) -> int | None:
        return None if index is None or not self.count else min(max(index, 0), self.count - 1)

    def watch_cursor(self, old: int | None, new: int | None) -> None:
        for index in (old, new):
            if index is not None and index < self.count:
                self._repaint_token(index)
        if old is None or new is None:
            self._repaint_line(self._wrap.n_lines - 1)  # the caret comes and goes
        if new is None:
            self._follow()
        else:
            self._following = False
            self._show_line(self._wrap.line_of(self._wrap.token_span(new)[0] + self._wrap.shapes[new].anchor))

    # -- what changes how all looks -----------------------------------------------------------------------------------

    def watch_mode(self) -> None:
        self.restyle()

    def watch_marks(self) -> None:
        self.restyle()
        self._keep_in_view()

    def watch_notes(self) -> None:
        self._lay_out_again()

    def watch_live(self) -> None:
        self._repaint_line(self._wrap.n_lines - 1)

    def _lay_out_again(self) -> None:
        tokens = [self.token(index) for index in range(self.count)]
        place = self.cursor
        self._wrap.clear()
        followers = [*tokens[1:], None] if tokens else []
        self._wrap.append([shape_of(t.text, self._note(t.moved, f)) for t, f in zip(tokens, followers, strict=True)])
        self.restyle()
        self.set_reactive(StreamView.cursor, place)
        self._keep_in_view()

    def restyle(self) -> None:
        self._line_strips.clear()
        super().restyle()

    def on_resize(self) -> None:
        width = self._wrap_width(self.size.width)
        if width != self._wrap.width:
            at = self._wrap.line_span(min(self._top, self._wrap.n_lines - 1))[0]
            self._wrap.resize(width)
            self._top = self._wrap.line_of(at)
        self._line_strips.clear()
        self._keep_in_view()
        self.refresh()

    @staticmethod
    def _wrap_width(width: int) -> int:
        """One column is left for the space or newline that ends a full line, one for the scroll thumb."""
        return width - 2 if width >= 20 else max(width - 1, 1)

    # -- scrolling ----------------------------------------------------------------------------------------------------

    @property
    def _line_rows(self) -> int:
        return 2 if self.marks else 1

    @property
    def _visible_lines(self) -> int:
        return max(self.size.height // self._line_rows, 1)

    def _follow(self) -> None:
        self._following = True
        self._scroll_to_line(self._wrap.n_lines - self._visible_lines)

    def _keep_in_view(self) -> None:
        if self._following:
            self._follow()
        elif self.cursor is not None:
            self._show_line(self._wrap.line_of(self._wrap.token_span(self.cursor)[0]))
        else:
            self._scroll_to_line(self._top)

    def _show_line(self, line: int) -> None:
        if line < self._top:
            self._scroll_to_line(line)
        elif line >= self._top + self._visible_lines:
            self._scroll_to_line(line - self._visible_lines + 1)

    def _scroll_by(self, lines: int) -> None:
        self._scroll_to_line(self._top + lines)
        self._following = self.cursor is None and self._top >= self._wrap.n_lines - self._visible_lines

    def _scroll_to_line(self, top: int) -> None:
        top = max(min(top, self._wrap.n_lines - self._visible_lines), 0)
        if top != self._top:
            self._top = top
            self.refresh()
        self._place_thumb()

    def _place_thumb(self) -> None:
        width, height = self.size
        lines, shown = self._wrap.n_lines, self._visible_lines
        thumb = range(0)
        if lines > shown and width >= 20 and height:
            size = max(round(height * shown / lines), 1)
            first = round((height - size) * self._top / max(lines - shown, 1))
            thumb = range(first, first + size)
        if thumb != self._thumb:
            self._thumb = thumb
            self.refresh(Region(width - 1, 0, 1, height))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._scroll_by(WHEEL_LINES)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._scroll_by(-WHEEL_LINES)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self._goal = None
        self._choose(self.token_under(event.x, event.y))

    def token_under(self, x: int, y: int) -> int | None:
        """The token drawn at a place of the widget; None beyond the text."""
        line = self._top + y // self._line_rows
        if line >= self._wrap.n_lines:
            return None
        start, stop = self._wrap.line_span(line)
        cell = start + x
        if cell >= stop:
            if stop >= self._wrap.total:
                return None
            cell = stop - 1  # to the right of a line: its last token
        index = self._wrap.token_at(cell)
        return index if index >= 0 else None

    # -- painting -----------------------------------------------------------------------------------------------------

    def _changed_from(self, line: int) -> None:
        for key in [key for key in self._line_strips if key[0] >= line]:
            del self._line_strips[key]
        width, height = self.size
        before = self._top
        self._keep_in_view_after_change()
        if self._top == before:
            y = max((line - self._top) * self._line_rows, 0)
            if y < height:
                self.refresh(Region(0, y, width, height - y))

    def _keep_in_view_after_change(self) -> None:
        if self._following:
            self._follow()
        else:
            self._scroll_to_line(self._top)

    def _repaint_token(self, index: int) -> None:
        start, stop = self._wrap.token_span(index)
        for line in range(self._wrap.line_of(start), self._wrap.line_of(max(stop - 1, start)) + 1):
            self._repaint_line(line)

    def _repaint_line(self, line: int) -> None:
        for sub in range(2):
            for thumb in (False, True):
                self._line_strips.pop((line, sub, thumb), None)
        y = (line - self._top) * self._line_rows
        if 0 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, self._line_rows))

    def strip_at(self, y: int) -> Strip:
        line, sub = self._top + y // self._line_rows, y % self._line_rows
        key = (line if line < self._wrap.n_lines else -1, sub, y in self._thumb)
        strip = self._line_strips.get(key)
        if strip is None:
            if len(self._line_strips) >= MOST_STRIPS:
                self._line_strips.clear()
            width = self.size.width
            row = self._line_row(line, sub, width)
            if key[2]:
                row = (*_padded(row, width - 1), (self.glyphs.thumb, "thumb"))
            strip = self._line_strips[key] = self.make_strip(row, width)
        return strip

    def rows(self, width: int, height: int) -> list[Row]:
        """What would be seen at this size, scrolled as it is."""
        self._wrap.resize(self._wrap_width(width))
        per = self._line_rows
        return [self._line_row(self._top + y // per, y % per, width) for y in range(height)]

    def _line_row(self, line: int, sub: int, width: int) -> Row:
        if not self.count and self.placeholder and line == 0 and not self.live:
            return ((safe(self.placeholder), "quiet"),) if sub == 0 else ()
        if line >= self._wrap.n_lines:
            return ()
        pieces = self._mark_pieces(line) if sub else self._text_pieces(line, width)
        return tuple(pieces)

    def _text_pieces(self, line: int, width: int) -> list[Piece]:
        wrap = self._wrap
        start, stop = wrap.line_span(line)
        pieces: list[Piece] = []
        at_cursor = -1
        for index in wrap.tokens_in(line):
            first, last = wrap.token_span(index)
            shape = wrap.shapes[index]
            drawn = shape.display.replace("\n", self.glyphs.newline)
            lo, hi = max(start - first, 0), min(stop, last) - first
            role = self._role(index)
            if index == self.cursor:
                at_cursor = len(pieces)
                role += "+cursor"
            if lo < shape.note_cells:
                pieces.append((cut_cells(drawn, lo, min(hi, shape.note_cells)), "moved"))
                lo = shape.note_cells
                at_cursor += index == self.cursor
            if lo < hi:
                pieces.append((drawn if (lo, hi) == (0, shape.cells) else cut_cells(drawn, lo, hi), role))
        if line == wrap.n_lines - 1 and (self.live or self.cursor is None):
            over = stop - start - (width - 1)
            if over > 0 and pieces:  # a full line: the caret stands in the last column
                pieces = list(_padded(tuple(pieces), width - 1))
            pieces.append((self.glyphs.caret, "caret" if self.live else "quiet"))
        if at_cursor >= 0 and (self.look.colors == "none" or self.look.glyphs == "ascii"):
            _bracket(pieces, at_cursor)
        return pieces

    def _mark_pieces(self, line: int) -> list[Piece]:
        wrap = self._wrap
        start, stop = wrap.line_span(line)
        pieces: list[Piece] = []
        x = 0
        for index in wrap.tokens_in(line):
            first, last = wrap.token_span(index)
            cell = first + wrap.shapes[index].anchor
            mark, role = self._mark(index)
            if first < last and start <= cell < stop and mark != " ":
                pieces.append((" " * (cell - start - x), "text"))
                pieces.append((mark, role))
                x = cell - start + 1
        return pieces

    def _heat(self, index: int) -> int:
        return palette.heat(
            self.mode, surprisal=self._surprisal[index], prob=self._prob[index],
            entropy=self._entropy[index], rank=self._rank[index],
        )  # fmt: skip

    def _role(self, index: int) -> str:
        kind = self._kinds[index]
        if kind == _FORCED:
            return "forced"
        if kind == _PROMPT:
            return "prompt"
        step = self._heat(index)
        return "text" if step < 0 else f"heat{step}"

    def _mark(self, index: int) -> tuple[str, str]:
        kind = self._kinds[index]
        if kind == _FORCED:
            return palette.FORCED_MARK, "forced"
        if index in self._moved:
            return palette.MOVED_MARK, "moved"
        if kind == _PROMPT:
            return (".", "prompt") if self.mode == "source" else (" ", "text")
        step = self._heat(index)
        return (" ", "text") if step < 0 else (palette.HEAT_MARKS[step], f"heat{step}")


def _padded(row: Row, width: int) -> Row:
    """The row in exactly `width` cells, so that something can stand at a fixed column after it."""
    pieces: list[Piece] = []
    for text, role in row:
        text = safe(text)
        size = cell_len(text)
        if size > width:
            text, size = fit(text, width), width
        pieces.append((text, role))
        width -= size
    return (*pieces, (" " * width, "text"))


def _bracket(pieces: list[Piece], at: int) -> None:
    """Put [ ] around a piece where blanks allow it, so that no text moves."""
    text, role = pieces[at]
    if text.startswith(" ") and len(text) > 1:
        pieces[at] = ("[" + text[1:], role)
    elif at and pieces[at - 1][0].endswith(" "):
        before, before_role = pieces[at - 1]
        pieces[at - 1] = (before[:-1] + "[", before_role)
    if at + 1 == len(pieces):
        pieces.append(("]", role))
    elif pieces[at + 1][0].startswith(" "):
        after, after_role = pieces[at + 1]
        pieces[at + 1] = ("]" + after[1:], after_role)
