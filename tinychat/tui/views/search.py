"""Searches, drawn as they grow: pick a method, start it, walk through its hypotheses, take one into the text."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input

from tinychat.engine.params import SamplingParams
from tinychat.engine.search_events import from_plain
from tinychat.engine.search_params import SearchParams, check_search, search_notes
from tinychat.engine.trace import Step
from tinychat.engine.wire import Answer
from tinychat.session.found import Found
from tinychat.session.place import place_of
from tinychat.session.transcript import Speller
from tinychat.text.terminal import clean
from tinychat.tui.bars import percent
from tinychat.tui.lineview import Piece
from tinychat.tui.palette import Look
from tinychat.tui.player import Player
from tinychat.tui.searchoptions import TIPS, Options
from tinychat.tui.searchtree import Growth, Line, step_over, ways_on
from tinychat.tui.searchwords import answer_rows, option_rows, standing
from tinychat.tui.views.view import View
from tinychat.tui.widgets.candidates import CandidatesView
from tinychat.tui.widgets.lines import Lines, wrap
from tinychat.tui.widgets.prompt import CommandBox
from tinychat.tui.widgets.searchview import BEST, COMPLETE, GIVEN_UP, LIVE, SearchTree

KIND = "search"


class Taken:
    """What the person chose: the hypothesis and its records."""

    def __init__(self, found: Found, steps: list[Step]) -> None:
        self.found = found
        self.steps = steps


class SearchView(View[Taken]):
    """Space starts and stops, m another method, Tab - = its options, arrows walk, Enter takes."""

    TITLE_TEXT = "Search"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "run", "Start or stop", id="search.run", tooltip="Search, or stop and keep what is there.",
                show=False),
        Binding("enter", "take", "Take it", id="search.take", show=False,
                tooltip="Put the text up to the selected token into the tree, as a branch."),
        Binding("m", "method(1)", "Next method", id="search.method", tooltip="Another way of searching.", show=False),
        Binding("M", "method(-1)", "Previous method", id="search.method_back", tooltip="The method before.",
                show=False),
        Binding("tab", "pick(1)", "Next option", id="search.pick", tooltip="The option that - and = turn.", show=False,
                priority=True),
        Binding("shift+tab", "pick(-1)", "Previous option", id="search.pick_back", tooltip="The option before.",
                show=False, priority=True),
        Binding("minus", "nudge(-1)", "Less", id="search.less", tooltip="Less of the option.", show=False),
        Binding("equals_sign", "nudge(1)", "More", id="search.more", tooltip="More of the option.", show=False),
        Binding("underscore", "nudge(-1,True)", "Much less", id="search.much_less", tooltip="A large step less.",
                show=False),
        Binding("plus", "nudge(1,True)", "Much more", id="search.much_more", tooltip="A large step more.", show=False),
        Binding("0", "reset", "Usual value", id="search.reset", tooltip="The option as it usually is.", show=False),
        Binding("colon", "type", "Type a value", id="search.type", tooltip="width 8   answer yes|no   beam",
                show=False),
        Binding("up,k", "line(-1)", "Line above", id="search.up", tooltip="Another hypothesis.", show=False),
        Binding("down,j", "line(1)", "Line below", id="search.down", tooltip="Another hypothesis.", show=False),
        Binding("pageup", "line(-10)", "Ten lines up", id="search.page_up", tooltip="Ten lines up.", show=False),
        Binding("pagedown", "line(10)", "Ten lines down", id="search.page_down", tooltip="Ten lines down.", show=False),
        Binding("left,h", "token(-1)", "Token before", id="search.left", tooltip="Along the hypothesis.", show=False),
        Binding("right,l", "token(1)", "Token after", id="search.right", tooltip="Along the hypothesis.", show=False),
        Binding("b", "best", "The best", id="search.best", tooltip="Select the best hypothesis.", show=False),
        Binding("x", "pruned", "What was given up", id="search.pruned", show=False,
                tooltip="Show or hide the hypotheses that went no further."),
    ]  # fmt: skip
    DEFAULT_CSS = """
    SearchView .view-body { layout: vertical; }
    SearchView #search-options { height: 2; }
    SearchView #search-answers { height: auto; }
    SearchView #search-parts { layout: vertical; height: 1fr; }
    SearchView #search-left { layout: vertical; height: 3fr; }
    SearchView #search-tree { height: 1fr; }
    SearchView #search-text { height: 4; }
    SearchView #search-odds { height: 2fr; min-height: 6; }
    SearchView.wide #search-parts { layout: horizontal; }
    SearchView.wide #search-left { width: 3fr; height: 100%; }
    SearchView.wide #search-text { height: 8; }
    SearchView.wide #search-odds { width: 2fr; height: 100%; }
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

    def on_unmount(self) -> None:
        self.player.drop(KIND)

    # the search

    def action_run(self) -> None:
        if self.running:
            self._stop()
        else:
            self._start()
        self.paint()

    def action_back(self) -> None:
        if self.running:
            self._stop()
            self.paint()
        else:
            self.dismiss(None)

    def _stop(self) -> None:
        self.player.finish(KIND)  # what is there is still weighed: answers of paths, the best of them
        self.running = False
        self.growth.stop()
        self.notice = ("stopped; what is there is kept", "strong")

    def _start(self) -> None:
        session = self.player.session
        try:
            spec = self.options.spec
            check_search(session.params, spec)
            if spec.method == "constrained" and not spec.phrases:
                self.options.picked = "phrases"
                raise ValueError("no phrases yet: type : and then, say, 'red balloon' good")
        except ValueError as error:
            self.notice = (clean(str(error), keep=""), "warn")
            return
        self.growth, self.spec, self.params = Growth(), spec, session.params
        self.running, self.selected, self._read, self._follow, self._refused = True, 0, 0, True, False
        notes = search_notes(session.params, spec)
        self.notice = (notes[0] if notes else "", "dart")
        self.player.ask(KIND, {"spec": spec.to_dict(), **place_of(session, self.position)}, self.hear)

    def hear(self, answer: Answer) -> None:
        """A part of what the search did."""
        if answer.error is not None:
            self.notice = (clean(" ".join(answer.error), keep=""), "warn")
        self._read = int(answer.values.get("read", self._read))
        self.growth.take(from_plain(answer.values, answer.steps))
        if answer.done:
            self.running = False
            if not self.growth.over:
                self.growth.stop()
            self._refused = answer.error is not None and not self.growth.nodes
        # a tree of thousands is not drawn anew for every part: a fifth of the time at most goes into it
        if answer.done or time.monotonic() - self._painted_at > 4 * self._paint_s:
            self.paint()

    # walking

    def action_line(self, delta: int) -> None:
        self._select(step_over(self._lines, self.selected, delta))

    def action_token(self, delta: int) -> None:
        if delta < 0:
            self._select(self.growth.nodes[self.selected].parent if self.selected else 0)
        else:
            self._select(next(ways_on(self.growth, self._lines, self.selected), self.selected))

    def action_best(self) -> None:
        self._select(self.growth.best or 0)
        self._follow = True

    def action_pruned(self) -> None:
        self.pruned = not self.pruned
        if not self.pruned and self.selected and self.growth.nodes[self.selected].state == "pruned":
            self._follow = True
        self.paint()

    @on(SearchTree.Picked)
    def _line_picked(self, message: SearchTree.Picked) -> None:
        self._select(message.node)

    @on(SearchTree.Scrolled)
    def _wheel(self, message: SearchTree.Scrolled) -> None:
        self.action_line(message.delta)

    def _select(self, number: int) -> None:
        if number:
            self.selected, self._follow = number, False
            self.notice = ("", "text")
            self.paint()

    def action_take(self) -> None:
        if not self.selected:
            if not self.running:
                self.action_run()
            return
        if self.running:
            self._stop()
        growth, session = self.growth, self.player.session
        steps = growth.steps(self.selected)
        path = (*session.tree.path.ids[: self.position], *(step.token for step in steps))
        rank, complete = 0, False
        if growth.done is not None and not growth.stopped:  # what was cut off is not found again
            ends = [each.node for each in growth.done.hypotheses]
            member = growth.member(self.selected)
            complete = member in ends
            if complete and member != growth.done.best:
                rank = ends.index(member) + 1
        assert self.spec is not None, "a node comes of a search"
        self.dismiss(
            Taken(
                Found(path=path, start=self.position, params=self.params, spec=self.spec, rank=rank, complete=complete),
                steps,
            )
        )

    # options

    def action_method(self, delta: int) -> None:
        self.options.turn_method(delta)
        self._changed()

    def action_pick(self, delta: int) -> None:
        self.options.pick(delta)
        self.notice = (TIPS.get(self.options.picked, ""), "quiet")
        self.paint()

    def action_nudge(self, delta: int, coarse: bool = False) -> None:
        self._change(lambda: self.options.nudge(delta, coarse=coarse))

    def action_reset(self) -> None:
        self._change(self.options.reset)

    def _change(self, change: Callable[[], None]) -> None:
        try:
            change()
        except ValueError as error:
            self.notice = (clean(str(error), keep=""), "warn")
            self.paint()
            return
        self._changed()

    def _changed(self) -> None:
        self.notice = ("Space searches again with this", "strong") if self.spec is not None else ("", "text")
        self.paint()

    def action_type(self) -> None:
        self.box.display = True
        self.foot_line.display = False
        picked = self.options.picked
        self.box.value = f"{picked} " if picked in ("answer", "phrases") else ""
        self.set_focus(self.box)
        self.box.cursor_position = len(self.box.value)

    @on(CommandBox.Left)
    def _typed_nothing(self) -> None:
        self.box.display = False
        self.foot_line.display = True
        self.set_focus(None)

    @on(Input.Submitted, "#search-command")
    def _typed(self, message: Input.Submitted) -> None:
        self._typed_nothing()
        if message.value.strip():
            self._change(lambda: self.options.read(message.value))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are text while a value is typed."""
        return not self.box.has_focus or action in ("leave",)

    # painting

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
        return f"Space searches {words}, with the settings in force"

    def _standing(self) -> list[Piece]:
        if self.spec is None:
            return [(f"from token {self.position + 1} on", "quiet")]
        if self._refused:
            return [(f"{self.spec.method}: not possible", "warn")]
        return standing(self.growth, self.spec, running=self.running)

    def _has_ended(self) -> bool:
        """Whether the last token before the search is an end: what comes behind it is another text."""
        path = self.player.session.tree.path
        return self.position == len(path) and path.ids[-1] in self.player.session.tokenizer.end_ids

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
