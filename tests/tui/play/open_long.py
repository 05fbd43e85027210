"""What opening a long session costs on the real screen: python tests/tui/play/open_long.py FILE

Prints the seconds until it can be read and until all of it is laid out, the longest times in which no key would have
been heard meanwhile and after an undo from near its start, and the memory of the process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tinychat.engine.params import SamplingParams

BEAT_S = 0.005


def resident() -> float:
    """Megabytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def stalls(until: Callable[[], bool]) -> tuple[float, float]:
    """Seconds until then, and the milliseconds of the longest time without a turn of the loop."""
    begun = last = time.perf_counter()
    longest = 0.0
    while not until():
        await asyncio.sleep(BEAT_S)
        now = time.perf_counter()
        longest, last = max(longest, now - last - BEAT_S), now
    return last - begun, longest * 1e3


async def measure(path: Path) -> dict[str, float]:
    """Open it on a screen of 120 x 36 without its model."""
    from tinychat.tui.driver import ByteBudget
    from tinychat.tui.opening import Opening
    from tinychat.tui.palette import Look
    from tinychat.tui.playapp import PlayApp
    from tinychat.tui.recorded import RecordedDecoder
    from tinychat.tui.screen import PlayScreen

    opening = Opening(session=path, name="a recording", params=SamplingParams())
    app = PlayApp(opening, RecordedDecoder(), tokenizer=lambda: sys.exit(), look=Look(), budget=ByteBudget(None))
    found: dict[str, float] = {"MB before": resident()}
    async with app.run_test(size=(120, 36)):

        def is_open() -> bool:
            return isinstance(app.screen, PlayScreen) and app.screen.player is not None

        def is_whole() -> bool:
            assert isinstance(screen, PlayScreen)
            assert screen.player is not None
            return screen.stream.count == len(screen.player.session.tree)

        found["s to open"], found["ms, longest stall"] = await stalls(is_open)
        screen = app.screen
        assert isinstance(screen, PlayScreen)
        assert screen.player is not None
        found["s to lay out"], found["ms, longest stall there"] = await stalls(is_whole)
        tree = screen.player.session.tree
        found["tokens"] = len(tree)
        tree.rewind(min(20, len(tree)))
        screen.player.sync()
        screen.paint_all()
        await stalls(is_whole)
        begun = time.perf_counter()
        screen.action_undo()
        found["ms of the key undo"] = (time.perf_counter() - begun) * 1e3
        found["s to lay out after it"], found["ms, longest stall after it"] = await stalls(is_whole)
        gc.collect()
        found["MB"] = resident()
    return found


def main() -> None:
    path = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory(prefix="tinychat-open-") as folder:
        for name in ("CONFIG", "DATA", "STATE", "CACHE"):
            os.environ[f"XDG_{name}_HOME"] = f"{folder}/{name.lower()}"
        found = asyncio.run(measure(path))
    print(json.dumps({name: round(value, 3) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
