"""Showing a run: a live dashboard on a terminal, plain lines anywhere else, a summary at the end of both.

A display never stops a run: when the terminal is gone, it falls silent. Nothing here trains.
"""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tinychat.text.terminal import one_line
from trainer import figures
from trainer.events import (
    Eased,
    Evaluated,
    Event,
    Probed,
    Progress,
    RateScaled,
    Sampled,
    Saved,
    Started,
    Stopped,
    TrainStep,
    Warned,
)
from trainer.frame import frame
from trainer.hand import Hand
from trainer.launch import is_first
from trainer.plot import plot
from trainer.summary import Commands, summary
from trainer.view import View

MOST_PER_S = 8.0
MOST_SHARE = 0.015  # of the time goes into drawing
FINAL_PLOT = 14  # lines of the curve that stays behind


class Display(Protocol):
    """What the door needs of either display."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def waiting(self, what: str) -> None: ...
    def show(self, event: Event) -> None: ...
    def alarm(self, event: Event) -> None: ...
    def give_back(self) -> None: ...


def choose_display(
    *, commands: Commands, plain: bool, ascii_only: bool, log_every: int, hand: Hand | None = None
) -> Display:
    """The dashboard where stdout is a terminal that can show one; nothing where another process shows the run."""
    if not is_first():
        return Silent()
    console = Console(highlight=False, soft_wrap=True)
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return PlainLines(commands, every=log_every)
    return Dashboard(commands, console=console, ascii_only=ascii_only, hand=hand)


class PlainLines:
    """One line per interval and one for whatever else happens; no control codes, so it reads well in a file."""

    def __init__(self, commands: Commands, *, every: int) -> None:
        self._commands, self._every = commands, every
        self._dead = False
        self._progress = ""
        self._view = View()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def waiting(self, what: str) -> None:
        self._say(f"{what} ...")

    def show(self, event: Event) -> None:
        """Print the event if it has a line."""
        self._view.take(event)
        if isinstance(event, Stopped):
            for line in summary(self._view, self._commands):
                self._say(line.plain)
        elif isinstance(event, Progress):
            # the beginning of something long; evaluating and saving have lines of their own when they are done
            if self._view.started is None and event.what != self._progress:
                self._say(f"{event.what} ...")
            self._progress = event.what
        elif not isinstance(event, TrainStep) or event.step % self._every == 0 or event.eta_s == 0:
            self._say(line_of(event, self._view.started.steps if self._view.started else 0))

    def alarm(self, event: Event) -> None:
        """Print it at once, from any thread."""
        self._say(line_of(event, 0))

    def give_back(self) -> None:
        """The terminal was never taken."""

    def _say(self, line: str) -> None:
        if self._dead:
            return
        try:
            print(line.encode(sys.stdout.encoding or "ascii", "replace").decode(sys.stdout.encoding or "ascii"))
            sys.stdout.flush()
        except OSError:
            self._dead = True
            _forget_stdout()


class Silent:
    """What a process shows that is not the first of a run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def waiting(self, what: str) -> None:
        pass

    def show(self, event: Event) -> None:
        pass

    def alarm(self, event: Event) -> None:
        pass

    def give_back(self) -> None:
        pass


class Dashboard:
    """Rich's live screen, redrawn at most MOST_PER_S times a second and for at most MOST_SHARE of the time."""

    def __init__(
        self, commands: Commands, *, console: Console, ascii_only: bool = False, hand: Hand | None = None
    ) -> None:
        """`hand`: who presses keys, if anybody can."""
        self._commands, self._console, self._hand = commands, console, hand
        self._ascii = ascii_only or not (console.encoding or "").lower().startswith("utf")
        self._view = View()
        self._next = 0.0
        self._size = console.size
        self._dead = False
        self._live = Live(
            get_renderable=self._frame,
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        if self._hand is not None:
            self._hand.begin(self._leave)
        self._return()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the screen back, then leave curve and summary on it."""
        self._leave()
        if self._hand is not None:
            self._hand.end()
        if self._dead:
            return
        try:
            if self._view.stopped is not None:
                self._leave_behind()
            elif error is not None:
                for message in self._view.warnings:
                    self._console.print(Text(f"! {one_line(message)}"))
        except OSError:
            self._fall_silent()

    def waiting(self, what: str) -> None:
        self._view.waiting = f"{what} ..."
        self._draw()

    def show(self, event: Event) -> None:
        """Note the event; draw when it is time to."""
        self._view.take(event)
        acted = self._hand is not None and self._look(self._hand)
        resized = self._console.size != self._size
        if acted or resized or time.monotonic() >= self._next or not isinstance(event, TrainStep | Progress):
            self._draw()

    def alarm(self, event: Event) -> None:
        """Show it at once, from any thread: the main one does not come to it."""
        self._view.take(event)
        self._draw()

    def give_back(self) -> None:
        """The terminal as it was, from any thread."""
        self._leave()

    def _look(self, hand: Hand) -> bool:
        """Do what keys and the shell ask for; whether something is to be seen of it."""
        if hand.wants_sleep:
            self._leave()
            hand.sleep()
            self._return()
        elif self._live.is_started and hand.is_away:
            self._leave()
        elif not self._live.is_started and not hand.is_away:
            self._return()
        return hand.act(self._view)

    def _return(self) -> None:
        """Take the screen, unless it is the shell's now."""
        if self._dead or (self._hand is not None and self._hand.is_away):
            return
        if self._hand is not None:
            self._view.keys = self._hand.take_keys()
        try:
            self._live.start()
        except OSError:
            self._fall_silent()

    def _leave(self) -> None:
        """Give screen and keys back."""
        if self._hand is not None:
            self._hand.release_keys()
        if self._dead:
            return
        try:
            self._live.stop()
        except OSError:
            self._fall_silent()

    def _draw(self) -> None:
        if self._dead or not self._live.is_started:
            return
        started = time.monotonic()
        try:
            self._live.refresh()
        except OSError:
            self._fall_silent()
        ended = time.monotonic()
        self._next = ended + max(1 / MOST_PER_S, (ended - started) / MOST_SHARE)

    def _frame(self) -> Text:
        self._size = width, height = self._console.size
        return Text("\n").join(frame(self._view, width, height, ascii_only=self._ascii))

    def _leave_behind(self) -> None:
        width = min(self._console.width, 120)
        if self._view.curve.train:
            curve = self._view.curve
            for line in plot(curve.train, curve.valid, width=width, height=FINAL_PLOT, ascii_only=self._ascii):
                self._console.print(line)
        for line in summary(self._view, self._commands):
            self._console.print(line)

    def _fall_silent(self) -> None:
        self._dead = True
        _forget_stdout()


def line_of(event: Event, steps: int) -> str:
    """The event as one plain line."""
    match event:
        case Started():
            return (
                f"{one_line(event.name)}: {figures.count(event.parameters)} parameters, {event.shape},"
                f" vocabulary {event.vocab_size}, context {event.context}, {event.device},"
                f" {event.threads} thread{'s' * (event.threads != 1)}{', ' * bool(event.precision)}{event.precision},"
                f" {figures.count(event.train_tokens)} tokens of text, {event.steps} steps of {event.tokens_per_step}"
                + (f", rate x {event.rate_scale:g} by a key" if event.rate_scale != 1 else "")
            )
        case TrainStep():
            return (
                f"step {event.step}/{steps}  loss {event.loss:.4f}  smooth {event.smooth_loss:.4f}"
                f"  {event.bits_per_byte:.3f} bits/byte  rate {event.lr:.2e}  gradient {event.grad_norm:.3f}"
                f"  {figures.count(event.tokens_per_s)} tok/s  epoch {event.epoch:.2f}"
                f"  {figures.duration(event.elapsed_s)} + {figures.duration(event.eta_s)}"
            )
        case Evaluated():
            best = ", the best so far" if event.best else ""
            return f"step {event.step}  held out {event.loss:.4f}  {event.bits_per_byte:.3f} bits/byte{best}"
        case Sampled():
            return f"step {event.step}  sample  {one_line(event.prompt)}{one_line(event.text)}"
        case Saved():
            return f"step {event.step}  saved {one_line(str(event.path))}"
        case Probed():
            top = ", ".join(f"{one_line(text)} {share:.0%}" for text, share in event.top[:3])
            return f"step {event.step}  next after {one_line(event.prompt)}: {top}"
        case Warned():
            return f"warning: {one_line(event.message)}"
        case Eased():
            return f"step {event.step}  no longer: {one_line(event.about)}"
        case RateScaled():
            return f"step {event.step}  rate: the schedule's x {event.scale:g}, next {event.lr:.2e}"
        case _:
            return ""


def _forget_stdout() -> None:
    """Point stdout nowhere: a closed pipe would make the interpreter fail again when it flushes at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
