"""When an app has nothing left to do: known from its queues, where textual's pilot guesses from the processor's load.

The guess costs at least 20 ms a time, three times a key, and is wrong on a busy machine.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from textual import app as textual_app
from textual import pilot as textual_pilot
from textual.app import App
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.screen import Screen

LONGEST_S = 10.0  # who waits for what the test does next must not be waited for ever
QUIET = 3  # rounds of the loop in a row


def is_busy(pump: MessagePump) -> bool:
    """Whether it has messages, or is inside one."""
    if not pump._running or pump._closed:
        return False
    queue = pump._message_queue
    waits = any(not waiter.done() for waiter in queue.ready_event._waiters)
    return not waits or not queue.empty() or pump._pending_message is not None or bool(pump._next_callbacks)


def is_waiting(app: App[Any]) -> bool:
    """Whether something goes on by itself: a worker, a thread, an app that holds back a frame or a size."""
    working = any(not worker.is_finished for worker in app.workers)
    held_back = app._batch_count > 0 or app._resize_event is not None
    return working or held_back or any(map(is_busy, (app, *app._registry)))


def is_unpainted(screen: Screen[Any]) -> bool:
    """Whether something waits for the next frame."""
    wanted = screen._layout_required or screen._scroll_required or screen._repaint_required
    return bool(wanted or screen._recompose_required or screen._dirty_widgets or screen._callbacks)


async def until_idle(app: App[Any]) -> None:
    """Return when nobody in the app has anything to do but wait for time, keys or its decoder."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # what is to be called without waiting
    end = time.monotonic() + LONGEST_S
    quiet = 0
    while quiet < QUIET and time.monotonic() < end and not app._exit and app._exception is None:
        await asyncio.sleep(0)
        if ready:
            quiet = 0
        elif is_waiting(app):
            await asyncio.sleep(0.001)
            quiet = 0
        elif app.screen_stack and is_unpainted(app.screen):
            app.screen._on_timer_update()  # the frame, without waiting for its time
            quiet = 0
        else:
            quiet += 1


def know_when_idle(patch: pytest.MonkeyPatch) -> None:
    """Let textual's pilot wait like this."""

    async def wait_for_idle(min_sleep: float = 0.0, max_sleep: float = LONGEST_S) -> None:
        await until_idle(textual_app.active_app.get())

    async def wait_for_screen(pilot: Pilot[Any], timeout: float = LONGEST_S) -> bool:
        """Instead of a message to every widget, three times a key."""
        await until_idle(pilot.app)
        return pilot.app._exception is None

    patch.setattr(textual_app, "wait_for_idle", wait_for_idle)
    patch.setattr(textual_pilot, "wait_for_idle", wait_for_idle)
    patch.setattr(Pilot, "_wait_for_screen", wait_for_screen)
