"""A scored text on a terminal: words wrapped, tokens coloured by surprisal, marks beneath where there is no colour.

Colours, marks and wrapping are the playground's. Nothing here knows a model.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable

from rich.color import ColorSystem

from tinychat.text import terminal
from tinychat.tui import palette
from tinychat.tui.palette import Look
from tinychat.tui.wrap import Wrap, cut_cells, shape_of

_SYSTEMS = {
    "truecolor": ColorSystem.TRUECOLOR,
    "256": ColorSystem.EIGHT_BIT,
    "16": ColorSystem.STANDARD,
    "none": ColorSystem.STANDARD,  # of bold and underline
}

Paint = Callable[[str, str], str]  # a text and its role -> what to print


def painter(look: Look, *, light: bool | None) -> Paint:
    """Prints roles in the colours of the look, on a light or dark ground or one that is not known (None).

    Only where the terminal obeys escape sequences.
    """
    colors, system = look.colors, _SYSTEMS[look.colors]
    styles = palette.styles_on_any_ground(colors) if light is None else palette.styles(colors, dark=not light)
    return lambda text, role: styles[role].render(text, color_system=system)


def plain(text: str, role: str) -> str:
    """The text alone."""
    return text


def has_light_ground(colorfgbg: str) -> bool | None:
    """Whether this value of COLORFGBG, as in "0;default;15", says that the background is light; None: it says nothing.

    Most terminals say nothing.
    """
    ground = colorfgbg.rpartition(";")[2]
    return None if not ground.isdecimal() else ground in ("7", "15")


def legend(paint: Paint, *, marks: bool) -> str:
    """The key of the colours, and of the marks."""
    bands = palette.legend("surprisal")[: len(set(palette.HEAT_MARKS))]
    return "surprisal  " + "  ".join(paint(f"{mark} {text}" if marks else text, role) for mark, text, role in bands)


class ScoredText:
    """Lines of one text, given out as soon as nothing can change them any more.

    A character of several tokens appears with the last of them, in the colour of the most surprising.
    """

    def __init__(self, *, width: int, look: Look, paint: Paint, marks: bool) -> None:
        self._wrap = Wrap(width)
        self._glyphs = palette.GLYPHS[look.glyphs]
        self._paint, self._marks = paint, marks
        self._filter = terminal.CleanStream()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._heats = bytearray()
        self._waiting = 0  # the heat of half a character
        self._given = 0

    def push(self, tokens: Iterable[tuple[bytes, float]]) -> list[str]:
        """The bytes and bits of the next tokens; the lines that became whole."""
        shapes = []
        for data, bits in tokens:
            text = self._filter.push(self._decoder.decode(data))
            heat = max(self._waiting, palette.heat_of_bits(bits))
            self._waiting = 0 if text else heat
            self._heats.append(heat)
            shapes.append(shape_of(text))
        self._wrap.append(shapes)
        return self._lines(self._wrap.n_lines - 1)

    def finish(self) -> list[str]:
        """The rest."""
        if rest := self._decoder.decode(b"", final=True):
            self._heats.append(self._waiting)
            self._wrap.append([shape_of(rest)])
        empty = self._wrap.line_span(self._wrap.n_lines - 1)[0] == self._wrap.total
        return self._lines(self._wrap.n_lines - empty)

    def _lines(self, stop: int) -> list[str]:
        found = []
        for line in range(self._given, stop):
            found.append(self._text(line))
            if self._marks:
                found.append(self._mark_row(line))
        self._given = max(self._given, stop)
        return found

    def _text(self, line: int) -> str:
        start, stop = self._wrap.line_span(line)
        pieces: list[tuple[str, str]] = []
        for index in self._wrap.tokens_in(line):
            shape, (first, last) = self._wrap.shapes[index], self._wrap.token_span(index)
            drawn = shape.display.replace("\n", self._glyphs.newline)
            border = first + shape.anchor  # blanks before a word carry no ground
            for lo, hi, role in ((first, border, "text"), (border, last, f"heat{self._heats[index]}")):
                a, b = max(lo, start), min(hi, stop)
                if a >= b:
                    continue
                text = cut_cells(drawn, a - first, b - first)
                if pieces and pieces[-1][1] == role:
                    text = pieces.pop()[0] + text
                pieces.append((text, role))
        return "".join(self._paint(text, role) for text, role in pieces)

    def _mark_row(self, line: int) -> str:
        start, stop = self._wrap.line_span(line)
        row, x = "", start
        for index in self._wrap.tokens_in(line):
            shape, heat = self._wrap.shapes[index], self._heats[index]
            cell = self._wrap.token_span(index)[0] + shape.anchor
            if shape.cells and start <= cell < stop:
                row += " " * (cell - x) + self._paint(palette.HEAT_MARKS[heat], f"heat{heat}")
                x = cell + 1
        return row
