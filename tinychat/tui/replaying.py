"""A recording on the play screen: it is replayed, and nothing is drawn."""

from __future__ import annotations

import copy

from tinychat.session.session import Session
from tinychat.session.tree import Branch, Tree
from tinychat.tui.player import Player
from tinychat.tui.recorded import RecordedDecoder
from tinychat.tui.session_actions import SessionScreen


class ReplayScreen(SessionScreen):
    """While a replay runs or is paused, the player has a session that holds no more than what was shown."""

    _whole: Session | None = None  # the session of the file, while a replay stands in its place
    _stop = 0  # where the replay ends

    def action_run(self) -> None:
        if (player := self._recording()) is None:
            super().action_run()
        elif player.running:
            player.pause()
            self.say("paused; Esc shows all of it")
        elif self._begin(player):
            self.play_on(player)
        self.paint()

    def _step(self, count: int) -> None:
        if (player := self._recording()) is None:
            super()._step(count)
        elif self._begin(player):
            self.selected = None
            self.stream.end()
            player.step(count)
        self.paint()

    def action_stop(self) -> None:
        if self._whole is None or (self.player is not None and self.player.running):
            super().action_stop()
        else:
            self._finish()

    def action_undo(self) -> None:
        self._finish()
        super().action_undo()

    def action_redo(self) -> None:
        self._finish()
        super().action_redo()

    def action_previous_branch(self) -> None:
        self._finish()
        super().action_previous_branch()

    def action_next_branch(self) -> None:
        self._finish()
        super().action_next_branch()

    def action_tree(self) -> None:
        self._finish()
        super().action_tree()

    def resume(self, player: Player, *, cursor: int | None, draft: str) -> None:
        self._whole = None
        super().resume(player, cursor=cursor, draft=draft)

    def paint(self) -> None:
        super().paint()
        player = self.player
        if self._whole is None or player is None or player.running:
            return
        if len(player.session.tree) >= self._stop:
            self._finish(to_end=True)
            self.say("the end of the recording; Space replays it")

    def _recording(self) -> Player | None:
        """The player of a recording that can be replayed; None where there is an engine, or nothing."""
        player = self.player
        if player is None or not player.recorded:
            return None
        self.calm()
        return player

    def _begin(self, player: Player) -> bool:
        """Put the session as it was before the token at the cursor in place of the whole. False: nothing was drawn."""
        if self._whole is not None:
            return True
        whole, path = player.session, player.session.tree.path
        reply = whole.reply_at(self.position)
        start = self.position if self.stream.cursor is not None and self.position in reply else reply.start
        stop = next((at for at in range(start, reply.stop) if not path.packed.has(at)), reply.stop)
        if start >= stop or not isinstance(player.decoder, RecordedDecoder):
            self.say("nothing was drawn here that could be replayed")
            return False
        begun, shown = copy.copy(whole), path.fresh()
        shown.extend(path, start)
        begun.tree = Tree.restored([Branch(0, None, 0, shown)], current=0, undo=(), redo=())
        begun.tree.moves = whole.tree.moves + 1
        self._whole, self._stop, player.session = whole, stop, begun
        player.decoder.replay(path, stop, whole.settings)
        player.sync()
        return True

    def _finish(self, *, to_end: bool = False) -> None:
        """The whole session again, with the cursor where the replay was left."""
        player, whole = self.player, self._whole
        if player is None or whole is None:
            return
        at = len(player.session.tree) - 1
        whole.tree.moves = player.session.tree.moves + 1
        self._whole, player.session = None, whole
        assert isinstance(player.decoder, RecordedDecoder), "it was replayed by one"
        player.decoder.replay(whole.tree.path, 0, ())
        player.sync()
        self.paint_all()
        self.stream.aim(None if to_end else at)
        self.paint()
