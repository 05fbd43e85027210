"""Text that a person writes: prompts, messages, and what is changed in a text that is there already.

The prompt box serves all of them. While a text of the stream is revised in it, the draft that was there waits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from textual import on

from tinychat.session.given import given_by, given_now, warnings_of
from tinychat.session.rewrite import rewrite, spell
from tinychat.session.turns import turn_at
from tinychat.text.terminal import clean
from tinychat.tui import copying, editor
from tinychat.tui.player import Player
from tinychat.tui.recorded import NO_MODEL
from tinychat.tui.walking import BranchScreen
from tinychat.tui.widgets.prompt import PromptBox

KEPT = "stopped: the reply so far stays in the context"


@dataclass(frozen=True, slots=True)
class Revision:
    """A text of the stream in the prompt box: tokens `start` to `stop` of the path, `shown` as this."""

    what: Literal["reply", "user", "system"]
    start: int
    stop: int
    moves: int  # of the tree: another count means that the path is another one
    shown: str
    draft: str


_TITLES = {
    "reply": "the reply: Enter puts the change on a new branch, Esc leaves it",
    "user": "your message: Enter sends it anew, on a new branch",
    "system": "the system message: Enter sets it, Esc leaves it",
}


class WritingScreen(BranchScreen):
    """Submitting, revising, and the slash commands of a chat."""

    revision: Revision | None = None
    listen: Callable[[], None] = staticmethod(lambda: None)  # makes signals end the program again
    _submit_when_open = False  # Enter was quicker than the tokenizer

    def _perform(self, line: str) -> None:
        """Do what a command line says."""
        raise NotImplementedError

    @property
    def prompt_title(self) -> tuple[str, str]:
        if self.revision is not None:
            return "1 Revise", _TITLES[self.revision.what]
        if self.input_mode == "completion":
            return super().prompt_title
        said = "" if self.player is None else self.player.session.system
        system = " ".join(clean(said, keep="\n\t").split())
        if not system:
            return "1 Prompt", "chat: your message, /help"
        return "1 Prompt", f"chat | system: {system if len(system) <= 40 else system[:38] + '..'}"

    def paint(self) -> None:
        revision, player = self.revision, self.player
        if revision is not None and player is not None and player.session.tree.moves != revision.moves:
            self.prompt_box.remember(self.prompt_box.text)
            self.leave_revision()
            self.say("the text has changed under your hands; what you typed is under Up")
        super().paint()

    # the prompt box

    @on(PromptBox.Left)
    def _prompt_left(self) -> None:
        player = self.player
        if self.revision is not None:
            self.leave_revision()
            self.set_focus(None)
            self.say("left as it was")
        elif player is not None and player.running and player.session.mode == "chat":
            player.pause()
            self.say(f"{KEPT}; Esc again for keys")
            self.paint()
        else:
            self.set_focus(None)

    @on(PromptBox.Submitted)
    def _prompt_submitted(self, message: PromptBox.Submitted) -> None:
        self.submit(message.text)

    def action_run_anywhere(self) -> None:
        if self.revision is not None:
            self.submit(self.prompt_box.text)
        if self.editing and self.player is not None and not len(self.player.session.tree):
            self.submit(self.prompt_box.text)
        else:
            self.action_run()

    def submit(self, text: str) -> None:
        """What Enter does with the text of the box."""
        player = self.player
        self.calm()
        if player is None:
            self._submit_when_open = True
            self.say("runs as soon as the model is open")
        elif self.revision is not None:
            self._revise(player, self.revision, text)
        elif player.recorded and not text.startswith("/"):
            self.say(NO_MODEL, "warn")
        elif player.session.mode == "completion":
            self._complete(player, text)
        elif text.startswith("/") and not text.startswith("//"):
            self._slash(text)
        elif text.strip():
            self.prompt_box.remember(text)
            self.prompt_box.load_text("")
            self._say_to_model(player, text.removeprefix("/"))
        else:
            self.say("type a message first")

    def _complete(self, player: Player, text: str) -> None:
        session = player.session
        seed = session.params.seed
        session.complete(text)
        self.prompt_box.remember(text)
        self.set_focus(None)
        if session.params.seed != seed:
            self.notice = (f"new seed {session.params.seed}; the old reply stays a branch", "strong")
        self.answer(player, text)

    def _say_to_model(self, player: Player, text: str) -> None:
        if player.running:
            player.pause()
        player.session.say(text)
        self.answer(player, text)

    def answer(self, player: Player, text: str) -> None:
        """Draw the reply to a prompt or message that is on the path now; what is odd about it is told."""
        session = player.session
        ids = session.tree.path.ids
        warnings = warnings_of(session, text, ids, context=player.context, reply=session.reply_length)
        if warnings:
            more = f" (and {len(warnings) - 1} more: s)" if len(warnings) > 1 else ""
            self.notice = (copying.plain(warnings[0] + more), "dart")
        player.set_params(session.params)
        player.sync()
        self.play_on(player)
        self.paint_all()

    def _slash(self, text: str) -> None:
        """A command typed into the chat: it stays in the box while it is wrong."""
        assert self.player is not None, "looked at before"
        from tinychat.tui import commands

        session = self.player.session
        try:
            line = commands.from_slash(text)
            commands.parse(line, session.params, vocab_size=session.tokenizer.vocab_size)
        except ValueError as error:
            self.say(f"{error}  (a message that begins with / is typed with //)", "warn")
            return
        self.prompt_box.remember(text)
        self.prompt_box.load_text("")
        self._perform(line)

    # starting anew

    def action_new(self) -> None:
        self.calm()
        if self.player is not None:
            session = self.player.session
            session.clear()
            self.player.sync()
            if self.prompt_box.text == session.prompt:
                self.prompt_box.select_all()  # what is typed now is another prompt
            self.moved_to("an empty context; u goes back")

    def action_mode(self) -> None:
        self.calm()
        player = self.player
        if player is None:
            return
        session = player.session
        if not session.tokenizer.has_chat:
            self.say("this model knows no chat roles")
            return
        session.mode = "completion" if session.mode == "chat" else "chat"
        had = len(session.tree)
        if had:
            session.clear()
            player.sync()
        self.moved_to(f"{session.mode}; u brings the old text back" if had else session.mode)

    # revising

    def action_revise(self) -> None:
        """The text at the cursor into the box: the reply, a message, or the prompt."""
        player = self.ready()
        if player is None:
            return
        if player.running:
            player.pause()
        session, position = player.session, self.position
        turns = session.turns()
        if (turn := turn_at(turns, position) or (turns[0] if turns else None)) is not None:
            what: Literal["reply", "user", "system"] = "reply" if turn.role == "assistant" else turn.role
            self._open_revision(player, what, turn.body, turn.stop)
        elif position >= session.reply_start and session.reply_length:
            stop, ids = len(session.tree), session.tree.path.ids
            while stop > session.reply_start and ids[stop - 1] in session.tokenizer.end_ids:
                stop -= 1
            self._open_revision(player, "reply", session.reply_start, stop)
        else:
            ids = session.tree.path.ids[1 : session.reply_start]
            self._load(ids, position - 1)
            self.action_edit()

    def action_revise_message(self) -> None:
        """The last message of the person, wherever the cursor is."""
        self.calm()
        player = self.player
        turns = [] if player is None else [turn for turn in player.session.turns() if turn.role == "user"]
        if player is None or not turns:
            self.say("there is no message of yours yet")
            return
        if player.running:
            player.pause()
        self._open_revision(player, "user", turns[-1].body, turns[-1].stop)

    def action_revise_system(self) -> None:
        """The system message, that of the conversation or of the next one."""
        self.calm()
        if self.player is not None:
            self._open_revision(self.player, "system", 0, 0)

    def _open_revision(self, player: Player, what: Literal["reply", "user", "system"], start: int, stop: int) -> None:
        if player.recorded:
            self.say(NO_MODEL, "warn")
            return
        session = player.session
        draft = self.prompt_box.text if self.revision is None else self.revision.draft
        ids = session.tree.path.ids[start:stop]
        if what == "system":
            shown = clean(session.system)
            self._load_text(shown, len(shown))
        else:
            shown = self._load(ids, self.position - start)
        self.revision = Revision(what, start, stop, session.tree.moves, shown, draft)
        self.prompt_box.recalls = False
        self.action_edit()
        self.lay_out()

    def _load(self, ids: Sequence[int], cursor: int) -> str:
        """These tokens as text into the box, the caret before one of them; the text."""
        assert self.player is not None, "tokens come with a player"
        pieces = spell(self.player.session.tokenizer, ids).pieces
        text, starts = "".join(pieces), list(accumulate(map(len, pieces), initial=0))
        at = starts[min(max(cursor, 0), len(ids))]
        self._load_text(text, at + 1 if 0 < at < len(text) and text[at] == " " else at)
        return text

    def _load_text(self, text: str, caret: int) -> None:
        self.prompt_box.load_text(text)
        before = text[:caret]
        self.prompt_box.move_cursor((before.count("\n"), len(before) - before.rfind("\n") - 1))

    def leave_revision(self) -> None:
        """The box is for prompts again, and holds the draft that waited."""
        if self.revision is not None:
            self.prompt_box.load_text(self.revision.draft)
            self.prompt_box.move_cursor(self.prompt_box.document.end)
            self.prompt_box.recalls = True
            self.revision = None
            self.lay_out()

    def _revise(self, player: Player, revision: Revision, text: str) -> None:
        session = player.session
        turn = turn_at(session.turns(), revision.start)
        if text == revision.shown:
            self.leave_revision()
            self.set_focus(None)
            self.say("nothing changed")
        elif revision.what == "system":
            self.leave_revision()
            self.set_system(text.strip())
        elif revision.what == "reply":
            self._revise_reply(player, revision, text)
        elif not text.strip() or turn is None:
            self.say("a message needs some text; Esc leaves it as it was")
        else:
            self.leave_revision()
            session.say_instead(turn, text)
            self.set_focus(None)
            self.say("sent anew on a new branch; u goes back to the old conversation")
            self.answer(player, text)

    def _revise_reply(self, player: Player, revision: Revision, text: str) -> None:
        session = player.session
        found = rewrite(session.tokenizer, session.tree.path.ids[revision.start : revision.stop], text)
        position = revision.start + found.keep
        if position + len(found.ids) > player.context:
            self.say(f"{position + len(found.ids)} tokens, the model holds {player.context}: shorten the text", "warn")
            return
        later = bool(session.turns()) and session.turns()[-1].start > revision.start
        self.leave_revision()
        self.set_focus(None)
        self.revive(player)
        player.write(position, found.ids)
        words = f"{len(found.ids)} tokens of yours from token {found.keep + 1} on" if found.ids else "cut"
        if found.plain:
            words += f", {found.plain[0]} as plain characters"
        self.moved_to(f"{words}; Space goes on, u goes back" + (" to the later turns" if later else ""))

    def set_system(self, text: str) -> None:
        """Another system message, for the conversation in hand or the next one."""
        player = self.player
        if player is None:
            return
        if player.recorded:
            self.say(NO_MODEL, "warn")
            return
        session = player.session
        if text == session.system and (not text or not session.turns() or session.turns()[0].role == "system"):
            self.say("that is the system message already" if text else "there is no system message")
            return
        if player.running:
            player.pause()
        what = "system message set" if text else "no system message any more"
        if session.set_system(text):
            player.sync()
            self.moved_to(f"{what}: the conversation goes on under it, ^r answers anew; u goes back")
        else:
            self.paint_all()
            self.say(f"{what}, for the next chat" if session.mode == "chat" else f"{what}, for a chat: m")

    # the editor

    def action_editor(self) -> None:
        """The text of the box in the person's own editor."""
        self.calm()
        try:
            text = self._edited(editor.editor_of(os.environ), self.prompt_box.text)
        except ValueError as error:
            self.say(str(error), "warn")
            return
        changed = text != self.prompt_box.text
        if changed:
            self._load_text(text, len(text))
        self.action_edit()
        self.say("Enter runs it" if changed else "nothing changed")

    def _edited(self, command: list[str], text: str) -> str:
        return editor.edit_outside(self.app, command, text, listen=self.listen)

    # what the model is given

    def action_given(self) -> None:
        self.calm()
        player = self.player
        if player is None:
            self.say("the model is being opened")
            return
        session = player.session
        draft = self.prompt_box.text if self.revision is None else self.revision.draft
        now = given_now(session, context=player.context)
        then = given_by(session, draft, context=player.context)
        if now is None and then is None:
            self.say("nothing yet: i types a message")
            return
        roles = {session.tokenizer.specials.get(f"<|{role}|>") for role in ("system", "user", "assistant")}
        from tinychat.tui.views.given import GivenView

        self.app.push_screen(
            GivenView(
                self.look, now=now, draft=then, context=player.context, label=self.label_of,
                breaks=lambda token: token in roles,
            )
        )  # fmt: skip
