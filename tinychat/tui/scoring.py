"""The action that scores a text, and going on from a place of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinychat.text.terminal import clean
from tinychat.tui.actions import ActionScreen

if TYPE_CHECKING:
    from tinychat.tui.views.score import GoOn


class ScoringScreen(ActionScreen):
    """The door to the score view."""

    def action_score(self) -> None:
        self.calm()
        player = self.player
        if player is None:
            self.say("the model is being opened")
            return
        ids = list(player.session.tree.path.ids)
        if player.running:
            player.pause()
        name = "the text as it was drawn" if player.session.reply_length else "the prompt"
        self._score(ids, name if len(ids) > 1 else "")

    def score_text(self, text: str, name: str) -> None:
        """Open the score view on a text from elsewhere."""
        assert self.player is not None, "the tokenizer comes with the player"
        self._score(self.player.session.tokenizer.encode_document(text), name, n_bytes=len(text.encode()))

    def _score(self, ids: list[int], name: str, *, n_bytes: int | None = None) -> None:
        assert self.player is not None, "the tokenizer comes with the player"
        from tinychat.tui.views.score import (
            ScoreView,  # numpy comes with it, and the first frame does not wait for that
        )

        view = ScoreView(self.look, self.player, ids, self.label_of, name=name, n_bytes=n_bytes)
        self.app.push_screen(view, self._go_on)

    def _go_on(self, place: GoOn | None) -> None:
        """The text before the place becomes the prompt."""
        player = self.player
        if player is None or place is None:
            return
        session = player.session
        session.mode = "completion"
        session.prompt = session.tokenizer.decode(place.ids)
        session.tree.give(place.ids)
        self.prompt_box.load_text(clean(session.prompt))
        self.set_focus(None)
        player.sync()
        if place.token is not None:
            player.take(len(place.ids), place.token)
        self.moved_to("goes on from the scored text; u brings the old one back")
        self.play_on(player)
        self.paint_all()
