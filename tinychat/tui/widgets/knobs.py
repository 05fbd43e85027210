"""The knobs: a row for each setting with letter, value and slider, for keys and mouse.

The rows come from engine.params.KNOBS: the main five always, the others when they are switched on or when there is
room. It shows settings and says what was wished; it changes nothing itself.
"""

from __future__ import annotations

from itertools import groupby

from textual import events
from textual.message import Message

from tinychat.engine.knobs import KNOBS, Knob
from tinychat.engine.notes import params_notes
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.tui.lineview import LineView, Piece, Row
from tinychat.tui.palette import spelled

MAIN = 5  # knobs that always have a row
_SLIDER_AT = 21  # cells before the slider
_RANGE = 9  # cells behind it


class KnobsView(LineView):
    """One row a knob; the last row says order, preset and what has no effect."""

    class Moved(Message):
        """A slider was dragged or clicked to a value."""

        def __init__(self, name: str, value: float) -> None:
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

    _params = SamplingParams()
    _picked = "temperature"
    _top = 0  # first of the shown knobs
    _dragged: str | None = None

    def show(self, params: SamplingParams, *, picked: str) -> None:
        """Draw these settings, with one knob picked."""
        self._params, self._picked = params, picked
        self.redraw()

    def rows(self, width: int, height: int) -> list[Row]:
        knobs = self._shown(height)
        rows = [self._row(knob, width) for knob in knobs]
        if height > len(rows):
            rows += [()] * (height - len(rows) - 1) + [self._foot()]
        return rows

    def _shown(self, height: int) -> list[Knob]:
        on = [knob for i, knob in enumerate(KNOBS) if i < MAIN or self._is_on(knob) or knob.name == self._picked]
        knobs = list(KNOBS) if height > len(KNOBS) else on
        room = max(1, height - 1 if height > MAIN else height)
        at = next(i for i, knob in enumerate(knobs) if knob.name == self._picked)
        self._top = max(0, min(max(self._top, at - room + 1), at, max(0, len(knobs) - room)))
        return knobs[self._top : self._top + room]

    def _is_on(self, knob: Knob) -> bool:
        return float(getattr(self._params, knob.name)) != knob.neutral

    def _row(self, knob: Knob, width: int) -> Row:
        value = float(getattr(self._params, knob.name))
        picked, is_on = knob.name == self._picked, self._is_on(knob)
        number = "off" if not is_on and knob.name != "temperature" else value_text(knob, value)
        low, high = (knob.text(edge) for edge in knob.shown)
        cells = self._slider_cells(width)
        slider: tuple[Piece, ...] = ()
        if cells:
            slider = (*self._slider(knob, value, cells, picked), (f" {low}..{high}", "quiet"))
        role = "strong" if is_on else "quiet"
        return (
            (">" if picked else " ", "chosen"),
            (f"{knob.key or ' '} ", "chosen" if picked else "strong"),
            (f"{spelled(knob.label, self.look.glyphs):<11} ", role),
            (f"{number:>5} ", role),
            *slider,
        )

    def _slider_cells(self, width: int) -> int:
        room = width - _SLIDER_AT - _RANGE
        return min(room, 40) if room >= 6 else 0

    def _slider(self, knob: Knob, value: float, cells: int, picked: bool) -> tuple[Piece, ...]:
        """A line with a grip; what lies between the neutral value and the grip is drawn strongly."""
        low, high = knob.shown
        at, neutral = (
            round(min(max((each - low) / (high - low), 0.0), 1.0) * (cells - 1)) for each in (value, knob.neutral)
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
        notes = params_notes(params)
        last: Piece = (f"  {notes[0]}", "warn") if notes else (f"  penalties see: {params.penalty_scope}", "quiet")
        return ((f" order {order}", "quiet"), (f"  preset {preset_name(params)}", "quiet"), last)

    # mouse

    def _knob_at(self, y: int) -> Knob | None:
        knobs = self._shown(self.size.height)
        return knobs[y] if 0 <= y < len(knobs) else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        knob = self._knob_at(event.y)
        if knob is None:
            return
        self.post_message(self.Picked(knob.name))
        if event.x >= _SLIDER_AT and self._slider_cells(self.size.width):
            self._dragged = knob.name
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
        if (knob := self._knob_at(event.y)) is not None:
            event.stop()
            self.post_message(self.Nudged(knob.name, steps))

    def _drag(self, x: int) -> None:
        assert self._dragged is not None, "a drag has a knob"
        knob = next(knob for knob in KNOBS if knob.name == self._dragged)
        low, high = knob.shown
        share = (x - _SLIDER_AT) / max(1, self._slider_cells(self.size.width) - 1)
        value = low + min(max(share, 0.0), 1.0) * (high - low)
        # on the grid of the step, so that dragging gives numbers a person would type
        value = min(max(round(round(value / knob.step) * knob.step, 6), knob.low), knob.high)
        if value != float(getattr(self._params, knob.name)):
            self.post_message(self.Moved(knob.name, int(value) if knob.whole else value))


def value_text(knob: Knob, value: float) -> str:
    """Two decimals for the usual numbers, so that the rows stand still; more where they are needed."""
    if knob.whole:
        return str(int(value))
    text = f"{value:.2f}"
    return text if float(text) == value else knob.text(value)


def preset_name(params: SamplingParams) -> str:
    """The preset these settings are, whatever the seed; the nearest-sounding honest word otherwise."""
    for name, preset in PRESETS.items():
        if preset.with_(seed=params.seed) == params:
            return name
    return "own"
