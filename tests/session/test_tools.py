"""Breakpoints, watched tokens and the search stay with a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinychat.engine.breaks import Condition
from tinychat.errors import FileFormatError
from tinychat.session.recall import load
from tinychat.session.record import save, state_of
from tinychat.session.tools import Searching, Tools, read_tools
from tinychat.text.tokenizer import Tokenizer

from .sessions import any_session
from .test_record import changed, put

FULL = Tools(
    breaks=(Condition("prob", 0.02), Condition("text", text="mo\u202eon\ud800")),
    typed={"prob": Condition("prob", 0.02), "entropy": Condition("entropy", 4.5)},
    watch=(7, 5),
    search=Searching("majority", {"answer": "a|b", "phrases": ("x y",), "width": 6, "length_alpha": 0.5}),
)


def test_what_was_laid_out_comes_back(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = any_session(tokenizer, 1), tmp_path / "a"
    session.tools = FULL
    save(session, path)
    found = load(path).session.tools
    assert (found.breaks, found.watch, found.search) == (FULL.breaks, FULL.watch, FULL.search)
    assert found.typed == FULL.typed | {"text": FULL.breaks[1]}


def test_a_session_that_has_none_says_nothing_and_old_files_open(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session = any_session(tokenizer, 1)
    assert "tools" not in state_of(session)
    save(session, tmp_path / "a")
    assert load(tmp_path / "a").session.tools == Tools()
    assert load(tmp_path / "a").session.tools.search is not load(tmp_path / "a").session.tools.search


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (7, "tools must be an object"),
        ({"breaks": [3]}, "list of objects"),
        ({"breaks": [{"kind": "mood", "value": 1, "text": ""}]}, "breakpoint needs"),
        ({"breaks": [{"kind": [], "value": 1, "text": ""}]}, "breakpoint needs"),
        ({"breaks": [{"kind": "rank", "value": "1", "text": ""}]}, "breakpoint needs"),
        ({"breaks": [{"kind": "rank", "value": 1.5, "text": ""}]}, "rank needs"),
        ({"breaks": [{"kind": "text", "value": 0, "text": ""}]}, "text needs"),
        ({"watch": [10**6]}, "from 0 to 279"),
        ({"watch": ["a"]}, "list of ids"),
        ({"watch": list(range(17))}, "at most 16"),
        ({"search": {"method": "song", "options": {}}}, "which is none"),
        ({"search": {"method": ["beam"], "options": {}}}, "which is none"),
        ({"search": {"method": "beam"}}, "method and options"),
        ({"search": {"method": "beam", "options": {"depth": 3}}}, "unknown search option"),
        ({"search": {"method": "beam", "options": {"width": 10**9}}}, "width must be"),
        ({"search": {"method": "beam", "options": {"width": "4"}}}, "width must be"),
        ({"search": {"method": "beam", "options": {"variant": []}}}, "variant must be"),
        ({"search": {"method": "beam", "options": {"answer": "("}}}, "regular expression"),
        ({"search": {"method": "beam", "options": {"phrases": 3}}}, "phrases must be"),
    ],
)
def test_what_is_wrong_is_named(tokenizer: Tokenizer, tmp_path: Path, value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_tools(value, vocab_size=280)
    path = tmp_path / "a"
    save(any_session(tokenizer, 1), path)
    changed(path, 3, put("tools", to=value))
    with pytest.raises(FileFormatError, match=says):
        load(path)
