"""Where painted cells go to the terminal: Textual's compositor, with a short way for rows of views.

Textual asks every widget around a change for all of its rows, and cuts each into pieces at the borders of all others.
A cell of a LineView that nothing lies over needs none of that: it goes out as it is. So does the upper or lower border
of a Panel, whose words change with every token. All else goes Textual's way, but only the rows in question are asked
for. Private names of Textual 8 are used here, in choosing.py and in terminal_input.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from rich.color import ColorSystem
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor, CompositorUpdate
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from tinychat.tui.lineview import LineView
from tinychat.tui.widgets.panel import Panel

NO_STYLE = Style()
Part = tuple[int, int, list[Segment]]  # x, y, cells


class Place(NamedTuple):
    """What of a widget nothing lies over, and where its first cell is, both on the screen."""

    widget: Widget
    free: Region
    x: int
    y: int

    def cells(self, y: int, x1: int, x2: int) -> list[Segment]:
        """The cells of row `y` from `x1` to before `x2`, all on the screen."""
        first, last = x1 - self.x, x2 - self.x
        if isinstance(self.widget, LineView):
            return self.widget.part_at(y - self.y, first, last)
        (strip,) = self.widget.render_lines(Region(0, y - self.y, self.free.width, 1))
        return list(strip.crop(first, last))


class RowsUpdate(CompositorUpdate):
    """Parts of rows at their places, and what came Textual's way."""

    def __init__(self, parts: list[Part], rest: ChopsUpdate | None) -> None:
        self._parts = parts
        self._rest = rest

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._rest is not None:
            yield self._rest
        for _, _, cells in self._parts:
            yield from cells

    def render_segments(self, console: Console) -> str:
        """The escape codes of it all."""
        colors = console._color_system or ColorSystem.TRUECOLOR
        written = [] if self._rest is None else [self._rest.render_segments(console)]
        for x, y, cells in self._parts:
            written.append(f"\x1b[{y + 1};{x + 1}H")
            written += [Strip.render_style(style or NO_STYLE, text, colors) for text, style, _ in cells]
        return "".join(written)


class RowCompositor(Compositor):
    """Textual's, with the short way."""

    def __init__(self) -> None:
        super().__init__()
        self._places: list[Place] = []
        self._places_of: object = None

    def render_partial_update(self) -> ChopsUpdate | None:
        """What changed since the last time; None if nothing did."""
        parts, rest = self._parts(self._dirty_regions)
        self._dirty_regions = rest
        update = super().render_partial_update()
        return RowsUpdate(parts, update) if parts else update  # type: ignore[return-value]  # also a CompositorUpdate

    def _parts(self, regions: Iterable[Region]) -> tuple[list[Part], set[Region]]:
        """The rows that can go the short way as (x, y, cells), and the regions that cannot."""
        places, rest = self._free_places(), set[Region]()
        spans: dict[tuple[int, Place], tuple[int, int]] = {}
        corners = [(place, *place.free.corners) for place in places]
        for region in regions:
            x1, y1, x2, y2 = region.corners
            for place, left, top, right, bottom in corners:
                if left <= x1 and top <= y1 and x2 <= right and y2 <= bottom:
                    for y in range(y1, y2):
                        first, last = spans.get((y, place), (x1, x2))
                        spans[y, place] = min(first, x1), max(last, x2)
                    break
            else:
                rest.add(region)
        return [(x1, y, place.cells(y, x1, x2)) for (y, place), (x1, x2) in spans.items()], rest

    def _free_places(self) -> list[Place]:
        """The views and borders that are seen whole, with nothing over them."""
        visible = self.visible_widgets  # another dictionary after each layout
        if self._places_of is not visible:
            self._places_of, self._places = visible, []
            over: list[Region] = []  # front to back
            for widget, (region, clip) in visible.items():
                if clip.contains_region(region) and self.size.region.contains_region(region):
                    self._places += [
                        Place(widget, part, region.x, region.y)
                        for part in _own_parts(widget, region)
                        if not any(part.overlaps(each) for each in over)
                    ]
                over.append(region.intersection(clip))
        return self._places

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        rows = self.size.region if crop is None else Region(0, crop.y, self.size.width, crop.height)
        for widget, (region, clip) in self.visible_widgets.items():
            if seen := region.intersection(clip).intersection(rows):
                yield region, seen, widget.render_lines(seen.translate((-region.x, -region.y)))


def _own_parts(widget: Widget, region: Region) -> list[Region]:
    """What of a widget's region can go the short way."""
    if isinstance(widget, LineView):
        return [region]
    if isinstance(widget, Panel) and region.height > 1:
        x, y, width, height = region
        return [Region(x, y, width, 1), Region(x, y + height - 1, width, 1)]
    return []


def use_rows(screen: Screen[Any]) -> None:
    """Give a screen that is not shown yet the short way."""
    screen._compositor = RowCompositor()
