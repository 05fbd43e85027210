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

from tinychat.engine.lists import LIST_BY_NAME
from tinychat.engine.params import SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.errors import TinychatError
from tinychat.session.presets import own_presets, save_preset
from tinychat.session.replay import command
from tinychat.session.spelling import SETTINGS, settings_flags
from tinychat.session.transcript import reply_text
from tinychat.session.words import with_words
from tinychat.tui import copying
from tinychat.tui.choosing import chooser
from tinychat.tui.doors import DoorScreen
from tinychat.tui.keys import ACTION_BY_NAME, ACTIONS, PICKED_KNOBS
from tinychat.tui.layouts import TABS
from tinychat.tui.modes import MODES
from tinychat.tui.palette import spelled
from tinychat.tui.player import Player
from tinychat.tui.status import moves
from tinychat.tui.titles import tab_at
from tinychat.tui.widgets.panel import Panel
from tinychat.tui.widgets.prompt import CommandBox, PromptBox
from tinychat.tui.wording import error_line, short_text

LEAVE_S = 3.0  # a second Ctrl+C within this time leaves


class PlayScreen(DoorScreen):
    """EDIT and INSPECT, and what every key does in them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # priority: done before the next key is looked at, which may be text for the box that this one opened; keys
        # come in bunches over a slow line
        *(
            Binding(a.keys, a.name, a.title, id=f"play.{a.name}", tooltip=a.tip, show=False, priority=not a.always)
            for a in ACTIONS
        ),
        *(
            Binding(k.key, f"pick('{k.name}')", f"Pick {k.label}", id=f"play.pick_{k.name}", priority=True,
                    tooltip=k.help, show=False)
            for k in PICKED_KNOBS
        ),
        *(
            Binding(str(n), f"digit({n})", f"Take candidate {n}", id=f"play.take_{n}", priority=True, show=False,
                    tooltip="Take it at once; after a knob's letter: begin a value.")
            for n in range(1, 10)
        ),
    ]  # fmt: skip

    opens_in_edit = True  # a lesson brings its own prompt
    _asked_to_leave = 0.0

    def on_mount(self) -> None:
        self.prompt_box.move_cursor(self.prompt_box.document.end)
        if self.opens_in_edit:
            self.action_edit()
        else:
            self.editing = False
            self.remove_class("editing")
        self.read_presets()  # last, as leaving off what was before takes its words away

    def begin(self, player: Player) -> None:
        """The tokenizer is known and the model is on its way: from here on everything works."""
        self.player = player
        if player.session.mode == "completion":
            # the odds after the prompt are worth seeing before anything is drawn
            player.session.complete(self.prompt_box.text)
            player.sync()
        self.paint_all()
        if self._submit_when_open:
            self.submit(self.prompt_box.text)

    # modes

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Single letters act only in INSPECT."""
        known = ACTION_BY_NAME.get(action)
        if known is not None or action in ("pick", "digit"):
            typing = self.focused in (self.prompt_box, self.command_box)  # `editing` learns of it a moment later
            return not typing or (known is not None and known.always)
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

    def action_presets(self) -> None:
        def choose(name: str) -> Callable[[], None]:
            return lambda: self._perform(f"preset {name}")

        self.read_presets()
        entries = [
            (name, choose(name), copying.plain(" ".join(settings_flags(params))) or "the model's own odds")
            for name, params in self.knobs.presets.items()
        ]
        self.app.push_screen(chooser(entries, placeholder="A preset sets all knobs; :save-preset NAME keeps these"))

    def action_settings(self) -> None:
        if self.player is None:
            return
        params = self.player.session.params
        entries = [
            (f"{name}  {spelled(short_text(each, params), self.look.glyphs)}", self._chosen(name), each.help)
            for name, each in SETTINGS.items()
        ]
        self.app.push_screen(chooser(entries, placeholder="A setting: - and = turn it, : types a value"))

    def _chosen(self, name: str) -> Callable[[], None]:
        """What choosing a setting from a list does: it is picked where it can be seen, or its value is asked for."""

        def choose() -> None:
            self.action_pick(name)
            if name in LIST_BY_NAME:
                self.type_value("")
            else:
                self.tab = "knobs"
                self.lay_out()
                self.call_after_refresh(self.paint_all)

        return choose

    # screen

    @on(PromptBox.Changed)
    def _prompt_changed(self) -> None:
        if self.editing:
            self.lay_out()

    @on(PromptBox.Interrupted)
    def _prompt_interrupted(self) -> None:
        self.action_interrupt()

    @on(PromptBox.QuitWished)
    def _prompt_quit(self) -> None:
        self.action_leave()

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

    @on(Panel.NoteClicked)
    def _note_clicked(self, message: Panel.NoteClicked) -> None:
        if (tab := tab_at(message.note, message.at, self.tab)) is not None:
            self._turn(TABS.index(tab) - TABS.index(self.tab))

    def _turn(self, delta: int) -> None:
        self.tab = TABS[(TABS.index(self.tab) + delta) % len(TABS)]
        self.lay_out()
        self.call_after_refresh(self.paint_all)

    def action_copy_command(self) -> None:
        if (player := self.ready(draws=False)) is not None:
            line = command(player.session)
            self.app.copy_to_clipboard(line)
            self.say(copying.keep("command.txt", line, "the command"))

    def action_copy_text(self) -> None:
        if (player := self.ready(draws=False)) is not None:
            text = reply_text(player.session)
            self.app.copy_to_clipboard(text)
            self.say(copying.keep("text.txt", text, "the text"))

    def action_command_line(self) -> None:
        self.open_command("")

    def type_value(self, first: str) -> None:
        self.open_command(f"{self.picked} {first}")

    def open_command(self, text: str) -> None:
        self.armed = False
        self.help_line.display, self.command_box.display = False, True
        self.command_box.value = text
        self.set_focus(self.command_box)  # at once: the next key is already for it
        self.command_box.cursor_position = len(text)

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
        self.calm()
        if player is None:
            return
        from tinychat.tui import commands

        try:
            wish = commands.parse(line, player.session.params, vocab_size=player.session.tokenizer.vocab_size)
        except ValueError as error:
            self.say(str(error), "warn")
            return
        if isinstance(wish, commands.Words):
            session = player.session
            wish = commands.Settings(
                with_words(
                    session.params, session.tokenizer, bad_words=wish.bad_words, negative=wish.negative,
                    chat=session.mode == "chat", system=session.system,
                ),
                picked=wish.picked,
            )  # fmt: skip
        if isinstance(wish, commands.Settings):
            if wish.seed_asked:
                player.session.fixed_seed = True
            self.picked = wish.picked or self.picked
            change = moves(player.session.params, wish.params)
            self.set_params(wish.params)
            if not self.notice[0]:
                self.notice = (f"{change}, from the next token on" if change else "that is set already", "strong")
            self.knobs_changed()
        elif isinstance(wish, commands.Name):
            self.name_session(wish.name)
        elif isinstance(wish, commands.Export):
            self.export_to(wish.path)
        elif isinstance(wish, commands.SavePreset):
            self._save_preset(wish.name, player.session.params)
        elif isinstance(wish, commands.MaxTokens):
            player.session.max_tokens = wish.count
            self.say(f"at most {wish.count} tokens a run")
        elif isinstance(wish, commands.Rate):
            self.set_rate(wish.tokens_per_s)
        elif isinstance(wish, commands.Line):
            try:
                self.take_line(wish.name, wish.text)
            except ValueError as error:
                self.say(str(error), "warn")
        elif isinstance(wish, commands.Speculate):
            self.speculate(wish.plan)
        elif isinstance(wish, commands.Fan):
            self.fan(wish.count)
        elif isinstance(wish, commands.Compare):
            self.compare(wish.path)
        elif isinstance(wish, commands.System):
            self.set_system(wish.text)
        elif isinstance(wish, commands.Label):
            self.label_branch(wish.text)
        else:
            getattr(self, f"action_{wish.name}")()

    def read_presets(self) -> None:
        """The person's own presets, as they are in the file now; a mistake there is told."""
        try:
            self.knobs.presets = PRESETS | own_presets()
        except TinychatError as error:
            self.notice = (error_line(error), "warn")
            self.paint_lines()

    def _save_preset(self, name: str, params: SamplingParams) -> None:
        replaced = name in self.knobs.presets
        try:
            path = save_preset(name, params)
        except TinychatError as error:
            self.say(error_line(error), "warn")
            return
        self.read_presets()
        self.knobs_changed()
        self.say(f"preset {name} {'replaced' if replaced else 'saved'} in {path}")

    def action_help(self) -> None:
        from tinychat.tui.help import HelpScreen

        self.app.push_screen(HelpScreen(ascii_only=self.look.glyphs == "ascii", taste=self.taste))

    def action_palette(self) -> None:
        self.app.action_command_palette()

    def system_commands(self) -> list[SystemCommand]:
        """Everything the key table names, and the command line's words, for the palette."""
        from tinychat.tui.commands import WORDS

        found = [
            SystemCommand(f"{a.title}  ({a.shown})", a.tip, getattr(self, f"action_{a.name}"))
            for a in self.taste.keymap.actions
            if a.name != "palette"
        ]
        found += [
            SystemCommand(
                f"Pick {spelled(k.label, self.look.glyphs)}  ({k.key})",
                k.help,
                lambda name=k.name: self.action_pick(name),
            )
            for k in PICKED_KNOBS
        ]
        found += [
            SystemCommand(f"Setting {name}", each.help, self._chosen(name))
            for name, each in SETTINGS.items()
            if each not in PICKED_KNOBS
        ]
        return found + [
            SystemCommand(f":{form}", about, lambda word=form.split()[0]: self.open_command(f"{word} "))
            for form, about in WORDS.items()
        ]

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
