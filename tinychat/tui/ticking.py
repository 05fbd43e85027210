"""A screen that paints what a decoder sends, and nothing faster than it can be seen.

One tick, at most thirty times a second, takes the frames of the decoder in and redraws what they changed. While
nothing runs the tick is paused, and a frame is painted when it comes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from textual.screen import Screen
from textual.timer import Timer

from tinychat.engine.wire import Frame
from tinychat.errors import TinychatError
from tinychat.text.terminal import clean
from tinychat.tui.compositor import use_rows
from tinychat.tui.driver import ByteBudget
from tinychat.tui.lineview import Piece
from tinychat.tui.player import Decoder, Player
from tinychat.tui.wording import error_line

TICK_S = 1 / 30


class TickScreen(Screen[None]):
    """The decoder, the frames that came from it, and when they are painted."""

    AUTO_FOCUS = ""  # INSPECT comes first

    def __init__(self, decoder: Decoder, *, budget: ByteBudget) -> None:
        super().__init__()
        use_rows(self)
        self.decoder = decoder
        self.budget = budget
        self.restart: Callable[[], Decoder] | None = None  # another decoder, when this one has died
        self.player: Player | None = None
        self.notice: Piece = ("", "text")
        self._frames: deque[Frame] = deque()
        self._timer: Timer | None = None
        self._painted_at = 0.0

    def paint(self) -> None:
        """Paint what frames changed."""
        raise NotImplementedError

    def knobs_changed(self) -> None:
        """Paint the settings."""
        raise NotImplementedError

    def start_ticking(self) -> None:
        """Listen to the decoder."""
        self._timer = self.set_interval(TICK_S, self.tick, pause=True)
        self._listen()

    def on_unmount(self) -> None:
        if self.decoder.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.decoder.fileno())

    def _listen(self) -> None:
        if self.decoder.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self.decoder.fileno(), self._readable)

    def revive(self, player: Player) -> None:
        """Start the engine again when it has failed."""
        if player.state != "failed":
            return
        if not self.decoder.alive and self.restart is not None:
            try:
                decoder = self.restart()
            except TinychatError as error:
                self.notice = (error_line(error), "warn")
                return
            self.use_decoder(decoder)
        player.reopen(self.decoder)

    def use_decoder(self, decoder: Decoder) -> None:
        """Listen to this one from now on, and end the one before."""
        if self.decoder.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.decoder.fileno())
        self.decoder.close()
        self.decoder = decoder
        self._frames.clear()
        self._listen()

    def _readable(self) -> None:
        self._frames.extend(self.decoder.read())
        if not self.decoder.alive:
            asyncio.get_running_loop().remove_reader(self.decoder.fileno())
        # at once when the last picture is old enough, so that a turned knob shows without waiting for the tick
        if time.monotonic() - self._painted_at >= TICK_S:
            self.tick()
        elif self._timer is not None:
            self._timer.resume()

    def tick(self) -> None:
        """Take in what came and paint it, unless the line is too slow for another picture now."""
        if not self.is_attached:  # the program ends, and widgets are gone already
            return
        if self.decoder.fileno() < 0:
            self._frames.extend(self.decoder.read())
        now = time.monotonic()
        if self._frames and self.player is not None:
            if not self.budget.allows(now):
                if self._timer is not None:
                    self._timer.resume()
                return
            self._painted_at = now
            self.player.receive(self._frames)
            self._frames.clear()
            self._say_refusal(self.player)
            self.paint()
        if self._timer is not None and not self._frames:
            self._timer.pause()

    def _say_refusal(self, player: Player) -> None:
        """Settings that the engine could not use are told, and the knobs stand where they were."""
        if player.refused is not None:
            self.notice = (clean(" ".join(player.refused), keep=""), "warn")
            player.refused = player.error = None
            self.knobs_changed()
