"""Whole screens as text, held against tests/tui/snapshots/*.txt: what a change of one panel does to all others.

After a change that is meant:  TINYCHAT_SNAPSHOTS=write pytest tests/tui/play/test_snapshots.py  and read the diff.
Of the play screen in colour the styles are kept too: a letter for every cell, and what the letters stand for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tinychat.lessons.catalogue import find_lesson
from tinychat.tui.palette import Look
from tinychat.tui.screen import PlayScreen
from tinychat.tui.views import lanes, sessions

from .test_inspecting import answer_all, answer_odds
from .test_lane_screens import a_step, in_lanes
from .test_lane_screens import tell as tell_lanes
from .test_search_view import Searched
from .test_vocabulary_view import tell as tell_vocabulary

FOLDER = Path(__file__).parents[1] / "snapshots"
SIZES = [(80, 24), (120, 36), (200, 60)]
PLAIN = Look("ascii", "none")
REPLY = " sat on the mat.\nThe moon (月) looked at the cat, as cats do: naïve, cafe\u0301.\nThe end of the mat"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def compare(name: str, screen: str) -> None:
    """Against the stored one; written instead when that is asked for."""
    path, screen = FOLDER / f"{name}.txt", screen.rstrip("\n") + "\n"
    if os.environ.get("TINYCHAT_SNAPSHOTS") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(screen, encoding="utf-8")
    assert path.exists(), f"no snapshot {path.name}: see the docstring"
    assert screen.splitlines() == path.read_text(encoding="utf-8").splitlines()


def text_of(play: Any) -> str:
    """Without what names a file of this run."""
    text = re.sub(r"\d{8}-\d{6}-the-cat-\w{4}", "20261121-180000-the-cat-0000", play.text())
    return "\n".join(line.rstrip() for line in text.splitlines())


def styles_of(play: Any) -> str:
    """A letter for every cell's style, row by row, then the styles."""
    letters: dict[str, str] = {}
    rows = []
    for strip in play.rows():
        row = ""
        for segment in strip:
            style = str(segment.style or "none")
            row += letters.setdefault(style, LETTERS[len(letters) % len(LETTERS)]) * segment.cell_length
        rows.append(row)
    return "\n".join([*rows, *(f"{letter} {style}" for style, letter in letters.items())])


def colours_of(play: Any) -> set[Any]:
    styles = [segment.style for strip in play.rows() for segment in strip if segment.style]
    return {colour for style in styles for colour in (style.color, style.bgcolor) if colour}


async def resized(play: Any, size: tuple[int, int]) -> None:
    await play.pilot.resize_terminal(*size)
    await play.settle()
    if (paint := getattr(play.app.screen, "paint", None)) is not None:
        paint()  # some paint in their own time
    await play.settle()


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """What depends on the clock and on a thread that writes stands still."""
    monkeypatch.setattr(PlayScreen, "kept_words", ("saved", "quiet"))
    monkeypatch.setattr(sessions, "clock_time", lambda _: "21 Nov 18:00")
    monkeypatch.setattr(lanes, "TOLD_S", 0.0)  # counts are on the borders at once


@pytest.fixture
def written(start: Any, tokenizer: Any, still: None) -> Any:
    """A screen with a reply that has wide and combined characters, standing still at one of its tokens."""

    def run(look: Look, **more: Any) -> Any:
        return start(size=SIZES[0], look=look, answers=tokenizer.encode(REPLY), **more)

    return run


async def drawn(play: Any) -> None:
    await play.run_some(30)
    await play.press("space")


@pytest.mark.parametrize("look", [PLAIN, Look("unicode", "truecolor")], ids=["plain", "colour"])
async def test_the_play_screen(written: Any, look: Look) -> None:
    async with written(look) as play:
        await drawn(play)
        await play.press("left", "left", "left")
        kind = "plain" if look is PLAIN else "colour"
        for width, height in SIZES:
            await resized(play, (width, height))
            whole = text_of(play)
            if look is PLAIN:
                assert not {each for each in whole if not each.isascii()} - set(REPLY)
                assert not [colour for colour in colours_of(play) if not colour.is_default]
            else:
                whole += "\n\n" + styles_of(play)
            compare(f"play-{kind}-{width}x{height}", whole)


async def _tree(play: Any) -> None:
    for keys in (["left", "left", "left", "2"], ["full_stop"], ["u"], ["t"]):  # each is answered before the next
        await play.press(*keys)


async def _lanes(play: Any) -> None:
    view = await in_lanes(play)
    await play.press("T", "equals_sign", "space")
    view.tick()
    session = play.player.session
    text, begin = list(session.tree.path.ids), session.reply_start
    steps = [a_step(play, begin, text[begin]), a_step(play, begin + 1, 285)]
    await tell_lanes(play, "lanes", {"lanes": [1, 1], "stops": {"1": "end"}, "trouble": {}}, *steps)
    view.paint()
    await play.press("d")


async def _fan(play: Any) -> None:
    await play.press("home", *["right"] * 8, "N")
    here = play.screen.position
    steps = [
        a_step(play, here + at, 40 + (lane % 3 if at else 0) + at, lane=lane) for lane in range(8) for at in range(3)
    ]
    await tell_lanes(play, "fan", {"lanes": [s.lane for s in steps], "stops": {}, "trouble": {}}, *steps)


async def _search(play: Any) -> None:
    await play.press("b", "space")
    await Searched(play).whole()


async def _vocabulary(play: Any) -> None:
    await play.press("left", "slash")
    await tell_vocabulary(play, play.app.screen, best=40)


async def _score(play: Any) -> None:
    await play.press("p")
    await answer_all(play)
    await play.press("n")
    await answer_odds(play)


async def _given(play: Any) -> None:
    await play.press("s")


async def _sessions(play: Any) -> None:
    await play.press("ctrl+o")
    assert "the cat" in play.text()


async def _breaks(play: Any) -> None:
    await play.press("B", "down", "space")


async def _lesson(play: Any) -> None:
    play.screen.start_lesson(find_lesson("order"))
    await play.settle()


async def _help(play: Any) -> None:
    await play.press("question_mark")


SCENES: dict[str, Callable[[Any], Awaitable[None]]] = {
    "tree": _tree, "lanes": _lanes, "fan": _fan, "search": _search, "vocabulary": _vocabulary, "score": _score,
    "given": _given, "sessions": _sessions, "breaks": _breaks, "lesson": _lesson, "help": _help,
}  # fmt: skip


@pytest.mark.parametrize("name", SCENES)
async def test_a_view(written: Any, name: str) -> None:
    async with written(PLAIN) as play:
        await drawn(play)
        await SCENES[name](play)
        for width, height in SIZES[:2]:
            await resized(play, (width, height))
            compare(f"{name}-{width}x{height}", text_of(play))
