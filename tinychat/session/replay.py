"""The exact command that draws the same tokens again, in a shell, without the screen.

Positions count the tokens of the reply from 0, as `tinychat sample --at` and `--force` do.
"""

from __future__ import annotations

import shlex
from dataclasses import replace

from tinychat.session.found import search_flags, tail_of
from tinychat.session.session import Session
from tinychat.session.spelling import changed_settings, settings_flags
from tinychat.text.chat import PAUSE, Message, render


def command(session: Session) -> str:
    """`tinychat sample ...` for the reply there is; for an empty reply, for the next one."""
    words = ["tinychat", "sample"]
    if session.model:
        words += ["-m", str(session.model)]
    found = tail_of(session.found, session.tree.path.ids, session.reply_start)
    drawn = session.reply_length if found is None else found.start - session.reply_start  # and then searched for
    count = session.reply_length or session.max_tokens if found is None else drawn + found.spec.max_tokens
    machine = session.machine if drawn or found is None else replace(session.machine, speculation=None, draft=None)
    words += machine.flags()
    words += _prompt(session)
    base, changes = session.reply_settings()
    if found is not None:
        base = base if drawn else found.params
        changes = [(index, params) for index, params in changes if index < drawn]
        before = changes[-1][1] if changes else base
        if found.params != before:
            changes.append((drawn, found.params))
    words += ["--seed", str(base.seed), "-n", str(count)]
    if _goes_past_an_end(session):
        words.append("--past-end")
    words += settings_flags(base)
    before = base
    for index, params in changes:
        words += ["--at", f"{index}:{changed_settings(before, params)}"]
        before = params
    for index, token in session.forced():
        if index < drawn:
            words += ["--force", f"{index}={token}"]
    for index, lane in session.lanes():
        if index < drawn:
            words += ["--lane", f"{index}:{lane}"]
    if found is not None:
        words += search_flags(found.spec)
        words += ["--search-after", str(drawn)] * bool(drawn)
        words += ["--hypothesis", str(found.rank)] * bool(found.rank)
    return shlex.join(words)


class LastCommand:
    """The command of a session that is asked for with every key: made again only when something changed."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._words = ""

    def of(self, session: Session) -> str:
        """As `command`."""
        tree = session.tree
        key = (
            id(session), tree.moves, len(tree), len(session.found), session.params, session.model, session.machine,
            session.mode, session.prompt, session.system, session.max_tokens,
        )  # fmt: skip
        if key != self._key:
            self._key, self._words = key, command(session)
        return self._words


def _goes_past_an_end(session: Session) -> bool:
    """Whether a person ran on where the model had ended."""
    reply = session.tree.path.ids[session.reply_start : -1]
    return any(reply.count(token) for token in session.tokenizer.end_ids)


def _prompt(session: Session) -> list[str]:
    """The prompt as text where that gives these very ids, else as ids: a cut or a second turn has no text form."""
    given = list(session.tree.path.ids[: session.reply_start])
    if session.mode == "chat":
        turns = [Message("system", session.system)] if session.system else []
        asked = [*turns, Message("user", session.prompt)]
        # said also where there are none: a model trained with pauses would bring its own
        has_pauses = PAUSE in session.tokenizer.specials
        if not given or given == render(asked, session.tokenizer, reply=True, pauses=session.pauses).ids:
            system = ["--system", session.system] if session.system else []
            pauses = ["--pause-tokens", str(session.pauses)] if has_pauses else []
            return ["--chat", *system, *pauses, "-p", session.prompt]
    elif not given or given == session.tokenizer.encode_document(session.prompt):
        return ["-p", session.prompt]
    return ["--prompt-ids", ",".join(str(token) for token in given)]
