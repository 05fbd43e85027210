"""A place in the text of a session, as a question to the engine names it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tinychat.session.session import Session
from tinychat.session.tree import PROMPT


def place_of(session: Session, position: int) -> dict[str, Any]:
    """All before the token at `position` of the path: ids, prompt_len, and the samplers' state there, plain for JSON.

    prompt_len is what it was when that token was drawn: in a conversation all up to the turn it belongs to.
    """
    path = session.tree.path
    last = session.tree.step(position - 1) if position else None
    return {
        "ids": list(path.ids[:position]),
        "prompt_len": path.kinds.rfind(PROMPT, 0, position) + 1,
        "state": None if last is None else asdict(last.state),
    }
