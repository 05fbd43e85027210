"""The list of breakpoints over the play screen: switch them on and off, type their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from tinychat.engine.breaks import KINDS, Condition, Kind
from tinychat.tui import breakpoints
from tinychat.tui.lineview import Row, safe
from tinychat.tui.palette import GLYPHS, Look
from tinychat.tui.widgets.lines import Lines
from tinychat.tui.widgets.prompt import CommandBox

_WIDTH = 74
_HINT = "Space on or off  Enter its value  0 all off  Esc closes"


class BreaksScreen(ModalScreen[None]):
    """One row for each kind of condition. What is on holds at once."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,B", "close", "Close", id="breaks.close", tooltip="Back to the play screen."),
        Binding("up,k", "move(-1)", "Above", id="breaks.up", show=False, tooltip="The breakpoint above."),
        Binding("down,j", "move(1)", "Below", id="breaks.down", show=False, tooltip="The breakpoint below."),
        Binding("space", "switch", "On or off", id="breaks.switch", tooltip="Switch this breakpoint on or off."),
        Binding("enter", "type", "Type its value", id="breaks.type", tooltip="Type the value; it is switched on."),
        Binding("0", "all_off", "All off", id="breaks.off", tooltip="Switch all breakpoints off."),
    ]
    DEFAULT_CSS = """
    BreaksScreen { align: center middle; background: $background; }
    BreaksScreen #breaks-panel { width: 76; max-width: 100%; height: 11; border: round $panel-focus; }
    BreaksScreen.ascii #breaks-panel { border: ascii $panel-focus; }
    BreaksScreen #breaks-rows { height: 8; }
    BreaksScreen #breaks-value, BreaksScreen #breaks-value:focus { border: none; height: 1; padding: 0 1; }
    """

    def __init__(
        self, look: Look, on: Iterable[Condition], values: dict[Kind, Condition], changed: Callable[[], None]
    ) -> None:
        """`values` has what was last typed of each kind and is kept up to date; `changed` is told of every change."""
        super().__init__()
        self.look = look
        self.values = values
        self.on = {condition.kind: condition for condition in on}
        self.at = 0
        self._changed = changed
        self._note = ""
        self._list = Lines(look, id="breaks-rows")
        self._value = CommandBox(placeholder="", id="breaks-value")
        self.set_class(look.glyphs == "ascii", "ascii")

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Those that are on."""
        return tuple(self.on[kind] for kind in KINDS if kind in self.on)

    def compose(self) -> ComposeResult:
        with Container(id="breaks-panel", classes="panel") as panel:
            panel.border_title, panel.border_subtitle = Content("Breakpoints: stop behind a token"), Content("B Esc")
            yield self._list
            yield self._value

    def on_mount(self) -> None:
        self._value.display = False
        self._paint()

    def _paint(self) -> None:
        rows: list[Row] = []
        for index, kind in enumerate(KINDS):
            before, after, start = breakpoints.TITLES[kind]
            condition = self.on.get(kind) or self.values.get(kind)
            value = f"{start * 100:g}" if kind == "prob" else f"{start:g}" if start else "(Enter types it)"
            if condition is not None:
                value = safe(breakpoints.value_text(condition)).removesuffix("%" if kind == "prob" else "\0")
            over = "+selected" if index == self.at else ""
            here = GLYPHS[self.look.glyphs].pointer if over else " "
            box, role = ("[x]", "strong") if kind in self.on else ("[ ]", "text")
            rest = " " * (_WIDTH - len(f"{here}{box} {before} {value} {after}"))
            rows.append(
                ((f"{here}{box} {before} ", role + over), (value, f"chosen{over}"), (f" {after}{rest}", role + over))
            )
        rows += [(), ((" " + (self._note or _HINT), "warn" if self._note else "quiet"),)]
        self._list.show(*rows)

    def _put(self, kind: Kind, condition: Condition | None) -> None:
        self._note = ""
        if condition is None:
            self.on.pop(kind, None)
        else:
            self.on[kind] = self.values[kind] = condition
        self._paint()
        self._changed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not self._value.has_focus or action not in {"close", "move", "switch", "type", "all_off"}

    def action_move(self, delta: int) -> None:
        self.at = min(max(self.at + delta, 0), len(KINDS) - 1)
        self._paint()

    def action_switch(self) -> None:
        kind = KINDS[self.at]
        if kind in self.on:
            self._put(kind, None)
        elif kind in self.values:
            self._put(kind, self.values[kind])
        elif kind == "text":
            self.action_type()
        else:
            self._put(kind, Condition(kind, breakpoints.TITLES[kind][2]))

    def action_all_off(self) -> None:
        self.on.clear()
        self._paint()
        self._changed()

    def action_type(self) -> None:
        kind = KINDS[self.at]
        condition = self.values.get(kind)
        self._value.placeholder = "text to look for" if kind == "text" else "a number"
        self._value.value = "" if condition is None else breakpoints.value_text(condition)
        self._value.display = True
        self.set_focus(self._value)
        self._value.action_select_all()  # typing replaces it

    @on(CommandBox.Left)
    def _left(self) -> None:
        self._value.display = False
        self.set_focus(None)

    @on(Input.Submitted)
    def _typed(self, message: Input.Submitted) -> None:
        message.stop()
        self._left()
        kind, text = KINDS[self.at], message.value if KINDS[self.at] == "text" else message.value.strip()
        if not text:
            self._put(kind, None)
            return
        if kind == "prob" and not text.endswith("%"):
            text += "%"  # as the row says it
        try:
            condition = Condition(kind, text=text) if kind == "text" else breakpoints.make(kind, text)
        except ValueError as error:
            self._note = str(error)
            self._paint()
            return
        self._put(kind, condition)

    def action_close(self) -> None:
        self.dismiss(None)
