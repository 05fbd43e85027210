"""What a terminal would show: a grid of characters, from the bytes that a program, or tmux, sends it.

Colours are read over. Runs of text are put down whole, so that reading is cheap beside what is measured.
"""

from __future__ import annotations

import codecs
import re

from rich.cells import get_character_cell_size

_TOKEN = re.compile(
    r"\x1b\[(?P<args>[0-9;:<=>?]*[ -/]*)(?P<final>[@-~])"
    r"|\x1b[\]P^_](?P<string>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    r"|\x1b[()*+#%].|\x1b(?P<escape>[^\[\]P^_()*+#%])"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])|(?P<text>[^\x00-\x1f\x7f]+)"
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# what is surely one cell wide: Latin, punctuation, arrows, mathematics, boxes and blocks
_NARROW = re.compile("[ -\u02ff\u2010-\u2027\u2030-\u205e\u2190-\u22ff\u2500-\u259f]*")
_SECOND = "\0"  # the place that a wide character takes beside its own
_NEWEST = 256  # characters of an unfinished sequence that are kept


class Cells:
    """`lines()` is what is seen; `asked` are the questions that the program put to the terminal."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._rows = [" " * width] * height
        self._x = self._y = 0
        self._saved = (0, 0)
        self._top, self._bottom = 0, height  # of the scrolling region
        self._last = " "
        self._rest = ""
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self.asked: list[str] = []

    def lines(self) -> list[str]:
        """The rows as text; the second half of a wide character is nothing."""
        return [row.replace(_SECOND, "") for row in self._rows]

    def feed(self, data: bytes) -> None:
        """Take in what came; a sequence that is not whole yet waits for its end."""
        text = _COLOUR.sub("", self._rest + self._decode(data))
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                if len(text) - at < _NEWEST:
                    break
                at += 1  # no sequence of any kind
                continue
            at = match.end()
            if (run := match["text"]) is not None:
                self._put(run)
            elif (final := match["final"]) is not None:
                self._sequence(match["args"], final)
            elif (control := match["control"]) is not None:
                self._control(control)
            elif (escape := match["escape"]) is not None:
                self._escape(escape)
        self._rest = text[at:]

    def _put(self, run: str) -> None:
        self._last = run[-1]
        if _NARROW.fullmatch(run) and self._x + len(run) <= self.width:
            self._write(self._x, run)
            self._x += len(run)
            return
        for sign in run:
            cells = get_character_cell_size(sign)
            if self._x + cells > self.width:
                self._x = 0
                self._line_feed()
            if cells:
                self._write(self._x, sign + _SECOND * (cells - 1))
            self._x += cells

    def _write(self, x: int, cells: str) -> None:
        row = self._rows[self._y]
        self._rows[self._y] = row[:x] + cells + row[x + len(cells) :]

    def _control(self, sign: str) -> None:
        if sign in "\n\x0b\x0c":
            self._line_feed()
        elif sign == "\r":
            self._x = 0
        elif sign == "\b":
            self._x = max(0, min(self._x, self.width - 1) - 1)
        elif sign == "\t":
            self._x = min(self.width - 1, (self._x // 8 + 1) * 8)

    def _escape(self, sign: str) -> None:
        if sign == "7":
            self._saved = (self._x, self._y)
        elif sign == "8":
            self._x, self._y = self._saved
        elif sign == "M":
            if self._y == self._top:
                self._scroll(self._top, -1)
            else:
                self._y = max(0, self._y - 1)
        elif sign in "DE":
            self._x = 0 if sign == "E" else self._x
            self._line_feed()

    def _line_feed(self) -> None:
        if self._y == self._bottom - 1:
            self._scroll(self._top, 1)
        else:
            self._y = min(self.height - 1, self._y + 1)

    def _scroll(self, top: int, count: int) -> None:
        """Rows from `top` to the region's end move up, or down for a negative count."""
        inside = self._rows[top : self._bottom]
        many = min(abs(count), len(inside))
        blank = [" " * self.width] * many
        self._rows[top : self._bottom] = inside[many:] + blank if count > 0 else blank + inside[: len(inside) - many]

    def _sequence(self, args: str, final: str) -> None:
        if args[:1] in ("?", ">", "<", "="):
            if final in "pnc":
                self.asked.append(args + final)
            return
        numbers = [int(each) if each.isdecimal() else 0 for each in args.replace(":", ";").split(";")]
        first = max(1, numbers[0])
        second = max(1, numbers[1]) if len(numbers) > 1 else 1
        row, x = self._rows[self._y], self._x
        if final in "Hf":
            self._y, self._x = min(first, self.height) - 1, min(second, self.width) - 1
        elif final in "ABCDEFG`d":
            self._move(final, first)
        elif final == "J":
            self._erase(numbers[0])
        elif final == "K":
            start = 0 if numbers[0] else x
            stop = min(x + 1, self.width) if numbers[0] == 1 else self.width
            self._write(start, " " * (stop - start))
        elif final == "X":
            self._write(x, " " * (min(x + first, self.width) - x))
        elif final == "P":
            self._rows[self._y] = (row[:x] + row[x + first :] + " " * first)[: self.width]
        elif final == "@":
            self._rows[self._y] = (row[:x] + " " * first + row[x:])[: self.width]
        elif final == "b":
            self._put(self._last * first)
        elif final in "LM":
            self._scroll(self._y, first if final == "M" else -first)
            self._x = 0
        elif final in "ST":
            self._scroll(self._top, first if final == "S" else -first)
        elif final == "r":
            self._top = first - 1
            self._bottom = min(second, self.height) if len(numbers) > 1 and numbers[1] else self.height
            self._x = self._y = 0
        elif final == "n" or final == "c":
            self.asked.append(args + final)

    def _move(self, final: str, count: int) -> None:
        if final in "AF":
            self._y = max(0, self._y - count)
        elif final in "BE":
            self._y = min(self.height - 1, self._y + count)
        elif final == "C":
            self._x = min(self.width - 1, self._x + count)
        elif final == "D":
            self._x = max(0, self._x - count)
        elif final in "G`":
            self._x = min(count, self.width) - 1
        elif final == "d":
            self._y = min(count, self.height) - 1
        if final in "EF":
            self._x = 0

    def _erase(self, kind: int) -> None:
        if kind == 0:
            self._write(self._x, " " * (self.width - self._x))
        elif kind == 1:
            self._write(0, " " * min(self._x + 1, self.width))
        first, stop = (self._y + 1, self.height) if kind == 0 else (0, self._y if kind == 1 else self.height)
        self._rows[first:stop] = [" " * self.width] * (stop - first)
