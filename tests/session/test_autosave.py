"""Saving without being asked: it never waits, never lies, and forgets only the oldest."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from tinychat import files
from tinychat.engine.params import SamplingParams
from tinychat.errors import TinychatError, UsageError
from tinychat.session import record
from tinychat.session.autosave import Autosave, is_worth_keeping
from tinychat.session.claim import claim, is_claimed
from tinychat.session.first_line import glimpse
from tinychat.session.recall import load
from tinychat.session.record import Source
from tinychat.session.saved import (
    autosave_folder,
    cut_off,
    find,
    fresh_path,
    keep_as,
    named_folder,
    prune,
    remove,
    saved,
    search,
)
from tinychat.session.session import Session
from tinychat.session.tree import DRAWN, FORCED
from tinychat.text.tokenizer import Tokenizer

from .sessions import any_session, facts


def a_session(tokenizer: Tokenizer, prompt: str = "the cat", reply: str = " sat on the mat") -> Session:
    session = Session(tokenizer, params=SamplingParams())
    session.complete(prompt)
    for token in tokenizer.encode(reply):
        session.tree.append(token, kind=DRAWN)
    return session


def test_a_pause_saves_and_the_last_pause_wins(tokenizer: Tokenizer) -> None:
    session, saver = a_session(tokenizer), Autosave(Source(digest="d"))
    for _ in range(20):
        session.tree.append(9, kind=DRAWN)
        saver.pause(session, cursor=len(session.tree))
    path = saver.close()
    assert path is not None
    found = load(path)
    assert facts(found.session) == facts(session)
    assert found.cursor == len(session.tree)
    assert saver.failure is None
    assert [each.path for each in saved()] == [path]


def test_a_session_without_a_token_leaves_no_file(tokenizer: Tokenizer) -> None:
    saver = Autosave(Source())
    saver.pause(Session(tokenizer, params=SamplingParams()))
    assert saver.close() is None
    assert saved() == []


def test_another_session_in_the_same_window_shares_no_lines(tokenizer: Tokenizer) -> None:
    first, second = (a_session(tokenizer, prompt, " cat" * 600) for prompt in ("the cat", "the moon"))
    saver = Autosave(Source())
    saver.pause(first)
    saver.pause(second)
    path = saver.close()
    assert path is not None
    assert facts(load(path).session) == facts(second)


def test_a_full_disk_is_said_and_the_next_pause_tries_again(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, saver, real = a_session(tokenizer), Autosave(Source()), os.fsync

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    saver.pause(session)
    while saver.failure is None:
        time.sleep(0.001)
    assert "disk is full" in saver.failure.what
    assert list(autosave_folder().iterdir()) == []
    monkeypatch.setattr(os, "fsync", real)
    saver.pause(session)
    assert saver.close() is not None
    assert saver.failure is None


@pytest.mark.parametrize("room", [True, False])
def test_what_could_not_be_written_is_tried_once_more_at_the_end(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    session, saver = a_session(tokenizer), Autosave(Source())

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        saver.pause(session)
        while saver.failure is None:
            time.sleep(0.001)
        saver.settle()
        if not room:
            saver.close()
    if not room:
        assert saver.failure is not None
        assert list(autosave_folder().iterdir()) == []
        return
    path = saver.close()
    assert saver.failure is None
    assert path is not None
    assert facts(load(path).session) == facts(session)
    assert not glimpse(path).open


def test_only_the_newest_stay_and_named_ones_always(tokenizer: Tokenizer) -> None:
    session = a_session(tokenizer)
    keep_as("mine", session, source=Source())
    paths = [fresh_path(f"story {number}") for number in range(6)]
    for age, path in enumerate(reversed(paths)):
        record.save(session, path)
        os.utime(path, (1000 - age, 1000 - age))
    foreign = autosave_folder() / "notes.jsonl"
    foreign.write_text("not mine to remove\n")
    os.utime(foreign, (1, 1))
    orphan = autosave_folder() / (files.TEMP_PREFIX + "dead")
    orphan.write_text("")
    os.utime(orphan, (1, 1))
    assert prune(3) == 3
    assert {path.name for path in autosave_folder().iterdir()} == {
        *(path.name for path in paths[3:]), "notes.jsonl",
    }  # fmt: skip
    assert (named_folder() / "mine.jsonl").exists()


def test_names_are_time_and_words_whatever_the_words_are() -> None:
    now = datetime(2026, 11, 21, 14, 33, 30)
    assert fresh_path("Once upon a time, there was", now=now).name.startswith("20261121-143330-once-upon-a-time-there-")
    for words in ("../../etc/passwd", "\x00\x1b[31m", "月は東に", "a" * 500, ""):
        path = fresh_path(words, now=now)
        assert path.parent == autosave_folder()
        assert set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        assert len(path.name) < 80
    assert "cafe" in fresh_path("Café", now=now).name


def test_a_session_is_found_by_name_beginning_or_path(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session = a_session(tokenizer)
    one, two = keep_as("alpha", session, source=Source()), keep_as("alps", session, source=Source())
    assert find("alpha") == find("alph") == find(str(one)) == one
    assert find("last") in (one, two)
    for name, says in (("al", "any of 2"), ("beta", "no session")):
        with pytest.raises(UsageError, match=says):
            find(name)
    for name in ("", "a/b", "../x", "last", "a\n", "-x"):
        with pytest.raises(UsageError, match="cannot name"):
            keep_as(name, session, source=Source())
    with pytest.raises(UsageError, match="already"):
        keep_as("alpha", session, source=Source())
    assert keep_as("alpha", session, source=Source(), replace=True) == one


def test_search_reads_every_branch(tokenizer: Tokenizer) -> None:
    session = a_session(tokenizer)
    session.rewind(session.reply_start)
    for token in tokenizer.encode(" looked at the MOON, as cats do"):
        session.tree.append(token, kind=DRAWN)
    session.tree.undo()
    keep_as("one", session, source=Source())
    keep_as("two", a_session(tokenizer, "the mat"), source=Source())
    assert [(each.name, "moon" in place) for each, place in search("moon")] == [("one", True)]
    assert {each.name for each, _ in search("THE")} == {"one", "two"}
    assert [each.name for each, _ in search("two")] == ["two"]
    assert list(search("no such words")) == []


def test_100_000_tokens_are_saved_and_a_pause_adds_only_what_is_new(tokenizer: Tokenizer) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the cat")
    for token in range(100_000):
        session.tree.append(token % 256, kind=DRAWN)
    saver = Autosave(Source())
    saver.pause(session)
    saver.settle(60)
    assert saver.path is not None
    size = saver.path.stat().st_size
    for _ in range(3):
        session.tree.append(9, kind=DRAWN)
        saver.pause(session)
        saver.settle(60)
    assert saver.close() is not None
    assert 0 < saver.path.stat().st_size - size < 10_000
    assert list(load(saver.path).session.tree.path.ids) == list(session.tree.path.ids)


def test_an_open_session_says_so_and_a_closed_one_does_not(tokenizer: Tokenizer) -> None:
    session, written = a_session(tokenizer), threading.Event()
    saver = Autosave(Source(), done=written.set)
    saver.pause(session, cursor=2, draft="and then")
    assert written.wait(10)
    assert saver.path is not None
    assert glimpse(saver.path).open
    assert cut_off() is None, "it is open here"
    assert is_claimed(saver.path)
    saver.close()
    found = load(saver.path)
    assert not found.summary.open
    assert (found.cursor, found.draft) == (2, "and then")
    assert not is_claimed(saver.path)
    assert cut_off() is None


def test_a_session_nobody_closed_is_known_for_cut_off(tokenizer: Tokenizer) -> None:
    session, path = a_session(tokenizer), fresh_path("the cat")
    record.write(record.snapshot(session, Source(), going=True), path)
    found = cut_off()
    assert found is not None
    assert found.path == path
    newer = fresh_path("the moon")
    record.save(session, newer)
    assert cut_off() is None, "only the newest is worth a word"
    held = claim(newer)
    assert held is not None
    assert (found := cut_off()) is not None
    assert found.path == path, "the newer one is open in another window"
    held.release()


def test_a_session_that_is_open_elsewhere_goes_on_in_a_copy(tokenizer: Tokenizer) -> None:
    session = a_session(tokenizer)
    path = keep_as("mine", session, source=Source())
    before = path.read_bytes()
    first = Autosave(Source(), path=path, name="mine")
    second = Autosave(Source(), path=path, name="mine")
    assert (first.is_copy, second.is_copy) == (False, True)
    session.tree.append(9, kind=DRAWN)
    second.pause(session)
    copy = second.close()
    assert copy is not None
    assert copy.parent == autosave_folder()
    assert path.read_bytes() == before
    first.close()
    assert not Autosave(Source(), path=path).is_copy, "the first one let go"


def test_the_claim_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\nfrom tinychat.session.claim import claim\n"
        "mine = claim(pathlib.Path(sys.argv[1]))\nprint(mine is not None, flush=True)\nsys.stdin.read()"
    )
    path = tmp_path / "a.jsonl"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert is_claimed(path)
        other.kill()
    assert not is_claimed(path)
    mine = claim(path)
    assert mine is not None
    assert claim(path) is None
    mine.release()


def test_naming_moves_the_file_and_later_tokens_go_there(tokenizer: Tokenizer) -> None:
    session, written = a_session(tokenizer), threading.Event()
    saver = Autosave(Source(), done=written.set)
    saver.pause(session)
    assert written.wait(10)
    keep_as("taken", session, source=Source())
    for name in ("taken", "../x", "last", "", "a b", "\x1b[2J", "x" * 90):
        with pytest.raises(UsageError):
            saver.rename(name, session)
    path = saver.rename("mine", session)
    session.tree.append(9, kind=DRAWN)
    saver.pause(session)
    assert saver.close() == path == named_folder() / "mine.jsonl"
    assert list(autosave_folder().iterdir()) == []
    found = load(path)
    assert found.summary.name == "mine"
    assert facts(found.session) == facts(session)


def test_a_session_with_a_name_stays_under_it_when_it_gets_another(tokenizer: Tokenizer) -> None:
    session, saver = a_session(tokenizer), Autosave(Source())
    one = saver.rename("one", session)
    saver.settle()
    session.tree.append(9, kind=DRAWN)
    before = copy.deepcopy(facts(session))
    two = saver.rename("two", session)
    saver.settle()
    assert not glimpse(one).open, "it was left, not cut off"
    assert (glimpse(one).name, glimpse(two).name) == ("one", "two")
    assert not is_claimed(one), "anybody may open it"
    assert glimpse(two).open
    session.tree.append(8, kind=DRAWN)
    saver.pause(session)
    assert saver.close() == two
    assert facts(load(one).session) == before
    assert facts(load(two).session) == facts(session)


def test_a_prompt_alone_is_not_kept_but_a_message_of_a_chat_is(tokenizer: Tokenizer) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the cat")
    assert not is_worth_keeping(session)
    session.tree.append(9, kind=FORCED)
    assert is_worth_keeping(session)
    chat = Session(tokenizer, params=SamplingParams(), chat=True)
    assert not is_worth_keeping(chat)
    chat.say("where is the moon")
    assert is_worth_keeping(chat)


def test_only_a_saved_session_that_nobody_has_open_is_removed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = keep_as("mine", a_session(tokenizer), source=Source())
    foreign = named_folder() / "notes.jsonl"
    foreign.write_text("not a session\n")
    outside = tmp_path / "theirs.jsonl"
    record.save(a_session(tokenizer), outside)
    mine = claim(path)
    assert mine is not None
    for each in (path, foreign, outside):
        with pytest.raises(TinychatError):
            remove(each)
        assert each.exists()
    mine.release()
    remove(path)
    assert not path.exists()


def test_text_without_the_records_is_the_same_text(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session = any_session(tokenizer, 11)
    record.save(session, tmp_path / "a.jsonl")
    found = load(tmp_path / "a.jsonl", steps=False)
    assert found.dropped == ""
    assert found.session.tree.path.ids == session.tree.path.ids
    assert [branch.own.ids for branch in found.session.tree.branches] == [b.own.ids for b in session.tree.branches]
