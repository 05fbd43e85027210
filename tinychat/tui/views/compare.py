"""Lanes side by side: one text drawn again under other settings or by another model, on the same draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tinychat.engine.knobs import KNOB_BY_NAME
from tinychat.engine.orders import ORDERS
from tinychat.engine.params import SamplingParams
from tinychat.tui import commands
from tinychat.tui.actions import RATES
from tinychat.tui.difference import comparable, first_difference
from tinychat.tui.keys import PICKED_KNOBS
from tinychat.tui.lanes import Lane
from tinychat.tui.modes import MODES
from tinychat.tui.views.lanes import NAMES, LanesScreen
from tinychat.tui.widgets.prompt import CommandBox
from tinychat.tui.widgets.stream import StreamView

_KEYS = (
    Binding("space", "run", "Run or pause", id="compare.run", tooltip="All lanes; those behind catch up first."),
    Binding("full_stop", "some(1)", "One token", id="compare.step", tooltip="One token more of every lane."),
    Binding("greater_than_sign", "some(10)", "Ten tokens", id="compare.ten", tooltip="Ten more of every lane."),
    Binding("left,h", "look(-1)", "Token left", id="compare.left", tooltip="The token before, in all lanes."),
    Binding("right,l", "look(1)", "Token right", id="compare.right", tooltip="The token after, in all lanes."),
    Binding("up", "look_line(-1)", "Line up", id="compare.up", tooltip="A line up."),
    Binding("down", "look_line(1)", "Line down", id="compare.down", tooltip="A line down."),
    Binding("home,g", "first", "First token", id="compare.home", tooltip="The first token of the text."),
    Binding("end,G", "last", "Follow the end", id="compare.end", tooltip="The end of the text."),
    Binding("d", "difference", "First difference", id="compare.difference", tooltip="To where the lanes part."),
    Binding("tab", "focus_lane(1)", "Next lane", id="compare.next", tooltip="The lane that the knobs belong to."),
    Binding("shift+tab", "focus_lane(-1)", "Lane before", id="compare.previous", tooltip="The lane before."),
    Binding("minus", "nudge(-1)", "Knob down", id="compare.nudge_down", tooltip="Less, from its next token on."),
    Binding("equals_sign", "nudge(1)", "Knob up", id="compare.nudge_up", tooltip="More, from its next token on."),
    Binding("underscore", "nudge(-1,True)", "Knob down, coarse", id="compare.coarse_down", tooltip="Much less."),
    Binding("plus", "nudge(1,True)", "Knob up, coarse", id="compare.coarse_up", tooltip="Much more."),
    Binding("0", "neutral", "Knob off", id="compare.neutral", tooltip="The neutral value of the picked knob."),
    Binding("o", "order", "Order of the stages", id="compare.order", tooltip="The next order, for this lane."),
    Binding("v", "add", "Another lane", id="compare.add", tooltip="A copy of this one from its start; up to four."),
    Binding("x", "close_lane", "Close the lane", id="compare.close", tooltip="Take this lane away."),
    Binding("V", "swap", "Swap with A", id="compare.swap", tooltip="Make this lane A, which others differ from."),
    Binding("r", "again", "Lane again", id="compare.again", tooltip="Draw this lane again from its start."),
    Binding("enter", "take", "Make it a branch", id="compare.take", tooltip="This lane becomes a branch."),
    Binding("c", "colour", "Colour of the tokens", id="compare.colour", tooltip="As on the play screen."),
    Binding("n", "marks", "Marks under the tokens", id="compare.marks", tooltip="The same, without colour."),
    Binding("left_curly_bracket", "pace(-1)", "Slower", id="compare.slower", tooltip="Fewer tokens a second."),
    Binding("right_curly_bracket", "pace(1)", "Faster", id="compare.faster", tooltip="More tokens a second."),
    Binding("colon", "command", "Command line", id="compare.command", tooltip=":t 0.9  :seed 7  :model PATH"),
    *(
        Binding(k.key, f"pick('{k.name}')", f"Pick {k.label}", id=f"compare.pick_{k.name}", tooltip=k.help)
        for k in PICKED_KNOBS
    ),
    *(
        Binding(str(n), f"digit({n})", "Type a value", id=f"compare.digit_{n}", tooltip="Of the picked knob.")
        for n in range(1, 10)
    ),
)  # fmt: skip


class CompareView(LanesScreen):
    """Esc goes back with nothing, Enter with the focused lane, to be a branch."""

    # done before the next key is looked at, which may be text for the box that this one opened
    BINDINGS: ClassVar[list[BindingType]] = [replace(binding, show=False, priority=True) for binding in _KEYS]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are text while a line is typed."""
        return self.focused is not self.command_box or action in ("back", "leave")

    # keys

    def action_run(self) -> None:
        self._notice = ""
        if self.race.running:
            self.race.halt()
        else:
            self._start(self._max_tokens, level=True)
        self.paint()

    def action_some(self, count: int) -> None:
        self._notice = ""
        self._start(count)
        self.paint()

    def _start(self, count: int, *, level: bool = False) -> None:
        for stream in self._streams:
            stream.end()
        self.race.go(count, level=level)
        if not self.race.running:
            self.say("every lane has ended: r draws one again, Tab chooses which")
        self.race.tick(0.0)

    def _move(self, move: Callable[[StreamView], None]) -> None:
        self._notice = ""
        move(self.stream)
        self.paint()

    def action_look(self, delta: int) -> None:
        self._move(lambda stream: stream.move(delta))

    def action_look_line(self, delta: int) -> None:
        self._move(lambda stream: stream.move(0, delta))

    def action_first(self) -> None:
        self._move(lambda stream: stream.home())

    def action_last(self) -> None:
        self._move(lambda stream: stream.end())

    @on(StreamView.CursorMoved)
    def _clicked(self, message: StreamView.CursorMoved) -> None:
        number = self._streams.index(message.view)
        if number < len(self.race.lanes):  # it may have been closed since the click
            self.here = number
            self.paint()

    def action_difference(self) -> None:
        lanes = self.race.lanes
        other = lanes[self.here or min(1, len(lanes) - 1)]
        at = first_difference(lanes[0], other) if comparable(lanes[0], other) else None
        if at is None:
            self.say("no token differs so far")
        else:
            self.stream.cursor = at
            self.paint()

    def action_focus_lane(self, delta: int) -> None:
        self._notice = ""
        cursor = self.stream.cursor
        self.here = (self.here + delta) % len(self.race.lanes)
        self.stream.cursor = self.stream.cursor if cursor is not None else None
        self.paint()

    def action_colour(self) -> None:
        self._mode = MODES[(MODES.index(self._mode) + 1) % len(MODES)]
        for stream in self._streams:
            stream.mode = self._mode
        self.say(f"colour: {self._mode}")

    def action_marks(self) -> None:
        self._marks = not self.stream.marks
        for stream in self._streams:
            stream.marks = self._marks

    def action_pace(self, delta: int) -> None:
        have = self.race.rate
        near = min(range(len(RATES)), key=lambda i: abs((RATES[i] or 1e9) - (have or 1e9)))
        self.race.rate = RATES[max(0, min(len(RATES) - 1, near + delta))]
        self.paint()

    # settings of the focused lane

    def turn(self, params: SamplingParams) -> None:
        """From the lane's next token on."""
        self.lane.turn(params)
        self.race.turned(self.lane)
        self.paint()

    def action_pick(self, name: str) -> None:
        self.picked = name
        self.say(f"{KNOB_BY_NAME[name].label} of lane {NAMES[self.here]}: - = turn it, 0 off, or type a value")

    def action_nudge(self, steps: int, coarse: bool = False) -> None:
        self._notice = ""
        if self.picked in KNOB_BY_NAME:
            self.turn(self.lane.params.nudge(self.picked, steps, coarse=coarse))

    def action_neutral(self) -> None:
        self._notice = ""
        self.turn(self.lane.params.with_(**{self.picked: KNOB_BY_NAME[self.picked].neutral}))

    def action_order(self) -> None:
        names, have = list(ORDERS), self.lane.params.order
        at = names.index(have) if isinstance(have, str) else -1
        self.turn(self.lane.params.with_(order=names[(at + 1) % len(names)]))
        self.say(f"order {self.lane.params.order}")

    def action_digit(self, number: int) -> None:
        self._open_command(f"{self.picked} {number}")

    def action_command(self) -> None:
        self._open_command("")

    def _open_command(self, text: str) -> None:
        self.foot_line.display, self.command_box.display = False, True
        self.command_box.value = text
        self.set_focus(self.command_box)
        self.command_box.cursor_position = len(text)

    @on(CommandBox.Left)
    def _close_command(self) -> None:
        self.foot_line.display, self.command_box.display = True, False
        self.set_focus(None)

    @on(Input.Submitted, "#command")
    def _submitted(self, message: Input.Submitted) -> None:
        self._close_command()
        word, _, rest = message.value.strip().lstrip(":").partition(" ")
        if word == "model":
            self._open_model(self, rest.strip())
            return
        lane = self.lane
        try:
            wish = commands.parse(message.value, lane.params, vocab_size=lane.host.tokenizer.vocab_size)
        except ValueError as error:
            self.say(str(error))
            return
        if isinstance(wish, commands.Settings):
            self.picked = wish.picked if wish.picked in KNOB_BY_NAME else self.picked
            self.turn(wish.params)
        elif isinstance(wish, commands.MaxTokens):
            self._max_tokens = wish.count
        elif isinstance(wish, commands.Rate):
            self.race.rate = wish.tokens_per_s
            self.paint()
        else:
            self.say(f"{word} is for the play screen")

    # lanes

    def _set_lanes(self, lanes: list[Lane], here: int) -> None:
        self.race.halt()
        cursor = self.stream.cursor
        self.race.lanes, self.here = lanes, max(0, min(here, len(lanes) - 1))
        self.lanes_changed()
        self.stream.cursor = cursor
        self.paint()

    def action_add(self) -> None:
        lanes = self.race.lanes
        if len(lanes) == len(NAMES):
            self.say(f"there are {len(NAMES)} lanes already")
        else:
            self._set_lanes([*lanes, self.lane.copy(self.lane.params)], len(lanes))

    def action_close_lane(self) -> None:
        lanes = self.race.lanes
        if len(lanes) == 1:
            self.action_back()
        else:
            self._set_lanes([lane for lane in lanes if lane is not self.lane], self.here)

    def action_swap(self) -> None:
        lanes, at = list(self.race.lanes), self.here or 1
        if at < len(lanes):
            lanes[0], lanes[at] = lanes[at], lanes[0]
            self._set_lanes(lanes, self.here)

    def action_again(self) -> None:
        self.use(self.lane.again())

    def use(self, lane: Lane) -> None:
        """Put this lane in place of the focused one."""
        self._set_lanes([lane if each is self.lane else each for each in self.race.lanes], self.here)

    def action_take(self) -> None:
        self.race.halt()
        if not self.lane.host.is_main:
            self.say("a branch holds what one model drew: this lane is of another")
        elif self.lane.length == self.lane.begun:
            self.say("nothing is drawn in this lane yet: Space runs")
        else:
            self.dismiss(self.lane)
