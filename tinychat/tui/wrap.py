"""Word wrap of a growing text of tokens, measured in terminal cells.

The whole text lies on one endless line; a token, a word and a screen line are each just a cell where they start. So
finding things is bisection, a new width costs one bisection per line, and an appended token re-breaks the last line
only. Knows no widget, no style and no meaning of a token.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache

from rich.cells import cell_len, get_character_cell_size, split_text

TAB = " " * 4
MOST_MARKS = 8  # zero-width marks on one cell; more only slow the terminal down

_WORD, _WIDE, _SPACE, _NEWLINE = range(4)
# what follows the last word so far: nothing (it may grow), a border, or its one space or newline
_OPEN, _CLOSED, _HUNG = range(3)


@dataclass(frozen=True, slots=True)
class Shape:
    """A token as laid out: its text with a note before it, in cells."""

    text: str  # as given
    display: str  # newlines are one cell each, to be drawn as a sign
    cells: int
    note_cells: int
    anchor: int  # the first cell that is not blank: where a mark beneath belongs
    runs: tuple[tuple[int, int], ...]  # (kind, cells or count)


@lru_cache(maxsize=1 << 16)
def shape_of(text: str, note: str = "") -> Shape:
    """The shape of a token's text; a knob change in effect from it is shown before it as `note`."""
    own = _own_cells(text.replace("\t", TAB))
    note_cells = cell_len(note)
    cells = note_cells + cell_len(own.replace("\n", " "))
    blank = len(own) - len(own.lstrip(" \n"))
    anchor = note_cells + (blank if blank < len(own) else 0)
    runs = ([(_WORD, note_cells)] if note else []) + _runs(own)
    return Shape(text, note + own, cells, note_cells, anchor, tuple(runs))


def cut_cells(text: str, start: int, stop: int) -> str:
    """The cells `start` to `stop` of a text; half of a wide character is a space."""
    if text.isascii():
        return text[start:stop]
    left = split_text(text, stop)[0] if stop < cell_len(text) else text
    return split_text(left, start)[1] if start else left


def _own_cells(text: str) -> str:
    """Marks that would draw on the token before get a dotted circle; floods of marks are cut."""
    if text.isascii():
        return text
    kept: list[str] = []
    marks = 0
    for char in text:
        marks = 0 if char == "\n" or get_character_cell_size(char) else marks + 1
        if marks == 1 and (not kept or kept[-1] == "\n"):
            kept.append("\u25cc")
        if marks <= MOST_MARKS:
            kept.append(char)
    return "".join(kept)


def _runs(text: str) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for part in re.findall(r" |\n|[^ \n]+", text):
        if part in (" ", "\n"):
            runs.append((_SPACE if part == " " else _NEWLINE, 1))
        elif part.isascii():
            runs.append((_WORD, len(part)))
        else:
            for char in part:  # a line may break between wide characters: their scripts have no spaces
                cells = get_character_cell_size(char)
                if cells == 2:
                    runs.append((_WIDE, 2))
                elif cells and runs and runs[-1][0] == _WORD:
                    runs[-1] = (_WORD, runs[-1][1] + cells)
                elif cells:
                    runs.append((_WORD, cells))
    return runs


class Wrap:
    """Tokens, words and lines of one text at one width.

    A space or newline after a word may stand in one extra cell beyond `width`, so a full line never hides a token.
    Further spaces count as words of their own and wrap like them.
    """

    def __init__(self, width: int = 80) -> None:
        self.width = max(width, 1)
        self.clear()

    def clear(self) -> None:
        self.total = 0  # cells
        self.shapes: list[Shape] = []
        self._token_start = array("q")
        self._token_words = array("q")  # how many words there were before the token
        self._token_state = bytearray()
        self._state = _HUNG
        self._word_start = array("q")
        self._word_end = array("q")  # without the hanging space
        self._hard: list[int] = []  # words followed by a newline
        self._line_start = array("q", [0])
        self._line_word = array("q", [0])

    # -- changing -----------------------------------------------------------------------------------------------------

    def append(self, shapes: list[Shape]) -> int:
        """Add tokens; the first line that may look different now."""
        for shape in shapes:
            self._add(shape)
        line = len(self._line_start) - 1
        self._break(line)
        return line

    def truncate(self, count: int) -> int:
        """Keep the first `count` tokens; the first line that may look different now."""
        if count >= len(self.shapes):
            return len(self._line_start)
        self.total = self._token_start[count]
        words = self._token_words[count]
        self._state = self._token_state[count]
        del self.shapes[count:], self._token_start[count:], self._token_words[count:], self._token_state[count:]
        del self._word_start[words:], self._word_end[words:]
        if words:
            self._word_end[-1] = self.total - (self._state == _HUNG)
        # the last word keeps its newline only if that came before the cut
        kept = words if self._state == _HUNG else words - 1
        del self._hard[bisect_left(self._hard, kept) :]
        # a shortened last word may fit on the line before
        line = max(self.line_of(self._word_start[-1]) - 1, 0) if words else 0
        self._break(line)
        return line

    def resize(self, width: int) -> None:
        """Break all lines again at another width."""
        self.width = max(width, 1)
        self._break(0)

    def _add(self, shape: Shape) -> None:
        self.shapes.append(shape)
        self._token_start.append(self.total)
        self._token_words.append(len(self._word_start))
        self._token_state.append(self._state)
        for kind, cells in shape.runs:
            state = self._state
            if kind == _WORD:
                if state == _OPEN:
                    self._word_end[-1] += cells
                else:
                    self._new_word(cells, _OPEN)
            elif kind == _WIDE or (kind == _SPACE and state == _HUNG):
                self._new_word(cells, _CLOSED)
            else:
                if state == _HUNG:  # a newline after a space or newline: an empty word carries it
                    self._new_word(0, _HUNG)
                if kind == _NEWLINE:
                    self._hard.append(len(self._word_start) - 1)
                self._state = _HUNG
            self.total += cells

    def _new_word(self, cells: int, state: int) -> None:
        self._word_start.append(self.total)
        self._word_end.append(self.total + cells)
        self._state = state

    def _break(self, line: int) -> None:
        starts, ends, hards = self._word_start, self._word_end, self._hard
        del self._line_start[line + 1 :], self._line_word[line + 1 :]
        cell, word = self._line_start[line], self._line_word[line]
        next_hard = bisect_left(hards, word)
        count = len(starts)
        while word < count:
            hard = hards[next_hard] if next_hard < len(hards) else count
            last = bisect_right(ends, cell + self.width, word, min(hard + 1, count)) - 1
            if last < word:
                cell += self.width  # a word longer than a line is cut
            else:
                word = last + 1
                if word == count and last != hard:
                    break
                next_hard += last == hard
                cell = starts[word] if word < count else self.total
            self._line_start.append(cell)
            self._line_word.append(word)

    # -- asking -------------------------------------------------------------------------------------------------------

    @property
    def n_lines(self) -> int:
        return len(self._line_start)

    def line_of(self, cell: int) -> int:
        return bisect_right(self._line_start, cell) - 1

    def line_span(self, line: int) -> tuple[int, int]:
        """The cells of a line, with the space or newline that ends it."""
        after = line + 1
        return self._line_start[line], self._line_start[after] if after < len(self._line_start) else self.total

    def token_span(self, token: int) -> tuple[int, int]:
        """The cells of a token; both ends are equal for one without text."""
        start = self._token_start[token]
        return start, start + self.shapes[token].cells

    def token_at(self, cell: int) -> int:
        """The token that owns a cell; of an empty text -1."""
        return bisect_right(self._token_start, cell) - 1

    def tokens_in(self, line: int) -> range:
        """The tokens with at least one cell on the line, and those without text between them."""
        start, stop = self.line_span(line)
        return range(self.token_at(start), self.token_at(stop - 1) + 1) if stop > start else range(0)
