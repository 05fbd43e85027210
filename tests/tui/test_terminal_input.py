"""Bytes from a terminal, hostile or in pieces: a paste stays a paste, and no byte ends the program."""

from __future__ import annotations

import io
import os
import pty
import select
import sys
import termios
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.drivers.linux_driver import LinuxDriver

from tinychat.tui import terminal_input
from tinychat.tui.terminal_input import (
    END,
    ESCAPE_SIGN,
    START,
    PasteFilter,
    SteadyDriver,
    SteadyParser,
    SteadyWriter,
    end_line_editing,
    give_size,
)

pieces = st.lists(st.sampled_from(["a", "\x1b", "[", "2", "0", "1", "~", "\r", START, END, "\x1b[A", "é"]), max_size=20)


@given(pieces, st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_the_pieces_in_which_text_comes_make_no_difference(parts: list[str], sizes: list[int]) -> None:
    text = "".join(parts) + START + END  # so that nothing is held back at the end
    whole = PasteFilter().feed(text)
    cut, out, at = PasteFilter(), "", 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        out += cut.feed(text[at : at + size])
        at += size
    assert out == whole
    for paste in whole.split(START)[1:]:
        assert "\x1b" not in paste.partition(END)[0]
    assert whole.replace(ESCAPE_SIGN, "\x1b") == text  # and nothing else is changed


def test_a_lone_escape_key_is_not_held_back() -> None:
    assert PasteFilter().feed("\x1b") == "\x1b"


@pytest.mark.parametrize(
    ("pieces", "keys"),
    [
        (["\x1bp"], ["escape", "p"]),
        (["\x1b", "p"], ["escape", "p"]),
        (["ab\x1bG\x1b[A"], ["a", "b", "escape", "G", "up"]),
        (["\x1b ", "\x1b[", "D"], ["escape", "space", "left"]),
        (["\x1b", "[B"], ["down"]),
        (["\x1b\x1b", "[C"], ["escape", "right"]),
        (["\x1bOA"], ["up"]),
        (["\x1b\x7f"], ["ctrl+w"]),
    ],
)
def test_escape_and_a_letter_in_one_go_are_two_keys(pieces: list[str], keys: list[str]) -> None:
    parser = SteadyParser()
    found = [event for piece in pieces for event in parser.feed(piece)]
    assert [event.key for event in found if isinstance(event, events.Key)] == keys


def test_a_lone_escape_comes_when_nothing_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(terminal_input.time, "monotonic", lambda: now)
    parser = SteadyParser()
    assert list(parser.feed("\x1b")) == []
    assert list(parser.tick()) == []
    now = 0.2
    assert [event.key for event in parser.tick() if isinstance(event, events.Key)] == ["escape"]
    assert list(parser.tick()) == []
    assert [event.key for event in parser.feed("p") if isinstance(event, events.Key)] == ["p"]


def test_a_paste_with_escape_sequences_is_one_paste() -> None:
    text = "red \x1b[31m\rnext \x1b]0;title\x07 \x1b[200~ end"
    parser = SteadyParser()
    found = [event for piece in (START, text[:6], text[6:], END, "x") for event in parser.feed(piece)]
    kinds = [type(event) for event in found]
    assert kinds == [events.Paste, events.Key]
    (paste, _) = found
    assert isinstance(paste, events.Paste)
    assert paste.text == text.replace("\x1b", ESCAPE_SIGN)


def test_a_writer_outlives_its_terminal() -> None:
    class Gone:
        def write(self, text: str) -> None:
            raise OSError(5, "Input/output error")

        def flush(self) -> None:
            raise OSError(5, "Input/output error")

        def isatty(self) -> bool:
            return True

    writer = SteadyWriter(cast(IO[str], Gone()))
    writer.start()
    for _ in range(200):  # more than its queue holds: with a dead thread behind it this would never come back
        writer.write("x")
    writer.stop()
    assert not writer.is_alive()


def test_the_screen_is_drawn_on_the_terminal_when_errors_go_into_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    master, slave = pty.openpty()
    try:
        with open(slave, "w") as terminal, open(tmp_path / "errors", "w") as errors:
            monkeypatch.setattr(sys, "__stdout__", terminal)
            writer = SteadyWriter(errors)
            writer.start()
            writer.write("drawn")
            writer.stop()
            assert os.read(master, 100) == b"drawn"
        assert (tmp_path / "errors").read_text() == ""
    finally:
        os.close(master)


def test_enter_typed_before_the_terminal_is_taken_is_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard, terminal = pty.openpty()
    try:
        early = "füx\rno line yet".encode()
        os.write(keyboard, early)
        assert select.select([terminal], [], [], 30)[0]  # the kernel hands it over in its own time
        before, waiting = end_line_editing(terminal)
        assert before[3] & termios.ICANON
        assert not termios.tcgetattr(terminal)[3] & termios.ICANON
        monkeypatch.setattr(SteadyParser, "typed_ahead", waiting)
        os.write(keyboard, b"\n\r")  # from here on ctrl+j and Enter are two keys
        parser = SteadyParser()
        typed = b""
        while len(typed) < len(early) + 2:
            typed += os.read(terminal, 100)
        found = [event for event in parser.feed(typed.decode()) if isinstance(event, events.Key)]
        assert [event.key for event in found if not event.is_printable] == ["enter", "ctrl+j", "enter"]
        assert "".join(event.character or "" for event in found if event.is_printable) == "füxno line yet"
        assert [event.key for event in SteadyParser().feed("\n") if isinstance(event, events.Key)] == ["ctrl+j"]
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_a_terminal_that_comes_back_is_painted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[str] = []
    screen = SimpleNamespace(refresh=lambda: painted.append("whole"))
    app = SimpleNamespace(screen=screen, call_later=lambda call: call())
    monkeypatch.setattr(LinuxDriver, "__init__", lambda self: None)
    monkeypatch.setattr(LinuxDriver, "start_application_mode", lambda self: None)
    driver = cast(Any, SteadyDriver)()
    master, slave = pty.openpty()
    try:
        driver._app, driver.fileno = app, slave
        driver.start_application_mode()
        assert painted == []  # the first frame comes by itself
        driver.start_application_mode()  # behind ctrl+z and fg
        assert painted == ["whole"]
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("rows", "columns", "made"), [(0, 0, (24, 80)), (0, 132, (24, 132)), (50, 0, (50, 80)), (7, 9, (7, 9))]
)
def test_a_terminal_without_a_size_gets_one_and_another_keeps_its_own(
    rows: int, columns: int, made: tuple[int, int]
) -> None:
    master, slave = pty.openpty()
    try:
        termios.tcsetwinsize(slave, (rows, columns))
        give_size(slave)
        assert termios.tcgetwinsize(master) == made
    finally:
        os.close(master)
        os.close(slave)


def test_what_is_no_terminal_has_no_size_to_give() -> None:
    reader, writer = os.pipe()
    try:
        give_size(reader)
    finally:
        os.close(reader)
        os.close(writer)


class Recording:
    """Stands for what Textual's driver does when it takes the terminal and lets it go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fileno: int) -> None:
        self.calls: list[str] = []
        monkeypatch.setattr(LinuxDriver, "__init__", lambda driver: None)
        monkeypatch.setattr(LinuxDriver, "start_application_mode", lambda driver: self.calls.append("take"))
        monkeypatch.setattr(LinuxDriver, "suspend_application_mode", lambda driver: self.calls.append("leave"))
        self.driver = cast(Any, SteadyDriver)()
        self.driver.fileno, self.driver._auto_restart, self.driver._must_signal_resume = fileno, True, False
        self.driver._app = SimpleNamespace(screen=SimpleNamespace(refresh=lambda: None), call_later=lambda call: None)
        self.driver._file = io.StringIO()
        self.driver.start_application_mode()
        assert self.calls == ["take"]
        self.calls.clear()


def test_going_on_takes_the_terminal_once(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    try:
        recording = Recording(monkeypatch, slave)
        recording.driver._sigcont_application()  # nobody had told us of the stop
        assert recording.calls == ["leave", "take"]
        recording.calls.clear()
        recording.driver._must_signal_resume = True  # ctrl+z has let it go
        recording.driver._sigcont_application()
        assert recording.calls == ["take"]
        recording.calls.clear()
        recording.driver._auto_restart, recording.driver._must_signal_resume = False, False  # an editor has it
        recording.driver._sigcont_application()
        assert recording.calls == []
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_terminal_that_is_gone_is_not_taken_again(monkeypatch: pytest.MonkeyPatch, stopped: bool) -> None:
    master, slave = pty.openpty()
    recording = Recording(monkeypatch, slave)
    os.close(master)  # the window is closed: the signal to go on comes with the hang-up
    try:
        recording.driver._must_signal_resume = stopped
        recording.driver._sigcont_application()
        assert recording.calls == []
        if stopped:
            for _ in range(100):  # more than a queue of writes holds
                recording.driver._writer_thread.write("text")
            recording.driver._writer_thread.stop()
    finally:
        os.close(slave)
