"""Searches, drawn as they grow: pick a method, start it, walk through its hypotheses, take one into the text."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tinychat.engine.search_events import from_plain
from tinychat.engine.search_params import check_search, search_notes
from tinychat.engine.wire import Answer
from tinychat.session.found import Found
from tinychat.session.place import place_of
from tinychat.text.terminal import clean
from tinychat.tui.searchoptions import TIPS
from tinychat.tui.searchtree import Growth, step_over, ways_on
from tinychat.tui.views.searchpage import SearchPage, Taken
from tinychat.tui.widgets.prompt import CommandBox
from tinychat.tui.widgets.searchview import SearchTree

KIND = "search"


class SearchView(SearchPage):
    """Space starts and stops, m another method, Tab - = its options, arrows walk, Enter takes."""

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

    def forget(self) -> None:
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
        self.ask(self.player, KIND, {"spec": spec.to_dict(), **place_of(session, self.position)}, self.hear)

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
