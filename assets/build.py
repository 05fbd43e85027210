"""`make assets`: the shipped checkpoint and the pictures, made again from configs and seeds.

python assets/build.py [model] [pictures]      both when neither is named
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import sys
from pathlib import Path

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
    """play.svg, as the README shows it; train.svg comes with the model, from the log of its run."""
    (ASSETS / "play.svg").write_text(asyncio.run(_play_picture()))


async def _play_picture() -> str:
    """The play screen at 120x40, a story running and a token of it selected."""
    os.environ["TEXTUAL_FPS"] = "240"
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
            prompt="Once upon a time", max_tokens=90, rate=None, fixed_seed=True,
        ),
        decoder,
        tokenizer=lambda: tokenizer_of(info),
        look=Look("unicode", "truecolor"),
        budget=ByteBudget(None),
    )  # fmt: skip
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            await _settled(pilot, 3.0)
            await pilot.press("escape", "space")
            await _settled(pilot, 3.0)
            await pilot.press("T", *["minus"] * 4, "space")
            await _settled(pilot, 1.0)
            for _ in range(136):  # back to a word with many rivals
                await pilot.press("left")
            await _settled(pilot, 1.0)
            return app.export_screenshot(title="tinychat play")
    finally:
        decoder.close()


async def _settled(pilot: object, seconds: float) -> None:
    await pilot.pause(seconds)  # type: ignore[attr-defined]


def _train_picture() -> str:
    """The dashboard near the end of the shipped model's training, from its log."""
    from rich.console import Console

    from trainer.events import Started, from_record
    from trainer.frame import frame
    from trainer.view import View

    view = View(keys=True)
    for line in (RUN / "log.jsonl").read_text().splitlines():
        event = from_record(json.loads(line))
        if isinstance(event, Started):
            view.started = event  # of a later sitting too: the curve is already here
    view.read_log(RUN / "log.jsonl")
    console = Console(record=True, width=120, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for row in frame(view, 120, 38):
        console.print(row, soft_wrap=True)
    return console.export_svg(title="tinychat train --config assets/tinychat.toml")


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent)
    asked = sys.argv[1:] or ["model", "pictures"]
    for part in asked:
        {"model": model, "pictures": pictures}[part]()
