"""A session's path as a text, a document or data: txt, md, json, jsonl; html is html_page.py.

txt and md hold what a screen shows, made safe by the same filter; json and jsonl hold the exact bytes, and every token
in the shape of token_json.py with the text that appeared with it.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

from tinychat import __version__
from tinychat.session.branches import Branches
from tinychat.session.html_page import html_page
from tinychat.session.recall import Recording
from tinychat.session.replay import command
from tinychat.session.session import Session
from tinychat.session.token_json import token_record
from tinychat.session.transcript import HEADERS, pieces, whole_text
from tinychat.session.tree import KIND_NAMES, PROMPT, Tree
from tinychat.text.terminal import CleanStream, clean, one_line

SCHEMA = "tinychat.transcript/1"
FORMATS = {
    "txt": "the text as it is seen",
    "md": "a document: text, model and command",
    "html": "a web page that needs nothing else: colours, and the odds of every token",
    "json": "all of it as data, one object: for scripts, Excel and other spreadsheets",
    "jsonl": "the same, a line a token: for pandas, jq",
}
BEGINNING = 24  # tokens that tell a branch from another
WITH_CANDIDATES = ("html", "json", "jsonl")


def export(recording: Recording, kind: str, *, candidates: int = 10) -> Iterator[str]:
    """The path the session stands on, in pieces of text to write one after the other."""
    session = recording.session
    if kind == "txt":
        yield CleanStream().push(whole_text(session)) + "\n"
    elif kind == "md":
        yield from _markdown(recording)
    elif kind == "html":
        yield from html_page(recording, candidates=candidates)
    elif kind == "json":
        yield _dump(_facts(recording))[:-1] + ', "tokens": ['  # token by token: together they take much memory
        for at, record in enumerate(_tokens(session, candidates)):
            yield (", " if at else "") + _dump(record)
        yield "]}\n"
    else:
        assert kind == "jsonl", kind
        yield _dump(_facts(recording)) + "\n"
        for record in _tokens(session, candidates):
            yield _dump(record) + "\n"


def branch_lines(session: Session) -> Iterator[str]:
    """A table of the branches that have text: number, where it parts, tokens of its own, how those begin.

    Places are counted from the reply's first token, and tokens without the prompt's, as the playground does. The one
    that the session stands on has a star.
    """
    tree, tokenizer = session.tree, session.tokenizer
    branches = Branches(tree)
    for branch in tree.written():
        star = "*" if branch.number == tree.current else " "
        given = branch.own.kinds[0] == PROMPT
        parts = "prompt" if given else f"@{branches.place_in_reply(branch)}"
        place = "root" if branch.parent is None else f"{branch.parent} {parts}"
        tokens = branches.sums(branch.number).tokens
        begins = " ".join(tokenizer.decode(branch.own.ids[:BEGINNING]).split())
        label = f"{branch.label}: " if branch.label else ""
        yield f"{branch.number:>5}{star} {place:>12} {tokens:>7} tokens  {label}{begins[:60]}"


def still(session: Session) -> Session:
    """The session as it is now, to be read by another thread while this one goes on."""
    tree, taken = session.tree, copy.copy(session)
    taken.tree = Tree.restored(list(tree.branches), current=tree.current, undo=tree.undo_path, redo=tree.redo_path)
    taken.settings = list(session.settings)
    return taken


def turns(session: Session) -> list[tuple[str, str]]:
    """Who said what: system, you and model in a chat, prompt and reply in a completion."""
    path, names = session.tree.path, {number: name for name, number in session.tokenizer.specials.items()}
    found: list[tuple[str, list[int]]] = []
    for token, kind in zip(path.ids, path.kinds, strict=True):
        name = names.get(token, "")
        if kind == PROMPT and name in HEADERS:
            found.append((HEADERS[name].strip(), []))
            continue
        in_chat = bool(found) and found[-1][0] not in ("prompt", "reply")
        speaker = found[-1][0] if in_chat else "prompt" if kind == PROMPT else "reply"
        if not found or found[-1][0] != speaker:
            found.append((speaker, []))
        found[-1][1].append(token)
    said = [(speaker, clean(session.tokenizer.decode(ids))) for speaker, ids in found]
    return [(speaker, text) for speaker, text in said if text]


def _markdown(recording: Recording) -> Iterator[str]:
    session, summary = recording.session, recording.summary
    tally = session.tally()
    yield f"# {_plain(summary.words) or 'tinychat'}\n\n"
    model = one_line(summary.source.path or str(session.model) or "the shipped model")
    yield f"- model: {_code(model)}, step {summary.source.step}, digest {_code(summary.source.digest[:12] or '?')}\n"
    yield f"- saved: {_code(one_line(summary.saved))} by tinychat {__version__}\n"
    mean = f", {tally.bits / tally.tokens:.2f} bits a token" if tally.tokens else ""
    yield f"- reply: {tally.tokens} tokens{mean}, {tally.forced} forced, {tally.knob_moves} changes of settings\n\n"
    for speaker, text in turns(session):
        yield f"**{speaker}**\n\n{_fenced(CleanStream().push(text))}\n"
    yield f"The same tokens again:\n\n{_fenced(one_line(command(session)), 'sh')}"


def _fenced(text: str, language: str = "text") -> str:
    """A code block that no text can close."""
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def _plain(text: str) -> str:
    """Text that Markdown does not read as anything else."""
    return "".join("\\" + char if char in "\\`*_{}[]<>()#+-.!|~&:/@" else char for char in one_line(text))


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def _facts(recording: Recording) -> dict[str, Any]:
    session, summary, source = recording.session, recording.summary, recording.source
    return {
        "schema": SCHEMA,
        "tinychat": __version__,
        "saved": summary.saved,
        "name": summary.name,
        "model": {"path": source.path, "digest": source.digest, "step": source.step},
        "tokenizer": session.tokenizer.digest,
        "mode": session.mode,
        "prompt": session.prompt,
        "system": session.system,
        "branch": session.tree.current,
        "settings": [params.to_dict() for params in session.settings],
        "command": command(session),
        "dropped": recording.dropped,
    }


def _tokens(session: Session, candidates: int) -> Iterator[dict[str, Any]]:
    tree, tokenizer = session.tree, session.tokenizer
    for at, text in enumerate(pieces(session)):
        token, kind, step = tree.path.ids[at], tree.path.kinds[at], tree.step(at)
        if step is not None:
            record = token_record(step, tokenizer, trace=candidates)
        else:
            record = {
                "position": at,
                "id": token,
                "token": tokenizer.label(token),
                "bytes": base64.b64encode(tokenizer.token_bytes(token)).decode(),
            }
        record |= {"kind": KIND_NAMES[kind], "text": text}
        yield record if kind == PROMPT else record | {"setting": tree.path.setting[at]}


def _dump(record: dict[str, Any]) -> str:
    # escaped to ASCII; DEL is the one sign that json leaves and a terminal obeys
    return json.dumps(record, allow_nan=False).replace("\x7f", "\\u007f")
