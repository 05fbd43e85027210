"""The Textual application around the play screen: themes, filters, signals, and opening the model behind the first
frame. TEXTUAL_* variables must be set before this module is imported; app.py does it.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Iterable, Sequence

from textual import events
from textual.app import App, SystemCommand
from textual.filter import LineFilter, NoColor
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.timer import Timer

from tinychat.errors import TinychatError, UsageError
from tinychat.model.follow import Follow
from tinychat.session.reopen import reopen
from tinychat.session.session import Session
from tinychat.session.words import with_words
from tinychat.text.chat import PAUSE
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui.choosing import Actions, Palette
from tinychat.tui.config import Taste
from tinychat.tui.driver import ByteBudget, counting
from tinychat.tui.opening import Opening
from tinychat.tui.palette import Look
from tinychat.tui.player import Decoder
from tinychat.tui.reopening import Reopening
from tinychat.tui.screen import PlayScreen
from tinychat.tui.theme import OTHER_GROUND, THEMES, theme_for
from tinychat.tui.widgets.prompt import CommandBox, PromptBox

LONGEST_HOLD_S = 1.0  # that keys wait for what a box makes of Escape or Enter
FATAL_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)


class PlayApp(App[int]):
    """The playground."""

    TITLE = "tinychat play"
    CSS_PATH = "play.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(
        self,
        opening: Opening,
        decoder: Decoder,
        *,
        tokenizer: Callable[[], Tokenizer],
        look: Look,
        budget: ByteBudget,
        restart: Callable[[], Decoder] | None = None,
        theme: str = "",
        taste: Taste | None = None,
    ) -> None:
        """`restart` makes another decoder when the first has died."""
        super().__init__()
        driver = self.get_driver_class()
        if budget.rate is not None:
            self.driver_class = counting(driver, budget)
        self.opening = opening
        self.decoder = decoder
        self.look = look
        self.budget = budget
        self.taste = taste or Taste()
        self.set_keymap(dict(self.taste.keymap.changed))
        self.fault: TinychatError | None = None
        self.reopening: Reopening | None = None  # once something is open
        self._tokenizer = tokenizer
        self._restart = restart
        self._early: list[events.Event] | None = []  # typed before the first frame, or while a box is left
        self._hold_timer: Timer | None = None
        self.set_class(look.glyphs == "ascii", "ascii")
        for each in THEMES:
            self.register_theme(each)
        self._begin_with(theme or theme_for(look))

    def _begin_with(self, name: str) -> None:
        """The theme of the first frame: set as usual, all would be read, styled and laid out once more behind it."""
        theme = self.get_theme(name)
        if theme is None or theme.ansi or not theme.dark:  # Textual begins with a dark one in its own colours
            self.theme = name
        else:
            self.set_reactive(App.theme, name)
            self.stylesheet.set_variables(self.get_css_variables())

    def get_line_filters(self) -> Sequence[LineFilter]:
        # Textual's own answer to NO_COLOR is grey, which is a colour, and black on black in some themes
        return [NoColor()] if self.look.colors == "none" else super().get_line_filters()

    def get_default_screen(self) -> Screen[None]:
        opening = self.opening
        screen = PlayScreen(self.decoder, look=self.look, budget=self.budget, prompt=opening.prompt, name=opening.name)
        screen.model_context = opening.context
        screen.opening_mode, screen.opening_params = "chat" if opening.chat else "completion", opening.params
        screen.opens_in_edit = not opening.lesson
        screen.taste = self.taste
        screen.restart = self._restart
        screen.compare_with = opening.compare
        screen.listen = self.listen
        return screen

    async def on_event(self, event: events.Event) -> None:
        if self._early is not None and isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            self._early.append(event)  # nothing has the focus yet: letters would act as keys of INSPECT
            return
        leaves = isinstance(event, events.Key) and not event.is_forwarded and event.key in ("escape", "enter")
        box = self.focused if leaves else None
        await super().on_event(event)
        if isinstance(box, PromptBox | CommandBox) and box.is_attached and self._early is None:
            # keys come in bunches: the next one may be for who has the focus once the box has been left
            self._early = []
            way = [*box.ancestors_with_self, box.screen]
            self._pass_on([*way, self, *way])  # up goes the key, then what the box makes of it
            # a box that goes with its screen passes nothing on
            self._hold_timer = self.set_timer(LONGEST_HOLD_S, self._give_early)

    def _pass_on(self, way: list[MessagePump]) -> None:
        """Behind all that each of these has to do, one after the other: then the keys that came meanwhile."""
        while way:
            first, *way = way
            if first.call_later(self._pass_on, way):
                return
        self._give_early()

    def _give_early(self) -> None:
        if self._hold_timer is not None:
            self._hold_timer.stop()
            self._hold_timer = None
        early, self._early = self._early or [], None
        for event in early:
            self.post_message(event)

    def on_mount(self) -> None:
        self.listen()
        self.call_after_refresh(self._open)

    def listen(self) -> None:
        """End on signals in a way that puts the terminal back: Textual does it for SIGINT only."""
        loop = asyncio.get_running_loop()
        for number in FATAL_SIGNALS:
            loop.add_signal_handler(number, self._end, 128 + number)

    @property
    def failure(self) -> Exception | None:
        """The mistake of ours that ended it."""
        return self._exception

    def _fatal_error(self) -> None:
        # Textual would print the whole story on the terminal: the door says its name, and where it is written down
        self._close_messages_no_wait()

    def _end(self, code: int) -> None:
        self.exit(code, return_code=code)

    async def _open(self) -> None:
        """Behind the first frame: the tokenizer here, the model in the engine."""
        self._give_early()
        opening, screen = self.opening, self.screen_stack[0]
        assert isinstance(screen, PlayScreen), "the bottom screen is ours"
        reopening = Reopening(screen, opening, self._restart)
        try:
            if opening.session is not None:
                reopening.resume(await asyncio.to_thread(reopen, opening.session, opening.path))
            else:
                reopening.start(await asyncio.to_thread(self._new_session))
                if opening.run is not None:
                    screen.follow(Follow(opening.run, step=opening.step, digest=opening.digest))
        except TinychatError as error:
            self.fault = error
            self.exit(error.exit_code, return_code=error.exit_code)
            return
        self.reopening = reopening
        if opening.lesson:
            from tinychat.lessons.catalogue import find_lesson

            screen.start_lesson(find_lesson(opening.lesson))
        if opening.score is not None:
            screen.score_text(*opening.score)
        gc.collect()
        gc.freeze()  # no pause of the collector walks the widgets again
        gc.enable()

    def _new_session(self) -> Session:
        opening, tokenizer = self.opening, self._tokenizer()
        pauses = opening.pauses or 0
        if pauses and PAUSE not in tokenizer.specials:
            raise UsageError(f"--pause-tokens {pauses}: {opening.name} was not trained with pauses.", "Leave it out.")
        params = with_words(
            opening.params, tokenizer, bad_words=opening.bad_words, negative=opening.negative, chat=opening.chat,
            pauses=pauses if opening.chat else 0,
        )  # fmt: skip
        return Session(
            tokenizer, params=params, model=opening.command_name, machine=opening.machine, chat=opening.chat,
            max_tokens=opening.max_tokens, fixed_seed=opening.fixed_seed, pauses=pauses,
        )  # fmt: skip

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, Palette):
            self.push_screen(
                Palette(providers=[Actions], placeholder="Find an action by any word of it", id="--command-palette")
            )

    def action_other_ground(self) -> None:
        self.theme = OTHER_GROUND[self.theme]

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        if isinstance(screen, PlayScreen):
            yield from screen.system_commands()
        if self.theme in OTHER_GROUND:
            yield SystemCommand("Light or dark", "The other background.", self.action_other_ground)
        yield SystemCommand("Screenshot", "Save a picture of the screen as SVG.", self.action_screenshot)
