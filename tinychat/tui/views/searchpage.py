"""What a search shows: the options, the hypotheses as they grow, the text and the odds of the selected token.

Nothing here starts a search or takes anything (search.py does).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content

from tinychat.engine.params import SamplingParams
from tinychat.engine.search_params import SearchParams
from tinychat.engine.trace import Step
from tinychat.session.found import Found
from tinychat.session.transcript import Speller
from tinychat.text.terminal import clean
from tinychat.tui.bars import percent
from tinychat.tui.lineview import Piece
from tinychat.tui.palette import Look
from tinychat.tui.player import Player
from tinychat.tui.searchoptions import Options
from tinychat.tui.searchtree import Growth, Line
from tinychat.tui.searchwords import answer_rows, option_rows, standing
from tinychat.tui.views.view import View
from tinychat.tui.widgets.candidates import CandidatesView
from tinychat.tui.widgets.lines import Lines, wrap
from tinychat.tui.widgets.prompt import CommandBox
from tinychat.tui.widgets.searchview import BEST, COMPLETE, GIVEN_UP, LIVE, SearchTree


class Taken:
    """What the person chose: the hypothesis and its records."""

    def __init__(self, found: Found, steps: list[Step]) -> None:
        self.found = found
        self.steps = steps


class SearchPage(View[Taken]):
    """The state of a search, and its painting."""

    TITLE_TEXT = "Search"
    DEFAULT_CSS = """
    SearchPage .view-body { layout: vertical; }
    SearchPage #search-options { height: 2; }
    SearchPage #search-answers { height: auto; }
    SearchPage #search-parts { layout: vertical; height: 1fr; }
    SearchPage #search-left { layout: vertical; height: 3fr; }
    SearchPage #search-tree { height: 1fr; }
    SearchPage #search-text { height: 4; }
    SearchPage #search-odds { height: 2fr; min-height: 6; }
    SearchPage.wide #search-parts { layout: horizontal; }
    SearchPage.wide #search-left { width: 3fr; height: 100%; }
    SearchPage.wide #search-text { height: 8; }
    SearchPage.wide #search-odds { width: 2fr; height: 100%; }
    """

    def __init__(
        self, look: Look, player: Player, *, position: int, label: Callable[[int], str], options: Options
    ) -> None:
        """A search from before the token at `position`; `options` are remembered by who opens this."""
        super().__init__(look)
        self.player, self.position, self.label, self.options = player, position, label, options
        self.growth = Growth()
        self.spec: SearchParams | None = None  # of the growth on show
        self.params: SamplingParams = player.session.params
        self.running = False
        self.selected = 0
        self.pruned = True
        self.notice: Piece = ("", "text")
        self._lines: list[Line] = []
        self._read = 0  # tokens of a long prompt
        self._follow = True  # the best is selected until the person walks
        self._refused = False  # the engine would not search so
        self._painted_at = self._paint_s = 0.0

    def body(self) -> ComposeResult:
        look = self.look
        self.option_lines = Lines(look, id="search-options")
        self.answer_lines = Lines(look, id="search-answers")
        self.tree_view = SearchTree(look)
        self.text_lines = Lines(look)
        self.odds_view = CandidatesView(look)
        self.odds_view.can_focus = False
        self.box = CommandBox(placeholder="width 8   max_tokens 100   answer yes|no   diverse", id="search-command")
        self.tree_view.spell = self.spell
        yield self.option_lines
        yield self.answer_lines
        with Container(id="search-parts"):
            with Container(id="search-left"):
                yield self.panel(self.tree_view, "Hypotheses", id="search-tree")
                yield self.panel(self.text_lines, "Text", id="search-text")
            yield self.panel(self.odds_view, "Token", id="search-odds")
        yield self.box

    def on_mount(self) -> None:
        self.box.display = self.answer_lines.display = False
        tree = self.query_one("#search-tree")
        tree.border_subtitle = f"{BEST} best  {COMPLETE} complete  {LIVE} live  {GIVEN_UP} given up  @ where it parts"
        self.on_resize()

    def on_resize(self) -> None:
        self.set_class(self.app.size.width >= 120, "wide")
        self.call_after_refresh(self.paint)

    def spell(self, numbers: list[int]) -> list[str]:
        """The text of these tokens, one after the other."""
        speller = Speller(self.player.session.tokenizer)
        return [speller.push(self.growth.nodes[number].step.token, given=False) for number in numbers]

    def paint(self) -> None:
        """All of it; called when events came, at most thirty times a second, and on a key."""
        started = time.monotonic()
        growth = self.growth
        self._lines = growth.lines(pruned=self.pruned)
        if self._follow:
            self.selected = growth.best or 0
        tree = self.tree_view
        tree.growth, tree.lines, tree.selected = growth, tuple(self._lines), self.selected
        tree.waiting = self._invitation()
        tree.redraw()
        self._paint_odds()
        self._paint_text()
        self.show_title(*self._standing())
        self.option_lines.show(*option_rows(self.options, self.app.size.width))
        self._paint_answers()
        notice = [(f"{self.notice[0]}   ", self.notice[1])] if self.notice[0] else []
        self.show_foot(*notice, *((f"{key}   ", "quiet") for key in self._keys()))
        self._painted_at = time.monotonic()
        self._paint_s = self._painted_at - started

    def _invitation(self) -> str:
        if self.running:
            return f"reading the text: {self._read} of {self.position} tokens" if self._read else "searching ..."
        if self.spec is not None:
            return "nothing was found: the settings cut every first token" if not self.notice[0] else ""
        if self._has_ended():
            return "the text has ended here: Esc and an arrow key go to an earlier token, b searches from there"
        words = "after the text" if self.position == len(self.player.session.tree) else "in place of the cursor's token"
        return f"Space searches {words}"

    def _standing(self) -> list[Piece]:
        if self.spec is None:
            return [(f"from token {self.position + 1} on", "quiet")]
        if self._refused:
            return [(f"{self.spec.method}: not possible", "warn")]
        return standing(self.growth, self.spec, running=self.running)

    def _has_ended(self) -> bool:
        """Whether the last token before the search is an end: what comes behind it is another text."""
        session = self.player.session
        return self.position == len(session.tree) and session.ended_before(self.position)

    def _keys(self) -> tuple[str, ...]:
        start = f"Space {'stop' if self.running else 'search'}"
        if self.running or not self.growth.nodes:
            first: tuple[str, ...] = (start, *(("Enter take",) if self.growth.nodes else ()))
        else:
            first = ("Enter take", start, "b best", "x pruned")
        return (*first, "m method", "Tab - = : options", "Esc back")

    def _paint_odds(self) -> None:
        node = self.growth.nodes.get(self.selected)
        panel = self.query_one("#search-odds")
        if node is None:
            self.odds_view.show(None, step=None, label=self.label)
            panel.border_title, panel.border_subtitle = "Token", ""
            return
        step = node.step
        row = next((i for i, each in enumerate(step.odds.candidates) if each.token == step.token), 0)
        self.odds_view.show(step.odds, step=step, label=self.label, selected=row)
        path = self.growth.path(self.selected)
        panel.border_title = Content(clean(f"Token {len(path)} {self.label(step.token)}", keep=""))
        panel.border_subtitle = f"score {node.score:.3f}  log p {node.logprob:.3f}"

    def _paint_text(self) -> None:
        """The end of the text up to the selected token; how likely it is, all in all."""
        width, height = self.text_lines.size
        panel = self.query_one("#search-text")
        if not self.selected:
            self.text_lines.show()
            panel.border_subtitle = ""
            return
        words = "".join(self.spell(self.growth.path(self.selected)))
        lines = [row for line in words.split("\n") for row in wrap(line, max(width - 2, 1))]
        self.text_lines.show(*(((f" {line}", "text"),) for line in lines[-max(height, 1) :]))
        panel.border_subtitle = f"p {percent(math.exp(self.growth.nodes[self.selected].logprob))}%"

    def _paint_answers(self) -> None:
        rows = answer_rows(self.growth, self.spec)
        self.answer_lines.display = bool(rows)
        self.answer_lines.styles.height = max(len(rows), 1)
        self.answer_lines.show(*rows)
