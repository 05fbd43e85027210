"""The third line of a session file (record.py), and of its sections: all but the tokens, read with care."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from tinychat.engine.params import SamplingParams
from tinychat.session.first_line import Summary
from tinychat.session.found import read_found
from tinychat.session.session import Session
from tinychat.session.tools import read_tools
from tinychat.session.tree import Branch, Tree
from tinychat.session.values import Wrong, is_whole, params_of, text_of, whole_of
from tinychat.text.tokenizer import Tokenizer

MAX_TOKENS = 5_000_000
Hung = tuple[int | None, int, int]  # of a branch: parent, fork, tokens of its own


def places_of(record: dict[str, Any]) -> list[Hung]:
    """The branches. Wrong for what is no tree at all; whether it hangs together is looked at when it is made."""
    rows = record.get("tree")
    if not isinstance(rows, list) or not rows:
        raise Wrong("there is no tree")
    places: list[Hung] = []
    for row in rows:
        if not (isinstance(row, list) and len(row) == 3 and all(is_whole(each) for each in row[1:])):
            raise Wrong("a branch is not [parent, fork, length]")
        parent, fork, length = row
        if parent is not None and not is_whole(parent):
            raise Wrong("a branch has a parent that is no number")
        places.append((parent, fork, length))
    if sum(length for _, _, length in places) > MAX_TOKENS:
        raise Wrong(f"the tree has more than {MAX_TOKENS} tokens")
    return places


def annotate(branches: list[Branch], notes: object) -> None:
    """Labels and the like, onto their branches; those of branches that were cut off are left out."""
    if not isinstance(notes, dict):
        raise Wrong("notes must be an object")
    for branch in branches:
        if (known := notes.get(str(branch.number))) is None:
            continue
        if not isinstance(known, dict):
            raise Wrong(f"the notes on branch {branch.number} must be an object")
        branch.label, branch.stop = (text_of(known, key) if key in known else "" for key in ("label", "stop"))
        branch.hidden = known.get("hidden") is True


def session_of(
    state: dict[str, Any],
    summary: Summary,
    tokenizer: Tokenizer,
    settings: Sequence[SamplingParams],
    tree: Tree,
    *,
    whole: bool,
) -> Session:
    """The session around a tree, as the state says; if that is not `whole`, what searches found may be cut off."""
    session = Session(
        tokenizer,
        params=params_of(state.get("params"), "params"),
        model=text_of(state, "model"),
        machine=summary.source.machine,
        chat=summary.mode == "chat",
        max_tokens=whole_of(state, "max_tokens"),
        fixed_seed=state.get("fixed_seed") is True,
        pauses=whole_of(state, "pause_tokens") if "pause_tokens" in state else 0,
    )
    session.prompt, session.system = text_of(state, "prompt"), text_of(state, "system")
    for params in settings:
        session.setting(params)
    session.tree = tree
    try:
        if "tools" in state:
            session.tools = read_tools(state["tools"], vocab_size=tokenizer.vocab_size)
        found = state.get("found", [])
        if not isinstance(found, list):
            raise ValueError("what searches found must be a list")
        for each in found:
            with contextlib.suppress(*(() if whole else (ValueError,))):
                session.found.append(read_found(each, tree, settings))
    except ValueError as error:
        raise Wrong(str(error)) from None
    return session
