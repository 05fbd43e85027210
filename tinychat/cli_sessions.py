"""`tinychat sessions` and `tinychat transcript`: their options."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinychat import files
from tinychat.errors import UsageError
from tinychat.options import one_of, session_names
from tinychat.text import terminal

if TYPE_CHECKING:
    from tinychat.session.first_line import Summary

SCHEMA = "tinychat.sessions/1"


def sessions(
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="Only sessions with this in their name or text.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    delete: Annotated[
        str | None, typer.Option("--delete", metavar="NAME", help="Delete this session, for good.")
    ] = None,
) -> None:
    """List the saved sessions, the newest first.

    \b
    tinychat sessions
    tinychat sessions moon
    tinychat sessions --delete 20261121-143330-once-upon-a-time-3f2a
    tinychat play --session moon

    The playground saves by itself whenever it pauses, and keeps the last 50; what you name stays.
    """
    from tinychat.session.saved import find, remove, saved, search

    if delete is not None:
        if text is not None or json_output:
            raise UsageError("--delete stands alone.", "Leave the rest out.")
        path = find(delete)
        if delete not in (path.stem, path.name, str(path)):
            raise UsageError(f"--delete {delete}: the name has to be whole.", f"Did you mean {path.stem}?")
        remove(path)
        print(terminal.one_line(f"Deleted {path}."), file=sys.stderr)
        return
    found = [(each, each.words) for each in saved()] if text is None else list(search(text))
    if json_output:
        rows = [{**_record(each), "found": place} for each, place in found]
        print(json.dumps({"schema": SCHEMA, "sessions": rows}).replace("\x7f", "\\u007f"))
        return
    if not found:
        what = "No session is saved yet." if text is None else f"No session has {text!r}."
        print(terminal.one_line(what), file=sys.stderr)
        return
    width = max(len(_name(each)) for each, _ in found)
    for each, place in found:
        model = each.source.path.rsplit("/", 1)[-1] or "?"
        state = _state(each)
        line = f"{_name(each):<{width}}  {_when(each.saved)}  {model}  {each.tokens:>6} tokens  {state}{place}"
        print(terminal.one_line(line))


def transcript(
    session: Annotated[
        str,
        typer.Argument(
            metavar="SESSION",
            help="A file, a name of `tinychat sessions`, or last for the newest.",
            autocompletion=session_names,
        ),
    ],
    to: Annotated[
        str | None, typer.Option("--to", metavar="FORMAT", help="txt, md, html, json or jsonl; else by -o, else txt.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="A file instead of stdout; replaced if there.")
    ] = None,
    branch: Annotated[
        int | None,
        typer.Option("--branch", metavar="N", min=0, help="Another branch than where it stands; see --list."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the branches instead.")] = False,
    candidates: Annotated[
        int | None,
        typer.Option("--candidates", metavar="N", min=0, max=64, help="html, json, jsonl: odds a token. Default: 10."),
    ] = None,
) -> None:
    """Write a saved session as text or a page, without the model.

    \b
    tinychat transcript last
    tinychat transcript last -o story.html
    tinychat transcript story.jsonl --list
    tinychat transcript story.jsonl --to md --branch 2

    The page needs nothing else: tokens are coloured by surprisal, and each shows its odds.
    """
    from tinychat.session.export import FORMATS, WITH_CANDIDATES, branch_lines, export
    from tinychat.session.recall import load
    from tinychat.session.saved import find

    suffix = "" if out is None else out.suffix.removeprefix(".").lower()
    kind = one_of("--to", to, tuple(FORMATS)) if to is not None else suffix if suffix in FORMATS else "txt"
    if candidates is not None and kind not in WITH_CANDIDATES:
        raise UsageError(f"--candidates is for {', '.join(WITH_CANDIDATES)}.", "Leave it out, or add --to html.")
    recording = load(find(session))
    tree = recording.session.tree
    if branch is not None:
        if branch >= len(tree.branches):
            raise UsageError(f"--branch {branch}: the session has {len(tree.branches)}, from 0.", "Choose one of them.")
        tree.go(branch)
    if recording.dropped:
        print(f"tinychat: {recording.dropped}", file=sys.stderr)
    if list_:
        if branch is not None or to is not None or out is not None:
            raise UsageError("--list stands alone.", "Leave --branch, --to and --out out.")
        for line in branch_lines(recording.session):
            print(terminal.one_line(line))
        return
    if not len(tree):
        print("tinychat: there is no text on this branch; others:  --list, then --branch N", file=sys.stderr)
    chunks = export(recording, kind, candidates=10 if candidates is None else candidates)
    if out is not None:
        files.write_atomic(out, (chunk.encode("utf-8") for chunk in chunks))
        return
    for chunk in chunks:
        sys.stdout.write(chunk)


def _record(each: Summary) -> dict[str, Any]:
    return {
        "name": _name(each),
        "path": str(each.path),
        "named": bool(each.name),
        "saved": each.saved,
        "mode": each.mode,
        "tokens": each.tokens,
        "branches": each.branches,
        "words": each.words,
        "model": {"path": each.source.path, "digest": each.source.digest, "step": each.source.step},
    }


def _state(each: Summary) -> str:
    """What is special about it now."""
    from tinychat.session.claim import is_claimed

    if is_claimed(each.path):
        return "(open) "
    return "(cut off) " if each.open else ""


def _name(each: Summary) -> str:
    return each.name or each.path.stem


def _when(saved: str) -> str:
    """The time on this machine's clock."""
    try:
        return datetime.fromisoformat(saved).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{saved[:16]:<16}"
