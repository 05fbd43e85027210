"""Sessions coming onto the play screen and leaving it: a new one, a saved one, and what is written at the end.

Nothing here paints. A saved session is read before this is called, in a thread, by session/reopen.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from tinychat.errors import TinychatError
from tinychat.session.autosave import Autosave
from tinychat.session.record import Source
from tinychat.session.reopen import Reopened, is_ours, machine_for, reopen
from tinychat.session.saved import cut_off
from tinychat.session.session import Session
from tinychat.tui.keeping import Keeper, farewell
from tinychat.tui.opening import Opening, command_name
from tinychat.tui.player import Decoder, Player
from tinychat.tui.recorded import RecordedDecoder
from tinychat.tui.screen import PlayScreen
from tinychat.tui.wording import clock_time, error_line


class Reopening:
    """What is open on a play screen. `restart` makes another decoder when there is none with an engine."""

    def __init__(self, screen: PlayScreen, opening: Opening, restart: Callable[[], Decoder] | None) -> None:
        self._screen = screen
        self._opening = opening
        self._restart = restart
        screen.reopen = self.switch

    def start(self, session: Session) -> None:
        """A new session with the model of the opening."""
        opening, screen = self._opening, self._screen
        assert opening.path is not None, "a new session needs a model"
        player = Player(session, screen.decoder, context=opening.context, rate=opening.rate)
        player.open(str(opening.path), machine=opening.machine, end_ids=session.tokenizer.end_ids)
        screen.begin(player)
        source = Source(
            path=str(opening.path.resolve()), digest=opening.digest, step=opening.step, context=opening.context,
            machine=opening.machine,
        )  # fmt: skip
        screen.source = source
        self._keep(Autosave(source, done=self._done()), player)
        with contextlib.suppress(TinychatError):
            if (lost := cut_off()) is not None:
                when = clock_time(lost.saved)
                screen.say(f"'{lost.words[:30]}' was cut off {when}: ^o, then Enter, reopens it", "dart")

    def resume(self, reopened: Reopened) -> None:
        """A saved session, as it stood, in place of what is on the screen."""
        recording, model, screen = reopened.recording, reopened.model, self._screen
        session, summary, old = recording.session, recording.summary, screen.player
        machine = machine_for(recording, self._opening.machine)
        session.machine = machine
        if model is not None:
            session.model = command_name(model.path)
        decoder = self._decoder(session, recorded=model is None)
        longest = max(branch.length for branch in session.tree.branches)
        context = max(summary.source.context, longest) if model is None else model.config.context
        rate = self._opening.rate if old is None else old.rate
        player = Player(session, decoder, context=context, rate=rate)
        player.recorded = model is None
        if old is not None:
            session.tree.moves = max(session.tree.moves, old.session.tree.moves + 1)  # the screen knows trees by it
        screen.model_name = model.path.name if model is not None else Path(summary.source.path).name or "a recording"
        screen.model_context = player.context
        where = str(model.path) if model is not None else ""
        player.open_or_go_on(where, machine=machine, end_ids=session.tokenizer.end_ids, old=old)
        screen.resume(player, cursor=recording.cursor, draft=recording.draft)
        words = [reopened.notice]
        if model is not None:
            source = Source(
                path=str(model.path.resolve()), digest=model.digest, step=model.step, context=context, machine=machine
            )
            screen.source = source
            kept = not recording.dropped or recording.unfinished  # what is left of a cut file stays as it is
            ours = is_ours(summary.path) and kept
            saver = Autosave(
                source, path=summary.path if ours else None, name=summary.name if ours else "", was_open=summary.open,
                read=None if recording.file is None else (recording.file, session), done=self._done(),
            )  # fmt: skip
            self._keep(saver, player)
            if saver.is_copy:
                words.append("open in another tinychat: this is a copy")
        else:
            screen.source, screen.keeper = recording.source, None
        bad = not all(words) or bool(words[0])
        shown = ". ".join(filter(None, words))
        screen.say(shown or f"reopened {summary.name or summary.words[:40]}", "warn" if shown and bad else "strong")

    async def switch(self, path: Path) -> None:
        """Save and close the session on the screen, and open this one. Said on the screen if it cannot be."""
        screen = self._screen
        old = screen.keeper
        if old is not None and old.saver.path == path:
            screen.say("that is the session on the screen")
            return
        known = [] if self._opening.path is None else [self._opening.path]
        try:
            reopened = await asyncio.to_thread(reopen, path, None, known=known)
        except TinychatError as error:
            screen.say(error_line(error), "warn")
            return
        if screen.player is not None and screen.player.running:
            screen.player.pause()
        if old is not None and screen.keeper is old:
            old.finish()
            if (failure := old.saver.failure) is not None:
                assert screen.player is not None, "a keeper has a player"
                saver = Autosave(old.saver.source, path=old.saver.path, name=old.saver.name, done=self._done())
                self._keep(saver, screen.player)
                screen.say(f"the session on the screen cannot be saved, so it stays: {error_line(failure)}", "warn")
                return
        self.resume(reopened)

    def farewell(self, *, cut_off: bool = False) -> tuple[str, str]:
        """Save for the last time; two lines for a person, or none. `cut_off`: it was ended from outside."""
        keeper = self._screen.keeper
        return ("", "") if keeper is None else farewell(keeper, cut_off=cut_off)

    def _decoder(self, session: Session, *, recorded: bool) -> Decoder:
        screen = self._screen
        if recorded:
            screen.use_decoder(RecordedDecoder(session))
        elif isinstance(screen.decoder, RecordedDecoder) or not screen.decoder.alive:
            assert self._restart is not None, "an engine can be started"
            screen.use_decoder(self._restart())
        return screen.decoder

    def _keep(self, saver: Autosave, player: Player) -> None:
        screen = self._screen
        screen.keeper = Keeper(saver, player, cursor=lambda: screen.stream.cursor, draft=lambda: screen.prompt_box.text)

    def _done(self) -> Callable[[], None]:
        """What the writer calls from its thread: the screen shows it as soon as it can."""
        loop = asyncio.get_running_loop()

        def done() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nothing is shown any more
                loop.call_soon_threadsafe(self._screen.kept)

        return done
