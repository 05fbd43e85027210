"""The fan: several continuations from one token, what they agree on, and any of them as a branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message

from tinychat.engine.packing import unpack_step
from tinychat.engine.wire import Answer
from tinychat.session.place import place_of
from tinychat.text.terminal import clean
from tinychat.tui.fans import Cluster, Ray, agreement, agreement_words, clusters, common_length
from tinychat.tui.lanes import STOPS, packed_steps
from tinychat.tui.lineview import LineView, Row, fit
from tinychat.tui.modes import Mode
from tinychat.tui.palette import Look
from tinychat.tui.player import Player
from tinychat.tui.views.lanes import ASCII_SIGNS
from tinychat.tui.views.view import View
from tinychat.tui.widgets.lines import Lines
from tinychat.tui.widgets.stream import StreamView

KIND = "fan"
COUNTS = (2, 4, 8, 16, 32, 64)
TOKENS = 24  # of each, and so many more with Space


def start_words(same: int) -> str:
    """What comes before the list of clusters."""
    return "from the first token on" if not same else f"all alike for {same} token{'s' * (same > 1)}, then"


class FanList(LineView):
    """A row for each continuation, cluster by cluster."""

    class Chosen(Message):
        """A row was clicked."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    _content: Sequence[Row] = ()
    _selected = 0
    _top = 0

    def show(self, content: Sequence[Row], selected: int) -> None:
        """Draw these rows; the selected one stays in sight."""
        self._content, self._selected = content, selected
        self.redraw()

    def rows(self, width: int, height: int) -> list[Row]:
        self._top = max(0, min(max(self._top, self._selected - height + 1), self._selected))
        return list(self._content[self._top : self._top + height])

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if self._top + event.y < len(self._content):
            self.post_message(self.Chosen(self._top + event.y))


class FanView(View[Ray]):
    """Esc goes back with nothing, Enter with the chosen continuation."""

    TITLE_TEXT = "Fan"
    COVERS = True  # the play screen under it is not painted
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "choose(1)", "Down", id="fan.down", tooltip="The next continuation.", show=False),
        Binding("up,k", "choose(-1)", "Up", id="fan.up", tooltip="The one before.", show=False),
        Binding("enter", "take", "Make it a branch", id="fan.take", tooltip="Go on from this one.", show=False),
        Binding("space", "more", "Longer, or stop", id="fan.more", tooltip="More tokens of each; stops a fan that is "
                "being drawn.", show=False),
        Binding("equals_sign,plus", "count(1)", "More of them", id="fan.wider", tooltip="Twice as many.", show=False),
        Binding("minus,underscore", "count(-1)", "Fewer", id="fan.narrower", tooltip="Half as many.", show=False),
        Binding("r", "others", "Other draws", id="fan.others", tooltip="As many on lanes not seen yet.", show=False),
    ]  # fmt: skip
    DEFAULT_CSS = """
    FanView .view-body { layout: vertical; }
    FanView #fan-facts { height: 3; }
    FanView #fan-list { height: 1fr; }
    FanView #fan-text { height: 8; }
    """

    def __init__(self, look: Look, player: Player, position: int, *, count: int, mode: Mode) -> None:
        super().__init__(look)
        self.player = player
        self.place = place_of(player.session, position)
        self.params = player.session.params
        self.rays: list[Ray] = []
        self._count = min(max(count, 1), COUNTS[-1])
        self._first = 0  # lane of the first of them
        self._length = TOKENS
        self._mode = mode
        self._chosen = 0  # of the rays
        self._order: list[int] = []  # which ray each row shows
        self._drawing = False
        self._trouble = ""

    def body(self) -> ComposeResult:
        self.facts = Lines(self.look, id="fan-facts")
        self.list = FanList(self.look, id="fan-list")
        self.text = StreamView(self.look)
        self.text.mode = self._mode
        yield self.facts
        with Container(id="fan-list-box", classes="panel"):
            yield self.list
        yield self.panel(self.text, "", id="fan-text")

    def on_mount(self) -> None:
        self.query_one("#fan-list-box").border_title = "Continuations"
        self.start()

    def forget(self) -> None:
        self.player.drop(KIND)

    def start(self) -> None:
        """Draw them, from the place on."""
        self.rays = [Ray(self._first + number) for number in range(self._count)]
        self._drawing, self._trouble, self._chosen = True, "", 0
        values = self.place | {
            "params": self.params.to_dict(), "darts": [ray.dart for ray in self.rays], "count": self._length,
        }  # fmt: skip
        self.ask(self.player, KIND, values, self.hear)
        self.paint()

    def hear(self, answer: Answer) -> None:
        """Take in what came."""
        for index, packed in packed_steps(answer):
            self.rays[index].steps.append(unpack_step(packed))
        for index, reason in answer.values.get("stops", {}).items():
            self.rays[int(index)].stop = reason
        for words in answer.values.get("trouble", {}).values():
            self._trouble = words
        if answer.error is not None:
            self._trouble = " ".join(answer.error)
        self._drawing = self._drawing and not answer.done
        self.paint()

    # what is seen

    def paint(self) -> None:
        """All of it."""
        texts = [ray.ids for ray in self.rays]
        groups = clusters(texts) if all(texts) else []
        at = common_length(texts)
        self._order = [ray for group in groups for ray in group.rays] or list(range(len(self.rays)))
        parted = len(groups) > 1
        firsts = {group.rays[0] for group in groups} if parted else set()
        rows = [self._row(number, at, is_first=number in firsts, is_parted=parted) for number in self._order]
        self.list.show(rows, self._order.index(self._chosen))
        ray = self.rays[self._chosen]
        self.text.set_tokens(ray.tokens(self.player.session.tokenizer, self.place["ids"][-8:]))
        panel = self.query_one("#fan-text")
        panel.border_title = Content(f"Lane {ray.dart}")
        panel.border_subtitle = Content(f"{len(ray.steps)} tok | ppl {ray.perplexity:.1f}")
        self._paint_lines(texts, groups, at)

    def _paint_lines(self, texts: list[list[int]], groups: list[Cluster], at: int) -> None:
        start = len(self.place["ids"]) - self.place["prompt_len"]
        state = "DRAWING" if self._drawing else "DONE"
        lanes = f"lanes {self.rays[0].dart} to {self.rays[-1].dart}"
        facts = f" | {len(self.rays)} continuations from token {start + 1}, seed {self.params.seed}, {lanes}"
        self.show_title((state, "chosen"), (facts, "text"))
        self.show_foot(("Up Down choose  Enter branch  Space longer  = - how many  r redraw  Esc back", "quiet"))
        if self._trouble:
            self.facts.show(((f" {clean(self._trouble, keep='')}", "warn"),))
            return
        if not self._drawing and not any(texts):
            self.facts.show(((f" {self._why_nothing()}", "warn"),))
            return
        words = agreement_words(texts)
        parts = "  ".join(
            f"'{self._label(group.token)}' {len(group.rays)}" if group.token is not None else f"ended {len(group.rays)}"
            for group in groups
        )
        shares = " ".join(map(str, agreement(texts, 40)))
        self.facts.show(
            ((f" {words}", "strong"),),
            ((f" agreement on the first 1, 2, ... tokens: {shares}", "text"),),
            ((f" {start_words(at)}: {parts}" if len(groups) > 1 else " all alike so far", "text"),),
        )

    def _why_nothing(self) -> str:
        """Why no lane has a token."""
        reasons = sorted({ray.stop for ray in self.rays if ray.stop})
        return f"No token: {', '.join(STOPS.get(reason, reason) for reason in reasons) or 'stopped'}."

    def _row(self, number: int, at: int, *, is_first: bool, is_parted: bool) -> Row:
        ray, chosen = self.rays[number], number == self._chosen
        label = " " * 14
        if is_first:
            part = f"'{self._label(ray.ids[at])}'" if at < len(ray.ids) else "ended"
            label = fit(part, 14, more=self.list.glyphs.more)
        # what all have in common stands once, in the text below
        begins = at if is_parted and at < len(ray.ids) else 0
        text = clean(self.player.session.tokenizer.decode(ray.ids[begins:]), keep="")
        text = self.list.glyphs.more + text if begins else text
        facts = f" lane {ray.dart:<3} ppl {ray.perplexity:5.1f} {len(ray.steps):>3} tok {STOPS.get(ray.stop, ''):<5.5} "
        return (
            (">" if chosen else " ", "chosen"), (label, "strong"), (facts, "quiet"),
            (text, "chosen" if chosen else "text"),
        )  # fmt: skip

    def _label(self, token: int) -> str:
        label = self.player.session.tokenizer.label(token)
        return label.translate(ASCII_SIGNS) if self.look.glyphs == "ascii" else label

    # keys

    def action_choose(self, delta: int) -> None:
        row = self._order.index(self._chosen) + delta
        self._chosen = self._order[max(0, min(row, len(self._order) - 1))]
        self.paint()

    def on_fan_list_chosen(self, message: FanList.Chosen) -> None:
        self._chosen = self._order[message.row]
        self.paint()

    def action_more(self) -> None:
        if self._drawing:
            self.player.drop(KIND)
            self._drawing = False
            self.paint()
        else:
            self._length += TOKENS
            self.start()

    def action_count(self, delta: int) -> None:
        near = min(range(len(COUNTS)), key=lambda i: abs(COUNTS[i] - self._count))
        self._count = COUNTS[max(0, min(near + delta, len(COUNTS) - 1))]
        self.start()

    def action_others(self) -> None:
        self._first += self._count
        self.start()

    def action_take(self) -> None:
        ray = self.rays[self._chosen]
        if ray.steps:
            self.dismiss(ray)
