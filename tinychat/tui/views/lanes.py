"""Lanes side by side, as they are painted; the keys are in compare.py."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.css.query import NoMatches
from textual.widget import Widget

from tinychat.tui import status
from tinychat.tui.difference import comparable, difference_words, divergence_words, first_difference, same_place
from tinychat.tui.driver import ByteBudget
from tinychat.tui.lanecolumns import columns
from tinychat.tui.lanes import STOPS, Lane, Race
from tinychat.tui.lineview import Row
from tinychat.tui.modes import Mode
from tinychat.tui.palette import Look
from tinychat.tui.ticking import TICK_S
from tinychat.tui.views.view import View
from tinychat.tui.widgets.lines import Lines
from tinychat.tui.widgets.prompt import CommandBox
from tinychat.tui.widgets.stream import StreamView

READABLE_RATE = 60  # tokens a second
TOLD_S = 0.5  # counts on the borders that run faster cannot be read
NAMES = "ABCD"
LEAST_COLUMNS = 39  # of a lane beside another
FOOT = "Space run  . step  Tab lane  T P K.. - = knob  d difference  Enter branch  v add  x close  V swap  : model  Esc"
SHORT_FOOT = "Space run  Tab lane  T.. - = knob  d differ  Enter branch  v add  : model  Esc"
ASCII_SIGNS = str.maketrans("␣↵⇥", "_~>")


class LanesScreen(View[Lane]):
    """A panel for each lane, and what they differ in."""

    TITLE_TEXT = "Lanes"
    COVERS = True  # the play screen under it is not painted
    DEFAULT_CSS = """
    LanesScreen #lanes { layout: grid; height: 1fr; background: $background; }
    LanesScreen .view-body { layout: vertical; }
    LanesScreen .chosen { border: round $panel-focus; }
    LanesScreen.ascii .chosen { border: ascii $panel-focus; }
    LanesScreen #lane-facts { height: 9; }
    LanesScreen.tall #lane-facts { height: 14; }
    """

    def __init__(
        self, look: Look, lanes: list[Lane], *, rate: float | None, max_tokens: int, mode: Mode, marks: bool,
        budget: ByteBudget, open_model: Callable[[LanesScreen, str], None],
    ) -> None:  # fmt: skip
        """`open_model` opens a checkpoint for the focused lane, and calls `use` when it is there."""
        super().__init__(look)
        self.race = Race(lanes, rate=rate)
        self.here = len(lanes) - 1  # the focused lane
        self.picked = "temperature"
        self._max_tokens = max_tokens
        self._mode, self._marks = mode, marks
        self._budget = budget
        self._open_model = open_model
        self._streams = tuple(StreamView(look) for _ in NAMES)
        self._marked: dict[Lane, int] = {}
        self._notice = ""
        self._ticked_at = time.monotonic()
        self._painted_at = 0.0
        self._ticking = False  # the timer rests while nothing runs
        self._error_shown = ""
        self._told_at = 0.0  # when the counts on the borders were written,
        self._told: list[object] = []  # and of what
        self._titles: dict[tuple[str | None, str], str] = {}

    # what is seen

    def body(self) -> ComposeResult:
        with Container(id="lanes"):
            for number, stream in enumerate(self._streams):
                yield self.panel(stream, "", id=f"lane-{number}")
        self.facts = Lines(self.look, id="lane-facts")
        yield self.facts
        self.command_box = CommandBox(placeholder="t 0.9   seed 7   model PATH", id="command")
        yield self.command_box

    def on_mount(self) -> None:
        self.command_box.display = False
        self._timer = self.set_interval(TICK_S, self.tick, pause=True)
        self.lanes_changed()

    def forget(self) -> None:
        self._timer.stop()
        self.race.halt()

    def lanes_changed(self) -> None:
        """Show the lanes there are, in their order."""
        for number, stream in enumerate(self._streams):
            there = number < len(self.race.lanes)
            self.query_one(f"#lane-{number}").display = there
            if there:
                stream.mode, stream.marks = self._mode, self._marks or self.look.needs_marks
                stream.set_tokens(self.race.lanes[number].tokens)
        self._fit()
        self.paint()

    def shown(self) -> list[tuple[Lane, StreamView]]:
        """Every lane and where it is seen."""
        return list(zip(self.race.lanes, self._streams, strict=False))

    def _fit(self) -> None:
        count, width = len(self.race.lanes), self.app.size.width
        wide = min(count, max(1, width // LEAST_COLUMNS))
        wide = 2 if count == 4 and wide == 3 else wide
        grid = self.query_one("#lanes", Container)
        grid.styles.grid_size_columns = wide
        grid.styles.grid_size_rows = -(-count // wide)
        self.set_class(self.app.size.height >= 36, "tall")

    def on_resize(self) -> None:
        try:
            self._fit()
        except NoMatches:  # not composed yet
            return
        self.call_after_refresh(self.paint)

    @property
    def lane(self) -> Lane:
        """The focused one."""
        return self.race.lanes[self.here]

    @property
    def stream(self) -> StreamView:
        return self._streams[self.here]

    def use(self, lane: Lane) -> None:
        """Put this lane in place of the focused one."""
        raise NotImplementedError

    def tick(self) -> None:
        """Ask for tokens, and show what came."""
        now = time.monotonic()
        self.race.tick(now - self._ticked_at)
        self._ticked_at = now
        self.show_news()
        if self.race.quiet and not self._has_news:
            self._timer.pause()
            self._ticking = False

    @property
    def _has_news(self) -> bool:
        """Whether lanes have something that is not shown yet."""
        grown = any(stream.count != len(lane.tokens) for lane, stream in self.shown())
        untold = self._told != self._standing and time.monotonic() - self._told_at >= TOLD_S
        return grown or untold or self.race.running != self.stream.live or self.race.error != self._error_shown

    @property
    def _standing(self) -> list[object]:
        """What the borders say of the lanes."""
        return [(lane.length, lane.stop, lane.trouble) for lane in self.race.lanes]

    def show_news(self) -> None:
        """Paint what lanes have that is not shown yet."""
        now = time.monotonic()
        # text of several lanes that runs faster than it can be read is painted less often: keys come first
        if self.race.running and self._is_fast and now - self._painted_at < len(self.race.lanes) / 60:
            return
        if self._has_news and self._budget.allows(now):
            self.paint()

    @property
    def _is_fast(self) -> bool:
        return self.race.rate is None or self.race.rate > READABLE_RATE

    def paint(self) -> None:
        """All that changes while lanes grow."""
        self._painted_at = now = time.monotonic()
        self._error_shown = self.race.error
        if not self._ticking and not self.race.quiet:
            self._ticking, self._ticked_at = True, now
            self._timer.resume()
        self._mark_differences()
        for lane, stream in self.shown():
            if stream.count > len(lane.tokens):
                stream.set_tokens(lane.tokens)
            elif stream.count < len(lane.tokens):
                stream.append(lane.tokens[stream.count :])
            stream.live = self.race.running
            stream.page_follow = self._budget.rate is not None or self._is_fast
        self._link()
        self._paint_titles()
        self._paint_facts()

    def _mark_differences(self) -> None:
        """The word that stands where a lane parts from A, and in A where the first of them does."""
        first = self.race.lanes[0]
        places: dict[Lane, int] = {}
        for lane in self.race.lanes[1:]:
            at = first_difference(first, lane) if comparable(first, lane) else None
            if at is not None:
                places[lane] = at
                places[first] = min(at, places.get(first, at))
        for lane, stream in self.shown():
            old, new = self._marked.get(lane), places.get(lane)
            if old == new:
                continue
            if old is not None:
                lane.unmark(old)
            if new is not None:
                lane.mark(new)
            self._marked = {**self._marked, lane: new} if new is not None else _without(self._marked, lane)
            stream.set_tokens(lane.tokens)

    def _link(self) -> None:
        """The cursor of the focused lane stands in the others too."""
        cursor = self.stream.cursor
        for lane, stream in self.shown():
            if lane is not self.lane:
                stream.cursor = None if cursor is None else same_place(self.lane, cursor, lane)

    def _title(self, panel: Widget, text: str, which: str) -> None:
        """Setting a title paints the whole panel, so only another one is set."""
        if self._titles.get((panel.id, which)) != text:
            self._titles[panel.id, which] = text
            setattr(panel, f"border_{which}", Content(text))

    def _paint_titles(self) -> None:
        now = time.monotonic()
        for number, lane in enumerate(self.race.lanes):
            panel = self.query_one(f"#lane-{number}")
            chosen = number == self.here
            panel.set_class(chosen, "chosen")
            picked = self.picked if chosen else ""
            words = "".join(text for text, _ in status.knob_words(lane.params, picked, cells=24))
            self._title(panel, f"{'> ' if chosen else ''}{NAMES[number]}  {words}", "title")
            facts = [f"{lane.reply_length} tok"]
            if lane.reply_length:
                facts.append(f"ppl {lane.perplexity():.1f}")
            if lane.trouble:
                facts.append("cannot go on")
            elif lane.stop:
                facts.append(STOPS.get(lane.stop, lane.stop))
            if any(each.host is not lane.host for each in self.race.lanes):
                facts.append(lane.host.name.removesuffix(".safetensors")[-10:])
            if not self.race.running or now - self._told_at >= TOLD_S:
                self._title(panel, " | ".join(facts), "subtitle")
        if not self.race.running or now - self._told_at >= TOLD_S:
            self._told_at, self._told = now, self._standing
        rate = "full speed" if self.race.rate is None else f"pace {self.race.rate:g}/s"
        seeds = {lane.params.seed for lane in self.race.lanes}
        draws = f"same draws, seed {seeds.pop()}" if len(seeds) == 1 else "different seeds"
        self.show_title(("RUNNING" if self.race.running else "PAUSED", "chosen"), (f" | {draws} | {rate}", "text"))
        keys = FOOT if self.app.size.width >= cell_len(FOOT) + 1 else SHORT_FOOT
        self.show_foot((self._notice, "strong") if self._notice else (keys, "quiet"))

    def _paint_facts(self) -> None:
        rows: list[Row] = []
        if self.race.error or self.lane.trouble:
            rows.append(((f" {self.race.error or self.lane.trouble}", "warn"),))
        lanes = self.race.lanes
        if len(lanes) > 1:
            other = self.here or 1
            pair, names = (lanes[0], lanes[other]), (NAMES[0], NAMES[other])
            rows.append(((f" {difference_words(*pair, names, self._label)}", "strong"),))
            rows.append(((f" {divergence_words(*pair, self._compared_at(*pair))}", "text"),))
        width, height = self.app.size.width, self.facts.size.height - len(rows)
        rows += columns(
            [(NAMES[number], lane, self._position(lane)) for number, lane in enumerate(lanes)],
            self._label, width=width, height=height, more=self.facts.glyphs.more,
        )  # fmt: skip
        self.facts.show(*rows)

    def _compared_at(self, one: Lane, other: Lane) -> int:
        """Whose odds are compared: the cursor's position, else the first difference, else the last that both have."""
        cursor = self._position(one) if self.stream.cursor is not None else None
        if cursor is None:
            cursor = first_difference(one, other) if comparable(one, other) else None
        return min(one.length, other.length) - 1 if cursor is None else cursor

    def _position(self, lane: Lane) -> int | None:
        """Where a lane is looked at: the cursor; without one its last token."""
        cursor = self._streams[self.race.lanes.index(lane)].cursor
        if self.stream.cursor is None:
            return lane.length - 1 if lane.reply_length else None
        return cursor

    def _label(self, lane: Lane, token: int) -> str:
        label = lane.host.tokenizer.label(token)
        return label.translate(ASCII_SIGNS) if self.look.glyphs == "ascii" else label

    def say(self, words: str) -> None:
        """A notice in the last row, until the next key."""
        self._notice = words
        self._paint_titles()


def _without(marked: dict[Lane, int], lane: Lane) -> dict[Lane, int]:
    return {each: at for each, at in marked.items() if each is not lane}
