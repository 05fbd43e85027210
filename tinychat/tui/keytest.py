"""What the terminal sends for a key, and which action that is: read as the playground reads it, off its screen."""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import NoReturn

from textual import events

from tinychat.errors import EXIT_HANGUP, EXIT_TERMINATED
from tinychat.tui.keymap import PLAY, Bound, Keymap
from tinychat.tui.keynames import caution
from tinychat.tui.terminal_input import SteadyParser

ASK = "\x1b[>1u\x1b[?2004h"  # the Kitty protocol and bracketed paste, as the playground asks for them
RESTORE = "\x1b[<u\x1b[?2004l"
WAIT_S = 0.05  # how often a lone Esc is looked at


def run_test(bound: tuple[Bound, ...], keymap: Keymap) -> None:
    """Until ctrl+c is pressed twice, or the terminal goes."""
    owner = owners(bound, keymap)
    print("Press keys. ctrl+c twice leaves.", flush=True)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    parser, data, last = SteadyParser(), "", ""
    with _raw():
        while True:
            ready, _, _ = select.select([sys.stdin], [], [], WAIT_S)
            if ready:
                raw = os.read(sys.stdin.fileno(), 1024)
                if not raw:
                    return
                text = decoder.decode(raw)
                data += text
                found = list(parser.feed(text)) if text else []
            else:
                found = list(parser.tick())
            for event in found:
                if isinstance(event, events.Key):
                    print(f"{row(event.key, data, owner)}\r", flush=True)
                    if event.key == last == "ctrl+c":
                        return
                    last = event.key
                elif isinstance(event, events.Paste):
                    print(f"a paste of {len(event.text)} characters\r", flush=True)
            if found:
                data = ""


def owners(bound: tuple[Bound, ...], keymap: Keymap) -> dict[str, list[Bound]]:
    """What each key does, on every screen."""
    found: dict[str, list[Bound]] = {}
    for each in bound:
        changed = keymap.changed.get(each.id)
        for key in each.keys if changed is None else changed.split(","):
            found.setdefault(key, []).append(each)
    return found


def row(key: str, data: str, owner: Mapping[str, list[Bound]]) -> str:
    """One line about a key that was pressed: its name for config.toml, what was sent, and what it does."""
    does = owner.get(key, [])
    here = [f"{each.title} ({each.name})" for each in does if each.screen == PLAY]
    others = sorted({f"{each.title} ({each.screen})" for each in does if each.screen != PLAY})
    said = "; ".join([*here, *others]) or "nothing"
    note = caution(key)
    sent = ascii(data)[1:-1]
    return f"{key:<14} {sent:<10} {said}" + (f"  [{note}]" if note else "")


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Every key as it comes, ctrl+c too; the terminal is put back whatever happens."""
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    ends = {signal.SIGTERM: EXIT_TERMINATED, signal.SIGHUP: EXIT_HANGUP}

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(ends[signal.Signals(number)])

    old = {number: signal.signal(number, end) for number in ends}
    try:
        tty.setraw(handle)
        sys.stdout.write(ASK)
        sys.stdout.flush()
        yield
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.write(RESTORE)
            sys.stdout.flush()
        with contextlib.suppress(termios.error):
            termios.tcsetattr(handle, termios.TCSADRAIN, before)
        for number, handler in old.items():
            signal.signal(number, handler)
