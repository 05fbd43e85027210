"""The sampler stage by stage: how many tokens each stage left, and what became of the chosen one.

Reads Odds and Step records; knows no tensor and no tokenizer (a function gives the label of an id).
"""

from __future__ import annotations

from collections.abc import Callable

from tinychat.engine.knobs import KNOBS, Knob
from tinychat.engine.orders import STAGE_NAMES
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds, StageView, Step
from tinychat.session.spelling import SETTINGS
from tinychat.tui.bars import bar, percent
from tinychat.tui.fates import Fate
from tinychat.tui.lineview import Row, bare, fit, safe
from tinychat.tui.palette import spelled
from tinychat.tui.scrolled import ScrolledView
from tinychat.tui.wording import Setting, is_on, label_of, short_text, value_text

# what is off is shown while there is room, first what has a letter: a person looks for that
_KEEP_OFF = tuple(dict.fromkeys([*(knob.stage for knob in KNOBS if knob.key), *STAGE_NAMES]))


class PipelineView(ScrolledView, can_focus=False):
    """The pipeline panel's inside."""

    _odds: Odds | None = None
    _step: Step | None = None
    _params: SamplingParams = SamplingParams()
    _label: Callable[[int], str] = staticmethod(str)
    _bars = False
    _fate: Fate | None = None
    _searched = False
    _token: int | None = None  # whose column it is

    def show(
        self, odds: Odds | None, *, step: Step | None, params: SamplingParams, label: Callable[[int], str],
        bars: bool = False, fate: Fate | None = None, searched: bool = False,
    ) -> None:  # fmt: skip
        """Show these odds; `bars` adds a bar of the chosen token's probability, of the mass where none is chosen.

        `fate` is of the token that is asked about; without one it is the chosen token, as the record has it.
        `searched`: a search found the token, nobody chose it.
        """
        self._searched = searched
        self._odds, self._step, self._params, self._label, self._bars = odds, step, params, label, bars
        self._fate, self._token = fate, fate.token if fate is not None else step.token if step is not None else None
        self.redraw()

    def rows(self, width: int, height: int) -> list[Row]:
        odds, params = self._odds, self._params
        if odds is None:
            return [(("no odds here", "quiet"),)]
        columns = _columns(width, self._has_chosen, ranks=self._fate is not None)
        name_width = width - sum(columns.values())
        bar_width = 0
        if self._bars and name_width > 26:
            bar_width = name_width - 22
            name_width = 21
        views = {view.name: view for view in odds.stages}
        shown, hidden = self._choose_stages(views, max(height - 3, 1))
        body = [self._stage_row("raw", "raw logits", views["raw"], columns, name_width, bar_width)]
        for stage in shown:
            title = spelled(stage_title(stage, params), self.look.glyphs)
            body.append(self._stage_row(stage, title, views.get(stage), columns, name_width, bar_width))
        if hidden:
            body.append(((f"{hidden} more off", "faint"),))
        room = max(height - 2, 0)
        # of a list that is too long "more off" is the last to be seen
        self._first = max(0, min(self._first, len(body) - room - (1 if hidden and len(body) > room else 0)))
        below = len(shown) + 1 - self._first - room  # rows of stages; the one that is "more off" is not missed
        unseen = f"{below} below" if below > 0 else f"{self._first} above" if self._first else ""
        rows = [self._head(columns, name_width, unseen), *body[self._first : self._first + room]]
        return [*rows[: max(height - 1, 1)], self._draw_row(width)] if height > 1 else rows

    @property
    def _has_chosen(self) -> bool:
        known = self._odds is not None and any(view.chosen is not None for view in self._odds.stages)
        return known or self._fate is not None

    def _choose_stages(self, views: dict[str, StageView], room: int) -> tuple[list[str], int]:
        """The stages to show in their order, those that are off only while there is room, and how many are left out."""
        stages = list(self._params.stages)
        on = [stage for stage in stages if stage in views]
        off = [stage for stage in _KEEP_OFF if stage in stages and stage not in views]
        if len(stages) > room:  # a row says how many are left out
            off = off[: max(room - len(on) - 1, 0)]
        shown = [stage for stage in stages if stage in on or stage in off]
        return shown, len(stages) - len(shown)

    def _head(self, columns: dict[str, int], name_width: int, unseen: str) -> Row:
        """The names of the columns, the order, and how many rows are out of sight, which goes before the order."""
        order = self._params.order
        title = f"stage ({order if isinstance(order, str) else 'own'})"
        if unseen:
            title = f"{title}, {unseen}" if len(title) + 2 + len(unseen) < name_width else f"stage, {unseen}"
        cells = [(fit(title, name_width, more=self.glyphs.more), "quiet")]
        titles = {"keep": "keep", "mass": "mass%", "bits": "H bit", "rank": "rank"}
        titles["chosen"] = f"p({self._token_label()})"
        for column, size in columns.items():
            cells.append((fit(" " + titles[column], size, more=self.glyphs.more, right=True), "quiet"))
        return tuple(cells)

    def _token_label(self) -> str:
        return "chosen" if self._token is None else bare(self._label(self._token))

    def _stage_row(
        self, stage: str, title: str, view: StageView | None, columns: dict[str, int], name_width: int, bar_width: int
    ) -> Row:
        if view is None:
            lack = self.glyphs.lack
            return ((fit(title, name_width, more=self.glyphs.more), "faint"),
                    *((lack.rjust(size), "faint") for size in columns.values()))  # fmt: skip
        chosen, rank = view.chosen, ""
        if self._fate is not None:
            chosen, place = self._fate.probs.get(view.name), self._fate.ranks.get(view.name, 0)
            rank = str(place) if place else self.glyphs.lack
        cut = chosen == 0
        texts = {
            "keep": str(view.kept),
            "mass": f"{view.mass * 100:.1f}",
            "bits": f"{view.entropy:.2f}",
            "chosen": self.glyphs.lack if chosen is None else "cut" if cut else percent(chosen),
            "rank": rank,
        }
        role = "cut" if cut else "chosen"
        roles = {"keep": "text", "mass": "text", "bits": "text", "chosen": role, "rank": role}
        cells = [(fit(title, name_width, more=self.glyphs.more), "text")]
        cells += [(texts[column].rjust(size), roles[column]) for column, size in columns.items()]
        if bar_width:
            share = view.mass if chosen is None else chosen
            cells.append((" " + bar(share, bar_width, self.glyphs), "bar" if chosen is None else "bar_chosen"))
        return tuple(cells)

    def _draw_row(self, width: int) -> Row:
        odds, step = self._odds, self._step
        if odds is not None and odds.kept == 0:
            return (("no token is left: loosen a setting", "warn"),)
        if (fate := self._fate) is not None and (step is None or step.token != fate.token):
            return self._fate_row(fate)
        if step is None:
            return ((f"next token: {odds.kept if odds else 0} could be drawn", "quiet"),)
        label = safe(self._label(step.token))
        if step.forced and self._searched:
            return (("found by a search: ", "quiet"), (label, "chosen"))
        if step.forced:
            note = "" if step.final > 0 else ", which the settings had cut"
            return (("forced by you: ", "quiet"), (label, "forced"), (note, "quiet"))
        if self._params.is_greedy:
            return (("greedy: the likeliest, no draw ", "quiet"), (label, "chosen"))
        return (
            ("draw ", "quiet"), (f"u={step.u:.3f}", "dart"),
            (f" in [{step.low:.3f},{step.high:.3f}) {self.glyphs.arrow} ", "quiet"), (label, "chosen"),
        )  # fmt: skip

    def _fate_row(self, fate: Fate) -> Row:
        """Raw and final odds of a token that was not chosen, or who cut it."""
        raw, *_ = fate.probs.values()
        *_, final = fate.probs.values()
        head: Row = ((safe(self._label(fate.token)), "strong"), (f": raw {percent(raw)}%, ", "quiet"))
        cutter = next((name for name, prob in fate.probs.items() if prob == 0.0), None)
        if cutter is not None and not fate.ranks[cutter]:
            return (*head, (f"cut by {cutter.replace('_', '-')}", "cut"))
        *_, rank = fate.ranks.values()
        return (*head, (f"final {percent(final)}%, rank {rank}", "text"))


def stage_title(stage: str, params: SamplingParams) -> str:
    """A stage with its values: "top-p 0.88", "temperature 0.80 edt", "top-k off"."""
    settings = [each for each in SETTINGS.values() if each.stage == stage and not each.aux]
    if not params.is_on(stage):
        return f"{label_of(settings[0])} off"
    first, *others = [each for each in settings if is_on(each, params) or each.name == "temperature"]
    words = [label_of(first), _value(first, params), *(_value(each, params) for each in others)]
    return " ".join(words)


def _value(setting: Setting, params: SamplingParams) -> str:
    value = getattr(params, setting.name)
    if isinstance(setting, Knob):
        return value_text(setting, value)
    return short_text(setting, params) if isinstance(value, str) else f"x{len(value)}"


def _columns(width: int, chosen: bool, *, ranks: bool) -> dict[str, int]:
    """The number columns that fit, with their cells; the name keeps at least 16."""
    columns = {"keep": 7, "mass": 7, "bits": 6}
    columns["chosen"] = 12 if width >= 54 else 10 if width >= 46 else 8
    if not chosen and width < 50:
        del columns["chosen"]
    if ranks:
        columns["rank"] = 7 if width >= 58 else 5
    for column in ("rank", "bits", "mass", "chosen", "keep"):
        if width - sum(columns.values()) >= 16:
            break
        columns.pop(column, None)
    return columns
