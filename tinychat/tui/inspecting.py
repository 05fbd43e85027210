"""What is looked at over time: charts of the reply, watched tokens, breakpoints, and why a token came out."""

from __future__ import annotations

import math
import shlex
import time
from dataclasses import replace

from textual.geometry import Size

from tinychat.engine.breaks import MOST_WATCHED, Met
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds, Step
from tinychat.tui import breakpoints
from tinychat.tui.actions import ActionScreen
from tinychat.tui.explain import explain, next_words
from tinychat.tui.player import Player
from tinychat.tui.timelines import CHARTS, Chart, Line, Timelines, share_of
from tinychat.tui.widgets.watch import Watched

TOLD_S = 0.25  # from one writing of the numbers on a border to the next, while tokens come
SUPERSCRIPTS = str.maketrans({"²": "^2"})


class InspectScreen(ActionScreen):
    """Painting and actions of the panels 7 and 10."""

    chart: Chart = CHARTS[0]
    _at: int | None = None  # the column of the cursor
    _chart_told: tuple[object, ...] = ()  # what the border of the chart says but for its numbers,
    _chart_told_at = 0.0  # and when they were written

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]  # passed on as they are
        self._timelines = Timelines()
        self._met_shown: tuple[Met, ...] = ()

    @property
    def is_tabbed(self) -> bool:
        """Whether the panels share one place."""
        return self.screen_shape in ("narrow", "low")

    # painting

    def paint_stream(self) -> None:
        super().paint_stream()
        player = self.player
        if player is None or player.met == self._met_shown:
            return
        self._met_shown = player.met
        if player.met:
            self.stream.aim(player.met[0].position)
            self.say(f"stopped: {breakpoints.told(player.met)}. Space goes on", "dart")

    def paint_beside(self, step: Step | None, odds: Odds | None, params: SamplingParams) -> None:
        player, shown = self.player, self.play_layout.places(Size(*self.app.size))
        if player is None:
            return
        if "entropy" in shown:
            session = player.session
            tree, reply = session.tree, session.reply_at(self.position)  # of a chat the turn at the cursor
            start, whole = reply.start, reply.stop == len(tree)
            line = self._timelines.line(tree, start, self.chart)
            if not whole:
                line = replace(line, raw=line.raw[: len(reply)], final=line.final[: len(reply)])
            self._at = step.position - start if step is not None and step.position >= start else None
            watched = []
            for token in player.watch:
                shares = self._timelines.shares(tree, start, token)
                now = None if odds is None else share_of(odds, token)
                watched.append(Watched(self.label_of(token), shares if whole else shares[: len(reply)], now))
            self.entropy.show(line.raw, self._at, line.final, watched=watched, heat=line.chart != "varentropy")
            self._paint_time_title(line, odds)
        if "why" in shown:
            said = [next_words(odds)]
            if step is not None:
                said = explain(step, self.label_of, params, searched=self.is_searched(step))
            self.why.show(tuple(said), odds, step, self.label_of)

    def paint_titles(self) -> None:
        super().paint_titles()
        if self.player is not None:
            self.paint_token()

    def _paint_time_title(self, line: Line, odds: Odds | None) -> None:
        marked = "> " if self.tab == "entropy" and not self.is_tabbed else ""
        words = [f"{marked}7 {line.chart.capitalize()}, {line.unit}"]
        if here := self._values_here(line, odds):
            words.append(here)
        on = self.player.breaks if self.player is not None else ()
        breaks = "B break " + ", ".join(map(breakpoints.short, on)) if on else "B breakpoints"
        # a border is painted with all that touches it, and numbers that run faster cannot be read
        told, now = (words[0], breaks, self.is_tabbed, self.stream.cursor), time.monotonic()
        running = self.player is not None and self.player.running
        if running and told == self._chart_told and now - self._chart_told_at < TOLD_S:
            return
        self._chart_told, self._chart_told_at = told, now
        if self.is_tabbed:
            title = "  ".join([*words, breaks] if on else words)
            self.title_of("entropy", self._signs(title))
        else:
            self.title_of("entropy", self._signs("  ".join(words)), self._signs(f"{breaks}  W watch  d chart"))

    def _values_here(self, line: Line, odds: Odds | None) -> str:
        """The value at the cursor, raw and final; behind the end, of the next token where it is known already."""
        at = self._at
        if at is not None and at < len(line.raw):
            raw = line.raw[at]
            final = line.final[at] if at < len(line.final) else None
        elif odds is not None and line.chart != "surprisal":
            raw = odds.entropy if line.chart == "entropy" else odds.varentropy
            final = odds.final_entropy if line.chart == "entropy" else None
        else:
            return ""
        if final is None:
            return f"raw {raw:.2f}"
        return f"raw {raw:.2f} > final {'none' if math.isnan(final) else f'{final:.2f}'}"

    def _signs(self, text: str) -> str:
        return text.translate(SUPERSCRIPTS) if self.look.glyphs == "ascii" else text

    # charts

    def up_or_down(self, delta: int) -> None:
        if self.tab == "entropy":
            self._set_chart(CHARTS[(CHARTS.index(self.chart) + delta) % len(CHARTS)])
        else:
            super().up_or_down(delta)

    def action_chart(self) -> None:
        self.calm()
        self._set_chart(CHARTS[(CHARTS.index(self.chart) + 1) % len(CHARTS)])

    def _set_chart(self, chart: Chart) -> None:
        self.chart = chart
        if "entropy" in self.play_layout.places(Size(*self.app.size)):
            self.paint_token()
        else:
            self.show_tab("entropy")

    def show_tab(self, tab: str) -> None:
        """Bring a panel to where it can be seen."""
        self.tab = tab
        self.lay_out()
        self.call_after_refresh(self.paint_all)

    def action_explain(self) -> None:
        self.calm()
        if self.screen_shape in ("tiny", "message"):
            self.say("the words about a token need 80 x 24")
        else:
            self.show_tab("candidates" if self.tab == "why" else "why")

    # breakpoints

    def opened(self) -> Player | None:
        """The player, as soon as there is one."""
        if self.player is None:
            self.say("the model is being opened")
        return self.player

    def action_breaks(self) -> None:
        self.calm()
        player = self._stoppable()
        if player is None:
            return

        def changed() -> None:
            player.set_breaks(screen.conditions)
            self.paint_titles()

        from tinychat.tui.views.breaks import BreaksScreen

        screen = BreaksScreen(self.look, player.breaks, player.session.tools.typed, changed)
        self.app.push_screen(screen)

    def _stoppable(self) -> Player | None:
        player = self.opened()
        if player is not None and player.recorded:
            self.say("this is a recording: nothing is drawn, so nothing stops")
            return None
        return player

    def _break_line(self, text: str) -> None:
        player = self._stoppable()
        if player is None:
            return
        if not text:
            self.action_breaks()
            return
        if text == "off":
            player.set_breaks(())
            self.say("no breakpoints")
        else:
            condition = breakpoints.read(text)
            player.session.tools.typed[condition.kind] = condition
            player.set_breaks((*(each for each in player.breaks if each.kind != condition.kind), condition))
            self.say(f"stops behind a token with {breakpoints.short(condition)}")
        self.paint_titles()

    # watched tokens

    def action_watch(self) -> None:
        self.calm()
        player = self.opened()
        if player is None:
            return
        step = self.step_here()
        odds = step.odds if step is not None else player.odds if self.position == len(player.session.tree) else None
        if odds is None or not odds.candidates:
            self.say("no candidates here; :watch TEXT watches any token")
            return
        token = odds.candidates[min(self.selected_row(step), len(odds.candidates) - 1)].token
        if token in player.watch:
            self._watch(tuple(each for each in player.watch if each != token))
            self.say(f"{self.label_of(token)} is watched no more")
        else:
            self._add_watched(token)

    def _watch_line(self, text: str) -> None:
        player = self.opened()
        if player is None:
            return
        if not text or text == "off":
            self._watch(())
            self.say("no token is watched")
            return
        text = "".join(shlex.split(text)) if text[:1] in "\"'" and text[-1:] == text[:1] else text
        tokenizer = player.session.tokenizer
        special = tokenizer.specials.get(text)
        ids = [special] if special is not None else tokenizer.encode(text)
        if not ids:
            raise ValueError("watch needs some text")
        self._add_watched(ids[0])
        if len(ids) > 1:
            self.say(f"that is {len(ids)} tokens: {self.label_of(ids[0])}, the first of them, is watched")

    def _add_watched(self, token: int) -> None:
        player = self.player
        assert player is not None, "asked for by a person who sees tokens"
        if token not in player.watch and len(player.watch) >= MOST_WATCHED:
            self.say(f"{MOST_WATCHED} tokens are watched already; :watch off clears the list", "warn")
            return
        self._watch(tuple(dict.fromkeys((*player.watch, token))))
        self.say(f"{self.label_of(token)} is watched; ? where it was not recorded before")

    def _watch(self, tokens: tuple[int, ...]) -> None:
        assert self.player is not None, "asked for by a person who sees tokens"
        self.player.set_watch(tokens)
        if tokens and "entropy" not in self.play_layout.places(Size(*self.app.size)):
            self.tab = "entropy"
        self.lay_out()
        self.call_after_refresh(self.paint_all)

    # the command line

    def take_line(self, name: str, text: str) -> None:
        """`:break ...`, `:watch ...` and `:chart ...`; ValueError says what is wrong."""
        if name == "break":
            self._break_line(text)
        elif name == "watch":
            self._watch_line(text)
        elif text in CHARTS:
            self._set_chart(text)
        else:
            raise ValueError(f"chart is one of {', '.join(CHARTS)}, got {text!r}")
