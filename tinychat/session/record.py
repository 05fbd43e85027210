"""A session as one file that opens anywhere, without the model: JSON lines.

    1      schema, version of tinychat, time, name, the model's path, digest and step, and what a list shows
    2      the tokenizer's whole JSON, deflated (token_lines.py)
    3      prompt, system message, all settings by number, the branches, where we stand and undo leads, breakpoints
    ...    runs of tokens, branch by branch (token_lines.py)
    last   how many lines there were, and their SHA-256

Behind the last line there may be sections that were added later (growing.py). `save` replaces the file in one move, so
a killed writer leaves the old one. `snapshot` takes what there is at once, so that it can be written by another thread
while the session goes on. Reading is recall.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tinychat import __version__, files
from tinychat.engine import packing
from tinychat.engine.machine import Machine
from tinychat.session.session import Session
from tinychat.session.token_lines import RUN, deflate, write_run
from tinychat.session.transcript import Speller
from tinychat.session.tree import PROMPT, Branch, Column
from tinychat.text.tokenizer import Tokenizer

SCHEMA = "tinychat.session/2"
READS = ("tinychat.session/1", SCHEMA)  # the first had no sections
RUN_BEGINS = b'{"branch":'  # how a line of tokens begins
FIRST_WORDS = 60  # characters of a list


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The model a session was made with: enough to find it again, and to tell another one from it."""

    path: str = ""
    digest: str = ""
    step: int = 0
    context: int = 0  # tokens it can hold; 0: not known
    machine: Machine = field(default_factory=Machine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A session at one moment. Columns only ever grow, so what was there is read up to the lengths of then."""

    first: dict[str, Any]
    state: dict[str, Any]
    tokenizer: Tokenizer
    runs: tuple[tuple[int, int, Column], ...]  # branch, tokens of its own, and these


def snapshot(
    session: Session,
    source: Source,
    *,
    cursor: int | None = None,
    draft: str = "",
    name: str = "",
    going: bool = False,
    now: datetime | None = None,
) -> Snapshot:
    """What there is now. Quick: nothing is packed or copied but lists of branches and settings.

    `draft` is what stands in the prompt box; `going` says that a screen still has the session open.
    """
    tree = session.tree
    first = {
        "schema": SCHEMA,
        "tinychat": __version__,
        "packing": packing.VERSION,
        "saved": (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        "name": name,
        "open": going,
        "model": {"path": source.path, "digest": source.digest, "step": source.step, "context": source.context},
        "machine": source.machine.to_dict(),
        "mode": session.mode,
        "tokens": sum(len(branch.own) for branch in tree.branches),
        "branches": len(tree.written()),
        "words": first_words(session),
    }
    state = state_of(session, cursor=cursor, draft=draft)
    runs = tuple((branch.number, len(branch.own), branch.own) for branch in tree.branches)
    return Snapshot(first=first, state=state, tokenizer=session.tokenizer, runs=runs)


def state_of(session: Session, *, cursor: int | None = None, draft: str = "") -> dict[str, Any]:
    """The third line: all but the tokens."""
    tree = session.tree
    return {
        "model": str(session.model),
        "prompt": session.prompt,
        "system": session.system,
        "pause_tokens": session.pauses,
        "max_tokens": session.max_tokens,
        "fixed_seed": session.fixed_seed,
        "params": session.params.to_dict(),
        "settings": [params.to_dict() for params in session.settings],
        "tree": [_place(branch) for branch in tree.branches],
        "notes": {str(branch.number): notes for branch in tree.branches if (notes := _notes(branch))},
        "current": tree.current,
        "undo": list(tree.undo_path),
        "redo": list(tree.redo_path),
        "cursor": cursor,
        "draft": draft,
        **({"tools": tools} if (tools := session.tools.to_dict()) else {}),
        **(
            {"found": found}
            if (found := [each.to_dict(session.setting(each.params)) for each in session.found])
            else {}
        ),
    }


def save(
    session: Session,
    path: Path,
    *,
    source: Source | None = None,
    cursor: int | None = None,
    draft: str = "",
    name: str = "",
    now: datetime | None = None,
) -> None:
    """Write the session as a whole, in place of what was there. StorageError leaves the old file untouched."""
    write(snapshot(session, source or Source(), cursor=cursor, draft=draft, name=name, now=now), path)


def write(taken: Snapshot, path: Path) -> None:
    """Write a snapshot. StorageError as of save."""
    files.write_atomic(path, _sealed(lines(taken)))


def lines(taken: Snapshot) -> Iterator[bytes]:
    """All lines but the last."""
    yield line(taken.first)
    text = taken.tokenizer.to_json().encode()
    yield line({"tokenizer": deflate(text), "bytes": len(text), "digest": taken.tokenizer.digest})
    yield line(taken.state)
    for number, length, own in taken.runs:
        yield from runs(number, own, 0, length)


def runs(number: int, own: Column, first: int, stop: int) -> Iterator[bytes]:
    """The tokens of a branch from `first` to `stop`, as lines."""
    for start in range(first, stop, RUN):
        yield line({"branch": number, "start": start, **write_run(own, start, min(start + RUN, stop))})


def seal(count: int, digest: str, *, at: int = 0) -> bytes:
    """The last line: so many stand above it, with this digest; `at` is where the first line of its section begins."""
    return line({"lines": count, "sha256": digest, **({"at": at} if at else {})})


def line(values: dict[str, Any]) -> bytes:
    """Values as a line."""
    # escaped to ASCII, so that a list of files is safe to look at, and a lone surrogate can be written
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _sealed(given: Iterator[bytes]) -> Iterator[bytes]:
    digest, count = hashlib.sha256(), 0
    for each in given:
        digest.update(each)
        count += 1
        yield each
    yield seal(count, digest.hexdigest())


def _found(session: Session) -> list[dict[str, Any]]:
    return [each.to_dict(session.setting(each.params)) for each in session.found]


def _place(branch: Branch) -> list[int | None]:
    return [branch.parent, branch.fork, len(branch.own)]


def _notes(branch: Branch) -> dict[str, Any]:
    """What is known of a branch besides its tokens, as far as there is any."""
    notes = {"label": branch.label, "stop": branch.stop, "hidden": branch.hidden}
    return {name: value for name, value in notes.items() if value}


def first_words(session: Session) -> str:
    """What a person knows the session by: the prompt, else the beginning of the text."""
    words = session.prompt.strip()
    if not words:
        speller, path, text = Speller(session.tokenizer), session.tree.path, ""
        for at in range(min(len(path), 4 * FIRST_WORDS)):
            text += speller.push(path.ids[at], given=path.kinds[at] == PROMPT)
            words = text.strip()
            if len(words) >= FIRST_WORDS:
                break
    words = " ".join(words[: 4 * FIRST_WORDS].split())
    return words if len(words) <= FIRST_WORDS else words[: FIRST_WORDS - 1] + "…"
