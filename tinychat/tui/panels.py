"""What is on the play screen and how it is painted from the player: no key acts here."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Size
from textual.timer import Timer

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds, Step
from tinychat.errors import StorageError
from tinychat.session.replay import LastCommand
from tinychat.session.tree import SEARCHED
from tinychat.text.terminal import clean
from tinychat.tui import status
from tinychat.tui.config import Taste
from tinychat.tui.driver import ByteBudget
from tinychat.tui.fates import Fate
from tinychat.tui.feeding import Feed
from tinychat.tui.helpline import help_row
from tinychat.tui.layouts import TABS, PlayLayout, Shape, Wish, shape_of
from tinychat.tui.lineview import Piece, Row
from tinychat.tui.palette import Look
from tinychat.tui.player import Decoder
from tinychat.tui.ticking import TickScreen
from tinychat.tui.titles import PLACEHOLDERS, panel_titles, tab_names
from tinychat.tui.widgets.candidates import CandidatesView
from tinychat.tui.widgets.entropy import EntropyView
from tinychat.tui.widgets.knobs import KnobsView
from tinychat.tui.widgets.lines import Lines, joined
from tinychat.tui.widgets.panel import Body, Panel
from tinychat.tui.widgets.pipeline import PipelineView
from tinychat.tui.widgets.prompt import CommandBox, PromptBox
from tinychat.tui.widgets.stream import StreamView
from tinychat.tui.widgets.tree import TreeView
from tinychat.tui.widgets.why import WhyView
from tinychat.tui.wording import MAIN, error_line, shown_settings

READABLE_RATE = 60  # tokens a second
TOKEN_S = 0.05  # at more than that, what is told of a token is painted every other tick: keys wait less
PAUSE_S = 0.005  # between two slices of a long text: for keys, and for the picture
ASCII_SIGNS = str.maketrans({"␣": "_", "↵": "\\n", "⇥": "\\t"})


class PanelScreen(TickScreen):
    """All panels, and the painting of them."""

    def __init__(self, decoder: Decoder, *, look: Look, budget: ByteBudget, prompt: str = "", name: str = "") -> None:
        super().__init__(decoder, budget=budget)
        self.look = look
        self.taste = Taste()
        self.model_name = name
        self.model_context = 0
        self.editing = True  # the prompt has the focus first
        self.set_class(True, "editing", update=False)
        self.opening_mode, self.opening_params = "completion", SamplingParams()  # shown until there is a player
        self.picked = "temperature"
        self.selected: int | None = None  # the chosen row of the candidates; None: where the token stands
        self.beside_knobs: Piece = ("", "text")  # what the settings would make of the text
        self.beside_status: Piece = ("", "text")  # the same in few words, where the knobs are not seen
        self.tab = TABS[0]
        self.play_layout = PlayLayout()
        self._token_at = 0.0  # when what is told of a token was painted last
        self._feeding: Timer | None = None  # while a long text is on its way into the stream
        self._first_prompt = prompt
        self._candidates_note = ""
        self._titles: dict[str, tuple[str, str]] = {}
        self._command = LastCommand()

    def compose(self) -> ComposeResult:
        look = self.look
        self.header_line = Lines(look, id="header")
        self.prompt_box = PromptBox(self._first_prompt, id="prompt-box")
        self.prompt_box.enter_runs = self.taste.enter_runs
        self.stream = StreamView(look, id="stream-view")
        self.feed = Feed(self.stream)
        self.stream.mode, self.stream.marks = self.taste.tokens, self.taste.marks or self.stream.marks
        self.candidates = CandidatesView(look, id="candidates-view")
        self.pipeline = PipelineView(look, id="pipeline-view")
        self.knobs = KnobsView(look, id="knobs-view")
        self.entropy = EntropyView(look, id="entropy-view")
        self.why = WhyView(look, id="why-view")
        self.tree_view = TreeView(look, id="tree-view")
        self.status_line = Lines(look, id="status")
        self.help_line = Lines(look, id="help-view")
        self.help_line.has_keys = True
        self.command_box = CommandBox(placeholder="t 0.9   seed 7   max 200   preset story", id="command")
        self.message = Lines(look, id="message")
        with Body(self.play_layout):
            yield self.header_line
            yield from self.lesson_panel()
            yield Panel(self.prompt_box, id="prompt")
            yield Panel(self.stream, id="stream")
            yield Panel(self.candidates, id="candidates")
            yield Panel(self.pipeline, id="pipeline")
            yield Panel(self.knobs, id="knobs")
            yield Panel(self.entropy, id="entropy")
            yield Panel(self.tree_view, id="tree")
            yield Panel(self.why, id="why")
            yield self.status_line
            with Container(id="help"):
                yield self.help_line
                yield self.command_box
            yield self.message

    def lesson_panel(self) -> ComposeResult:
        """The panel of a lesson, where there are lessons."""
        yield from ()

    def lesson_rows(self) -> int:
        """Rows that it wants."""
        return 0

    def on_mount(self) -> None:
        self.command_box.display = False
        self.message.show((("Make the terminal at least 40 x 4.", "warn"),))
        self.start_ticking()
        self.paint_all()

    # painting

    @property
    def screen_shape(self) -> Shape:
        return shape_of(*self.app.size)

    def lay_out(self) -> None:
        """Lay out again after a change of mode, tab or prompt height."""
        wish = self._wish()
        if wish != self.play_layout.wish:
            self.play_layout.wish = wish
            self.header_line.refresh(layout=True)  # a child's layout is asked for: that makes the body arrange again
        self.paint_titles()

    def _wish(self) -> Wish:
        player, lines = self.player, self.prompt_box.wrapped_document.height
        knobs = len(shown_settings(player.session.params, self.picked)) if player is not None else MAIN
        watched = len(player.watch) if player is not None else 0
        return Wish(
            tab=self.tab, editing=self.editing, prompt_lines=lines, knobs=knobs, watched=watched,
            lesson=self.lesson_rows(),
        )  # fmt: skip

    def paint_all(self) -> None:
        """Everything anew: after a change of path, mode or size."""
        self.lay_out()
        self.paint_knobs()
        self.paint()

    def paint(self) -> None:
        """What changes while tokens come."""
        self.paint_stream()
        if self._token_is_due():
            self.paint_token()
        self.paint_lines()

    def _token_is_due(self) -> bool:
        player, now = self.player, time.monotonic()
        fast = player is not None and player.running and player.tokens_per_s > READABLE_RATE
        if fast and now - self._token_at < TOKEN_S:
            return False
        self._token_at = now
        return True

    def paint_stream(self) -> None:
        """Bring the stream up to the path of the tree."""
        if self.player is None:
            return
        session = self.player.session
        is_due = self._feeding is None or not self.feed.follows(session)  # else the timer goes on
        if is_due and not self.feed.bring(session) and self._feeding is None:
            self._feeding = self.set_timer(PAUSE_S, self._feed_on)
        self.stream.live = self.player.running
        # text that comes faster than it can be read, or over a slow line, moves up by a third of the panel at a time
        rate = self.player.rate
        self.stream.page_follow = self.budget.rate is not None or rate is None or rate > READABLE_RATE

    def _feed_on(self) -> None:
        self._feeding = None
        self.paint_stream()
        self.paint_lines()

    @property
    def position(self) -> int:
        """The token under the cursor; the end of the path stands for the next token."""
        end = len(self.player.session.tree) if self.player else 0
        return end if self.stream.cursor is None else min(self.stream.cursor, end)

    def step_here(self) -> Step | None:
        """The record of the token under the cursor; at the end of a running stream, of the last one."""
        if self.player is None:
            return None
        tree, position = self.player.session.tree, self.position
        if position == len(tree):
            if self.player.odds is not None or not len(tree):
                return None
            position -= 1
        try:
            return tree.step(position)
        except StorageError as error:  # of a file that was damaged, or a disk that does not give it back
            self.notice = (error_line(error), "warn")
            return None

    def paint_token(self) -> None:
        """Candidates, pipeline and entropy for the token under the cursor."""
        player = self.player
        if player is None:
            return
        session, shown = player.session, self.play_layout.places(Size(*self.app.size))
        step, label = self.step_here(), self.label_of
        odds = step.odds if step is not None else (player.odds if self.position == len(session.tree) else None)
        params = session.params if step is None else self.settings_of(step)
        if "candidates" in shown:
            self.candidates.show(odds, step=step, label=label, selected=self.selected_row(step))
        if "pipeline" in shown:
            fate, searched = self.fate_here(step, odds, params), step is not None and self.is_searched(step)
            self.pipeline.show(odds, step=step, params=params, label=label, fate=fate, searched=searched)
        self.paint_beside(step, odds, params)
        self.paint_token_title(step)

    def is_searched(self, step: Step) -> bool:
        """Whether a search found this token of the path."""
        assert self.player is not None, "steps come with a player"
        return self.player.session.tree.path.kinds[step.position] == SEARCHED

    def fate_here(self, step: Step | None, odds: Odds | None, params: SamplingParams) -> Fate | None:
        """What became of the selected candidate in every stage, once it is known."""
        raise NotImplementedError

    def paint_beside(self, step: Step | None, odds: Odds | None, params: SamplingParams) -> None:
        """Paint what else is told of a token."""
        raise NotImplementedError

    def settings_of(self, step: Step) -> SamplingParams:
        """What a token of the path was drawn with."""
        assert self.player is not None, "steps come with a player"
        session = self.player.session
        return session.settings[session.tree.path.setting[step.position]]

    def label_of(self, token: int) -> str:
        """The name of a token, with the signs of this screen."""
        assert self.player is not None, "tokens come with a player"
        label = self.player.session.tokenizer.label(token)
        return label.translate(ASCII_SIGNS) if self.look.glyphs == "ascii" else label

    def selected_row(self, step: Step | None) -> int:
        """The chosen row of the candidates: the person's, or the token's own."""
        if self.selected is not None:
            return self.selected
        if step is None:
            return 0
        return next((i for i, each in enumerate(step.odds.candidates) if each.token == step.token), 0)

    def knobs_changed(self) -> None:
        """The settings, wherever they are shown; what they make of the next token is painted once the engine says."""
        if self._wish() != self.play_layout.wish:
            self.lay_out()
        self.paint_knobs()
        self.paint_lines()

    def paint_knobs(self) -> None:
        """The panel of the settings."""
        params = self.opening_params if self.player is None else self.player.session.params
        self.knobs.show(params, picked=self.picked, note=self.beside_knobs)

    def paint_lines(self) -> None:
        """Header and status."""
        shape = self.screen_shape
        roomy = shape in ("normal", "wide")
        mode = "EDIT" if self.editing else "INSPECT"
        groups = status.header(
            self.model_name,
            self.player,
            mode=mode,
            width=self.app.size.width,
            context=self.model_context,
            held=self.budget.held_back,
            kept=self.kept_words,
        )
        self.header_line.show(joined(groups))
        rows: list[Row] = [joined(self._status_groups(roomy), width=self.app.size.width)]
        if roomy and self.player is not None and not self.player.running:
            line = clean(self._command.of(self.player.session), keep="") if len(self.player.session.tree) else ""
            rows.append(status.command_row(line, self.app.size.width))
        self.status_line.show(*rows)
        self.help_line.show(
            help_row(
                self.app.size.width, editing=self.editing, running=self._is_running(), look=self.look, taste=self.taste
            )
        )

    @property
    def kept_words(self) -> Piece:
        """Whether the session is saved, for the header."""
        return ("", "quiet")

    def _is_running(self) -> bool:
        return self.player is not None and self.player.running

    def _status_groups(self, roomy: bool) -> list[tuple[Piece, ...]]:
        player = self.player
        groups: list[tuple[Piece, ...]] = []
        if not roomy and player is not None and not self.notice[0] and player.error is None:
            groups.append(status.knob_words(player.session.params, self.picked))
        if self.beside_status[0] and "knobs" not in self.play_layout.places(Size(*self.app.size)):
            groups.append((self.beside_status,))
        groups.append((status.state_words(player),))
        if player is not None and (share := self.feed.share(player.session)) < 1:
            groups.append(((f"text {share:.0%}", "dart"),))
        if player is not None and player.error is not None:
            groups.append(((clean(" ".join(player.error), keep=""), "warn"),))
        if self.notice[0]:
            groups.append((self.notice,))
        if player is None:
            return groups
        if player.error is None and not player.running and player.stop in status.STOPS:
            groups.append(((status.STOPS[player.stop], "quiet"),))
        if (step := self.step_here()) is not None:
            searched = self.is_searched(step)
            groups += status.token_facts(step, self.settings_of(step), short=not roomy, searched=searched)
        return groups + status.reply_facts(player.session)

    @property
    def input_mode(self) -> str:
        """Chat or completion."""
        return self.opening_mode if self.player is None else self.player.session.mode

    @property
    def prompt_title(self) -> tuple[str, str]:
        """Title and note of the prompt box."""
        return "1 Prompt", "completion: text to go on from"

    def paint_titles(self) -> None:
        """The titles on the borders."""
        one_panel = self.screen_shape in ("narrow", "low")
        words = PLACEHOLDERS[self.input_mode]
        self.stream.placeholder = words if self.taste.enter_runs else words.replace("press Enter", "press ^j")
        self.title_of("prompt", *self.prompt_title)
        self.title_of("stream", "2 Stream", f"c {self.stream.mode}{' + marks' if self.stream.marks else ''}")
        for panel, (title, note) in panel_titles(self.tab, tabbed=one_panel).items():
            self.title_of(panel, title, note)
        self._candidates_note = tab_names(self.tab) if one_panel else "raw > final"
        self.paint_token_title(self.step_here())

    def paint_token_title(self, step: Step | None) -> None:
        if self.player is None:
            self.title_of("candidates", "3 Next token", self._candidates_note)
            return
        session = self.player.session
        following = self._is_running() and self.stream.cursor is None
        if step is not None and not following:
            reply = session.reply_at(step.position)
            title = f"3 Token {step.position - reply.start + 1} of {len(reply)} '{self.label_of(step.token)}'"
        elif following:
            title = "3 Token, as it runs"
        elif self.position < len(session.tree):
            title = "3 A token of the prompt: no odds"
        else:
            title = "3 Next token"
        self.title_of("candidates", title, self._candidates_note)

    def title_of(self, panel: str, title: str, subtitle: str | None = None) -> None:
        """Titles are plain text: brackets of a model's token are not markup."""
        shown = self._titles.get(panel)
        wanted = (title, shown[1] if subtitle is None and shown else subtitle or "")
        if wanted != shown:
            self._titles[panel] = wanted
            self.query_one(f"#{panel}", Panel).entitle(*wanted)
