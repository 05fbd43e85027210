"""A long text on the real screen with a scripted decoder: what a token costs in memory, and what saving it takes.

    python tests/tui/play/long.py 100000 [FILE]

prints resident memory while the text grows, then the seconds of a save, of opening the file, and of a walk through it.
FILE keeps the session, for open_long.py.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, Odds, StageView, Step
from tinychat.engine.wire import Command, Frame, Open, Pause, Run, SetContext
from tinychat.text.tokenizer import Tokenizer

CANDIDATES = 64
EACH = 200  # tokens a frame: more than thirty frames a second bring
STAGES = ("raw", "repetition", "temperature", "top_k", "top_p", "min_p")


class LongDecoder:
    """Tokens as they come from a real engine in size: 64 candidates, six stages, nothing that repeats."""

    alive = True

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.length = self.seq = 0
        self.frames: list[Frame] = []
        self._dice = random.Random(5)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass

    def read(self) -> list[Frame]:
        frames, self.frames = self.frames, []
        return frames

    def send(self, command: Command) -> int:
        self.seq += 1
        if isinstance(command, SetContext):
            self.length = len(command.ids)
        if isinstance(command, Open):
            self._frame(state="ready", facts={"device": "cpu"})
        elif isinstance(command, (SetContext, Pause)):
            self._frame(state="paused")
        elif isinstance(command, Run):
            self._frame(state="running")
        return self.seq

    def draw(self, count: int) -> None:
        """So many tokens in one frame; the run goes on."""
        steps = tuple(self.step(self.length + each) for each in range(count))
        self.length += count
        self._frame(state="running", steps=steps)

    def step(self, position: int) -> Step:
        dice, vocab = self._dice, self.tokenizer.vocab_size
        weights = [0.93**place * dice.uniform(0.5, 1.0) for place in range(CANDIDATES)]
        weights = sorted((weight / 12 for weight in weights), reverse=True)
        token = dice.randrange(6, vocab)
        ids = [token, *dice.sample(range(vocab), CANDIDATES - 1)]
        stages = tuple(
            StageView(name=name, kept=dice.randrange(1, vocab), mass=dice.random(), entropy=4 * dice.random(),
                      chosen=weights[0])
            for name in STAGES
        )  # fmt: skip
        odds = Odds(
            position=position, vocab_size=vocab, stages=stages, entropy=5 * dice.random(), varentropy=dice.random(),
            final_entropy=3 * dice.random(), kept=40, temperature=0.8,
            candidates=tuple(
                Candidate(token=each, logit=dice.gauss(0, 4), raw=weight, final=weight if place < 40 else 0.0,
                          rank=place + 1, cut_by=None if place < 40 else "top_p")
                for place, (each, weight) in enumerate(zip(ids, weights, strict=True))
            ),
        )  # fmt: skip
        return Step(
            odds=odds, token=token, lane=0, forced=False, raw=weights[0], final=weights[0], raw_rank=1, final_rank=1,
            surprisal=10 * dice.random(), u=dice.random() * weights[0], low=0.0, high=weights[0], time_s=0.001,
        )  # fmt: skip

    def _frame(self, **more: object) -> None:
        self.frames.append(Frame(seq=self.seq, length=self.length, tokens_per_s=1000.0, **more))  # type: ignore[arg-type]


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(tokens: int, copy: Path | None = None) -> dict[str, float]:
    """Draw so many on a screen of 120 x 36, save, open, walk: megabytes and milliseconds."""
    from tinychat.session.recall import load
    from tinychat.tui.driver import ByteBudget
    from tinychat.tui.opening import Opening
    from tinychat.tui.palette import Look
    from tinychat.tui.playapp import PlayApp
    from tinychat.tui.screen import PlayScreen

    tokenizer = Tokenizer.train(["the cat sat on the mat and looked at the moon, as cats do. "] * 4, vocab_size=290)
    decoder = LongDecoder(tokenizer)
    opening = Opening(
        path=Path("model.safetensors"), name="model.safetensors", context=10**7, prompt="the cat",
        params=SamplingParams(seed=7), max_tokens=10**7, rate=None,
    )  # fmt: skip
    app = PlayApp(opening, decoder, tokenizer=lambda: tokenizer, look=Look(), budget=ByteBudget(None))
    found: dict[str, float] = {"tokens": tokens}
    async with app.run_test(size=(120, 36)) as pilot:
        while not (isinstance(app.screen, PlayScreen) and app.screen.player is not None):
            await pilot.pause()
        screen = app.screen
        assert screen.player is not None
        await pilot.press("enter")
        await pilot.pause()
        found["MB at first"] = resident() / 1e6
        steepest = time.monotonic()
        while len(screen.player.session.tree) < tokens:
            decoder.draw(min(EACH, tokens))
            screen.tick()
            await pilot.pause()
            if len(screen.player.session.tree) % 20_000 < EACH:
                print(f"{len(screen.player.session.tree):8} tokens {resident() / 1e6:7.1f} MB", file=sys.stderr)
        found["s to draw"] = time.monotonic() - steepest
        gc.collect()
        found["MB drawn"] = resident() / 1e6
        keeper = screen.keeper
        assert keeper is not None
        keeper.saver.settle(120)
        keeper.save()
        keeper.saver.settle(120)
        found["MB saved"] = resident() / 1e6
        for name in ("ms of a save", "ms of the next save"):
            decoder.draw(1)
            screen.tick()
            begun = time.perf_counter()
            keeper.save()
            found[f"{name}, on the loop"] = (time.perf_counter() - begun) * 1e3
            keeper.saver.settle(120)
            found[name] = keeper.saver.took_s * 1e3
        begun = time.perf_counter()
        for _ in range(20):
            decoder.draw(1)
            screen.tick()
        found["ms of a tick with one token, mean"] = (time.perf_counter() - begun) * 50
        tree, dice, walks = screen.player.session.tree, random.Random(3), []
        for _ in range(200):
            place = dice.randrange(5, len(tree))
            begun = time.perf_counter()
            tree.step(place)
            walks.append((time.perf_counter() - begun) * 1e3)
        found["ms to look at a token, median"], found["ms, longest"] = sorted(walks)[100], max(walks)
        screen.stream.home()
        await pilot.pause()
        begun = time.perf_counter()
        for _ in range(50):
            await pilot.press("right")
        found["ms of a press of right, mean"] = (time.perf_counter() - begun) * 20
        tree.rewind(len(tree) - 1)
        begun = time.perf_counter()
        screen.paint_all()
        found["ms to paint another branch"] = (time.perf_counter() - begun) * 1e3
        tree.undo()
        screen.paint_all()
        found["MB walked"] = resident() / 1e6
        path = keeper.finish()
        assert path is not None
        if copy is not None:
            shutil.copy(path, copy)
        found["MB of the file"] = path.stat().st_size / 1e6
        begun = time.perf_counter()
        again = load(path)
        found["s to open"] = time.perf_counter() - begun
        assert list(again.session.tree.path.ids) == list(tree.path.ids)
        assert again.session.tree.step(len(tree) - 1) == replace(tree.step(len(tree) - 1))  # type: ignore[type-var]
    return found


def main() -> None:
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(prefix="tinychat-long-") as folder:
        for name in ("CONFIG", "DATA", "STATE", "CACHE"):
            os.environ[f"XDG_{name}_HOME"] = f"{folder}/{name.lower()}"
        found = asyncio.run(measure(tokens, Path(sys.argv[2]) if len(sys.argv) > 2 else None))
    print(json.dumps({name: round(value, 3) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
