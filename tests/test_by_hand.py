"""The playground as a person has it: tmux, real keys, the shipped model, and what is left when it ends."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

MODEL = Path(__file__).parent.parent / "assets" / "tinychat.safetensors"
LONGEST_S = 60.0  # that anything may take on a machine with other work; nothing waits longer than it must

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None or not MODEL.exists(), reason="needs tmux and the model")


class Terminal:
    """A shell in tmux, on a server of its own."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._server = ("tmux", "-S", str(folder / "tmux"), "-f", "/dev/null")
        self._tmux("new-session", "-d", "-x", str(width), "-y", str(height), "env PS1='ready> ' sh")
        self.until("ready>")

    def _tmux(self, *words: str) -> str:
        return subprocess.run([*self._server, *words], check=True, capture_output=True, text=True).stdout

    def line(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def until(self, *patterns: str) -> str:
        """The screen, once every pattern is found on it."""
        end = time.monotonic() + LONGEST_S
        while time.monotonic() < end:
            screen = self.screen()
            if all(re.search(pattern, screen) for pattern in patterns):
                return screen
            time.sleep(0.05)
        raise AssertionError(f"not seen: {patterns}\n{self.screen()}")

    def close(self) -> None:
        subprocess.run([*self._server, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, 80, 24)
    yield terminal
    terminal.close()


def test_a_sitting_from_the_first_key_to_the_proof(terminal: Terminal) -> None:
    tinychat = f"{sys.executable} -m tinychat"
    terminal.line("clear; tinychat_before=$(stty -g)")
    terminal.line(f"{tinychat} play {MODEL} --seed 7 --rate 120 --threads 1")
    terminal.until("EDIT", "1 Prompt", "ctx 1/256", "cpu")
    terminal.press("Once upon a time", "Enter")
    terminal.until("RUNNING", r"ctx [1-9]\d/256")
    terminal.press("Space")
    terminal.until("PAUSED", "saved")
    terminal.press("Left", "Left", "Left")
    terminal.until(r"Token \d+ of \d+")
    terminal.press("T", "_", "_")  # so much sharper that another token falls
    terminal.until(r"what-if: token \d+ .* \(w\)")
    terminal.press("w")
    terminal.until("PAUSED|ENDED", "saved", "what-if is a branch now")
    terminal.press("C-q")
    terminal.until("ready>", "reopen: +tinychat play --session")
    terminal.line('clear; test "$(stty -g)" = "$tinychat_before" && echo as it was')
    terminal.until("^as it was|\nas it was")
    terminal.line(f"clear; {tinychat} verify last")
    terminal.until(r"identical: \d+ tokens")
