"""A session file: what was saved comes back, whole or not at all, or says what is missing."""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.engine.machine import Machine
from tinychat.engine.packing import glance, pack_step, unpack_step
from tinychat.engine.params import SamplingParams
from tinychat.errors import FileFormatError
from tinychat.session import record
from tinychat.session.first_line import glimpse
from tinychat.session.recall import load
from tinychat.session.record import Source, save
from tinychat.session.session import Session
from tinychat.session.token_lines import RUN, deflate
from tinychat.session.tree import DRAWN
from tinychat.text.tokenizer import Tokenizer

from .sessions import any_session, any_step, facts, grow

SOURCE = Source(
    path="/models/a.safetensors", digest="ab" * 32, step=12, context=64,
    machine=Machine(dtype="int8", threads=2, speculation={"kind": "lookup", "length": 4}),
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sessions") / "a.jsonl"


@given(st.integers(0, 2**32), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_what_was_saved_is_loaded_to_the_last_bit(tokenizer: Tokenizer, file: Path, seed: int, moves: int) -> None:
    session = any_session(tokenizer, seed, moves)
    cursor = seed % (len(session.tree) + 1)
    save(session, file, source=SOURCE, cursor=cursor, name="mine")
    found = load(file)
    assert facts(found.session) == facts(session)
    assert (found.source, found.cursor, found.summary.name, found.dropped) == (SOURCE, cursor, "mine", "")


def test_a_loaded_session_goes_on_like_the_first(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session = any_session(tokenizer, 5, 40)
    save(session, tmp_path / "a", source=SOURCE)
    other = load(tmp_path / "a").session
    for each in (session, other):
        each.fixed_seed = True
        grow(each, random.Random(9), 40)
    assert facts(other) == facts(session)


def test_saving_twice_gives_the_same_bytes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    taken = record.snapshot(long_session(tokenizer, 3 * RUN + 7), SOURCE)
    record.write(taken, tmp_path / "a")
    record.write(taken, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_of_the_first_schema_opens(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = branched(tokenizer), tmp_path / "old"
    save(session, path, source=SOURCE)
    changed(path, 1, put("schema", to="tinychat.session/1"))
    assert facts(load(path).session) == facts(session)


def test_a_snapshot_is_of_its_moment(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session = long_session(tokenizer, 20)
    before = facts(session)
    taken = record.snapshot(session, SOURCE)
    session.rewind(4)
    session.complete("the moon")
    session.tree.append(3, kind=DRAWN)
    record.write(taken, tmp_path / "a")
    assert facts(load(tmp_path / "a").session) == before


def long_session(tokenizer: Tokenizer, tokens: int) -> Session:
    dice, session = random.Random(1), Session(tokenizer, params=SamplingParams())
    session.complete("the cat")
    for _ in range(tokens):
        at = len(session.tree)
        session.chosen(any_step(dice, at % 256, at, tokenizer.vocab_size, forced=at % 7 == 0), session.params)
    return session


def branched(tokenizer: Tokenizer) -> Session:
    session = long_session(tokenizer, 9)
    session.rewind(5)
    session.tree.append(4, kind=DRAWN)
    session.tree.append(5, kind=DRAWN)
    session.rewind(6)
    session.tree.append(6, kind=DRAWN)
    session.tree.undo()
    return session


def test_a_file_cut_at_any_byte_says_so_and_keeps_every_whole_line(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = branched(tokenizer), tmp_path / "cut"
    save(session, path, source=SOURCE, cursor=8)
    data = path.read_bytes()
    # within the long lines every 97th byte will do
    borders = {at + near for at, byte in enumerate(data) if byte == 10 for near in (-1, 0, 1, 2)}
    for size in sorted({*range(0, len(data), 97), *borders} & set(range(len(data)))):
        path.write_bytes(data[:size])
        whole = data[:size].count(b"\n")
        if whole < 3 and not complete_without_newline(data, size, 3):
            with pytest.raises(FileFormatError, match=r"cut|empty|no session"):
                load(path)
            continue
        found = load(path)
        lines = [json.loads(line) for line in data[:size].split(b"\n")[:whole]]
        kept = sum(len(line["ids"]) for line in lines[3:] if "ids" in line)
        tree = found.session.tree
        assert sum(len(branch.own) for branch in tree.branches) >= kept
        assert (found.dropped == "") == (size >= len(data) - 1)
        for branch in tree.branches:
            old = session.tree.branches[branch.number]
            assert list(branch.own.ids) == list(old.own.ids)[: len(branch.own)]
            assert tree.ids_of(branch.number) == session.tree.ids_of(branch.number)[: branch.length]


def complete_without_newline(data: bytes, size: int, line: int) -> bool:
    """Whether the cut took only the newline of this line."""
    return data[: size + 1].count(b"\n") == line and data[size : size + 1] == b"\n"


def changed(path: Path, line: int, change: Callable[[dict[str, Any]], None], *, seal: bool = True) -> None:
    """Another value in a line (from 1), and the digest made to fit, as a malicious writer would."""
    lines = path.read_bytes().splitlines()
    value = json.loads(lines[line - 1])
    change(value)
    lines[line - 1] = json.dumps(value).encode()
    if seal:
        body = b"".join(each + b"\n" for each in lines[:-1])
        lines[-1] = json.dumps({"lines": len(lines) - 1, "sha256": hashlib.sha256(body).hexdigest()}).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")


def put(*keys: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(value: Any) -> None:
        for key in keys[:-1]:
            value = value[key]
        value[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("line", "change", "says"),
    [
        (1, put("schema", to="tinychat.session/3"), "newer tinychat"),
        (1, put("schema", to="tinychat.sample/1"), "no session"),
        (1, put("mode", to="song"), "mode must be"),
        (1, put("tokens", to=-1), "tokens must be a whole number"),
        (1, put("machine", "path", to="x"), "no such path"),
        (2, put("tokenizer", to="AAAA"), "damaged"),
        (2, put("tokenizer", to=deflate(b"{}")), "line 2"),
        (2, put("bytes", to=3), "more than 3 bytes"),
        (2, put("digest", to="x"), "digest"),
        (3, put("tree", 1, to=[0, 99, 2]), "leaves its parent"),
        (3, put("tree", 1, to=[1, 5, 2]), "hangs on no earlier"),
        (3, put("tree", 0, to=[None, 0, 10**9]), "more than"),
        (3, put("tree", to=[]), "no tree"),
        (3, put("current", to=77), "no branch 77"),
        (3, put("undo", to=[77]), "no branch 77"),
        (3, put("params", "temperature", to="hot"), "temperature"),
        (3, put("settings", 0, "warmth", to=1), "unknown sampling setting"),
        (3, put("prompt", to=7), "prompt must be text"),
        (4, put("ids", 0, to=10**6), "none of the"),
        (4, put("ids", 0, to=True), "none of the"),
        (4, put("ids", 4, to=1), "a record is about token"),
        (4, put("kinds", to="xxxxxxxxxxxxxxx"), "kind"),
        (4, put("settings", 0, to=9), "settings beyond"),
        (4, put("start", to=3), "missing"),
        (4, put("steps", to="%%"), "damaged"),
        (4, put("steps", to=deflate(b"\0" * 10**8)), "more than"),
        (5, put("branch", to=0), "missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_and_line(
    tokenizer: Tokenizer, tmp_path: Path, line: int, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    path = tmp_path / "bad.jsonl"
    save(branched(tokenizer), path, source=SOURCE)
    changed(path, line, change)
    before = path.read_bytes()
    with pytest.raises(FileFormatError) as caught:
        load(path)
    assert says in caught.value.what
    assert "bad.jsonl: line" in caught.value.what
    assert path.read_bytes() == before, "the file is left as it was"


def test_a_changed_token_is_found_by_the_digest(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    save(branched(tokenizer), path, source=SOURCE)
    changed(path, 3, put("prompt", to="the dog"), seal=False)
    with pytest.raises(FileFormatError, match="digest does not fit"):
        load(path)


@pytest.mark.parametrize(
    "what", [b"", b"\n", b"[]\n", b"{}\n", b"\x00" * 99, b"{" * 99999, b'{"schema": 1}\n', b"\xff"]
)
def test_foreign_files_are_refused(tmp_path: Path, what: bytes) -> None:
    (tmp_path / "a").write_bytes(what)
    for read in (load, glimpse):
        with pytest.raises(FileFormatError, match="a: line 1"):
            read(tmp_path / "a")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none", Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(FileFormatError):
            load(path)


def test_any_flipped_byte_is_refused_or_harmless(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = branched(tokenizer), tmp_path / "a"
    save(session, path, source=SOURCE)
    data = path.read_bytes()
    for at in range(0, len(data), 61):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(FileFormatError):
            load(path)


def test_records_of_another_packing_are_left_out_and_said(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = branched(tokenizer), tmp_path / "a"
    save(session, path, source=SOURCE)
    changed(path, 1, put("packing", to=99))
    found = load(path)
    assert "another version" in found.dropped
    assert list(found.session.tree.path.ids) == list(session.tree.path.ids)
    assert found.session.tree.step(len(found.session.tree) - 1) is None


@given(st.integers(0, 2**32), st.data())
@settings(max_examples=300, deadline=None)
def test_a_record_that_passes_a_glance_can_be_unpacked_and_named(seed: int, data: st.DataObject) -> None:
    packed = bytearray(pack_step(any_step(random.Random(seed), 7, 3, 300, forced=False)))
    for _ in range(data.draw(st.integers(0, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        seen = glance(bytes(packed), 300)
    except ValueError:
        return
    step = unpack_step(bytes(packed))
    assert (seen.token, seen.raw_rank, seen.final) == (step.token, step.raw_rank, step.final)
    assert (seen.surprisal, seen.entropy) == (step.surprisal, step.odds.entropy)
    assert all(candidate.token < 300 for candidate in step.odds.candidates)
    assert all(0 <= candidate.final <= 1.0001 for candidate in step.odds.candidates)


@pytest.mark.parametrize(
    ("share", "says"),
    [(float("nan"), "none"), (float("inf"), "none"), (-0.5, "none"), (-float("nan"), "none"), (1.01, "none"),
     (-0.0, ""), (0.0, ""), (1.0, ""), (1e-45, "")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["raw", "final"])
def test_a_glance_takes_probabilities_and_nothing_else(share: float, says: str, name: str) -> None:
    step = any_step(random.Random(3), 7, 3, 300, forced=False)
    rows = list(step.odds.candidates)
    rows[-1] = replace(rows[-1], **{name: share})  # type: ignore[arg-type]  # one of two names
    packed = pack_step(replace(step, odds=replace(step.odds, candidates=tuple(rows))))
    if says:
        with pytest.raises(ValueError, match=says):
            glance(packed, 300)
    else:
        assert glance(packed, 300).token == 7


def test_a_glimpse_is_the_first_line_and_no_more(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = branched(tokenizer), tmp_path / "a"
    save(session, path, source=SOURCE, name="cats")
    path.write_bytes(path.read_bytes().splitlines()[0] + b"\nnothing else")
    seen = glimpse(path)
    assert (seen.name, seen.words, seen.branches, seen.source) == ("cats", "the cat", 3, SOURCE)
    assert seen.tokens == sum(len(branch.own) for branch in session.tree.branches)


def test_a_file_is_no_larger_than_it_must_be(tokenizer: Tokenizer, tmp_path: Path) -> None:
    session, path = long_session(tokenizer, 600), tmp_path / "a"
    save(session, path)
    packed = sum(len(each) for each in session.tree.path.packed if each)
    assert path.stat().st_size < packed + len(zlib.compress(tokenizer.to_json().encode())) * 2
