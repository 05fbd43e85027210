"""What a person does to the text and the settings: run, look, choose, turn knobs.

Every method here is an action of keys.py or the answer to a panel's message. Modes, prompt and command line are in
screen.py.
"""

from __future__ import annotations

from collections.abc import Callable

from textual import on

from tinychat.engine.knobs import KNOB_BY_NAME, Knob
from tinychat.engine.lists import LIST_BY_NAME
from tinychat.engine.notes import params_notes
from tinychat.engine.orders import ORDERS
from tinychat.engine.params import SamplingParams
from tinychat.session.spelling import SETTINGS
from tinychat.session.tree import PROMPT
from tinychat.tui import copying
from tinychat.tui.palette import spelled
from tinychat.tui.panels import PanelScreen
from tinychat.tui.player import Player
from tinychat.tui.recorded import NO_MODEL
from tinychat.tui.widgets.candidates import CandidatesView
from tinychat.tui.widgets.knobs import KnobsView
from tinychat.tui.widgets.stream import StreamView
from tinychat.tui.wording import label_of, shown_settings

RATES: tuple[float | None, ...] = (2, 5, 10, 20, 30, 60, 120, 250, None)
STOPPED = "stopped, the text is kept"


class ActionScreen(PanelScreen):
    """Actions that change the path or the settings."""

    armed = False  # a knob's letter was pressed last: digits are its value

    def action_edit(self) -> None:
        self.calm()
        self.set_focus(self.prompt_box)

    def type_value(self, first: str) -> None:
        """Begin to type a value of the picked knob."""
        raise NotImplementedError

    def say(self, words: str, role: str = "strong") -> None:
        """A notice in the status line, until the next one."""
        self.notice = (spelled(copying.plain(words), self.look.glyphs), role)
        self.paint_lines()

    # running

    def ready(self, *, draws: bool = True) -> Player | None:
        """The player, when there is something to go on from, and a model to do it if anything is to be drawn."""
        self.calm()
        if self.player is None:
            self.say("the model is being opened")
        elif draws and self.player.recorded:
            self.say(f"{NO_MODEL}; Space replays it", "warn")
            return None
        elif not len(self.player.session.tree):
            what = "message" if self.player.session.mode == "chat" else "beginning"
            written = self.prompt_box.text.strip()
            self.say("i, then Enter runs the prompt" if written else f"type a {what} first: i edits, Enter runs")
            return None
        return self.player

    def calm(self) -> None:
        """A key of another kind ends what the last one began."""
        self.armed = False
        self.notice = ("", "text")

    def action_run(self) -> None:
        player = self.ready()
        if player is None:
            return
        if player.running:
            player.pause()
            self.say(STOPPED)
        else:
            self.play_on(player)
        self.paint()

    def play_on(self, player: Player) -> None:
        self.selected = None
        self.stream.end()
        self.revive(player)
        player.run()

    def action_step_once(self) -> None:
        if self.armed:
            self.type_value(".")  # .7 is a value of the picked knob
        else:
            self._step(1)

    def action_step_ten(self) -> None:
        self._step(10)

    def _step(self, count: int) -> None:
        if (player := self.ready()) is not None:
            self.selected = None
            self.stream.end()
            self.revive(player)
            player.step(count)
            self.paint()

    def action_stop(self) -> None:
        player = self.player
        self.calm()
        if player is not None and player.running:
            player.pause()
            self.say(STOPPED)
        else:
            self.selected = None
        self.paint()

    def action_regenerate(self) -> None:
        player = self.ready()
        if player is None:
            return
        if self._again(player, new_seed=True):
            self.say(f"new seed {player.session.params.seed}; the old reply stays: [ ] walk the versions")

    def action_rerun(self) -> None:
        player = self.ready()
        if player is None:
            return
        if self._again(player, new_seed=False):
            self.say(f"same seed {player.session.params.seed}, same draws")

    def _again(self, player: Player, *, new_seed: bool) -> bool:
        """The reply at the cursor once more."""
        if not player.session.again(self.stream.cursor, new_seed=new_seed):
            self.say("there is no reply here yet")
            return False
        player.set_params(player.session.params)
        player.sync()
        self.play_on(player)
        self.paint_all()
        return True

    def action_slower(self) -> None:
        self._pace(-1)

    def action_faster(self) -> None:
        self._pace(1)

    def _pace(self, delta: int) -> None:
        if self.player is None:
            return
        have = self.player.rate
        near = min(range(len(RATES)), key=lambda i: abs((RATES[i] or 1e9) - (have or 1e9)))
        self.set_rate(RATES[max(0, min(len(RATES) - 1, near + delta))])

    def set_rate(self, rate: float | None) -> None:
        if self.player is not None:
            self.player.set_rate(rate)
            self.say("as fast as it goes" if rate is None else f"{rate:g} tokens a second")

    # looking

    def action_left(self) -> None:
        self._look(lambda: self.stream.move(-1))

    def action_right(self) -> None:
        self._look(lambda: self.stream.move(1))

    def action_home(self) -> None:
        self._look(self.stream.home)

    def action_end(self) -> None:
        self._look(self.stream.end)

    def action_page_up(self) -> None:
        self._look(lambda: self.stream.move(0, -10))

    def action_page_down(self) -> None:
        self._look(lambda: self.stream.move(0, 10))

    def _look(self, move: Callable[[], None]) -> None:
        self.calm()
        self.selected = None
        with self.prevent(StreamView.CursorMoved):  # painted here, at once
            move()
        self.paint()

    @on(StreamView.CursorMoved)
    def _cursor_moved(self) -> None:
        self.paint()

    # choosing

    def action_candidate_up(self) -> None:
        self.up_or_down(-1)

    def action_candidate_down(self) -> None:
        self.up_or_down(1)

    def up_or_down(self, delta: int) -> None:
        """In the panel that Tab has chosen: another candidate, another knob, or the lines above and below."""
        if self.tab == "knobs":
            self._pick_neighbour(delta)
        elif self.tab == "pipeline":
            self.pipeline.scroll_rows(delta)
        elif self.tab == "why":
            self.why.scroll_rows(delta)
        else:
            self._choose(delta)

    def _pick_neighbour(self, delta: int) -> None:
        if self.player is not None:
            names = [each.name for each in shown_settings(self.player.session.params, self.picked)]
            at = names.index(self.picked) + delta
            self.action_pick(names[min(max(at, 0), len(names) - 1)])

    def _choose(self, delta: int) -> None:
        self.armed = False
        self.selected = max(0, self.selected_row(self.step_here()) + delta)
        step = self.step_here()
        odds = step.odds if step is not None else self.player.odds if self.player is not None else None
        if odds is not None:
            self.selected = min(self.selected, len(odds.candidates) - 1)
        self.paint()

    @on(CandidatesView.Selected)
    def _candidate_selected(self, message: CandidatesView.Selected) -> None:
        self.selected = message.index
        self.paint()

    @on(CandidatesView.Taken)
    def _candidate_taken(self, message: CandidatesView.Taken) -> None:
        self._take(message.token)

    def action_take(self) -> None:
        if self.armed and self.picked in LIST_BY_NAME:
            self.type_value("")
            return
        if self.player is not None and not len(self.player.session.tree):
            self.action_edit()
            return
        self._take_row(self.selected_row(self.step_here()))

    def action_digit(self, number: int) -> None:
        if self.armed:
            self.type_value(str(number))
        else:
            self._take_row(number - 1)

    def _take_row(self, row: int) -> None:
        player = self.ready()
        if player is None:
            return
        step = self.step_here()
        odds = step.odds if step is not None else player.odds if self.position == len(player.session.tree) else None
        if odds is None:
            self.say("no candidates here: they are known for tokens of a reply")
        elif row >= len(odds.candidates):
            self.say(f"there are only {len(odds.candidates)} candidates")
        else:
            self._take(odds.candidates[row].token)

    def _take(self, token: int) -> None:
        player = self.ready()
        if player is None:
            return
        tree, position = player.session.tree, self.position
        if self.step_here() is not None and position == len(tree):
            position -= 1  # at the end of a run the last token is the one on show
        cuts = position < len(tree)
        self.selected = None
        self.revive(player)
        if player.take(position, token):
            self.stream.end()
            self.say("taken; the old text stays a branch, u goes back" if cuts else "taken")
            self.paint_all()
        else:
            self.stream.move(1)
            self.paint()

    def action_rewind(self) -> None:
        player = self.ready()
        if player is None:
            return
        session, position = player.session, self.position
        if self.stream.cursor is None:
            position -= 1
        if position < session.reply_start and session.tree.path.kinds[position] == PROMPT:
            self.say("that is prompt: i edits it")
            return
        session.rewind(position)
        player.sync()
        self.moved_to("rewound; the old text stays a branch, u goes back")

    def moved_to(self, words: str) -> None:
        self.selected = None
        self.stream.end()
        self.paint_all()
        self.say(words)

    # knobs

    def action_pick(self, name: str) -> None:
        self.armed = True
        self.picked = name
        setting = SETTINGS[name]
        label = spelled(label_of(setting), self.look.glyphs)
        away = "neutral" if setting.aux else "off"
        turned = f"- = nudge, 0 {away}, or type a value"
        how = turned if isinstance(setting, Knob) else "Enter types a value, 0 off"
        self.notice = (f"{label}: {how}. {setting.help}", "quiet")
        self.knobs_changed()

    def action_nudge_down(self) -> None:
        self._nudge(-1)

    def action_nudge_up(self) -> None:
        self._nudge(1)

    def action_coarse_down(self) -> None:
        self._nudge(-1, coarse=True)

    def action_coarse_up(self) -> None:
        self._nudge(1, coarse=True)

    def _nudge(self, steps: int, *, coarse: bool = False, name: str = "") -> None:
        if self.player is None:
            return
        name = name or self.picked
        if name in KNOB_BY_NAME:
            self.set_params(self.player.session.params.nudge(name, steps, coarse=coarse))
        else:
            self.type_value("")  # there is nothing to turn

    def action_neutral(self) -> None:
        if self.player is not None:
            self.set_params(self.player.session.params.with_(**{self.picked: SETTINGS[self.picked].neutral}))

    def action_order(self) -> None:
        if self.player is not None:
            names = list(ORDERS)
            have = self.player.session.params.order
            at = names.index(have) if isinstance(have, str) else -1
            self.set_params(self.player.session.params.with_(order=names[(at + 1) % len(names)]))
            self.say(f"order {self.player.session.params.order}")

    def set_params(self, params: SamplingParams) -> None:
        """From the next token on."""
        if self.player is not None and params != self.player.session.params:
            self.player.set_params(params)
            notes = params_notes(params)
            self.notice = (notes[0] if notes else "", "dart")
            self.knobs_changed()

    @on(KnobsView.Moved)
    def _knob_moved(self, message: KnobsView.Moved) -> None:
        if self.player is not None:
            self.picked = message.name
            self.set_params(self.player.session.params.with_(**{message.name: message.value}))

    @on(KnobsView.Picked)
    def _knob_picked(self, message: KnobsView.Picked) -> None:
        self.action_pick(message.name)

    @on(KnobsView.Nudged)
    def _knob_nudged(self, message: KnobsView.Nudged) -> None:
        self.picked = message.name
        self._nudge(message.steps)
