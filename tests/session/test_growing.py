"""A session file that grows: what was added comes back, and a cut anywhere leaves the save before."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat import files
from tinychat.errors import FileFormatError, StorageError
from tinychat.session import growing, record
from tinychat.session.autosave import Autosave
from tinychat.session.first_line import glimpse
from tinychat.session.growing import GrowingFile
from tinychat.session.recall import load
from tinychat.session.record import Source
from tinychat.session.session import Session
from tinychat.text.tokenizer import Tokenizer

from .sessions import any_session, facts, grow


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("growing") / "a.jsonl"


def seals(data: bytes) -> list[int]:
    """Where the sections of a file end."""
    ends, at = [], 0
    for line in data.splitlines(keepends=True):
        at += len(line)
        if line.startswith(growing.SEAL):
            ends.append(at)
    return ends


def grown(tokenizer: Tokenizer, path: Path, seed: int, saves: int = 4) -> tuple[Session, list[Any]]:
    """A file with several sections, and what the session was at each save."""
    session, dice, file = any_session(tokenizer, seed, 20), random.Random(seed), GrowingFile()
    stages = []
    for number in range(saves):
        file.write(record.snapshot(session, Source(digest="d"), cursor=number, going=number < saves - 1), path)
        stages.append(copy.deepcopy(facts(session)))
        grow(session, dice, 12)
    return session, stages


@given(st.integers(0, 2**32), st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_whatever_was_done_between_saves_comes_back(tokenizer: Tokenizer, path: Path, seed: int, saves: int) -> None:
    _, stages = grown(tokenizer, path, seed, saves)
    assert len(seals(path.read_bytes())) == saves
    found = load(path)
    assert facts(found.session) == stages[-1]
    assert (found.dropped, found.summary.open) == ("", False)
    assert found.cursor == min(saves - 1, len(found.session.tree))
    seen = glimpse(path)
    assert seen == found.summary
    assert seen.tokens == sum(len(branch.own) for branch in found.session.tree.branches)


def test_a_cut_at_any_byte_leaves_the_save_before(tokenizer: Tokenizer, path: Path, tmp_path: Path) -> None:
    _, stages = grown(tokenizer, path, 3)
    data, cut = path.read_bytes(), tmp_path / "cut.jsonl"
    ends = seals(data)
    borders = {at + near for at, byte in enumerate(data) if byte == 10 for near in (-1, 0, 1, 2)}
    for size in sorted({*borders, *range(ends[0], len(data), 41)}):
        if not ends[0] <= size < len(data):
            continue
        cut.write_bytes(data[:size])
        whole = max(number for number, end in enumerate(ends) if end - 1 <= size)  # the newline is no loss
        found = load(cut)
        assert facts(found.session) == stages[whole]
        is_torn = size not in ends and size + 1 not in ends
        assert found.unfinished == ("cut off" in found.dropped) == is_torn
        assert glimpse(cut).path == cut


def test_a_session_cut_off_in_a_save_goes_on_in_its_own_file(tokenizer: Tokenizer, path: Path) -> None:
    _, stages = grown(tokenizer, path, 4)
    data = path.read_bytes()
    path.write_bytes(data[:-40])
    found = load(path)
    saver = Autosave(Source(), path=path)
    found.session.tree.append(9, kind=1)
    saver.pause(found.session)
    assert saver.close() == path
    again = load(path)
    assert again.dropped == ""
    assert facts(again.session) == facts(found.session) != stages[-1]


def test_a_session_that_is_opened_again_is_added_to(tokenizer: Tokenizer, path: Path) -> None:
    grown(tokenizer, path, 12)
    for _ in range(3):
        data, found = path.read_bytes(), load(path)
        assert found.file is not None
        saver = Autosave(Source(), path=path, read=(found.file, found.session))
        grow(found.session, random.Random(len(data)), 8)
        saver.pause(found.session)
        saver.close()
        assert path.read_bytes().startswith(data)
        assert facts(load(path).session) == facts(found.session)
    assert found.file is not None
    record.save(found.session, path)  # it is another file now
    found.file.write(record.snapshot(found.session, Source()), path)
    assert len(seals(path.read_bytes())) == 1


def test_what_cannot_be_added_to_is_made_whole(tokenizer: Tokenizer, path: Path, tmp_path: Path) -> None:
    session = any_session(tokenizer, 13)
    record.save(session, path)
    data = path.read_bytes()
    old = data.replace(b"tinychat.session/2", b"tinychat.session/1", 1)
    first, *rest = old.splitlines(keepends=True)
    sealed = record.seal(len(rest), hashlib.sha256(b"".join([first, *rest[:-1]])).hexdigest())
    for bad in (data[:-1], data[:-40], b"".join([first, *rest[:-1], sealed])):
        path.write_bytes(bad)
        found = load(path)
        assert found.file is None
        assert facts(found.session) == facts(session)
    path.write_bytes(data)
    assert load(path, steps=False).file is None, "it would forget the records"


def changed(data: bytes, section: int, line: int, **values: Any) -> bytes:
    """Other values in a line of a section (both from 0), and all digests from there on made to fit."""
    lines = data.splitlines(keepends=True)
    starts = [0, *(n + 1 for n, each in enumerate(lines) if each.startswith(growing.SEAL))]
    lines[starts[section] + line] = record.line(json.loads(lines[starts[section] + line]) | values)
    digest = hashlib.sha256()
    for number, each in enumerate(lines):
        if each.startswith(growing.SEAL):
            lines[number] = record.line(json.loads(each) | {"sha256": digest.hexdigest()})
        digest.update(lines[number])
    return b"".join(lines)


@pytest.mark.parametrize(
    ("line", "values", "says"),
    [
        (0, {"schema": "tinychat.session/99"}, "newer tinychat"),
        (0, {"mode": "song"}, "mode must be"),
        (0, {"packing": 99}, "packed in another way"),
        (1, {"tree": [[None, 0, 1]]}, "than it says|fewer branches|tokens are missing"),
        (1, {"settings": []}, "settings beyond|fewer|two of"),
        (1, {"current": 9999}, "no branch 9999"),
        (2, {"branch": 9999}, "of no branch"),
        (2, {"branch": True}, "of no branch"),
        (2, {"start": 10**6}, "missing"),
        (2, {"ids": []}, "0 ids"),
    ],
)
def test_what_is_wrong_with_a_section_is_named(
    tokenizer: Tokenizer, path: Path, line: int, values: dict[str, Any], says: str
) -> None:
    grown(tokenizer, path, 6)
    path.write_bytes(changed(path.read_bytes(), 3, line, **values))
    with pytest.raises(FileFormatError, match=says):
        load(path)


def test_a_changed_byte_is_refused_or_said(tokenizer: Tokenizer, path: Path) -> None:
    _, stages = grown(tokenizer, path, 7)
    data = path.read_bytes()
    last = data.rfind(growing.SEAL, 0, seals(data)[-2])  # the last line of the save before
    for at in range(0, len(data), 53):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        if at < last:
            with pytest.raises(FileFormatError):
                load(path)
        else:  # as a power cut would leave it: the save before holds, or the one before that
            try:
                found = load(path)
            except FileFormatError:
                continue
            assert found.unfinished
            assert facts(found.session) in stages[-3:-1]


def test_what_stands_behind_the_end_and_is_no_section_is_refused(tokenizer: Tokenizer, path: Path) -> None:
    grown(tokenizer, path, 8)
    path.write_bytes(path.read_bytes() + b'{"more":1}\n')
    with pytest.raises(FileFormatError, match="more after the last line"):
        load(path)


def test_a_full_disk_leaves_the_file_as_it_was_and_the_next_save_adds_all(
    tokenizer: Tokenizer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, file = any_session(tokenizer, 9, 20), GrowingFile()
    file.write(record.snapshot(session, Source()), path)
    data, real = path.read_bytes(), os.write
    grow(session, random.Random(1), 9)
    room = [900]

    def full(handle: int, given: Any) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = real(handle, given[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="disk is full"):
        file.write(record.snapshot(session, Source()), path)
    assert path.read_bytes() == data
    monkeypatch.setattr(os, "write", real)
    file.write(record.snapshot(session, Source()), path)
    assert path.read_bytes().startswith(data), "added, not written anew"
    assert facts(load(path).session) == facts(session)


@pytest.mark.parametrize("change", ["replaced", "longer", "gone", "elsewhere"])
def test_another_file_in_its_place_is_not_added_to(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    session, file, path = any_session(tokenizer, 10, 20), GrowingFile(), tmp_path / "a.jsonl"
    file.write(record.snapshot(session, Source()), path)
    if change == "replaced":
        files.write_atomic(path, path.read_bytes())
    elif change == "longer":
        path.write_bytes(path.read_bytes() + b"{}\n")
    elif change == "gone":
        path.unlink()
    else:
        path = tmp_path / "b.jsonl"
    file.write(record.snapshot(session, Source()), path)
    assert len(seals(path.read_bytes())) == 1, "made whole"
    assert facts(load(path).session) == facts(session)


def test_what_is_out_of_date_never_outweighs_the_rest_for_long(
    tokenizer: Tokenizer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, file = any_session(tokenizer, 11, 20), GrowingFile()
    taken = record.snapshot(session, Source())
    record.write(taken, path)
    whole = path.stat().st_size
    sizes, sections = [], []
    for _ in range(400):
        file.write(taken, path)
        sizes.append(path.stat().st_size)
    assert max(sizes) < 2 * whole + 2 * growing.LEAST_WASTE
    assert sizes[-1] < max(sizes), "and then it is made whole"
    monkeypatch.setattr(growing, "MOST_SECTIONS", 5)
    for _ in range(12):
        file.write(taken, path)
        sections.append(len(seals(path.read_bytes())))
    assert max(sections[1:]) == 5


SAVES = """
import random, sys
from pathlib import Path
from tests.session.sessions import any_session, grow
from tinychat.session.growing import GrowingFile
from tinychat.session import record
from tinychat.session.record import Source
from tinychat.text.tokenizer import Tokenizer

tokenizer = Tokenizer.from_json(Path(sys.argv[1]).read_text(), origin="test")
session, dice, file = any_session(tokenizer, 5, 10), random.Random(int(sys.argv[3])), GrowingFile()
for number in range(100_000):
    file.write(record.snapshot(session, Source(), cursor=0, draft=str(number)), Path(sys.argv[2]))
    print(number, flush=True)
    grow(session, dice, 2)
"""


@pytest.mark.parametrize("seed", range(5))
def test_a_writer_killed_at_any_moment_has_lost_no_save(tokenizer: Tokenizer, tmp_path: Path, seed: int) -> None:
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    path, dice = tmp_path / "a.jsonl", random.Random(seed)
    command = [sys.executable, "-c", SAVES, str(tmp_path / "tokenizer.json"), str(path), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        for _ in range(dice.randint(3, 40)):
            assert writer.stdout.readline()
        time.sleep(dice.random() * 0.01)
        writer.kill()
        said = writer.stdout.read().split()
    found = load(path)
    assert found.dropped == "" or found.unfinished
    assert int(found.draft) >= (int(said[-1]) if said else 2), "what was said to be saved is there"
    again = GrowingFile()
    again.write(record.snapshot(found.session, Source(), draft="then"), path)
    assert load(path).draft == "then"
    assert facts(load(path).session) == facts(found.session)
