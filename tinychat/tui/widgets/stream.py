"""The text as it grows, token by token, with a cursor over tokens.

The widget over tinychat.tui.tokentext: scrolling, following, clicks. Finished rows are kept, and an `append` a tick
costs the same at a hundred tokens and at a hundred thousand. Tokens come in, cursor moves go out; nothing of the
session is known here.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message
from textual.reactive import reactive

from tinychat.tui.lineview import LineView, Row, padded, safe
from tinychat.tui.modes import Mode
from tinychat.tui.palette import Look
from tinychat.tui.tokentext import Kind, Paint, StreamToken, TokenText
from tinychat.tui.widgets.lines import wrap as wrap_words

__all__ = ["Kind", "StreamToken", "StreamView"]

WHEEL_LINES = 3
MOST_KEPT = 512  # rows
THUMB_FROM = 20  # narrower views have no column to spare for the scroll thumb


class StreamView(LineView, can_focus=True):
    """The stream panel's inside. `cursor` None follows the end."""

    cursor: reactive[int | None] = reactive(None, init=False, repaint=False)
    mode: reactive[Mode] = reactive("surprisal", init=False, repaint=False)
    marks: reactive[bool] = reactive(False, init=False, repaint=False)  # the row of marks beneath each line
    notes: reactive[bool] = reactive(True, init=False, repaint=False)  # knob changes written into the text
    live: reactive[bool] = reactive(False, init=False, repaint=False)
    placeholder: reactive[str] = reactive("", init=False)  # shown while there is no text
    page_follow: bool = False  # follow by a third of the height at a time: 60 % fewer bytes on a slow line

    class CursorMoved(Message):
        """The person moved the cursor: to a token, or back to following the end (None)."""

        def __init__(self, view: StreamView, index: int | None) -> None:
            super().__init__()
            self.view = view
            self.index = index

        @property
        def control(self) -> StreamView:
            return self.view

    def __init__(
        self,
        look: Look | None = None,
        *,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(look, name=name, id=id, classes=classes)
        self._text = TokenText(around=self.glyphs.note, more=self.glyphs.more)
        self._top = 0  # the first line shown
        self._following = True
        self._aim: int | None = None  # where the cursor goes as soon as that token is there
        self._goal: int | None = None  # the column that vertical moves aim at
        self._kept: dict[tuple[int, int], Row] = {}  # by line, and the row of text or marks in it
        self._thumb = range(0)
        self._fitted = (0, 0)
        self.set_reactive(StreamView.marks, self.look.needs_marks)

    # -- tokens -------------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many tokens there are."""
        return self._text.count

    def token(self, index: int) -> StreamToken:
        """A token as it was given, its numbers in single precision."""
        return self._text.token(index)

    def set_tokens(self, tokens: Sequence[StreamToken]) -> None:
        """Show these tokens instead; a common beginning stays as it is laid out, and so does the cursor on it."""
        same = self._text.common(tokens)
        self.truncate(same)
        self.append(tokens[same:])

    def common(self, tokens: Sequence[StreamToken], start: int = 0) -> int:
        """How many of these tokens are the same as those from `start` on."""
        return self._text.common(tokens, start)

    def append(self, tokens: Sequence[StreamToken]) -> None:
        """Add tokens at the end."""
        if tokens:
            self._changed_from(self._text.append(tokens))
        if self._aim is not None and self._aim < self.count:
            self.cursor, self._aim = self._aim, None

    def truncate(self, count: int) -> None:
        """Keep the first `count` tokens."""
        if count >= self.count:
            return
        line = self._text.truncate(max(count, 0))
        if self.cursor is not None and self.cursor >= self.count:
            self.cursor = None
        self._changed_from(line)

    def aim(self, index: int | None) -> None:
        """Put the cursor on a token that may still be on its way, unless the person moves it before."""
        late = index is not None and index >= self.count
        self._aim = index if late else None
        if not late:
            self.cursor = index

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
        wrap = self._text.wrap
        cell = wrap.total if self.cursor is None else self._text.anchor(self.cursor)
        line = wrap.line_of(cell)
        if self._goal is None:
            self._goal = cell - wrap.line_span(line)[0]
        target = max(line + dy, 0)
        if target >= wrap.n_lines:
            self._choose(None)
            return
        start, stop = wrap.line_span(target)
        cell = max(min(start + self._goal, stop - 1), start)
        self._choose(wrap.token_at(cell) if cell < wrap.total else None)

    def _choose(self, index: int | None) -> None:
        self._aim = None
        if index != self.cursor:
            self.cursor = index
            self.post_message(self.CursorMoved(self, index))
        elif index is None:
            self._follow()
            self.redraw()

    def validate_cursor(self, index: int | None) -> int | None:
        return None if index is None or not self.count else min(max(index, 0), self.count - 1)

    def watch_cursor(self, old: int | None, new: int | None) -> None:
        for index in (old, new):
            if index is not None and index < self.count:
                self._forget_token(index)
        self._forget(self._text.wrap.n_lines - 1)  # the caret may come or go
        if new is None:
            self._follow()
        else:
            self._following = False
            self._show_line(self._text.wrap.line_of(self._text.anchor(new)))
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self._goal = None
        self._choose(self.token_under(event.x, event.y))

    def token_under(self, x: int, y: int) -> int | None:
        """The token drawn at a place of the widget; None beyond the end of the text."""
        wrap = self._text.wrap
        line = self._top + y // self._line_rows
        if line >= wrap.n_lines or not self.count:
            return None
        start, stop = wrap.line_span(line)
        cell = start + x
        if cell >= stop:
            if line == wrap.n_lines - 1:
                return None
            cell = stop - 1  # right of a line: its last token
        return wrap.token_at(cell)

    # -- what changes how everything looks ----------------------------------------------------------------------------

    def watch_placeholder(self) -> None:
        self.restyle()

    def watch_mode(self) -> None:
        self.restyle()

    def watch_marks(self) -> None:
        self.restyle()
        self._keep_in_view()

    def watch_live(self) -> None:
        self._forget(self._text.wrap.n_lines - 1)
        self.redraw()

    def watch_notes(self) -> None:
        self._lay_out()

    def look_changed(self) -> None:
        self.marks = self.look.needs_marks
        self._lay_out()

    def _lay_out(self) -> None:
        self._text.lay_out(notes=self.notes, around=self.glyphs.note, more=self.glyphs.more)
        self.restyle()
        self._keep_in_view()

    def restyle(self) -> None:
        self._kept.clear()
        super().restyle()

    def _fit(self, width: int, height: int) -> None:
        """Take this size. A column is left for the blank after a full line, and one for the scroll thumb."""
        if (width, height) == self._fitted:
            return
        self._fitted = (width, height)
        wrap = self._text.wrap
        inner = width - 2 if width >= THUMB_FROM else max(width - 1, 1)
        if inner != wrap.width:
            cell = wrap.line_span(min(self._top, wrap.n_lines - 1))[0]
            wrap.resize(inner)
            self._top = wrap.line_of(cell)
        self._kept.clear()
        self._keep_in_view()

    # -- scrolling ----------------------------------------------------------------------------------------------------

    @property
    def _shows_placeholder(self) -> bool:
        return bool(self.placeholder) and not self._text.wrap.total

    @property
    def _line_rows(self) -> int:
        return 2 if self.marks else 1

    @property
    def _visible_lines(self) -> int:
        return max(self._fitted[1] // self._line_rows, 1)

    def _follow(self) -> None:
        self._following = True
        in_view = self._top <= self._text.wrap.n_lines - 1 < self._top + self._visible_lines
        self._show_from(self._top if self.page_follow and in_view else self._last_top)

    def _keep_in_view(self) -> None:
        if self._following and self.cursor is None:
            self._follow()
        elif self.cursor is not None:
            self._show_line(self._text.wrap.line_of(self._text.anchor(self.cursor)))
        else:
            self._show_from(self._top)

    def _show_line(self, line: int) -> None:
        shown = self._visible_lines
        self._show_from(min(max(self._top, line - shown + 1), line))

    def _scroll_by(self, lines: int) -> None:
        self._show_from(self._top + lines)
        self._following = self.cursor is None and self._top >= self._text.wrap.n_lines - self._visible_lines
        self.redraw()

    @property
    def _last_top(self) -> int:
        ahead = self._visible_lines // 3 if self.page_follow else 0
        lines, shown = self._text.wrap.n_lines, self._visible_lines
        return lines - shown + ahead if lines > shown else 0

    def _show_from(self, top: int) -> None:
        lines, shown = self._text.wrap.n_lines, self._visible_lines
        self._top = top = max(min(top, self._last_top), 0)
        width, height = self._fitted
        self._thumb = range(0)
        if lines > shown and width >= THUMB_FROM:
            size = max(round(height * shown / lines), 1)
            first = min(round((height - size) * top / max(self._last_top, 1)), height - size)
            self._thumb = range(first, first + size)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._scroll_by(WHEEL_LINES)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._scroll_by(-WHEEL_LINES)

    # -- painting -----------------------------------------------------------------------------------------------------

    def _changed_from(self, line: int) -> None:
        for key in [key for key in self._kept if key[0] >= line]:
            del self._kept[key]
        if self._following:
            self._follow()
        else:
            self._show_from(self._top)
        self.redraw()

    def _forget_token(self, index: int) -> None:
        start, stop = self._text.cursor_cells(index)
        wrap = self._text.wrap
        self._forget(wrap.line_of(start), wrap.line_of(stop - 1))

    def _forget(self, first: int, last: int = -1) -> None:
        """These lines look different now."""
        for line in range(first, max(last, first) + 1):
            for sub in range(2):
                self._kept.pop((line, sub), None)

    def rows(self, width: int, height: int) -> list[Row]:
        self._fit(width, height)
        return [self._row(y, width) for y in range(height)]

    def _row(self, y: int, width: int) -> Row:
        line, sub = self._top + y // self._line_rows, y % self._line_rows
        if line >= self._text.wrap.n_lines and not self._shows_placeholder:
            return ()
        row = self._kept.get((line, sub))
        if row is None:
            row = self._line_row(line, sub, width)
            if row:  # nothing is quickly made
                if len(self._kept) >= MOST_KEPT:
                    self._kept.clear()
                self._kept[line, sub] = row
        return (*padded(row, width - 1), (self.glyphs.thumb, "thumb")) if y in self._thumb else row

    def _line_row(self, line: int, sub: int, width: int) -> Row:
        if self._shows_placeholder:
            words = wrap_words(safe(self.placeholder), max(width - 1, 1))
            row = line * self._line_rows + sub
            return ((words[row], "quiet"),) if row < len(words) else ()
        caret = "caret" if self.live else "quiet" if self.cursor is None else ""
        plain = self.look.colors == "none" or self.look.glyphs == "ascii"
        paint = Paint(glyphs=self.glyphs, mode=self.mode, cursor=self.cursor, brackets=plain, caret=caret)
        return self._text.mark_row(line, paint) if sub else self._text.text_row(line, width, paint)
