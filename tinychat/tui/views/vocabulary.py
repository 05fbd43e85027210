"""Every token of the vocabulary at the cursor: type to find one, see what each stage made of it, take it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.engine.wire import Answer
from tinychat.session.place import place_of
from tinychat.text.terminal import clean
from tinychat.tui.bars import percent
from tinychat.tui.fates import Fate, Fates
from tinychat.tui.lineview import Piece, Row
from tinychat.tui.palette import Look, spelled
from tinychat.tui.player import Player
from tinychat.tui.survey import ORDERS, Names, Survey
from tinychat.tui.views.view import View
from tinychat.tui.widgets.candidates import stage_label
from tinychat.tui.widgets.lines import Lines
from tinychat.tui.widgets.vocabularyview import VocabularyRows

KIND = "survey"
PAGE = 10


class FindBox(Input):
    """What to look for."""


class VocabularyView(View[int]):
    """Typing narrows the list; arrows walk, Tab sorts, Enter takes the token."""

    TITLE_TEXT = "Vocabulary"
    AUTO_FOCUS = "#vocabulary-find"
    BINDINGS: ClassVar[list[BindingType]] = [
        # priority: what is typed into the box goes to it, these do not
        Binding("escape", "back", "Clear, or back", id="vocabulary.back", tooltip="Forget the words; then go back.",
                show=False, priority=True),
        Binding("up", "move(-1)", "Token above", id="vocabulary.up", tooltip="A likelier token.", show=False,
                priority=True),
        Binding("down", "move(1)", "Token below", id="vocabulary.down", tooltip="A less likely token.", show=False,
                priority=True),
        Binding("pageup", f"move(-{PAGE})", "Page up", id="vocabulary.page_up", tooltip="Ten rows up.", show=False,
                priority=True),
        Binding("pagedown", f"move({PAGE})", "Page down", id="vocabulary.page_down", tooltip="Ten rows down.",
                show=False, priority=True),
        Binding("ctrl+home", "move(-100000000)", "First", id="vocabulary.first", tooltip="The first row.", show=False,
                priority=True),
        Binding("ctrl+end", "move(100000000)", "Last", id="vocabulary.last", tooltip="The last row.", show=False,
                priority=True),
        Binding("tab", "sort(1)", "Sort", id="vocabulary.sort", tooltip="By raw odds, by final odds, by id.",
                show=False, priority=True),
        Binding("shift+tab", "sort(-1)", "Sort back", id="vocabulary.sort_back", tooltip="The order before.",
                show=False, priority=True),
        Binding("enter", "take", "Take it", id="vocabulary.take", tooltip="Put the token at the cursor.", show=False,
                priority=True),
    ]  # fmt: skip
    DEFAULT_CSS = """
    VocabularyView .view-body { layout: vertical; }
    VocabularyView #vocabulary-list { height: 1fr; }
    VocabularyView #vocabulary-fate { height: 5; }
    VocabularyView #vocabulary-find, VocabularyView #vocabulary-find:focus {
        border: none; padding: 0 1; height: 1; background: $background; color: $foreground;
    }
    """

    def __init__(
        self, look: Look, player: Player, *, position: int, step: Step | None, params: SamplingParams,
        label: Callable[[int], str], names: Names, fates: Fates,
    ) -> None:  # fmt: skip
        """The odds of the token at `position`: those that `step` was drawn from, or of the next one."""
        super().__init__(look)
        self.player, self.position, self.step, self.params, self.label = player, position, step, params, label
        self.names, self.fates = names, fates
        self.survey: Survey | None = None
        self.order = ORDERS[0]
        self.tokens: Sequence[int] = ()
        self.notice: Piece = ("", "text")
        self._read = 0
        self._wanted = ""

    def body(self) -> ComposeResult:
        self.find = FindBox(
            placeholder="type to find: a part of the text, or #id", id="vocabulary-find", select_on_focus=False
        )
        self.list_view = VocabularyRows(self.look)
        self.list_view.label = self.label
        self.list_view.taken = None if self.step is None else self.step.token
        self.fate_lines = Lines(self.look)
        yield self.find
        with Container(id="vocabulary-list"):
            yield self.list_view
        yield self.panel(self.fate_lines, "Fate", id="vocabulary-fate")

    def on_mount(self) -> None:
        values = place_of(self.player.session, self.position)
        values |= {"params": self.params.to_dict(), "lane": 0 if self.step is None else self.step.lane}
        self.ask(self.player, KIND, values, self.hear)
        self.fates.news = self.paint
        self.call_after_refresh(self.paint)

    def forget(self) -> None:
        self.player.drop(KIND)

    def on_resize(self) -> None:
        self.call_after_refresh(self.paint)

    def hear(self, answer: Answer) -> None:
        """Progress, then all of it."""
        if answer.error is not None:
            self.notice = (clean(" ".join(answer.error), keep=""), "warn")
        self._read = int(answer.values.get("read", self._read))
        if answer.blob:
            self.survey = Survey(answer.values, answer.blob)
            self.list_view.survey = self.survey
            self._list()
            if self.step is not None:
                self._choose_token(self.step.token)
        self.paint()

    # the list

    @on(Input.Changed, "#vocabulary-find")
    def _typed(self, message: Input.Changed) -> None:
        self._wanted = message.value
        self._list()
        self.paint()

    def _list(self) -> None:
        """The tokens to show; a search through them goes on in parts."""
        if self.survey is None:
            return
        self.workers.cancel_group(self, "find")
        self.list_view.chosen = 0
        if self._wanted:
            self.run_worker(self._find(self._wanted), group="find", exclusive=True)
        else:
            self._show(self.survey.order(self.order))

    async def _find(self, wanted: str) -> None:
        assert self.survey is not None, "there is something to look through"
        self._show(())
        for found in self.names.matches(wanted, self.survey.order(self.order)):
            self._show(found)
            self.paint()
            await asyncio.sleep(0)
        if not self.tokens:
            self.list_view.waiting = "no token has this in it; a text of several tokens is not found"
            self.paint()

    def _show(self, tokens: Sequence[int]) -> None:
        self.tokens = self.list_view.tokens = tokens
        self.list_view.waiting = "looking ..." if self._wanted else ""

    def _choose_token(self, token: int) -> None:
        if self.survey is not None and not self._wanted and self.order == "raw":
            self.list_view.chosen = self.survey.entry(token).rank - 1

    def action_move(self, delta: int) -> None:
        self.list_view.chosen = max(0, min(self.list_view.chosen + delta, len(self.tokens) - 1))
        self.paint()

    @on(VocabularyRows.Picked)
    def _picked(self, message: VocabularyRows.Picked) -> None:
        self.list_view.chosen = message.index
        self.paint()

    @on(VocabularyRows.Scrolled)
    def _scrolled(self, message: VocabularyRows.Scrolled) -> None:
        self.action_move(message.delta)

    def action_sort(self, delta: int) -> None:
        token = self._token()
        self.order = ORDERS[(ORDERS.index(self.order) + delta) % len(ORDERS)]
        self._list()
        if token is not None and not self._wanted and self.survey is not None:
            order = self.survey.order(self.order)
            self.list_view.chosen = token if self.order == "id" else order.index(token)
        self.paint()

    def action_take(self) -> None:
        token = self._token()
        if token is not None:
            self.dismiss(token)

    def action_back(self) -> None:
        if self.find.value:
            self.find.value = ""
        else:
            self.dismiss(None)

    def _token(self) -> int | None:
        return self.tokens[self.list_view.chosen] if self.list_view.chosen < len(self.tokens) else None

    # painting

    def paint(self) -> None:
        """The rows in sight, the fate of the chosen one, the lines around."""
        view, survey = self.list_view, self.survey
        if survey is None:
            read = f": {self._read} of {self.position} tokens" if self._read else ""
            view.waiting = "" if self.notice[0] else f"computing the odds{read}"
        view.redraw()
        what = "next token" if self.step is None else f"token {self.label(self.step.token)}"
        pieces: list[Piece] = [(clean(f"odds of the {what}", keep=""), "text")]
        if survey is not None:
            count = f"{len(self.tokens)} of {survey.size}" if self._wanted else f"{survey.size}"
            pieces += [(f"   {count} tokens by {self.order}", "text"), (f"   {survey.kept[-1]} can be drawn", "quiet")]
        self.show_title(*pieces)
        self._paint_fate()
        keys = "type to find  Up Down PgUp PgDn  Tab sort: raw, final, id  Enter take  Esc back"
        self.show_foot(self.notice if self.notice[0] else (keys, "quiet"))

    def _paint_fate(self) -> None:
        panel, token = self.query_one("#vocabulary-fate"), self._token()
        if token is None or self.survey is None:
            panel.border_title = "Fate"
            self.fate_lines.show()
            return
        panel.border_title = Content(clean(f"Fate of {self.label(token)}", keep=""))
        lane = 0 if self.step is None else self.step.lane
        fate = self.fates.of(self.player, position=self.position, params=self.params, token=token, lane=lane)
        self.fate_lines.show(*([] if fate is None else fate_rows(fate, self.look, self.fate_lines.size.width)))


def fate_rows(fate: Fate, look: Look, width: int) -> list[Row]:
    """`raw 12.1% #2 > temperature 14.0% #2 > top-p cut`, over as many rows as it takes."""
    arrow = " > " if look.glyphs == "ascii" else " → "
    rows: list[list[Piece]] = [[(" ", "text")]]
    used = 1
    for name, prob in fate.probs.items():
        rank = fate.ranks[name]
        cut = rank == 0
        words = f"{spelled(stage_label(name), look.glyphs)} "
        number = "cut" if cut else f"{percent(prob)}% #{rank}"
        cells = len(words) + len(number) + (len(arrow) if name != "raw" else 0)
        if used + cells > width - 1 and used > 1:
            rows.append([(" ", "text")])
            used = 1
        if name != "raw":
            rows[-1].append((arrow, "faint"))
        rows[-1] += [(words, "quiet"), (number, "cut" if cut else "text")]
        used += cells
        if cut:
            break
    return [tuple(row) for row in rows]
