"""What other settings and other draws would make of the text: what-if, lanes side by side, the fan."""

from __future__ import annotations

from tinychat.engine.params import SamplingParams
from tinychat.engine.wire import Answer
from tinychat.text.terminal import clean
from tinychat.tui.actions import ActionScreen
from tinychat.tui.whatif import WhatIf


class LaneScreen(ActionScreen):
    """The keys w, v and N."""

    what_if: WhatIf | None = None

    def set_params(self, params: SamplingParams) -> None:
        super().set_params(params)
        self._ask_what_if()

    def paint(self) -> None:
        self._forget_what_if()
        super().paint()

    def _ask_what_if(self) -> None:
        player = self.player
        if player is None or player.recorded or player.running or player.overflows:
            return
        self.what_if = asked = WhatIf.about(player.session)
        if asked is None:
            player.drop("what_if")
        else:
            player.ask("what_if", asked.values(player.session), self._hear_what_if)
        self._show_what_if()

    def _hear_what_if(self, answer: Answer) -> None:
        if self.what_if is not None:
            self.what_if.hear(answer)
            self._show_what_if()

    def _forget_what_if(self) -> None:
        """An answer about a text that is no more on the screen is none."""
        player = self.player
        if player is None or self.what_if is None:
            return
        if player.running or not self.what_if.is_about(player.session):
            player.drop("what_if")
            self.what_if = None
            self._show_what_if()

    def _show_what_if(self) -> None:
        found, arrow = self.what_if, "->" if self.look.glyphs == "ascii" else "\u2192"
        roomy = ("", "text") if found is None else (clean(found.words(self.label_of, arrow=arrow), keep=""), "moved")
        short = ("", "text")
        if found is not None:
            short = (clean(found.words(self.label_of, arrow=arrow, short=True), keep=""), "moved")
        if (roomy, short) != (self.beside_knobs, self.beside_status):
            self.beside_knobs, self.beside_status = roomy, short
            self.knobs_changed()

    def action_what_if(self) -> None:
        """Make the text that would be a branch, and go on from there."""
        player = self.ready()
        if player is None:
            return
        found, session = self.what_if, player.session
        if found is None or found.position is None:
            same = found is not None and found.same
            self.say("the text would be the same" if same else "turn a knob while it stands still, then w branches")
            return
        if found.token is None:
            self.say("these settings leave no token there: nothing to go on with")
            return
        first = found.steps[0]
        session.rewind(first.position)
        if len(found.steps) > 1 or first.lane:  # what the engine would not draw from here on by itself
            for step in found.steps:
                session.chosen(step, found.params)
        self.what_if = None
        self._show_what_if()
        player.set_params(found.params)
        player.sync()
        self.play_on(player)
        self.paint_all()
        self.say("what-if is a branch now; u goes back")
