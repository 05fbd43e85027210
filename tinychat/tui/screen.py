"""The play screen: keys and messages become wishes of the player, and the panels are told what changed.

Only this class connects things: widgets report, the player decides with the engine, panels.py paints.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tinychat.engine.params import KNOB_BY_NAME, ORDERS, PRESETS, SamplingParams
from tinychat.session.replay import command, settings_flags
from tinychat.session.transcript import reply_text
from tinychat.tui import commands, copying
from tinychat.tui.help import HelpScreen
from tinychat.tui.keys import ACTION_BY_NAME, ACTIONS, PICKED_KNOBS
from tinychat.tui.layouts import TABS
from tinychat.tui.palette import MODES
from tinychat.tui.panels import PanelScreen
from tinychat.tui.player import Player
from tinychat.tui.widgets.candidates import CandidatesView
from tinychat.tui.widgets.knobs import KnobsView
from tinychat.tui.widgets.prompt import CommandBox, PromptBox
from tinychat.tui.widgets.stream import StreamView

RATES: tuple[float | None, ...] = (2, 5, 10, 20, 30, 60, 120, 250, None)
LEAVE_S = 3.0  # a second Ctrl+C within this time leaves


class PlayScreen(PanelScreen):
    """EDIT and INSPECT, and what every key does in them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(a.keys, a.name, a.title, id=f"play.{a.name}", tooltip=a.tip, show=False) for a in ACTIONS),
        *(
            Binding(f"{k.key},{k.key.upper()}", f"pick('{k.name}')", f"Pick {k.label}", id=f"play.pick_{k.name}",
                    tooltip=k.help, show=False)
            for k in PICKED_KNOBS
        ),
        *(
            Binding(str(n), f"digit({n})", f"Take candidate {n}", id=f"play.take_{n}", show=False,
                    tooltip="Take it at once; after a knob's letter: begin a value.")
            for n in range(1, 10)
        ),
    ]  # fmt: skip

    _armed = False  # a knob's letter was pressed last: digits are its value
    _asked_to_leave = 0.0

    def begin(self, player: Player) -> None:
        """The tokenizer is known and the model is on its way: from here on everything works."""
        self.player = player
        self.paint_all()

    # modes

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Single letters act only in INSPECT."""
        known = ACTION_BY_NAME.get(action)
        if known is not None or action in ("pick", "digit"):
            return not (self.editing or self.command_box.display) or (known is not None and known.always)
        return True

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        editing = self.prompt_box.has_focus
        if editing != self.editing:
            self.editing = editing
            self.set_class(editing, "editing")
            self.paint_all()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        if self.editing and not self.prompt_box.has_focus:
            self.editing = False
            self.remove_class("editing")
            self.paint_all()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.paint_all)

    def on_key(self, event: events.Key) -> None:
        # a value may begin with a point, which is one token otherwise
        if self._armed and event.key == "full_stop" and not self.editing:
            event.stop()
            self._type_value(".")

    def say(self, words: str, role: str = "strong") -> None:
        """A notice in the status line, until the next one."""
        self.notice = (copying.plain(words), role)
        self.paint_lines()

    def came(self, *, was_running: bool) -> None:
        player = self.player
        assert player is not None, "frames are taken in by a player"
        if was_running and not player.running:
            self.notice = ("", "text")

    # running

    def _ready(self) -> Player | None:
        """The player, when there is something to go on from."""
        self._calm()
        if self.player is None:
            self.say("the model is being opened")
        elif not len(self.player.session.tree):
            self.say("type a prompt first: i edits, Enter runs")
            return None
        return self.player

    def _calm(self) -> None:
        """A key of another kind ends what the last one began."""
        self._armed = False
        self.notice = ("", "text")

    def action_run(self) -> None:
        player = self._ready()
        if player is None:
            return
        if player.running:
            player.pause()
        else:
            self._run(player)
        self.paint()

    def action_run_anywhere(self) -> None:
        if self.editing and self.player is not None and not len(self.player.session.tree):
            self._submit(self.prompt_box.text)
        else:
            self.action_run()

    def _run(self, player: Player) -> None:
        self.selected = None
        self.stream.end()
        player.run()

    def action_step_once(self) -> None:
        self._step(1)

    def action_step_ten(self) -> None:
        self._step(10)

    def _step(self, count: int) -> None:
        if (player := self._ready()) is not None:
            self.selected = None
            self.stream.end()
            player.step(count)
            self.paint()

    def action_stop(self) -> None:
        player = self.player
        self._calm()
        if player is not None and player.running:
            player.pause()
            self.say("stopped, the text is kept")
        else:
            self.selected = None
            self.paint()

    def action_regenerate(self) -> None:
        player = self._ready()
        if player is None:
            return
        player.session.regenerate()
        self._again(player)
        self.say(f"new seed {player.session.params.seed}; the old reply stays a branch")

    def action_rerun(self) -> None:
        player = self._ready()
        if player is None:
            return
        player.session.rewind(player.session.reply_start)
        self._again(player)
        self.say(f"same seed {player.session.params.seed}, same draws")

    def _again(self, player: Player) -> None:
        player.set_params(player.session.params)
        player.sync()
        self._run(player)
        self.paint_all()

    def action_slower(self) -> None:
        self._pace(-1)

    def action_faster(self) -> None:
        self._pace(1)

    def _pace(self, delta: int) -> None:
        if self.player is None:
            return
        have = self.player.rate
        near = min(range(len(RATES)), key=lambda i: abs((RATES[i] or 1e9) - (have or 1e9)))
        self._set_rate(RATES[max(0, min(len(RATES) - 1, near + delta))])

    def _set_rate(self, rate: float | None) -> None:
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
        self._calm()
        self.selected = None
        move()
        self.paint()

    @on(StreamView.CursorMoved)
    def _cursor_moved(self) -> None:
        self.paint()

    # choosing

    def action_candidate_up(self) -> None:
        self._choose(-1)

    def action_candidate_down(self) -> None:
        self._choose(1)

    def _choose(self, delta: int) -> None:
        self._armed = False
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
        if self.player is not None and not len(self.player.session.tree):
            self.action_edit()
            return
        self._take_row(self.selected_row(self.step_here()))

    def action_digit(self, number: int) -> None:
        if self._armed:
            self._type_value(str(number))
        else:
            self._take_row(number - 1)

    def _take_row(self, row: int) -> None:
        player = self._ready()
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
        player = self.player
        if player is None:
            return
        tree, position = player.session.tree, self.position
        if self.step_here() is not None and position == len(tree):
            position -= 1  # at the end of a run the last token is the one on show
        following = self.stream.cursor is None
        self.selected = None
        if player.take(position, token):
            self.stream.end()
            self.say(
                "taken; the old text stays a branch, u goes back" if position < len(tree) or following else "taken"
            )
            self.paint_all()
        else:
            self.stream.move(1)
            self.paint()

    def action_rewind(self) -> None:
        player = self._ready()
        if player is None:
            return
        session, position = player.session, self.position
        if self.stream.cursor is None:
            position -= 1
        if position < session.reply_start and session.tree.path.kinds[position] == 0:
            self.say("that is prompt: i edits it")
            return
        session.rewind(position)
        player.sync()
        self._moved("rewound; the old text stays a branch, u goes back")

    def action_undo(self) -> None:
        self._move(lambda player: player.session.tree.undo(), "back", "nothing to undo")

    def action_redo(self) -> None:
        self._move(lambda player: player.session.tree.redo(), "forth", "nothing to redo")

    def action_previous_branch(self) -> None:
        self._move(lambda player: player.session.tree.neighbour(-1), "", "there is no other branch")

    def action_next_branch(self) -> None:
        self._move(lambda player: player.session.tree.neighbour(1), "", "there is no other branch")

    def _move(self, move: Callable[[Player], bool], done: str, not_done: str) -> None:
        self._calm()
        if self.player is None:
            return
        if not move(self.player):
            self.say(not_done)
            return
        self.player.sync()
        at = self.player.session.tree.branch.fork
        self._moved(f"{done + ': ' if done else ''}a branch that parts at token {at}" if at else done)

    def _moved(self, words: str) -> None:
        self.selected = None
        self.stream.end()
        self.paint_all()
        self.say(words)

    # knobs

    def action_pick(self, name: str) -> None:
        self._armed = True
        self.picked = name
        knob = KNOB_BY_NAME[name]
        self.notice = (f"{knob.label}: - = nudge, 0 off, or type a value. {knob.help}", "quiet")
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
        if self.player is not None:
            self.set_params(self.player.session.params.nudge(name or self.picked, steps, coarse=coarse))

    def action_neutral(self) -> None:
        if self.player is not None:
            knob = KNOB_BY_NAME[self.picked]
            self.set_params(self.player.session.params.with_(**{knob.name: knob.neutral}))

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
            notes = params.notes()
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

    def action_presets(self) -> None:
        def choose(name: str) -> Callable[[], None]:
            return lambda: self._perform(f"preset {name}")

        entries = [
            (name, choose(name), " ".join(settings_flags(params)) or "the model's own odds")
            for name, params in PRESETS.items()
        ]
        self.app.search_commands(entries, placeholder="A preset sets all knobs")

    # screen

    def action_edit(self) -> None:
        self._calm()
        self.prompt_box.focus()

    @on(PromptBox.Left)
    def _prompt_left(self) -> None:
        self.set_focus(None)

    @on(PromptBox.Changed)
    def _prompt_changed(self) -> None:
        if self.editing:
            self.lay_out()

    @on(PromptBox.Submitted)
    def _prompt_submitted(self, message: PromptBox.Submitted) -> None:
        self._submit(message.text)

    @on(PromptBox.Interrupted)
    def _prompt_interrupted(self) -> None:
        self.action_interrupt()

    @on(PromptBox.QuitWished)
    def _prompt_quit(self) -> None:
        self.action_leave()

    def _submit(self, text: str) -> None:
        player = self.player
        self._calm()
        if player is None:
            self.say("the model is being opened; Enter again in a moment")
            return
        session = player.session
        if session.mode == "chat":
            if not text.strip():
                self.say("type a message first")
                return
            if player.running:
                player.pause()
            session.say(text)
            self.prompt_box.remember(text)
            self.prompt_box.load_text("")
        else:
            seed = session.params.seed
            session.complete(text)
            self.prompt_box.remember(text)
            if text.endswith(" "):
                self.notice = ("the prompt ends with a space: words bring their own", "dart")
            elif session.params.seed != seed:
                self.notice = (f"new seed {session.params.seed}; the old reply stays a branch", "strong")
            self.set_focus(None)
        player.set_params(session.params)
        player.sync()
        self._run(player)
        self.paint_all()

    def action_new(self) -> None:
        self._calm()
        if self.player is not None:
            self.player.session.clear()
            self.player.sync()
            self._moved("an empty context; u goes back")

    def action_mode(self) -> None:
        self._calm()
        player = self.player
        if player is None:
            return
        session = player.session
        if not session.tokenizer.has_chat:
            self.say("this model knows no chat roles")
            return
        session.mode = "completion" if session.mode == "chat" else "chat"
        if len(session.tree):
            session.clear()
            player.sync()
        self._moved(f"{session.mode}; u brings the old text back" if session.tree.branches[0].own else session.mode)

    def action_colour(self) -> None:
        self.stream.mode = MODES[(MODES.index(self.stream.mode) + 1) % len(MODES)]
        self.paint_titles()

    def action_marks(self) -> None:
        self.stream.marks = not self.stream.marks
        self.paint_titles()

    def action_next_panel(self) -> None:
        self._turn(1)

    def action_previous_panel(self) -> None:
        self._turn(-1)

    def _turn(self, delta: int) -> None:
        self.tab = TABS[(TABS.index(self.tab) + delta) % len(TABS)]
        self.lay_out()
        self.call_after_refresh(self.paint_all)

    def action_copy_command(self) -> None:
        if (player := self._ready()) is not None:
            line = command(player.session)
            self.app.copy_to_clipboard(line)
            self.say(copying.keep("command.txt", line, "the command"))

    def action_copy_text(self) -> None:
        if (player := self._ready()) is not None:
            text = reply_text(player.session)
            self.app.copy_to_clipboard(text)
            self.say(copying.keep("text.txt", text, "the text"))

    def action_save(self) -> None:
        if (player := self._ready()) is not None:
            self.say(copying.save_transcript(player.session))

    def action_command_line(self) -> None:
        self._open_command("")

    def _type_value(self, first: str) -> None:
        self._open_command(f"{KNOB_BY_NAME[self.picked].name} {first}")

    def _open_command(self, text: str) -> None:
        self._armed = False
        self.help_line.display, self.command_box.display = False, True
        self.command_box.value = text
        self.command_box.focus()
        self.command_box.cursor_position = len(text)
        self.command_box.selection = type(self.command_box.selection).cursor(len(text))

    @on(CommandBox.Left)
    def _close_command(self) -> None:
        self.help_line.display, self.command_box.display = True, False
        self.set_focus(None)

    @on(Input.Submitted, "#command")
    def _command_submitted(self, message: Input.Submitted) -> None:
        self._close_command()
        if message.value.strip():
            self._perform(message.value)

    def _perform(self, line: str) -> None:
        """Do what a command line says."""
        player = self.player
        self._calm()
        if player is None:
            return
        try:
            wish = commands.parse(line, player.session.params)
        except ValueError as error:
            self.say(str(error), "warn")
            return
        if isinstance(wish, commands.Settings):
            if wish.seed_asked:
                player.session.fixed_seed = True
            self.picked = wish.picked or self.picked
            self.set_params(wish.params)
            self.knobs_changed()
        elif isinstance(wish, commands.MaxTokens):
            player.session.max_tokens = wish.count
            self.say(f"at most {wish.count} tokens a run")
        elif isinstance(wish, commands.Rate):
            self._set_rate(wish.tokens_per_s)
        elif isinstance(wish, commands.System):
            player.session.system = wish.text
            self.say("system message set" + ("; ctrl+n starts a chat with it" if len(player.session.tree) else ""))
        else:
            getattr(self, f"action_{wish.name}")()

    def action_help(self) -> None:
        self.app.push_screen(HelpScreen(ascii_only=self.look.glyphs == "ascii"))

    def action_palette(self) -> None:
        self.app.action_command_palette()

    def system_commands(self) -> list[SystemCommand]:
        """Everything the key table names, for the palette."""
        found = [
            SystemCommand(f"{a.title}  ({a.shown})", a.tip, getattr(self, f"action_{a.name}"))
            for a in ACTIONS
            if a.name != "palette"
        ]
        found += [
            SystemCommand(f"Pick {k.label}  ({k.key})", k.help, lambda name=k.name: self.action_pick(name))
            for k in PICKED_KNOBS
        ]
        return found

    def action_interrupt(self) -> None:
        player = self.player
        if player is not None and player.running:
            self.action_stop()
        elif (text := self.get_selected_text()) is not None:
            self.app.copy_to_clipboard(text)
            self.say("copied")
        elif time.monotonic() - self._asked_to_leave < LEAVE_S:
            self.action_leave()
        else:
            self._asked_to_leave = time.monotonic()
            self.say("ctrl+c again leaves (ctrl+q at once)")

    def action_suspend(self) -> None:
        self.app.action_suspend_process()

    def action_leave(self) -> None:
        self.app.exit(0)
