"""The tokens of a stream as columns of numbers, laid out in lines and painted as rows of (text, role).

All that the stream panel shows, without a widget: so it can be read, tested and measured as text.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from rich.cells import cell_len

from tinychat.tui import palette
from tinychat.tui.lineview import Piece, Row, fit, merged, padded, safe
from tinychat.tui.modes import Mode
from tinychat.tui.palette import GlyphSet
from tinychat.tui.wrap import Shape, Wrap, cut_cells, shape_of

Kind = Literal["prompt", "drawn", "forced", "searched"]
Guess = Literal["", "accepted", "rejected"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_GUESSES: tuple[Guess, ...] = get_args(Guess)
_PROMPT, _DRAWN, _FORCED, _SEARCHED = range(4)

NOTE_CELLS = 24
_UNSEEN_ON_BLANKS = frozenset(("prompt", "moved", "heat0", "heat1", "heat2", "heat3", "heat4"))  # no ground, no line


@dataclass(frozen=True, slots=True)
class StreamToken:
    """One token to show. Probabilities are shares of 1, surprisal and entropy bits, ranks count from 1.

    `text` is already cleaned; it is empty for half a character. Unknown numbers are NaN, an unknown rank is 0.
    """

    text: str
    kind: Kind
    surprisal: float
    prob: float
    entropy: float
    rank: int
    moved: str = ""  # knob changes in effect from this token on, as in "T 0.80"
    guess: Guess = field(default="", kw_only=True)  # what became of a guess for this place


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    """How to paint a line."""

    glyphs: GlyphSet
    mode: Mode = "surprisal"
    cursor: int | None = None
    brackets: bool = False  # around the cursor's token, where a reader may not see reversed cells
    caret: str = ""  # the role of the sign at the end of the text; "" for none


class TokenText:
    """Columns of tokens over a Wrap. Changing methods return the first line that may look different."""

    def __init__(self, *, notes: bool = True, around: tuple[str, str] = ("<", ">"), more: str = "~") -> None:
        self.wrap = Wrap()
        self._notes, self._around, self._more = notes, around, more
        self._kinds, self._guesses = bytearray(), bytearray()
        self._surprisal, self._prob, self._entropy = array("f"), array("f"), array("f")
        self._rank = array("q")
        self._moved: dict[int, str] = {}

    @property
    def count(self) -> int:
        return len(self._kinds)

    def token(self, index: int) -> StreamToken:
        """A token as it was given, its numbers in single precision."""
        return StreamToken(
            text=self.wrap.shapes[index].text, kind=_KINDS[self._kinds[index]], surprisal=self._surprisal[index],
            prob=self._prob[index], entropy=self._entropy[index], rank=self._rank[index],
            moved=self._moved.get(index, ""), guess=_GUESSES[self._guesses[index]],
        )  # fmt: skip

    def common(self, tokens: Sequence[StreamToken], start: int = 0) -> int:
        """How many of these tokens are the same as those from `start` on."""
        mine = range(start, min(start + len(tokens), self.count))
        singles = array("f", (number for t in tokens[: len(mine)] for number in (t.surprisal, t.prob, t.entropy)))
        for place, (index, token) in enumerate(zip(mine, tokens, strict=False)):
            own = array("f", (self._surprisal[index], self._prob[index], self._entropy[index]))
            if not (
                self.wrap.shapes[index].text == token.text
                and _KINDS[self._kinds[index]] == token.kind
                and self._rank[index] == token.rank
                and _GUESSES[self._guesses[index]] == token.guess
                and self._moved.get(index, "") == token.moved
                and own.tobytes() == singles[3 * place : 3 * place + 3].tobytes()  # as bytes: NaN equals NaN
            ):
                return place
        return len(mine)

    def append(self, tokens: Sequence[StreamToken]) -> int:
        """Add tokens at the end."""
        first = self.count
        line = self.wrap.n_lines - 1
        if tokens and tokens[0].moved and first - 1 in self._moved:
            # a knob dragged over many tokens is written once, at the last of them
            line = self._lay_out_last(followed_by_move=True)
        shapes: list[Shape] = []
        after = [token.moved for token in tokens[1:]] + [""]
        for index, token in enumerate(tokens, first):
            self._kinds.append(_KINDS.index(token.kind))
            self._guesses.append(_GUESSES.index(token.guess))
            self._surprisal.append(token.surprisal)
            self._prob.append(token.prob)
            self._entropy.append(token.entropy)
            self._rank.append(token.rank)
            if token.moved:
                self._moved[index] = token.moved
            shapes.append(shape_of(token.text, "" if after[index - first] else self._note(token.moved)))
        return min(line, self.wrap.append(shapes))

    def truncate(self, count: int) -> int:
        """Keep the first `count` tokens."""
        if count >= self.count:
            return self.wrap.n_lines
        del self._kinds[count:], self._rank[count:], self._guesses[count:]
        del self._surprisal[count:], self._prob[count:], self._entropy[count:]
        self._moved = {index: moved for index, moved in self._moved.items() if index < count}
        line = self.wrap.truncate(count)
        if count - 1 in self._moved:  # its note was left to a token that is gone now
            line = min(line, self._lay_out_last(followed_by_move=False))
        return line

    def lay_out(self, *, notes: bool, around: tuple[str, str], more: str) -> None:
        """Lay out everything again with other notes."""
        self._notes, self._around, self._more = notes, around, more
        shapes = [
            shape_of(text, "" if index + 1 in self._moved else self._note(self._moved.get(index, "")))
            for index, text in enumerate([shape.text for shape in self.wrap.shapes])
        ]
        self.wrap.clear()
        self.wrap.append(shapes)

    def _lay_out_last(self, *, followed_by_move: bool) -> int:
        last = self.count - 1
        note = "" if followed_by_move else self._note(self._moved[last])
        text = self.wrap.shapes[last].text
        return min(self.wrap.truncate(last), self.wrap.append([shape_of(text, note)]))

    def _note(self, moved: str) -> str:
        if not moved or not self._notes:
            return ""
        short = safe(moved)
        if cell_len(short) > NOTE_CELLS:
            short = fit(short, NOTE_CELLS, more=self._more)
        return self._around[0] + short + self._around[1]

    # -- painting -----------------------------------------------------------------------------------------------------

    def text_row(self, line: int, width: int, paint: Paint) -> Row:
        """A line of the text."""
        wrap = self.wrap
        if line >= wrap.n_lines:
            return ()
        start, stop = wrap.line_span(line)
        marked = self.cursor_cells(paint.cursor)
        pieces: list[Piece] = []
        for index in wrap.tokens_in(line):
            first, last = wrap.token_span(index)
            if first == last:
                continue
            shape = wrap.shapes[index]
            # what a person typed, and the gap before a turn, need no sign for their newlines
            drawn = shape.display.replace("\n", " " if self._kinds[index] == _PROMPT else paint.glyphs.newline)
            # a note, then blanks, which carry no tint, then the text
            borders = [0, shape.note_cells, shape.anchor, shape.cells]
            for lo, hi, role in zip(
                borders, borders[1:], ("moved", "text", self._role(index, paint.mode)), strict=False
            ):
                for a, b, over in _split(max(first + lo, start), min(first + hi, stop), marked):
                    text = cut_cells(drawn, a - first, b - first)
                    if role == "text" and not over and pieces and pieces[-1][1] in _UNSEEN_ON_BLANKS and text.isspace():
                        pieces.append((text, pieces[-1][1]))  # then words of one heat are one segment
                    else:
                        pieces.append((text, role + over))
        if paint.brackets and marked[0] < marked[1] and start <= marked[0] < stop:
            _bracket(pieces)
        if line == wrap.n_lines - 1:
            if marked[0] == wrap.total:  # the last token has no text yet
                pieces.append((" ", "cursor"))
            elif paint.caret:
                if stop - start >= width:  # the line is full: the caret stands in its last column
                    pieces = list(padded(tuple(pieces), max(width - 1, 0)))
                pieces.append((paint.glyphs.caret, paint.caret))
        return merged(pieces)

    def mark_row(self, line: int, paint: Paint) -> Row:
        """The marks beneath a line: one under the first letter of each token."""
        wrap = self.wrap
        if line >= wrap.n_lines:
            return ()
        start, stop = wrap.line_span(line)
        pieces: list[Piece] = []
        x = start
        for index in wrap.tokens_in(line):
            cell = self.anchor(index)
            mark, role = self._mark(index, paint.mode)
            if wrap.shapes[index].cells and start <= cell < stop and mark != " ":
                if cell > x:
                    pieces.append((" " * (cell - x), "text"))
                pieces.append((mark, role))
                x = cell + 1
        return tuple(pieces)

    def anchor(self, index: int) -> int:
        """The cell of a token where its mark stands and the cursor counts from."""
        return self.wrap.token_span(index)[0] + self.wrap.shapes[index].anchor

    def cursor_cells(self, index: int | None) -> tuple[int, int]:
        """The cells to highlight for a token; one without text borrows the cell of what it became part of."""
        if index is None:
            return -1, -1
        start, stop = self.wrap.token_span(index)
        return (self.anchor(index), stop) if stop > start else (start, start + 1)

    def _heat(self, index: int, mode: Mode) -> int:
        return palette.heat(
            mode, surprisal=self._surprisal[index], prob=self._prob[index],
            entropy=self._entropy[index], rank=self._rank[index],
        )  # fmt: skip

    def _role(self, index: int, mode: Mode) -> str:
        kind = self._kinds[index]
        if kind in (_FORCED, _PROMPT):
            return "forced" if kind == _FORCED else "prompt"
        if mode == "source" and kind == _SEARCHED:
            return "searched"
        if mode == "speculation":
            return _GUESSES[self._guesses[index]] or "text"
        step = self._heat(index, mode)
        return "text" if step < 0 else f"heat{step}"

    def _mark(self, index: int, mode: Mode) -> tuple[str, str]:
        if self._kinds[index] == _FORCED:
            return palette.FORCED_MARK, "forced"
        if index in self._moved:
            return palette.MOVED_MARK, "moved"
        if self._kinds[index] == _PROMPT:
            return (palette.PROMPT_MARK, "prompt") if mode == "source" else (" ", "text")
        if mode == "source" and self._kinds[index] == _SEARCHED:
            return palette.SEARCHED_MARK, "searched"
        if mode == "speculation":
            guess = _GUESSES[self._guesses[index]]
            return (palette.GUESS_MARKS[guess], guess) if guess else (" ", "text")
        step = self._heat(index, mode)
        return (" ", "text") if step < 0 else (palette.HEAT_MARKS[step], f"heat{step}")


def _split(start: int, stop: int, marked: tuple[int, int]) -> list[tuple[int, int, str]]:
    """The cells in up to three parts: before, inside and after the highlighted ones."""
    a, b = min(max(marked[0], start), stop), min(max(marked[1], start), stop)
    parts = ((start, a, ""), (a, b, "+cursor"), (b, stop, "")) if a < b else ((start, stop, ""),)
    return [part for part in parts if part[0] < part[1]]


def _bracket(pieces: list[Piece]) -> None:
    """Put [ ] around the highlighted pieces where there are blanks, so that no text moves."""
    places = [place for place, (_, role) in enumerate(pieces) if role.endswith("+cursor")]
    if not places:
        return
    before, after = places[0] - 1, places[-1] + 1
    if before >= 0 and pieces[before][0].endswith(" "):
        pieces[before] = (pieces[before][0][:-1] + "[", pieces[before][1])
    if after == len(pieces):
        pieces.append(("]", "text"))
    elif pieces[after][0].startswith(" "):
        pieces[after] = ("]" + pieces[after][0][1:], pieces[after][1])
