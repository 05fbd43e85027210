"""The turns of a chat, read off its tokens: who speaks, and where the message stands.

Only role tokens that were given open a turn: one that the model draws is part of what it said.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tinychat.session.tree import PROMPT, Column
from tinychat.text.chat import ROLES, Role
from tinychat.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. Positions count from the first token of the path."""

    role: Role
    start: int  # the role token
    body: int  # the first token of the message
    stop: int  # behind the last one of the message
    end: int  # behind the token that closes the turn, where there is one


def turns_of(path: Column, tokenizer: Tokenizer) -> list[Turn]:
    """The turns of a path in order; none where it is no chat."""
    if not tokenizer.has_chat:
        return []
    roles: dict[int, Role] = {tokenizer.specials[f"<|{role}|>"]: role for role in ROLES}
    starts = [at for at, token in enumerate(path.ids) if token in roles and path.kinds[at] == PROMPT]
    found = []
    for start, end in pairwise([*starts, len(path)]):
        stop = end
        while stop > start + 1 and path.ids[stop - 1] in tokenizer.end_ids:
            stop -= 1
        found.append(Turn(roles[path.ids[start]], start, start + 1, stop, end))
    return found


def turn_at(turns: list[Turn], position: int) -> Turn | None:
    """The turn that a position stands in; the last one from the end of the path on."""
    return next((turn for turn in reversed(turns) if turn.start <= position), None)
