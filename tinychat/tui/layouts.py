"""Where the panels are, for every size of a terminal: plain rectangles, and a Textual layout that reads them.

Three arrangements (one column, two, three) and what is left of them below 80 x 24. Nothing here knows what the
panels show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.geometry import Offset, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

Shape = Literal["message", "tiny", "narrow", "low", "normal", "wide"]
TABS = ("candidates", "pipeline", "knobs", "tree", "entropy", "why")
MIN_WIDTH, MIN_HEIGHT = 40, 4
LEAST_BESIDE = 12  # rows that a lesson leaves to the rest, or it is not shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the arrangement depends on besides the size."""

    tab: str = "candidates"  # the panel that Up and Down act on; the lower one where there is room for one
    editing: bool = False
    prompt_lines: int = 1
    knobs: int = 5  # that want a row
    watched: int = 0  # tokens that want a row under the chart
    lesson: int = 0  # rows of a lesson's panel


def shape_of(width: int, height: int) -> Shape:
    """The arrangement a size gets."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return "message"
    if width < 80 or height < 24:
        return "tiny"
    if width < 100:
        return "narrow"
    if height < 34:
        return "low"
    return "wide" if width >= 160 and height >= 48 else "normal"


def arrange(width: int, height: int, wish: Wish) -> dict[str, Region]:
    """A rectangle for every part that is shown; they never overlap and never leave the screen."""
    shape = shape_of(width, height)
    if wish.lesson and height - wish.lesson >= LEAST_BESIDE and shape != "message":
        # under the header; all else has as much less
        parts = _arrange(width, height - wish.lesson, shape, wish)
        for name, region in parts.items():
            parts[name] = region if name == "header" else region.translate(Offset(0, wish.lesson))
        return parts | {"lesson": Region(0, 1 if "header" in parts else 0, width, wish.lesson)}
    return _arrange(width, height, shape, wish)


def _arrange(width: int, height: int, shape: Shape, wish: Wish) -> dict[str, Region]:
    if width < 1 or height < 1:
        return {}
    if shape == "message":
        return {"message": Region(0, 0, width, height)}
    if shape == "tiny":
        return _tiny(width, height, wish)
    foot = 1 if shape in ("narrow", "low") else 2
    parts = {
        "header": Region(0, 0, width, 1),
        "status": Region(0, height - foot - 1, width, foot),
        "help": Region(0, height - 1, width, 1),
    }
    top, room = 1, height - foot - 2
    if shape == "narrow":
        lower = max(9, min(14, room * 2 // 5))
        prompt = 0 if wish.lesson and not wish.editing else _prompt_height(wish, room - lower - 4)
        if prompt:
            parts["prompt"] = Region(0, top, width, prompt)
        parts["stream"] = Region(0, top + prompt, width, room - prompt - lower)
        parts[wish.tab] = Region(0, top + room - lower, width, lower)
        return parts
    if shape == "wide":
        return parts | _wide(width, top, room, wish)
    right = min(68, width * 43 // 100)
    left = width - right
    prompt = _prompt_height(wish, room - 10, least=3 if shape == "low" else 5)
    parts["prompt"] = Region(0, top, left, prompt)
    if shape == "low":
        parts["stream"] = Region(0, top + prompt, left, room - prompt)
        parts[wish.tab] = Region(left, top, right, room)
        return parts
    entropy = 8 + min(wish.watched, 4)
    parts["stream"] = Region(0, top + prompt, left, room - prompt - entropy)
    parts["entropy"] = Region(0, top + room - entropy, left, entropy)
    knobs = 9 if wish.knobs <= 6 else 13  # two heights, so that the panels stand still while a knob comes or goes
    pipeline = min(12, (room - knobs) * 45 // 100)
    candidates = room - knobs - pipeline
    # there is no place for all: words and branches stand where the table is while they are asked for
    parts[wish.tab if wish.tab in ("why", "tree") else "candidates"] = Region(left, top, right, candidates)
    parts["pipeline"] = Region(left, top + candidates, right, pipeline)
    parts["knobs"] = Region(left, top + room - knobs, right, knobs)
    return parts


def _wide(width: int, top: int, room: int, wish: Wish) -> dict[str, Region]:
    left, right = width * 28 // 100, width * 32 // 100
    middle = width - left - right
    prompt = _prompt_height(wish, room // 2, least=8)
    knobs = 14 if wish.knobs <= 11 else 20
    entropy = why = min(12, room // 4)
    pipeline = 16
    return {
        "prompt": Region(0, top, left, prompt),
        "tree": Region(0, top + prompt, left, room - prompt - knobs),
        "knobs": Region(0, top + room - knobs, left, knobs),
        "stream": Region(left, top, middle, room - entropy - why),
        "why": Region(left, top + room - entropy - why, middle, why),
        "entropy": Region(left, top + room - entropy, middle, entropy),
        "candidates": Region(left + middle, top, right, room - pipeline),
        "pipeline": Region(left + middle, top + room - pipeline, right, pipeline),
    }


def _tiny(width: int, height: int, wish: Wish) -> dict[str, Region]:
    """The stream and one status line; the prompt only while it is edited."""
    room = height - 1
    parts = {"status": Region(0, room, width, 1)}
    prompt = 3 if wish.editing and room >= 3 else 0
    if prompt:
        parts["prompt"] = Region(0, 0, width, prompt)
    if room - prompt >= 3:
        parts["stream"] = Region(0, prompt, width, room - prompt)
    elif prompt:
        parts["prompt"] = Region(0, 0, width, room)
    return parts


def _prompt_height(wish: Wish, most: int, least: int = 3) -> int:
    """Two rows of border and the lines; more lines while they are typed."""
    lines = min(wish.prompt_lines, 8 if wish.editing else 3)
    return max(3, min(max(least, lines + 2), most))


class PlayLayout(Layout):
    """Puts the children of one container where `arrange` says, by their ids."""

    name = "play"

    def __init__(self) -> None:
        self.wish = Wish()
        self._places: tuple[Size, Wish, dict[str, Region]] | None = None

    def places(self, size: Size) -> dict[str, Region]:
        """Where everything is at a size."""
        if self._places is None or self._places[:2] != (size, self.wish):  # asked for with every picture
            self._places = size, self.wish, arrange(size.width, size.height, self.wish)
        return self._places[2]

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        places = self.places(size)
        none, zero = Spacing(), Offset()
        return [WidgetPlacement(places[child.id], zero, none, child) for child in children if child.id in places]
