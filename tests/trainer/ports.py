"""Ports that processes of a test can meet at."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """One that no process takes by itself before it is used: below those that the system hands out."""
    while True:
        port = random.randint(15_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
