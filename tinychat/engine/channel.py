"""A socket that carries whole messages and never blocks: what does not fit now waits in memory.

Nothing here knows what a message means; wire.py does.
"""

from __future__ import annotations

import socket
from typing import Any

from tinychat.engine.wire import take_message

_READ_SIZE = 1 << 18


class Channel:
    """One end of a socket pair. `closed` once the other side is gone or this side was closed."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self.closed = False

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def waiting(self) -> int:
        """Bytes that the other side has not taken yet."""
        return len(self._outgoing)

    def send(self, message: bytes) -> None:
        """Send, or keep what does not fit for the next `flush`."""
        self._outgoing += message
        self.flush()

    def flush(self) -> None:
        """Send as much of what waits as the other side takes now."""
        try:
            while self._outgoing and not self.closed:
                del self._outgoing[: self._socket.send(self._outgoing)]
        except BlockingIOError:
            pass
        except OSError:  # a broken pipe, however the system names it
            self.closed = True

    def receive(self) -> list[tuple[dict[str, Any], memoryview]]:
        """All whole messages that are there; ProtocolError when the bytes are none of ours."""
        try:
            while not self.closed:
                data = self._socket.recv(_READ_SIZE)
                if not data:
                    self.closed = True
                self._incoming += data
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True
        messages = []
        while (message := take_message(self._incoming)) is not None:
            messages.append(message)
        return messages

    def close(self) -> None:
        self.closed = True
        self._socket.close()
