"""The search view behind the play screen, and what it found put into the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Odds, Step
from tinychat.engine.wire import Answer
from tinychat.tui.actions import ActionScreen
from tinychat.tui.fates import Fate, Fates
from tinychat.tui.player import Player
from tinychat.tui.searchoptions import Options
from tinychat.tui.survey import Names

if TYPE_CHECKING:  # views are loaded when they are opened
    from tinychat.tui.views.searchpage import Taken


class SearchingScreen(ActionScreen):
    """Actions that look further than the next token."""

    _options: Options | None = None  # of the last search of this session
    _names: Names | None = None

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]  # passed on as they are
        self._fates = Fates(self.paint_token)

    def fate_here(self, step: Step | None, odds: Odds | None, params: SamplingParams) -> Fate | None:
        player = self.player
        if player is None or odds is None or not self.is_current or not odds.candidates:
            return None
        row = min(self.selected_row(step), len(odds.candidates) - 1)
        lane = 0 if step is None else step.lane
        token = odds.candidates[row].token
        if step is None and self.selected is None:
            return None  # nobody asked about one: the panel is about all of them
        return self._fates.of(player, position=odds.position, params=params, token=token, lane=lane)

    def place_here(self, player: Player) -> int:
        """The position of the token that the cursor means: the one on show at the end of a run, or the next one."""
        position = self.position
        if position == len(player.session.tree) and self.step_here() is not None:
            position -= 1
        return position

    def speculate(self, plan: dict[str, Any] | None) -> None:
        """Guess tokens ahead from the next one on; None: no more."""
        player = self.player
        if player is None:
            return
        if player.recorded:
            self.say("this is a recording: nothing is computed", "warn")
            return
        if plan is not None and plan["kind"] == "draft" and player.session.machine.draft is None:
            self.say("no draft model is open: start with  tinychat play --speculate draft --draft PATH", "warn")
            return

        def hear(answer: Answer) -> None:
            if answer.error is not None:
                self.say(" ".join(answer.error), "warn")
            elif not answer.done:
                how = "one token a pass again" if plan is None else f"guesses by {plan['kind']}"
                self.say(f"{how}, from the next token on; c shows the guesses" if plan else how)

        player.speculate(plan, hear)

    def action_vocabulary(self) -> None:
        player = self.ready()
        if player is None:
            return
        if player.running:
            player.pause()
        step, position = self.step_here(), self.position
        if step is not None:
            position = step.position
        if not position:
            self.say("nothing stands before the first token: there are no odds")
            return
        params = player.session.params if step is None else self.settings_of(step)
        if self._names is None or self._names.tokenizer is not player.session.tokenizer:
            self._names = Names(player.session.tokenizer)
        from tinychat.tui.views.vocabulary import VocabularyView

        view = VocabularyView(
            self.look, player, position=position, step=step, params=params, label=self.label_of, names=self._names,
            fates=self._fates,
        )  # fmt: skip

        def taken(token: int | None) -> None:
            self._fates.news = self.paint_token
            if token is not None:
                self.take_token(position, token)

        self.app.push_screen(view, taken)

    def take_token(self, position: int, token: int) -> None:
        """Put any token of the vocabulary at a position of the reply."""
        player = self.player
        assert player is not None, "the view was over a player"
        cuts = position < len(player.session.tree)
        self.selected = None
        if player.take(position, token):
            self.stream.end()
            self.say("taken; the old text stays a branch, u goes back" if cuts else "taken")
            self.paint_all()
        else:
            self.say("it stands there already")

    def action_search(self) -> None:
        player = self.ready()
        if player is None:
            return
        if player.running:
            player.pause()
        position = self.position
        if not position:
            self.say("a search needs a token to start from: move right")
            return
        if position >= player.context:
            self.say("the context is full: go back some tokens")
            return
        kept = player.session.tools.search
        if self._options is None or self._options.kept is not kept:
            self._options = Options(kept)
        from tinychat.tui.views.search import SearchView

        view = SearchView(self.look, player, position=position, label=self.label_of, options=self._options)
        self.app.push_screen(view, self._searched)

    def _searched(self, taken: Taken | None) -> None:
        player = self.player
        if taken is None or player is None:
            return
        cuts = taken.found.start < len(player.session.tree)
        player.session.adopt(taken.found, taken.steps)
        player.sync()
        kept = "; the old text stays a branch, u goes back" if cuts else ""
        self.moved_to(f"{len(taken.steps)} tokens found by {taken.found.spec.method}{kept}")
