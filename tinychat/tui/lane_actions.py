"""What other settings and other draws would make of the text: what-if, lanes side by side, the fan."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from tinychat import files
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.engine.wire import Answer
from tinychat.errors import TinychatError
from tinychat.session.words import encode_prompt
from tinychat.text.chat import PAUSE
from tinychat.text.terminal import clean
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui.actions import ActionScreen
from tinychat.tui.player import Player
from tinychat.tui.whatif import WhatIf
from tinychat.tui.wording import error_line

if TYPE_CHECKING:
    from tinychat.tui.fans import Ray
    from tinychat.tui.hosts import ModelHost
    from tinychat.tui.lanes import Lane
    from tinychat.tui.views.lanes import LanesScreen


class LaneScreen(ActionScreen):
    """The keys w, v and N."""

    what_if: WhatIf | None = None
    _turned = False  # a knob, while it ran: asked about as soon as it stands still
    compare_with: Path | None = None  # the checkpoint of lane B
    _other: ModelHost | None = None  # it stays open from one comparison to the next
    _other_path = Path()

    def set_params(self, params: SamplingParams) -> None:
        super().set_params(params)
        self._ask_what_if()

    def paint(self) -> None:
        self._forget_what_if()
        if self._turned:
            self._ask_what_if()
        if not getattr(self.app.screen, "COVERS", False):
            super().paint()

    def _ask_what_if(self) -> None:
        player = self.player
        self._turned = player is not None and player.running
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

    # the fan

    def action_fan(self) -> None:
        self.fan(8)

    def fan(self, count: int) -> None:
        """Continuations from the cursor on, or from the end."""
        player = self._still()
        if player is None:
            return
        position = max(self.position, player.session.reply_start)
        if position >= player.context:
            self.say("the context is full: go back some tokens first")
            return
        if player.session.ended_before(position):
            self.say("the text has ended here, and nothing follows its end: left, then N draws other ends")
            return
        from tinychat.tui.views.fan import FanView

        view = FanView(self.look, player, position, count=count, mode=self.stream.mode)

        def chosen(ray: Ray | None) -> None:
            if ray is None:
                self.paint_all()
            else:
                steps = [(step, view.params) for step in ray.steps]
                self.take_steps(position, steps, view.params, f"lane {ray.dart} is a branch now; u goes back")

        self.app.push_screen(view, chosen)

    # lanes side by side

    def action_compare(self) -> None:
        self.compare("" if self.compare_with is None else str(self.compare_with))

    def compare(self, model: str = "") -> None:
        """The text and a second lane that begins at the cursor, or where the reply does."""
        player = self._still()
        if player is None:
            return
        session, name = player.session, self.model_name
        if self.stream.cursor is None or self.position < session.reply_start:
            begin = session.reply_start
        else:
            begin = self.position
        from tinychat.tui.hosts import PlayerHost
        from tinychat.tui.lanes import Lane
        from tinychat.tui.views.compare import CompareView

        host = PlayerHost(player, name)
        lanes = [Lane.of_path(host, session, len(session.tree)), Lane.of_path(host, session, begin)]
        view = CompareView(
            self.look, lanes, rate=player.rate, max_tokens=session.max_tokens, mode=self.stream.mode,
            marks=self.stream.marks, budget=self.budget, open_model=self._open_model,
        )  # fmt: skip
        self.app.push_screen(view, self._compared)
        if model:
            view.call_after_refresh(self._open_model, view, model)

    def _still(self) -> Player | None:
        """The player, standing still, when its model can be asked."""
        player = self.ready()
        if player is None:
            return None
        if player.recorded:
            self.say("this is a recording: there is no model here to draw with")
            return None
        if player.running:
            player.pause()
        self.revive(player)
        return player

    def _compared(self, lane: Lane | None) -> None:
        if lane is None:
            self.paint_all()
        else:
            self.take_steps(lane.begun, lane.own(), lane.params, "the lane is a branch now; u goes back")

    def take_steps(
        self, position: int, steps: list[tuple[Step, SamplingParams]], params: SamplingParams, words: str
    ) -> None:
        """Make what was drawn elsewhere from `position` on the text, as a branch; the settings are `params` then."""
        player = self.player
        assert player is not None, "steps come of its model"
        player.session.rewind(position)
        for step, each in steps:
            player.session.chosen(step, each)
        player.set_params(params)
        player.sync()
        self.moved_to(words)

    def _open_model(self, view: LanesScreen, text: str) -> None:
        if not text:
            view.say("model needs a path, for example:  :model runs/small")
            return
        view.say(f"opening {clean(text, keep='')}")
        self.run_worker(self._use_model(view, Path(text).expanduser()), group="compare", exclusive=True)

    async def _use_model(self, view: LanesScreen, path: Path) -> None:
        player = self.player
        assert player is not None, "a comparison has a player"
        try:
            host = await self._host_of(player, path)
            lane = self._first_lane(player, host)
        except TinychatError as error:
            view.say(error_line(error))
            return
        except ValueError as error:
            view.say(str(error))
            return
        if self.app.screen is view:
            view.use(lane)
            view.say(f"lane of {clean(host.name, keep='')}: Space runs")

    async def _host_of(self, player: Player, path: Path) -> ModelHost:
        found, tokenizer, context = await asyncio.to_thread(_looked_into, path)
        if self._other is not None and self._other_path == found and self._other.alive:
            return self._other
        if self.restart is None:
            raise ValueError("another model needs a process of its own, and there can be none here")
        if self._other is not None:
            self._other.close()
        from tinychat.tui.hosts import ModelHost

        self._other_path = found
        self._other = ModelHost(found, player.session.machine, self.restart(), tokenizer, context=context)
        return self._other

    def _first_lane(self, player: Player, host: ModelHost) -> Lane:
        session = player.session
        if host.tokenizer.digest == session.tokenizer.digest:
            ids = list(session.tree.path.ids[: session.reply_start])
        elif sum(turn.role == "user" for turn in session.turns()) > 1:
            raise ValueError("its tokens are others: it can only answer the first message of a chat")
        else:
            pauses = session.pauses if PAUSE in host.tokenizer.specials else 0
            chat = session.mode == "chat"
            ids = encode_prompt(host.tokenizer, session.prompt, chat=chat, system=session.system, pauses=pauses)
        if len(ids) >= host.context:
            raise ValueError(f"the prompt has {len(ids)} of its tokens, its context holds {host.context}")
        from tinychat.tui.lanes import Lane

        return Lane.of_prompt(host, ids, session.params)


def _looked_into(path: Path) -> tuple[Path, Tokenizer, int]:
    """The checkpoint that a path means, its tokenizer and its context."""
    from tinychat.model.checkpoint import inspect, tokenizer_of

    found = files.find_checkpoint(path)
    info = inspect(found)
    return found, tokenizer_of(info), info.config.context
