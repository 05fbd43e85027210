"""What goes to the terminal in parts adds up to what the screen shows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from textual.app import App, ComposeResult
from textual.screen import Screen

from tinychat.bench.screen_cells import Cells
from tinychat.tui.compositor import RowsUpdate, use_rows
from tinychat.tui.lineview import LineView, Row, changed_cells
from tinychat.tui.widgets.panel import Panel

SIZE = (30, 8)
WORDS = ["a", "be", "sea ", "  ", "wide 猫", "█▌", "12.5%", "text that is long", ""]


class Rows(LineView):
    """Shows the rows it is given."""

    content: Sequence[Row] = ()

    def rows(self, width: int, height: int) -> list[Row]:
        return list(self.content)


class RowsScreen(Screen[None]):
    """Two views, one of them in a border with a title."""

    CSS = "Panel { border: round white; height: 6; } #free { height: 2; }"

    def __init__(self) -> None:
        super().__init__()
        use_rows(self)
        self.free, self.framed = Rows(id="free"), Rows()
        self.panel = Panel(self.framed, id="panel")

    def compose(self) -> ComposeResult:
        yield self.free
        yield self.panel


class RowsApp(App[None]):
    """Writes to a terminal that is a grid."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = Cells(*SIZE)
        self.kinds: set[type] = set()

    def get_default_screen(self) -> Screen[None]:
        return RowsScreen()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if renderable is not None:
            self.kinds.add(type(renderable))
            self.cells.feed(renderable.render_segments(self.console).encode())
        super()._display(screen, renderable)


async def test_parts_add_up_to_the_whole_screen() -> None:
    chance, app = random.Random(3), RowsApp()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, RowsScreen)
        rows: dict[Rows, list[list[tuple[str, str]]]] = {screen.free: [[], []], screen.framed: [[], [], [], []]}
        for number in range(60):
            for view, lines in rows.items():
                line = chance.choice(lines)
                at = chance.randint(0, len(line))
                line[at : at + chance.randint(0, 2)] = [(chance.choice(WORDS), chance.choice(["text", "chosen"]))]
                view.content = [tuple(line) for line in lines]
                view.redraw()
            if number % 7 == 0:
                screen.panel.entitle(f"title {number}", f"note {number}")
            await pilot.pause()
            seen = [strip.text for strip in screen._compositor.render_strips()]
            assert app.cells.lines() == seen
        assert RowsUpdate in app.kinds


def test_only_the_cells_that_changed_are_named() -> None:
    old: Row = (("token ", "text"), ("12.5", "quiet"), (" end", "text"))
    assert changed_cells(old, old) == (10 + 4, 10 + 4)
    assert changed_cells(old, (("token ", "text"), ("12.7", "quiet"), (" end", "text"))) == (9, 10)
    assert changed_cells(old, (("token ", "text"), ("12.5", "strong"), (" end", "text"))) == (6, 10)
    assert changed_cells(old, (("token ", "text"), ("2.5", "quiet"), (" end", "text"))) == (6, 14)
