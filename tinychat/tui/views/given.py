"""What the model is given: every token of the context with its border, its id, and warnings."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tinychat.session.given import Given
from tinychat.session.tree import FORCED, PROMPT
from tinychat.tui.lineview import Piece, Row, fit
from tinychat.tui.palette import Look
from tinychat.tui.scrolled import ScrolledView
from tinychat.tui.views.view import View
from tinychat.tui.widgets.lines import wrap

_ROLES = {PROMPT: "prompt", FORCED: "forced"}


class GivenTokens(ScrolledView):
    """Tokens between bars, the ids beneath them; warnings before."""

    def __init__(self, look: Look, label: Callable[[int], str], breaks: Callable[[int], bool]) -> None:
        """`label` is the name of a token; `breaks` says whether a new line begins with it."""
        super().__init__(look, id="given-tokens")
        self._label = label
        self._breaks = breaks
        self._given: Given | None = None
        self._lines: list[list[int]] = []  # the places of the tokens in each line
        self._laid_out = -1  # for this width

    def show(self, given: Given) -> None:
        """Show these tokens, from the first one."""
        self._given, self._first, self._laid_out = given, 0, -1
        self.redraw()

    def page(self, direction: int) -> None:
        """A screen further."""
        self.scroll_rows(direction * max(self.size.height - 2, 1))

    def to(self, end: bool) -> None:
        """To the first row or the last."""
        self.scroll_rows(10**9 if end else -(10**9))

    def rows(self, width: int, height: int) -> list[Row]:
        given = self._given
        if given is None:
            return []
        head: list[Row] = []
        for warning in given.warnings:
            for number, line in enumerate(wrap(warning, width - 6)):
                head.append(((" ! " if number == 0 else "   ", "warn"), (line, "dart")))
        if head:
            head.append(())
        if self._laid_out != width:
            self._lay_out(given, width)
        count = len(head) + 3 * len(self._lines)
        self._first = max(0, min(self._first, count - height))
        rows = head[self._first :]
        skipped = max(self._first - len(head), 0)
        for at in range(skipped // 3, len(self._lines)):
            if len(rows) >= height + 3:
                break
            tokens, ids = self._token_rows(given, self._lines[at])
            rows += [tokens, ids, ()][skipped - 3 * at if at == skipped // 3 else 0 :]
        return rows[:height]

    def _lay_out(self, given: Given, width: int) -> None:
        self._laid_out, self._lines = width, []
        used = width
        for at, token in enumerate(given.ids):
            cells = self._cells(token) + 1
            if used + cells > width - 1 or (at and self._breaks(token)):
                self._lines.append([])
                used = 2
            self._lines[-1].append(at)
            used += cells

    def _cells(self, token: int) -> int:
        return max(cell_len(self._label(token)), len(str(token)))

    def _token_rows(self, given: Given, places: list[int]) -> tuple[Row, Row]:
        tokens: list[Piece] = [(" |", "faint")]
        ids: list[Piece] = [("  ", "text")]
        for at in places:
            token = given.ids[at]
            cells = self._cells(token)
            tokens += [(fit(self._label(token), cells), _ROLES.get(given.kinds[at], "text")), ("|", "faint")]
            ids.append((fit(str(token), cells) + " ", "quiet"))
        return tuple(tokens), tuple(ids)


class GivenView(View[None]):
    """`now` is what the engine holds, `draft` what Enter would give; None where there is none."""

    TITLE_TEXT = "What the model is given"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_by(1)", "Down", id="given.down", show=False, tooltip="A row further."),
        Binding("up,k", "scroll_by(-1)", "Up", id="given.up", show=False, tooltip="A row back."),
        Binding("pagedown,space", "page(1)", "Page down", id="given.page_down", show=False, tooltip="A screen on."),
        Binding("pageup", "page(-1)", "Page up", id="given.page_up", show=False, tooltip="A screen back."),
        Binding("home,g", "to(False)", "First", id="given.first", show=False, tooltip="To the first token."),
        Binding("end,G", "to(True)", "Last", id="given.last", show=False, tooltip="To the last token."),
        Binding("tab", "other", "Other", id="given.other", show=False, tooltip="The text in the box, or what is."),
    ]

    def __init__(
        self,
        look: Look,
        *,
        now: Given | None,
        draft: Given | None,
        context: int,
        label: Callable[[int], str],
        breaks: Callable[[int], bool],
    ) -> None:
        super().__init__(look)
        self._all = [each for each in (draft, now) if each is not None]
        self._which = 0
        self._room = context
        self.tokens = GivenTokens(look, label, breaks)

    def body(self) -> ComposeResult:
        yield self.tokens

    def on_mount(self) -> None:
        self._show()

    def _show(self) -> None:
        given = self._all[self._which]
        prompt = given.kinds.count(PROMPT)
        pieces: list[Piece] = [
            (f"{len(given.ids)} of {self._room} tokens, ", "strong"),
            ("as Enter would send it" if given.draft else "as it is now", "dart"),
        ]
        if prompt < len(given.ids):
            pieces.append((f" | {len(given.ids) - prompt} drawn or forced", "text"))
        pieces.append((f" | {'template ' + given.template if given.template else 'no template'}", "quiet"))
        self.show_title(*pieces)
        keys: list[Piece] = [("Up Down", "strong"), (" scroll  ", "quiet")]
        if len(self._all) > 1:
            other = "as it is now" if given.draft else "with the text in the box"
            keys += [("Tab", "strong"), (f" {other}  ", "quiet")]
        keys += [("Esc", "strong"), (" back", "quiet")]
        if not given.warnings:
            keys.append(("   no warnings", "quiet"))
        self.show_foot(*keys)
        self.tokens.show(given)

    def action_scroll_by(self, delta: int) -> None:
        self.tokens.scroll_rows(delta)

    def action_page(self, direction: int) -> None:
        self.tokens.page(direction)

    def action_to(self, end: bool) -> None:
        self.tokens.to(end)

    def action_other(self) -> None:
        self._which = (self._which + 1) % len(self._all)
        self._show()
