"""The door of `tinychat play`: what must be right before the first frame. Textual is imported inside.

A file that cannot be opened is refused before the screen starts; the engine's process starts before the terminal is
taken, so that its import of torch runs while the first frame is drawn.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from tinychat.errors import EXIT_HANGUP, EXIT_TERMINATED, UsageError
from tinychat.text.terminal import one_line
from tinychat.tui.config import Config, Taste
from tinychat.tui.keymap import play_bound
from tinychat.tui.opening import Opening, command_name, shown_name

if TYPE_CHECKING:
    from tinychat.engine.worker import DecodeWorker
    from tinychat.model.checkpoint import CheckpointInfo
    from tinychat.text.tokenizer import Tokenizer


CUT_OFF = (EXIT_HANGUP, EXIT_TERMINATED)


def run_play(
    opening: Opening,
    *,
    ascii_only: bool = False,
    no_mouse: bool = False,
    in_process: bool = False,
    bandwidth: int | None = None,
    theme: str = "",
    config: Config | None = None,
    taste: Taste | None = None,
) -> int:
    """Open the playground; the exit code. `bandwidth` in kB/s; `config` has the person's own keys, `taste` the rest.

    Raises FileFormatError before the screen starts when the file is no checkpoint, UsageError for keys that cannot be.
    On the way out a line on stderr says where the session is saved.
    """
    from tinychat.model.checkpoint import tokenizer_of

    opening, info = _looked_at(opening)
    from tinychat.engine.worker import start_process, start_thread

    with contextlib.ExitStack() as stack:
        gc.disable()  # what is imported and built now stays: the first frame comes without a look at all of it
        stack.callback(gc.enable)

        def start() -> DecodeWorker:
            worker = start_thread() if in_process else start_process()
            stack.callback(worker.close)
            return worker

        worker = None if info is None else start()
        _prepare_textual()
        from rich.console import Console

        from tinychat.tui.driver import ByteBudget, remote_rate
        from tinychat.tui.palette import detect
        from tinychat.tui.playapp import PlayApp
        from tinychat.tui.recorded import RecordedDecoder
        from tinychat.tui.terminal_input import make_steady
        from tinychat.tui.theme import has_light_ground, theme_for

        make_steady()
        taste = taste or Taste()
        if config is not None and config.keys:
            from tinychat.tui.viewkeys import view_bound

            others = view_bound() if any("." in name for name in config.keys) else ()
            taste = replace(taste, keymap=config.keymap((*play_bound(), *others)))

        def tokenizer() -> Tokenizer:
            assert info is not None, "asked for by a new session, which has a model"
            return tokenizer_of(info)

        look = detect(os.environ, Console(file=sys.__stdout__).color_system, ascii=ascii_only)
        app = PlayApp(
            opening,
            worker or RecordedDecoder(),
            tokenizer=tokenizer,
            look=look,
            budget=ByteBudget(bandwidth * 1000 if bandwidth is not None else remote_rate(os.environ)),
            restart=start,
            theme=theme or theme_for(look, light=has_light_ground(os.environ)),
            taste=taste,
        )  # fmt: skip
        try:
            app.run(mouse=not no_mouse)
        finally:
            if app.reopening is not None:
                _say(*app.reopening.farewell(cut_off=app.return_code in CUT_OFF))
    if app.fault is not None:
        raise app.fault
    if app.failure is not None:
        raise app.failure
    return 1 if app.return_code is None else app.return_code


def _looked_at(opening: Opening) -> tuple[Opening, CheckpointInfo | None]:
    """The opening with what its files say, and the model; None for a recording, whose model is not here."""
    if opening.session is not None:
        from tinychat.session.first_line import glimpse
        from tinychat.session.reopen import model_of

        info, _ = model_of(glimpse(opening.session), opening.path)
    else:
        from tinychat.model.checkpoint import inspect

        assert opening.path is not None, "without a session there is a model"
        info = inspect(opening.path)
        opening = replace(opening, pauses=info.pause_tokens if opening.pauses is None else opening.pauses)
    if opening.compare is not None:
        from tinychat.model.checkpoint import inspect

        inspect(opening.compare)  # refused before the screen starts
    if info is None:
        return replace(opening, name="a recording"), None
    return replace(
        opening, name=shown_name(opening.run, info.path.name, info.step), command_name=command_name(info.path),
        context=info.config.context, digest=info.digest, step=info.step,
    ), info  # fmt: skip


def need_terminal(instead: str) -> None:
    """UsageError where there is none that the playground can draw on; `instead` is for pipes and scripts."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "The playground needs a terminal for its keys and its screen.", f"For pipes and scripts:  {instead}"
        )
    if os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError(
            "The playground cannot draw on this terminal (TERM is dumb or unset).", f"Set TERM, or use {instead}."
        )


def _say(*lines: str) -> None:
    """On stderr, which may be gone with the terminal."""
    for line in filter(None, lines):
        with contextlib.suppress(OSError, ValueError):
            print(one_line(f"tinychat: {line}"), file=sys.stderr)


def _prepare_textual() -> None:
    """Settings that Textual reads while it is imported."""
    # a key waits for up to two periods of its frame timer; we paint from our own tick, so a short one costs nothing
    os.environ.setdefault("TEXTUAL_FPS", "500")
    if os.environ.get("NO_COLOR") == "":
        del os.environ["NO_COLOR"]  # empty means no wish (no-color.org); Textual takes any value for one
    if any(os.environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "MOSH_CONNECTION")):
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
        os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
