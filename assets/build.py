"""`make assets`: the shipped checkpoint and the pictures, made again from configs and seeds.

python assets/build.py [model] [pictures]      both when neither is named
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

# relative, because the pictures show paths and shall not show ours
ASSETS = Path("assets")
RUN = Path("runs/tinychat")
SHIPPED = ASSETS / "tinychat.safetensors"
MOST_BYTES = 8_000_000  # it travels in the wheel


def model() -> None:
    """Train by tinychat.toml (or go on where it stopped) and ship the best checkpoint."""
    from trainer.door import run_train

    code = run_train(ASSETS / "tinychat.toml", out=RUN, resume=(RUN / "config.toml").exists())
    if code:
        sys.exit(code)
    size = (RUN / "best.safetensors").stat().st_size
    if size > MOST_BYTES:
        sys.exit(f"{RUN / 'best.safetensors'} has {size} bytes; at most {MOST_BYTES} are shipped")
    shutil.copyfile(RUN / "best.safetensors", SHIPPED)
    (ASSETS / "train.svg").write_text(_train_picture())


def pictures() -> None:
    """The screens that the README shows; train.svg comes with the model, from the log of its run."""
    os.environ["TEXTUAL_FPS"] = "240"
    for name, (size, show) in SCREENS.items():
        (ASSETS / f"{name}.svg").write_text(asyncio.run(_picture(name, size, show)))


async def _picture(name: str, size: tuple[int, int], show: Callable[[Any], Awaitable[None]]) -> str:
    """One screen of the playground on the shipped model, after what `show` does to it."""
    from tinychat.engine.presets import PRESETS
    from tinychat.engine.worker import start_thread
    from tinychat.model.checkpoint import inspect, tokenizer_of
    from tinychat.tui.driver import ByteBudget
    from tinychat.tui.opening import Opening
    from tinychat.tui.palette import Look
    from tinychat.tui.playapp import PlayApp

    info = inspect(SHIPPED)
    decoder = start_thread()
    app = PlayApp(
        Opening(
            path=SHIPPED, name=SHIPPED.name, context=info.config.context, params=PRESETS["story"].with_(seed=11),
            prompt="Once upon a time", max_tokens=60, rate=None, fixed_seed=True,
            lesson="order" if name == "lesson" else "",
        ),
        decoder,
        tokenizer=lambda: tokenizer_of(info),
        look=Look("unicode", "truecolor"),
        budget=ByteBudget(None),
    )  # fmt: skip
    try:
        async with app.run_test(size=size) as pilot:
            await _settled(pilot)
            await pilot.press("escape")
            await show(pilot)
            await _settled(pilot)
            svg = app.export_screenshot(title=f"tinychat {'learn order' if name == 'lesson' else 'play'}")
            return re.sub(r"terminal-\d+-", "t-", svg)  # a third less to load
    finally:
        decoder.close()


async def _settled(pilot: Any) -> None:
    """Until the model is there and stands still, and the screen has heard of it."""
    await pilot.pause(1.0)
    while (player := pilot.app.screen_stack[0].player) is None or player.running or player.state == "loading":
        await pilot.pause(0.2)
    await pilot.pause(1.0)


async def _drawn(pilot: Any) -> None:
    await pilot.press("space")
    await _settled(pilot)


async def _a_token(pilot: Any) -> None:
    """A knob moved in mid-story, and a token with many rivals."""
    await _drawn(pilot)
    await pilot.press("T", *["minus"] * 4, "space")
    await _settled(pilot)
    await _to_many(pilot)


async def _to_many(pilot: Any) -> None:
    """The cursor goes back to the token of the reply whose entropy was highest."""
    screen = pilot.app.screen_stack[0]
    session = screen.player.session
    entropy = session.tree.path.entropy
    at = max(range(session.reply_start, len(session.tree)), key=lambda i: entropy[i])
    await pilot.press("left")
    while screen.position > at:
        await pilot.press("left")


async def _branches(pilot: Any) -> None:
    """Two other candidates taken, and what another temperature would have made of the text."""
    for candidate in "23":
        await _drawn(pilot)
        await _to_many(pilot)
        await pilot.press(candidate)
        await _settled(pilot)
    await _drawn(pilot)
    await pilot.press("t", "T", "underscore")
    await _settled(pilot)


async def _lanes(pilot: Any) -> None:
    """The same draws at two temperatures, where they part."""
    await _drawn(pilot)
    await pilot.press("home", *["right"] * 5, "v", "T", "plus", "plus", "space")
    race = pilot.app.screen.race
    while any(lane.length < 40 and lane.stop is None for lane in race.lanes):
        await pilot.pause(0.2)
    await pilot.press("d")


async def _search(pilot: Any) -> None:
    """Four beams, and what was given up."""
    await pilot.press("b", *["tab"] * 5, *["minus"] * 4, "space")
    view = pilot.app.screen
    while view.growth is None or view.growth.done is None:
        await pilot.pause(0.2)


async def _lesson(pilot: Any) -> None:
    await pilot.press("o", "o")


SCREENS: dict[str, tuple[tuple[int, int], Callable[[Any], Awaitable[None]]]] = {
    "play": ((110, 36), _a_token),
    "branches": ((110, 34), _branches),
    "lanes": ((100, 30), _lanes),
    "search": ((100, 30), _search),
    "lesson": ((100, 34), _lesson),
}


def _train_picture(run: Path = RUN, config: str = "assets/tinychat.toml") -> str:
    """The dashboard near the end of a training, from its log."""
    from rich.console import Console

    from trainer.events import Started, from_record
    from trainer.frame import frame
    from trainer.view import View

    view = View(keys=True)
    for line in (run / "log.jsonl").read_text().splitlines():
        event = from_record(json.loads(line))
        if isinstance(event, Started):
            view.started = event  # of a later sitting too: the curve is already here
    view.read_log(run / "log.jsonl")
    console = Console(record=True, width=120, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for row in frame(view, 120, 38):
        console.print(row, soft_wrap=True)
    return console.export_svg(title=f"tinychat train --config {config}")


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent)
    asked = sys.argv[1:] or ["model", "pictures"]
    for part in asked:
        {"model": model, "pictures": pictures}[part]()
