"""The knobs: a row for each setting with letter, value and slider, for keys and mouse.

The rows are wording.shown_settings: the main five always, the others when they are on, picked or in use. It shows
settings and says what was wished; it changes nothing itself.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from itertools import groupby

from textual import events
from textual.message import Message

from tinychat.engine.knobs import Knob, Value
from tinychat.engine.lists import ListSetting
from tinychat.engine.notes import params_notes
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.tui.lineview import LineView, Piece, Row, fit
from tinychat.tui.palette import spelled
from tinychat.tui.widgets.lines import wrap
from tinychat.tui.wording import Setting, is_on, label_of, short_text, shown_settings, value_text

_but_seed = operator.attrgetter(*(each.name for each in dataclasses.fields(SamplingParams) if each.name != "seed"))
_SLIDER_AT = 21  # cells before the slider of a number
_CHOICE_AT = 26  # words are longer
_RANGE = 9  # cells behind it


class KnobsView(LineView):
    """One row a knob; the last row says order, preset and what has no effect."""

    class Moved(Message):
        """A slider was dragged or clicked to a value."""

        def __init__(self, name: str, value: Value) -> None:
            self.name, self.value = name, value
            super().__init__()

    class Picked(Message):
        """A row was clicked."""

        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

    class Nudged(Message):
        """The wheel was turned over a row."""

        def __init__(self, name: str, steps: int) -> None:
            self.name, self.steps = name, steps
            super().__init__()

    presets: Mapping[str, SamplingParams] = PRESETS  # that settings may be called by
    _params = SamplingParams()
    _picked = "temperature"
    _note: Piece = ("", "text")
    _top = 0  # first of the shown knobs
    _dragged: Knob | None = None

    def show(self, params: SamplingParams, *, picked: str, note: Piece = ("", "text")) -> None:
        """Draw these settings, with one knob picked; a note takes the last rows."""
        self._params, self._picked, self._note = params, picked, note
        self.redraw()

    def rows(self, width: int, height: int) -> list[Row]:
        rows = [self._row(setting, width) for setting in self._shown(height)]
        words, role = self._note
        notes: list[Row] = [((f" {line}", role),) for line in wrap(words, width - 2)] if words else []
        if len(rows) + len(notes) < height:
            notes.append(self._foot())
        room = max(height - len(rows), 1)
        rows = rows[: height - min(len(notes), room)]
        return rows + [()] * (height - len(rows) - min(len(notes), room)) + notes[:room]

    def _shown(self, height: int) -> list[Setting]:
        settings = shown_settings(self._params, self._picked)
        room = max(1, height - 1)
        at = next(i for i, setting in enumerate(settings) if setting.name == self._picked)
        stop = at + 1
        while stop < len(settings) and settings[stop].stage == settings[at].stage:
            stop += 1  # what says how the picked one works is to be seen with it
        self._top = max(0, min(max(self._top, stop - room), at, max(0, len(settings) - room)))
        return settings[self._top : self._top + room]

    def _row(self, setting: Setting, width: int) -> Row:
        picked, on = setting.name == self._picked, is_on(setting, self._params)
        role = "strong" if on else "quiet"
        key = setting.key if isinstance(setting, Knob) else ""
        start: Row = (
            (">" if picked else " ", "chosen"),
            (f"{key or ' '} ", "chosen" if picked else "strong"),
            (fit(spelled(label_of(setting), self.look.glyphs), 12), role),
        )
        if isinstance(setting, ListSetting):
            return (*start, (f" {short_text(setting, self._params) if on else 'off'}", role))
        value: Value = getattr(self._params, setting.name)
        speaks = on or setting.aux or setting.choices or setting.name == "temperature"
        text = value_text(setting, value) if speaks else "off"
        cells = self._slider_cells(setting, width)
        slider: tuple[Piece, ...] = ()
        if cells:
            slider = (*self._slider(setting, value, cells, picked), (f" {_span_text(setting, value)}", "quiet"))
        at = _slider_at(setting)
        return (*start, (f"{text:>{at - 16}} ", role), *slider)

    def _slider_cells(self, knob: Knob, width: int) -> int:
        room = width - _slider_at(knob) - _RANGE
        return min(room, 40) if room >= 6 else 0

    def _slider(self, knob: Knob, value: Value, cells: int, picked: bool) -> tuple[Piece, ...]:
        """A line with a grip; what lies between the neutral value and the grip is drawn strongly."""
        low, high = knob.span
        at, neutral = (
            round(min(max((knob.place(each) - low) / (high - low), 0.0), 1.0) * (cells - 1))
            for each in (value, knob.neutral)
        )
        done, grip, rest = ("=", "o", "-") if self.look.glyphs == "ascii" else ("━", "●", "─")
        strong = "bar_chosen" if picked else "bar"
        first, last = min(at, neutral), max(at, neutral)
        line = (
            [("faint", rest)] * first + [(strong, done)] * (last - first + 1) + [("faint", rest)] * (cells - 1 - last)
        )
        line[at] = ("chosen" if picked else "strong" if value != knob.neutral else "quiet", grip)
        return tuple(
            ("".join(glyph for _, glyph in run), role) for role, run in groupby(line, key=lambda cell: cell[0])
        )

    def _foot(self) -> Row:
        params = self._params
        order = params.order if isinstance(params.order, str) else " > ".join(params.stages)
        hidden = len(shown_settings(params, self._picked)) - max(1, self.size.height - 1)
        more: tuple[Piece, ...] = ((f" {hidden} more: up, down ", "dart"),) if hidden > 0 else ()
        notes = params_notes(params)
        last: Piece = (f"  {notes[0]}", "warn") if notes else ("  a: all settings", "quiet")
        return (*more, (f" order {order}", "quiet"), (f"  preset {self._preset()}", "quiet"), last)

    def _preset(self) -> str:
        """The preset these settings are, whatever the seed; an honest word otherwise."""
        now = _but_seed(self._params)
        return next((name for name, each in self.presets.items() if _but_seed(each) == now), "own")

    # mouse

    def _setting_at(self, y: int) -> Setting | None:
        settings = self._shown(self.size.height)
        return settings[y] if 0 <= y < len(settings) else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        setting = self._setting_at(event.y)
        if setting is None:
            return
        self.post_message(self.Picked(setting.name))
        if not isinstance(setting, Knob) or not self._slider_cells(setting, self.size.width):
            return
        if event.x >= _slider_at(setting):
            self._dragged = setting
            self.capture_mouse()
            self._drag(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragged is not None:
            self._drag(event.x)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._dragged is not None:
            self._dragged = None
            self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, steps: int) -> None:
        if isinstance(setting := self._setting_at(event.y), Knob):
            event.stop()
            self.post_message(self.Nudged(setting.name, steps))

    def _drag(self, x: int) -> None:
        knob = self._dragged
        assert knob is not None, "a drag has a knob"
        low, high = knob.span
        share = (x - _slider_at(knob)) / max(1, self._slider_cells(knob, self.size.width) - 1)
        place = low + min(max(share, 0.0), 1.0) * (high - low)
        if not knob.choices:
            # on the grid of the step, so that dragging gives numbers a person would type
            place = min(max(round(round(place / knob.step) * knob.step, 6), knob.low), knob.high)
        value = knob.at(place)
        if value != getattr(self._params, knob.name):
            self.post_message(self.Moved(knob.name, value))


def _slider_at(knob: Knob) -> int:
    return _CHOICE_AT if knob.choices else _SLIDER_AT


def _span_text(knob: Knob, value: Value) -> str:
    if knob.choices:
        return f"{int(knob.place(value)) + 1} of {len(knob.choices)}"
    low, high = knob.shown
    return f"{knob.text(low)}..{knob.text(high)}"
