"""Frames on their way to the client: never more than it keeps up with.

Every frame is credited until the client acknowledges it, so a client that does not read stops the engine and never
fills the memory. Nothing here knows what a frame says.
"""

from __future__ import annotations

import time

from tinychat.engine.channel import Channel
from tinychat.engine.wire import Ack, Frame, encode_frame

CREDIT_FRAMES = 8  # frames on the line
CREDIT_STEPS = 512  # steps on the line or gathered for the next frame


class Outgoing:
    """The line to the client. `sent_at` is when the last frame went."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._frames = 0
        self._steps = 0
        self.sent_at = 0.0

    @property
    def takes_a_frame(self) -> bool:
        return self._frames < CREDIT_FRAMES

    def takes_steps(self, gathered: int) -> bool:
        """Whether one more may be drawn when so many wait for the next frame."""
        return self.takes_a_frame and self._steps + gathered < CREDIT_STEPS

    def acknowledged(self, ack: Ack) -> None:
        self._frames -= ack.frames
        self._steps -= ack.steps

    def send(self, frame: Frame) -> None:
        self._channel.send(encode_frame(frame))
        self.sent_at = time.monotonic()
        self._frames += 1
        self._steps += frame.n_steps
