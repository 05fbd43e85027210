"""The play screen on a run that is training: told when a checkpoint lands, and putting it under the text."""

from __future__ import annotations

from dataclasses import replace

from tinychat.model.checkpoint import CheckpointInfo
from tinychat.model.follow import Follow, is_training
from tinychat.tui.opening import command_name, shown_name
from tinychat.tui.player import Player
from tinychat.tui.session_actions import SessionScreen

LOOK_S = 1.0


class FollowingScreen(SessionScreen):
    """The key f, and what happens by itself."""

    _follow: Follow | None = None
    _told = -1  # the step of the last checkpoint that was told

    def follow(self, follow: Follow) -> None:
        """Look at this run from now on."""
        self._follow = follow
        self.set_interval(LOOK_S, self.look_at_run)
        if is_training(follow.run):
            self.say("the run is training: a checkpoint that lands is told here, f loads it")

    def look_at_run(self) -> None:
        """Tell of a checkpoint that has landed. Where nothing was drawn yet it is loaded at once."""
        follow, player = self._follow, self.player
        if follow is None or player is None or player.recorded:
            return
        landed = follow.look()
        if landed is None:
            return
        if not player.running and not player.session.reply_length and self.is_current and player.state != "loading":
            self._load_newest(player, follow, landed)
        elif landed.step != self._told:
            self._told = landed.step
            self.say(f"a new checkpoint has landed: step {landed.step}, f loads it", "dart")

    def action_newest(self) -> None:
        self.calm()
        follow, player = self._follow, self.player
        if player is None:
            self.say("the model is being opened")
        elif follow is None:
            self.say("no run is followed: start with  tinychat play RUN_FOLDER")
        elif (landed := follow.look()) is not None:
            self._load_newest(player, follow, landed)
        elif is_training(follow.run):
            self.say("nothing newer yet; the run is training")
        else:
            self.say("nothing newer, and the run is not training")

    def _load_newest(self, player: Player, follow: Follow, landed: CheckpointInfo) -> None:
        """Other weights under the same text: what was drawn keeps its records, what comes is theirs."""
        session = player.session
        if landed.tokenizer_digest != session.tokenizer.digest:
            follow.opened(landed)  # told once
            self.say("the run has another vocabulary now: leave, and open it again", "warn")
            return
        follow.opened(landed)
        self.selected = None
        player.replace_model(str(landed.path), context=landed.config.context)
        session.model = command_name(landed.path)
        self.model_context = landed.config.context
        self.model_name = shown_name(follow.run, landed.path.name, landed.step)
        self.source = replace(
            self.source, path=str(landed.path.resolve()), digest=landed.digest, step=landed.step,
            context=landed.config.context,
        )  # fmt: skip
        if self.keeper is not None:
            self.keeper.saver.source = self.source
        self.paint_all()
        self.say(f"step {landed.step} is loaded; the text stays")
