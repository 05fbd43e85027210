"""What a search found, in the tree: records kept, and a command that finds the same again."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tinychat.engine.params import SamplingParams
from tinychat.engine.search_params import METHODS, READS, SearchParams
from tinychat.engine.trace import Step
from tinychat.errors import FileFormatError
from tinychat.search_options import _OPTIONS, read_search
from tinychat.session.found import Found, search_flags
from tinychat.session.recall import load
from tinychat.session.record import save
from tinychat.session.replay import command
from tinychat.session.session import Session
from tinychat.text.tokenizer import Tokenizer

from .test_record import changed, put

Make = Callable[..., Step]
PARAMS = SamplingParams(temperature=0.7, top_p=0.9, repetition_penalty=1.2, seed=4)
UNLIKE: dict[str, Any] = {
    "width": 8, "variant": "hf", "groups": 4, "diversity": 0.25, "length_rule": "power", "length_alpha": 0.6,
    "coverage": 0.2, "stop_rule": "prune", "prune_factor": 2.0, "heuristic": 0.5, "contrast_alpha": 0.3, "paths": 7,
    "answer": "a (b|c)", "rollout": 3, "chaos_ratio": 0.1, "chaos_top": 0.2, "rollout_weight": 0.9, "memory": 5,
    "phrases": ("the moon", "a cat"),
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_the_flags_of_a_search_are_read_back(method: str) -> None:
    spec = SearchParams(method=method, max_tokens=33, **{name: UNLIKE[name] for name in READS[method]})
    words = search_flags(spec)
    given: dict[str, Any] = {}
    for flag, word in zip(words[::2], words[1::2], strict=True):
        name = flag[2:].replace("-", "_")
        given[name] = [*given.get(name, []), word] if name == "phrase" else word
    assert read_search(given, PARAMS, max_tokens=33) == spec
    assert {field.name for field in fields(SearchParams)} == {name for name, _, _ in _OPTIONS.values()} | {"max_tokens"}


@pytest.fixture
def session(tokenizer: Tokenizer, make_step: Make) -> Session:
    """Two drawn tokens, of which the second was forced, and three that beams found."""
    session = Session(tokenizer, params=PARAMS)
    session.complete("the cat")
    for index, token in enumerate((270, 271, 260, 261)):
        session.chosen(make_step(token, len(session.tree), forced=index == 1), PARAMS)
    start = session.reply_start + 2
    steps = [make_step(token, start + i, forced=True) for i, token in enumerate((272, 273, 274))]
    path = (*session.tree.path.ids[:start], 272, 273, 274)
    spec = SearchParams(width=8, max_tokens=40)
    session.adopt(Found(path=path, start=start, params=PARAMS, spec=spec), steps)
    return session


def words_of(session: Session) -> list[str]:
    return shlex.split(command(session))[2:]


def test_what_was_found_is_a_branch_with_its_records(session: Session) -> None:
    start = session.reply_start
    assert list(session.tree.path.ids[start:]) == [270, 271, 272, 273, 274]
    step = session.tree.step(start + 2)
    assert step is not None
    assert step.token == 272
    assert session.tally().forced == 1
    assert session.tally().knob_moves == 0
    assert len(session.tree.written()) == 2


def test_the_command_searches_where_it_was_searched(session: Session) -> None:
    words = words_of(session)
    pairs = dict(zip(words[2::2], words[3::2], strict=True))
    assert (pairs["--search"], pairs["--width"], pairs["--search-after"], pairs["-n"]) == ("beam", "8", "2", "42")
    assert pairs["--force"] == "1=271"
    assert (pairs["--temperature"], pairs["--seed"]) == ("0.7", "4")
    assert "--at" not in words


def test_a_text_that_goes_on_names_the_tokens_that_were_found(session: Session, make_step: Make) -> None:
    session.chosen(make_step(270, len(session.tree)), PARAMS)
    words = words_of(session)
    assert "--search" not in words
    forced = [words[i + 1] for i, word in enumerate(words) if word == "--force"]
    assert forced == ["1=271", "2=272", "3=273", "4=274"]
    changes = [words[i + 1] for i, word in enumerate(words) if word == "--at"]
    assert [change.partition(":")[0] for change in changes] == ["2", "5"]  # scored by the model, then drawn as before
    session.tree.undo()
    assert "--search" not in words_of(session)


def test_a_saved_session_still_says_which_tokens_were_found(session: Session, tmp_path: Path) -> None:
    save(session, tmp_path / "it.jsonl")
    again = load(tmp_path / "it.jsonl").session
    assert list(again.tree.path.kinds) == list(session.tree.path.kinds)
    assert again.forced() == session.forced()


def test_a_saved_session_finds_the_same_again(session: Session, tmp_path: Path) -> None:
    save(session, tmp_path / "it.jsonl")
    again = load(tmp_path / "it.jsonl").session
    assert again.found == session.found
    assert "--search" in command(again)
    assert command(again) == command(session)
    save(again, tmp_path / "again.jsonl")
    assert load(tmp_path / "again.jsonl").session.found == session.found


def test_a_file_of_before_opens_and_forces_what_was_found(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "it.jsonl"
    save(session, path)
    changed(path, 3, lambda state: state.pop("found"))
    again = load(path).session
    assert again.found == []
    assert "--search" not in command(again)


@pytest.mark.parametrize(
    ("name", "to", "says"),
    [("branch", 9, "no branch"), ("length", 99, "longer than"), ("start", 99, "longer than"),
     ("settings", -1, "not there"), ("rank", "first", "no rank"),
     ("spec", {"method": "song"}, "method"), ("spec", {"width": "wide"}, "width"),
     ("spec", {"depth": 3}, "unknown search option"), ("spec", [], "no search")],
)  # fmt: skip
def test_what_is_wrong_with_it_is_named(session: Session, tmp_path: Path, name: str, to: object, says: str) -> None:
    path = tmp_path / "it.jsonl"
    save(session, path)
    changed(path, 3, put("found", 0, name, to=to))
    with pytest.raises(FileFormatError, match=says):
        load(path)


def test_of_a_cut_file_what_was_cut_off_is_left_out(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "it.jsonl"
    save(session, path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]))
    recording = load(path)
    assert recording.dropped
    assert recording.session.found == []
