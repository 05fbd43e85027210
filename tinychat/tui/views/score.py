"""Any text under the model's eye: surprisal and rank of every token, the totals, and the odds at the cursor.

The text is scored beside the run, chunk by chunk. The view gives back where to go on from: ids, and a token to put
behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content

from tinychat.engine.packing import unpack_odds
from tinychat.engine.trace import Odds, Step
from tinychat.engine.wire import Answer
from tinychat.text.terminal import clean
from tinychat.tui.lineview import Piece, safe
from tinychat.tui.modes import Mode
from tinychat.tui.palette import Look
from tinychat.tui.player import Player
from tinychat.tui.scored import ScoredText
from tinychat.tui.views.view import View
from tinychat.tui.widgets.candidates import CandidatesView
from tinychat.tui.widgets.prompt import PromptBox
from tinychat.tui.widgets.stream import StreamView

MOST_TYPED = 20_000  # characters that a text box edits without trouble
SIDE_BY_SIDE = 100  # cells from which the candidates stand beside the text
_MODES: tuple[Mode, ...] = ("surprisal", "probability", "entropy", "rank", "off")
_KEYS = (("n N", "surprises"), ("<- ->", "token"), ("Up Down", "cand"), ("b", "go on from here"), ("i", "text"),
         ("Esc", "back"), ("c", "colour"))  # fmt: skip
_EDIT_KEYS = (("Enter", "score it"), ("^j", "new line"), ("Esc", "leave the text box"))


@dataclass(frozen=True, slots=True)
class GoOn:
    """Decode from these ids; `token` is put behind them first."""

    ids: tuple[int, ...]
    token: int | None = None


class ScoreView(View[GoOn | None]):
    """Scores `ids`; without any a text is asked for."""

    TITLE_TEXT = "Score"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Token left", id="score.left", tooltip="The token before."),
        Binding("right,l", "step(1)", "Token right", id="score.right", tooltip="The token after."),
        Binding("home,g", "home", "First token", id="score.home", tooltip="The first token."),
        Binding("end,G", "end", "The end", id="score.end", tooltip="The end: what would come next."),
        Binding("pageup", "lines(-10)", "Ten lines up", id="score.page_up", tooltip="Ten lines up."),
        Binding("pagedown", "lines(10)", "Ten lines down", id="score.page_down", tooltip="Ten lines down."),
        Binding("n,greater_than_sign", "surprise(1)", "Next surprise", id="score.next",
                tooltip="The next most surprising token."),
        Binding("N,less_than_sign", "surprise(-1)", "Last surprise", id="score.previous",
                tooltip="The one that was more surprising."),
        Binding("up,k", "candidate(-1)", "Candidate above", id="score.up", tooltip="A likelier candidate."),
        Binding("down,j", "candidate(1)", "Candidate below", id="score.down", tooltip="A less likely candidate."),
        Binding("b,enter", "go_on", "Go on from here", id="score.branch",
                tooltip="The text before the cursor becomes the prompt; a candidate that was chosen comes first."),
        Binding("i", "edit", "Another text", id="score.edit", tooltip="Type or paste a text; Enter scores it."),
        Binding("c", "colour", "Colour", id="score.colour", tooltip="surprisal, probability, entropy, rank, off."),
    ]  # fmt: skip
    DEFAULT_CSS = """
    ScoreView #score-body { layout: vertical; height: 1fr; }
    ScoreView #score-text { height: 1fr; width: 1fr; }
    ScoreView #score-odds { height: 45%; max-height: 10; width: 1fr; }
    ScoreView.beside #score-body { layout: horizontal; }
    ScoreView.beside #score-text { height: 1fr; }
    ScoreView.beside #score-odds { height: 1fr; max-height: 100%; width: 50; }
    ScoreView #score-box { height: 1fr; width: 1fr; display: none; }
    ScoreView.editing #score-box { display: block; }
    ScoreView.editing #score-text { display: none; }
    """

    def __init__(
        self, look: Look, player: Player, ids: list[int], label: Callable[[int], str], *, name: str = "",
        n_bytes: int | None = None,
    ) -> None:  # fmt: skip
        """`label` is the name of a token, `name` says what the text is, `n_bytes` how long it is, if not as `ids`."""
        super().__init__(look)
        self._label = label
        self._player = player
        self._text = ScoredText(ids, player.session.tokenizer, n_bytes=n_bytes)
        self._name = safe(name)
        self._stream = StreamView(look, id="score-stream")
        self._candidates = CandidatesView(look, id="score-candidates")
        self._box = PromptBox(id="prompt-box")
        self._odds: Odds | None = None
        self._odds_at = -1
        self._selected: int | None = None  # the candidate a person has chosen
        self._surprise = -1  # how many are more surprising than the one jumped to
        self._note: Piece = ("", "text")

    def body(self) -> ComposeResult:
        with Container(id="score-body"):
            yield self.panel(self._stream, "Text", id="score-text")
            yield self.panel(self._box, "Type or paste a text", id="score-box")
            yield self.panel(self._candidates, "Candidates", id="score-odds")

    def on_mount(self) -> None:
        self._fit(self.app.size.width)
        if len(self._text.ids) > 1:
            self._ask()
        else:
            self.action_edit()

    def on_resize(self, event: events.Resize) -> None:
        self._fit(event.size.width)

    def forget(self) -> None:
        self._player.drop("score")
        self._player.drop("odds")

    def _fit(self, width: int) -> None:
        self.set_class(width >= SIDE_BY_SIDE, "beside")
        self._paint()

    # the text

    def _ask(self) -> None:
        """Have the text scored from its beginning."""
        self._stream.placeholder = "Waits for the model."
        self._stream.truncate(0)
        self._stream.end()
        self._stream.append(self._text.take_tokens())
        self._odds, self._odds_at, self._selected, self._surprise = None, -1, None, -1
        self.ask(self._player, "score", {"ids": self._text.ids}, self._scored)
        self._look()

    def _scored(self, answer: Answer) -> None:
        if answer.error is not None:
            self._note = (clean(" ".join(answer.error), keep=""), "warn")
        elif not answer.done:
            begins = self._text.done == 1 and self._stream.cursor is None
            self._text.add(answer)
            self._stream.append(self._text.take_tokens())
            if begins:  # at the first token that has a score
                self._stream.cursor = 1
        self._look()

    @on(PromptBox.Submitted)
    def _submitted(self, message: PromptBox.Submitted) -> None:
        ids = self._player.session.tokenizer.encode_document(message.text)
        if len(ids) < 2:
            self._note = ("type a text first", "warn")
            self._paint()
            return
        n_bytes = len(message.text.encode(errors="replace"))
        self._text, self._name = ScoredText(ids, self._player.session.tokenizer, n_bytes=n_bytes), ""
        self._leave_box()
        self._ask()

    @on(PromptBox.Left)
    @on(PromptBox.Interrupted)
    @on(PromptBox.QuitWished)
    def _leave_box(self) -> None:
        self.remove_class("editing")
        self.set_focus(None)
        self._note = ("", "text")
        self._paint()

    def action_edit(self) -> None:
        tokenizer, ids = self._player.session.tokenizer, self._text.ids
        self._note = ("", "text")
        while len(ids) > 1 and ids[-1] in tokenizer.end_ids:
            ids = ids[:-1]  # where the model ended its text there is nothing to be edited
        text = clean(tokenizer.decode(ids)) if ids else ""
        if any(tokenizer.is_special(token) for token in ids[1:]):  # roles have no form as text
            text, self._note = "", ("a conversation is scored as it stands: this is a new text", "quiet")
        elif len(text) > MOST_TYPED:
            text, self._note = "", ("the text is too long to be edited here: this is a new one", "quiet")
        self._box.load_text(text)
        self._box.move_cursor(self._box.document.end)
        self.add_class("editing")
        self.set_focus(self._box)
        self._paint()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not self._box.has_focus or action == "leave"

    # the cursor

    @property
    def position(self) -> int:
        """The token under the cursor; the number of tokens stands for the one that would come next."""
        cursor = self._stream.cursor
        return self._text.done if cursor is None else cursor

    def action_step(self, delta: int) -> None:
        self._stream.move(delta)
        self._moved()

    def action_lines(self, delta: int) -> None:
        self._stream.move(0, delta)
        self._moved()

    def action_home(self) -> None:
        self._stream.home()
        self._moved()

    def action_end(self) -> None:
        self._stream.end()
        self._moved()

    @on(StreamView.CursorMoved)
    def _moved(self) -> None:
        self._selected, self._note = None, ("", "text")
        if self.position != self._text.worst(self._surprise):
            self._surprise = -1
        self._look()

    def action_surprise(self, delta: int) -> None:
        at = self._text.worst(max(self._surprise + delta, 0))
        if at is None:
            return
        self._surprise = max(self._surprise + delta, 0)
        self._stream.cursor = at
        self._selected = None
        self._look()

    def _look(self) -> None:
        """Ask for the odds at the cursor."""
        at = self.position
        if at != self._odds_at and (at < self._text.done or self._text.whole):
            self._odds, self._odds_at = None, at
            ids = self._text.window(at, self._player.context)
            if ids:
                token = self._text.ids[at] if at < self._text.done else None
                self.ask(self._player, "odds", {"ids": ids, "token": token}, self._answered)
        self._paint()

    def _answered(self, answer: Answer) -> None:
        if answer.error is not None:
            self._note = (clean(" ".join(answer.error), keep=""), "warn")
        elif answer.blob:
            # the place in the window is not the place in the text
            self._odds = replace(unpack_odds(answer.blob), position=self._odds_at)
        self._paint()

    # candidates

    def action_candidate(self, delta: int) -> None:
        if self._odds is not None:
            # round and round: the token of the text may stand last, and the likeliest is one step away
            self._selected = (self._row + delta) % max(len(self._odds.candidates), 1)
            self._paint()

    @on(CandidatesView.Selected)
    def _candidate_selected(self, message: CandidatesView.Selected) -> None:
        self._selected = message.index
        self._paint()

    @on(CandidatesView.Taken)
    def _candidate_taken(self) -> None:
        self.action_go_on()

    @property
    def _row(self) -> int:
        """The chosen candidate, or the one that stands in the text."""
        if self._selected is not None or self._odds is None:
            return self._selected or 0
        token = self._text.ids[self._odds_at] if self._odds_at < self._text.done else None
        return next((row for row, each in enumerate(self._odds.candidates) if each.token == token), 0)

    def action_go_on(self) -> None:
        at = self.position
        if at < 1:
            self._note = ("there is nothing before the first token to go on from", "warn")
        elif at >= self._player.context:
            self._note = (f"{at} tokens come before it, and the model's context holds {self._player.context}", "warn")
        elif self._player.recorded:
            self._note = ("this is a recording: there is no model to go on with", "warn")
        else:
            token = None
            if self._selected is not None and self._odds is not None:
                token = self._odds.candidates[self._selected].token
            self.dismiss(GoOn(tuple(self._text.ids[:at]), token))
            return
        self._paint()

    def action_colour(self) -> None:
        self._stream.mode = _MODES[(_MODES.index(self._stream.mode) + 1) % len(_MODES)]
        self._paint()

    # painting

    def _paint(self) -> None:
        if not self.is_mounted:
            return
        self.show_title(*self._totals())
        self._candidates.show(self._odds, step=self._step(), label=self._label, selected=self._row)
        self.query_one("#score-odds").border_title = Content(self._here())
        self.query_one("#score-text").border_title = Content(f"Text: {self._name}" if self._name else "Text")
        self.query_one("#score-text").border_subtitle = Content(f"c {self._stream.mode}")
        keys = _EDIT_KEYS if self.has_class("editing") else _KEYS
        note = [(f"{self._note[0]}  ", self._note[1])] if self._note[0] else []
        self.show_foot(*note, *(piece for key, word in keys for piece in ((key, "strong"), (f" {word}  ", "quiet"))))

    def _totals(self) -> list[Piece]:
        text, score = self._text, self._text.score
        pieces: list[Piece] = []
        if not score.tokens:
            return pieces
        if not text.whole:
            pieces.append((f"{100 * text.done // len(text.ids)}%  ", "dart"))
        bits, perplexity = score.per_token(score.bits) or 0.0, score.perplexity or 0.0
        pieces.append((f"{score.tokens} tokens  ppl {perplexity:.3f}  {bits:.3f} bit/token", "strong"))
        per_byte = score.bits_per_byte(text.n_bytes)
        if text.whole and per_byte is not None:
            pieces.append((f"  {per_byte:.3f} bit/byte", "strong"))
        pieces.append((f"  top-1 {score.top_1 / score.tokens:.1%}", "text"))
        if self.app.size.width >= SIDE_BY_SIDE:
            pieces.append((f"  top-5 {score.top_5 / score.tokens:.1%}", "text"))
        return pieces

    def _here(self) -> str:
        at, text = self.position, self._text
        if at >= text.done:
            return "What would come next"
        if at == 0:
            return "The first token: nothing comes before it"
        place = f", surprise {self._surprise + 1}" if self._surprise >= 0 else ""
        return f"{at} of {len(text.ids) - 1}: {text.surprisal[at]:.2f} bit, rank {text.rank[at]}{place}"

    def _step(self) -> Step | None:
        """The token in the text as one that was put there, so that the table marks it."""
        odds, at = self._odds, self._odds_at
        if odds is None or not 0 < at < self._text.done:
            return None
        return Step(
            odds=odds, token=self._text.ids[at], lane=0, forced=True, raw=float(self._text.prob[at]), final=0.0,
            raw_rank=int(self._text.rank[at]), final_rank=0, surprisal=float(self._text.surprisal[at]), u=0.0, low=0.0,
            high=0.0, time_s=0.0,
        )  # fmt: skip
