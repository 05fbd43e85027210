"""Long session files: what stays in the file until it is looked at, and glances by the hundred."""

from __future__ import annotations

import json
import os
import random
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.engine.glances import glance_all
from tinychat.engine.packing import glance_each, pack_step
from tinychat.engine.params import SamplingParams
from tinychat.errors import FileFormatError, StorageError
from tinychat.session import record, unpacking
from tinychat.session.growing import GrowingFile
from tinychat.session.recall import load
from tinychat.session.record import Source, save
from tinychat.session.session import Session
from tinychat.session.token_lines import RUN, deflate, read_seen
from tinychat.session.tree import DRAWN
from tinychat.text.tokenizer import Tokenizer

from .sessions import any_session, any_step, facts
from .test_record import changed, long_session, put


@pytest.fixture(autouse=True)
def _short_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "LONG", 1)


def records_of(seed: int, count: int) -> tuple[list[bytes | None], list[int]]:
    dice = random.Random(seed)
    tokens = [dice.randrange(300) for _ in range(count)]
    steps = [pack_step(any_step(dice, token, at, 300, forced=False)) for at, token in enumerate(tokens)]
    return [None if dice.random() < 0.2 else step for step in steps], tokens


@given(st.integers(0, 2**32), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_all_at_once_see_what_each_alone_says(seed: int, count: int) -> None:
    records, tokens = records_of(seed, count)
    assert glance_all(records, tokens, 300) == glance_each(records, tokens, 300)


@given(st.integers(0, 2**32), st.data())
@settings(max_examples=300, deadline=None)
def test_all_at_once_refuse_what_one_alone_refuses(seed: int, data: st.DataObject) -> None:
    records, tokens = records_of(seed, 4)
    at = data.draw(st.sampled_from([place for place, each in enumerate(records) if each] or [None]))
    if at is None:
        return
    changed = bytearray(records[at] or b"")
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    records[at] = bytes(changed[: data.draw(st.sampled_from([len(changed), len(changed) - 1]))])

    def seen(look: Callable[..., Any]) -> Any:
        try:
            return look(records, tokens, 300)
        except ValueError:
            return "refused"

    assert seen(glance_all) == seen(glance_each)


def test_a_row_without_a_record_is_zeros() -> None:
    none: list[bytes | None] = [None] * 3
    assert glance_all(none, [1, 2, 3], 300) == glance_each(none, [1, 2, 3], 300)


@pytest.mark.parametrize("seed", range(8))
def test_what_stays_in_the_file_is_what_was_saved(tokenizer: Tokenizer, tmp_path: Path, seed: int) -> None:
    session = any_session(tokenizer, seed, 60)
    save(session, tmp_path / "a")
    found = load(tmp_path / "a")
    assert facts(found.session) == facts(session)
    save(found.session, tmp_path / "b")
    assert (tmp_path / "b").read_bytes()[300:-100] == (tmp_path / "a").read_bytes()[300:-100]  # all but the times


def test_a_long_file_is_not_unpacked_until_a_token_is_looked_at(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = long_session(tokenizer, 6 * RUN)
    save(session, tmp_path / "a")
    opened: list[int] = []
    read = unpacking.read_records
    monkeypatch.setattr(unpacking, "read_records", lambda text, count: opened.append(count) or read(text, count))
    tree = load(tmp_path / "a").session.tree
    assert len(opened) == 1, "the first run"
    assert tree.path.surprisal == session.tree.path.surprisal
    assert tree.step(5 * RUN) == session.tree.step(5 * RUN)
    assert tree.step(5 * RUN + 1) == session.tree.step(5 * RUN + 1)
    assert len(opened) == 2


def test_what_was_not_looked_at_is_saved_as_it_was_read(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = long_session(tokenizer, 4 * RUN)
    session.rewind(2 * RUN + 3)  # a second branch, of few tokens
    session.tree.append(9, kind=DRAWN)
    save(session, tmp_path / "a")
    again = load(tmp_path / "a").session
    monkeypatch.setattr(unpacking, "read_records", lambda text, count: pytest.fail("unpacked"))
    save(again, tmp_path / "b")
    monkeypatch.undo()
    assert facts(load(tmp_path / "b").session) == facts(session)


def test_a_file_that_was_replaced_or_removed_is_still_read(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = long_session(tokenizer, 3 * RUN), tmp_path / "a"
    save(session, path)
    found = load(path).session
    save(long_session(tokenizer, 3), path)
    assert found.tree.step(3 * RUN) == session.tree.step(3 * RUN)
    os.unlink(path)
    assert found.tree.step(2 * RUN) == session.tree.step(2 * RUN)


def test_sections_that_were_added_stay_in_the_file_too(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path, file, dice = long_session(tokenizer, RUN), tmp_path / "a", GrowingFile(), random.Random(3)
    for _ in range(4):
        file.write(record.snapshot(session, Source()), path)
        for _ in range(RUN // 2):
            session.chosen(any_step(dice, dice.randrange(270), len(session.tree), 270, forced=False), session.params)
    session.rewind(RUN)
    session.chosen(any_step(dice, 3, RUN, 270, forced=False), session.params)
    file.write(record.snapshot(session, Source()), path)
    assert path.read_bytes().count(b'"lines":') == 5
    again = load(path).session
    assert facts(again) == facts(session)
    save(again, tmp_path / "whole")  # in runs of other lengths
    assert facts(load(tmp_path / "whole").session) == facts(session)


def forged(tokenizer: Tokenizer, path: Path, change: Callable[[dict[str, Any]], None]) -> Session:
    save(long_session(tokenizer, 3 * RUN), path)
    changed(path, 5, change)  # the second run
    return load(path).session


@pytest.mark.parametrize(
    ("key", "to"),
    [("steps", "%%"), ("steps", 7), ("steps", deflate(b"\0" * 10**8)), ("steps", deflate(b"\0" * 4 * RUN)),
     ("steps", deflate((b"\3\0\0\0abc") * RUN))],
)  # fmt: skip
def test_a_forged_record_is_refused_when_it_is_looked_at(
    tokenizer: Tokenizer, tmp_path: Path, key: str, to: object
) -> None:
    tree = forged(tokenizer, tmp_path / "a", put(key, to=to)).tree
    assert tree.step(RUN - 1) is not None
    with pytest.raises(StorageError, match="cannot be read back"):
        tree.step(RUN + 1)


def nan_of(seen: str) -> str:
    import base64

    data = bytearray(base64.b64decode(seen))
    data[4 * RUN : 4 * RUN + 4] = array("f", [float("nan")]).tobytes()
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("change", "says"),
    [(put("seen", to=7), "not as many"), (put("seen", to="AAAA"), "not as many"), (put("seen", to="é"), "line 5"),
     (put("seen", to="A"), "damaged"), (lambda run: run.update(seen=nan_of(run["seen"])), "none")],
)  # fmt: skip
def test_forged_glances_are_refused(
    tokenizer: Tokenizer, tmp_path: Path, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    with pytest.raises(FileFormatError, match=says) as caught:
        forged(tokenizer, tmp_path / "a", change)
    assert "line 5" in caught.value.what


def test_a_file_without_glances_is_read_as_a_whole(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = long_session(tokenizer, 4 * RUN), tmp_path / "a"
    save(session, path)
    for line in range(4, 8):
        changed(path, line, lambda run: run.pop("seen", None))
    assert facts(load(path).session) == facts(session)
    changed(path, 6, put("ids", 3, to=1))
    with pytest.raises(FileFormatError, match="line 6: a record is about token"):
        load(path)


def test_a_line_of_another_writer_is_read_alike(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = long_session(tokenizer, 3 * RUN), tmp_path / "a"
    save(session, path)

    def turned(run: dict[str, Any]) -> None:
        for key in ("steps", "ids"):
            run[key] = run.pop(key)

    for line in (4, 5, 6):
        changed(path, line, turned)
    assert not path.read_bytes().splitlines()[4].endswith(b'"}')
    assert facts(load(path).session) == facts(session)


def test_glances_are_written_in_the_order_that_is_read(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = long_session(tokenizer, 20), tmp_path / "a"
    save(session, path)
    run = json.loads(path.read_bytes().splitlines()[3])
    seen, there = read_seen(run["seen"], len(run["ids"]))
    own = session.tree.branches[0].own
    assert seen == own.seen(0, len(own))
    assert list(there) == [own.packed.has(at) for at in range(len(own))]


def test_a_session_without_records_says_nothing_of_them(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session = Session(tokenizer, params=SamplingParams())
    session.complete("the cat sat")
    save(session, tmp_path / "a")
    assert b'"seen"' not in (tmp_path / "a").read_bytes()
    assert facts(load(tmp_path / "a").session) == facts(session)
