"""A program in a terminal of our own: its screen, its keys, and a line between them, as slow as one wishes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from tinychat.bench.screen_cells import Cells

CHUNK, PACKET = 65536, 1400
IN_FLIGHT = 65536  # bytes that a slow line holds
ANSWERS = {"?2026$p": "\x1b[?2026;2$y", "c": "\x1b[?62;22c", "6n": "\x1b[1;1R"}  # as a modern terminal


@dataclass(frozen=True, slots=True)
class Line:
    """Between the terminal and the program."""

    bytes_per_s: int = 0  # 0: no limit
    round_trip_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its children have used."""

    cpu_s: dict[int, float]
    rss: dict[int, int]
    names: dict[int, str]


class Terminal:
    """A context manager: the program starts at its begin and has ended at its end."""

    def __init__(
        self, command: Sequence[str], size: tuple[int, int], *, environ: Mapping[str, str], line: Line
    ) -> None:
        self.cells = Cells(*size)
        self.line = line
        self.sent = 0  # bytes that the terminal was given
        self.closed = False
        self.started = time.perf_counter()
        self.first_byte_s: float | None = None
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._keys: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._free_at = 0.0
        self.pid, self._handle = pty.fork()
        if self.pid == 0:
            with contextlib.suppress(OSError):
                os.execvpe(command[0], list(command), dict(environ))
            os._exit(127)
        fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, number)
                until = time.perf_counter() + 3
                while time.perf_counter() < until:
                    with contextlib.suppress(OSError):  # it may wait for somebody to read its last words
                        if select.select([self._handle], [], [], 0.02)[0]:
                            os.read(self._handle, CHUNK)
                    if os.waitpid(self.pid, os.WNOHANG)[0]:
                        break
                else:
                    continue
                break
        os.close(self._handle)

    def press(self, keys: bytes) -> float:
        """Send keys; the moment they were pressed."""
        now = time.perf_counter()
        self._keys.append((now + self.line.round_trip_s / 2, keys))
        self._send_due(now)
        return now

    def wait(self, seconds: float, seen: Callable[[Cells], bool] | None = None) -> float | None:
        """Read for so long, or until the screen shows what is waited for; the moment it did."""
        until = time.perf_counter() + seconds
        while not self.closed:
            now = time.perf_counter()
            self._send_due(now)
            while self._under_way and self._under_way[0][0] <= now:
                data = self._under_way.popleft()[1]
                self._held -= len(data)
                if self._deliver(data, now) and seen is not None and seen(self.cells):
                    return now
            if now >= until:
                break
            self._read(until, now)
        return None

    def _read(self, until: float, now: float) -> None:
        """What the program has said goes onto the line, which brings it at once or in its own time."""
        due = [until, *(queue[0][0] for queue in (self._under_way, self._keys) if queue)]
        room = [self._handle] if self._held < IN_FLIGHT else []
        if not select.select(room, [], [], max(0.0, min(due) - now))[0]:
            return
        try:
            data = os.read(self._handle, PACKET if self.line.bytes_per_s else CHUNK)
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        now = time.perf_counter()
        self._free_at = max(self._free_at, now)
        if self.line.bytes_per_s:
            self._free_at += len(data) / self.line.bytes_per_s
        self._held += len(data)
        self._under_way.append((self._free_at + self.line.round_trip_s / 2, data))

    def _send_due(self, now: float) -> None:
        while self._keys and self._keys[0][0] <= now:
            with contextlib.suppress(OSError):
                os.write(self._handle, self._keys.popleft()[1])

    def _deliver(self, data: bytes, now: float) -> bool:
        if self.first_byte_s is None:
            self.first_byte_s = now - self.started
        self.sent += len(data)
        self.cells.feed(data)
        for question in self.cells.asked:
            if answer := ANSWERS.get(question):
                self._keys.append((now + self.line.round_trip_s / 2, answer.encode()))
        self.cells.asked.clear()
        return True


def usage(root: int) -> Usage:
    """CPU seconds, resident bytes and names of a process and all below it; empty where there is no /proc."""
    parents: dict[int, int] = {}
    fields: dict[int, list[str]] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdecimal():
                with (
                    contextlib.suppress(OSError),
                    open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file,
                ):
                    rest = file.read().rpartition(")")[2].split()
                    parents[int(name)], fields[int(name)] = int(rest[1]), rest
    tree, waiting = [], [root]
    while waiting:
        parent = waiting.pop()
        tree.append(parent)
        waiting += [pid for pid, above in parents.items() if above == parent]
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    there = [pid for pid in tree if pid in fields]
    return Usage(
        {pid: (int(fields[pid][11]) + int(fields[pid][12])) / ticks for pid in there},
        {pid: int(fields[pid][21]) * page for pid in there},
        {pid: _command(pid) for pid in there},
    )


def _command(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().decode(errors="replace").replace("\0", " ").strip()
    return ""
