"""What the terminal sends and takes, made steady around Textual, whose driver it takes the place of.

Textual 8.2 ends the program at a byte that is no UTF-8 (a Latin-1 terminal, Alt as an eighth bit), and takes a paste
with an escape sequence in it for single keys: then letters act, and a line end submits. When the terminal is gone (a
closed window, a broken line) its writer dies of the first write, and who writes on waits for it for ever.

Escape and the letter behind it, which come together over a slow line or through tmux, would be typed as "^" and the
letter: they are two keys, as they would be one after the other.

What was typed before the terminal was taken went through the terminal's line editing, where Enter becomes the line end
that is ctrl+j to us: it is made Enter again.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import re
import struct
import sys
import termios
import time
import tty
from collections.abc import Iterable
from functools import partial
from typing import IO, Any, ClassVar, cast

from textual import constants, events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.drivers._writer_thread import WriterThread
from textual.message import Message

# an escape character in front of one that begins no sequence of a terminal, and is no key with it
_KEYS = "".join(
    c for c in map(chr, range(0x20, 0x7F)) if c not in "[]OPNX_^\\" and f"\x1b{c}" not in ANSI_SEQUENCES_KEYS
)
_ESCAPE_KEY = re.compile(f"\x1b(?=[{re.escape(_KEYS)}])")
START, END = "\x1b[200~", "\x1b[201~"  # bracketed paste
ESCAPE_SIGN = "\u241b"


class PasteFilter:
    """Makes every escape character inside a paste visible, whatever the pieces in which the paste comes."""

    def __init__(self) -> None:
        self._inside = False
        self._tail = ""  # outside: what went out last, where the start mark may have begun
        self._held = ""  # inside: what may be the beginning of the end mark

    def feed(self, data: str) -> str:
        """What to hand on now; "" while all of it waits for more."""
        out = ""
        while data:
            if not self._inside:
                at = (self._tail + data).find(START)
                if at < 0:
                    self._tail = (self._tail + data)[1 - len(START) :]
                    return out + data
                cut = at + len(START) - len(self._tail)
                out, data = out + data[:cut], data[cut:]
                self._inside, self._tail = True, ""
                continue
            data, self._held = self._held + data, ""
            text, mark, data = data.partition(END)
            if not mark:
                cut = next((n for n in range(len(END) - 1, 0, -1) if text.endswith(END[:n])), 0)
                text, self._held = text[: len(text) - cut], text[len(text) - cut :]
            self._inside = not mark
            out += text.replace("\x1b", ESCAPE_SIGN) + mark
        return out


def end_line_editing(fileno: int) -> tuple[list[Any], int]:
    """Take a terminal's keys as they are; how it was set before, and how many bytes were typed until then.

    Raises termios.error where there is no terminal.
    """
    before = termios.tcgetattr(fileno)
    now = termios.tcgetattr(fileno)
    now[tty.IFLAG] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR)
    now[tty.LFLAG] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(fileno, termios.TCSANOW, now)
    (waiting,) = struct.unpack("i", fcntl.ioctl(fileno, termios.FIONREAD, bytes(4)))
    return before, waiting


class SteadyParser(XTermParser):
    """Textual's parser behind a PasteFilter."""

    typed_ahead: ClassVar[int] = 0  # bytes in which a line end was Enter, the first ones that the next parser gets

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._filter = PasteFilter()
        self._held = ""  # an escape character that came last: what follows says what it is
        self._held_at = 0.0
        self._ahead, SteadyParser.typed_ahead = SteadyParser.typed_ahead, 0

    def feed(self, data: str) -> Iterable[Message]:
        if self._ahead > 0:
            coded = data.encode()
            early, later = coded[: self._ahead], coded[self._ahead :]
            self._ahead -= len(early)
            data = (early.replace(b"\n", b"\r") + later).decode()
        kept = self._held + self._filter.feed(data)
        self._held = ""
        if not data:  # an empty string ends the parser
            yield from super().feed(data)
            return
        if kept.endswith("\x1b"):
            kept, self._held, self._held_at = kept[:-1], "\x1b", time.monotonic()
        before, *parts = _ESCAPE_KEY.split(kept)
        if before:
            yield from super().feed(before)
        for part in parts:
            yield events.Key("escape", "\x1b")
            yield from super().feed(part)

    def tick(self) -> Iterable[Message]:
        yield from super().tick()
        if self._held and time.monotonic() - self._held_at >= constants.ESCAPE_DELAY:
            self._held = ""
            yield events.Key("escape", "\x1b")


class Faithless:
    """A file that a terminal stands behind: once that is gone, what is written goes nowhere."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()


class SteadyWriter(WriterThread):
    """Textual's writer, which outlives its terminal."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(cast(IO[str], Faithless(_on_terminal(file))))


def _on_terminal(file: IO[str]) -> IO[str]:
    """Textual draws on stderr; where that goes into a file (`2> errors`) the screen is on stdout."""
    stdout = sys.__stdout__
    return stdout if not file.isatty() and stdout is not None and stdout.isatty() else file


def give_size(fileno: int) -> None:
    """A terminal of no rows or columns, as a serial line or a pty that nobody sized, is made 80 x 24.

    Textual has two guesses for it, a row apart, and would lay the screen out for one and then the other for ever.
    """
    with contextlib.suppress(OSError):
        rows, columns, *pixels = struct.unpack("HHHH", fcntl.ioctl(fileno, termios.TIOCGWINSZ, bytes(8)))
        if not (rows and columns):
            fcntl.ioctl(fileno, termios.TIOCSWINSZ, struct.pack("HHHH", rows or 24, columns or 80, *pixels))


class SteadyDriver(linux_driver.LinuxDriver):
    """Textual's driver, which knows what was typed before it had the terminal, and what was written meanwhile."""

    _had_it = False

    def start_application_mode(self) -> None:
        if self._had_it and not os.isatty(self.fileno):
            # who writes on must not wait for a writer that has ended
            self._writer_thread = SteadyWriter(cast(IO[str], self._file))
            self._writer_thread.start()
            return
        give_size(self.fileno)
        before = None
        with contextlib.suppress(termios.error):
            before, SteadyParser.typed_ahead = end_line_editing(self.fileno)
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if before is not None:
            self.attrs_before = before
        if self._had_it:
            self._app.call_later(self._repaint)
        self._had_it = True

    def _sigcont_application(self, *_: object) -> None:
        """Go on behind ctrl+z and fg.

        The signal comes unasked too. With a hang-up, where there is no terminal to take; and behind a stop that nobody
        told us of, where it is taken anew. Textual starts a second reader and writer beside the first each time.
        """
        if not self._must_signal_resume:
            if not self._auto_restart or not os.isatty(self.fileno):
                return
            self.suspend_application_mode()
        super()._sigcont_application()

    def _repaint(self) -> None:
        """All of the screen: only what has changed would be painted, over what a shell or an editor left there."""
        self._app.screen.refresh()


def make_steady() -> None:
    """From now on Textual's driver reads and writes in this way."""
    decoder = partial(codecs.getincrementaldecoder("utf-8"), errors="replace")
    vars(linux_driver).update(
        XTermParser=SteadyParser, getincrementaldecoder=lambda name: decoder, WriterThread=SteadyWriter,
        LinuxDriver=SteadyDriver,
    )  # fmt: skip
