"""Records by the hundred thousand: few in memory, all of them there."""

from __future__ import annotations

import os
import random
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tinychat import files
from tinychat.engine.trace import Step
from tinychat.errors import StorageError
from tinychat.session.records import KEEP, Records, Store
from tinychat.session.tree import DRAWN, PROMPT, Tree


def some_bytes(dice: random.Random) -> bytes:
    return dice.randbytes(dice.randint(1, 40))


def test_every_record_comes_back_wherever_it_lies() -> None:
    dice, store = random.Random(1), Store()
    given = [some_bytes(dice) for _ in range(5 * KEEP + 3)]
    for number, record in enumerate(given):
        assert store.add(record) == number
        early = dice.randrange(number + 1)
        assert store.get(early) == given[early]
    assert [store.get(number) for number in range(len(store))] == given
    assert store.in_memory <= 2 * KEEP


def test_what_is_put_away_leaves_no_name_behind() -> None:
    store = Store()
    for _ in range(3 * KEEP):
        store.add(b"record")
    assert store.in_memory < 3 * KEEP
    assert [path for path in files.state_folder().iterdir() if path.is_file()] == []


@pytest.mark.parametrize("call", ["pwrite", "open"])
def test_on_a_full_disk_records_stay_in_memory_and_go_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store, tries, real = Store(), [], getattr(os, call)

    def full(*args: object, **options: object) -> int:
        tries.append(args)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    given = [number.to_bytes(4) for number in range(8 * KEEP)]
    for record in given[: 5 * KEEP]:
        store.add(record)
    assert store.in_memory == 5 * KEEP
    assert 0 < len(tries) < 60, "a full disk is not asked for every token"
    monkeypatch.setattr(os, call, real)
    for record in given[5 * KEEP :]:
        store.add(record)
    assert store.in_memory < 5 * KEEP
    assert [store.get(number) for number in range(len(store))] == given


def test_a_disk_that_writes_a_part_is_asked_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    store, real = Store(), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, data, place: real(handle, data[:1000], place))
    given = [number.to_bytes(4) for number in range(4 * KEEP)]
    for record in given:
        store.add(record)
    assert store.in_memory <= 2 * KEEP
    assert [store.get(number) for number in range(len(store))] == given


def test_a_disk_that_gives_too_little_back_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    for _ in range(3 * KEEP):
        store.add(b"record")
    monkeypatch.setattr(os, "pread", lambda handle, size, place: b"")
    with pytest.raises(StorageError, match="0 of 6 bytes"):
        store.get(0)


def test_another_thread_reads_while_records_come() -> None:
    store, wrong, ended = Store(), [], threading.Event()

    def read() -> None:
        dice = random.Random(2)
        while not ended.is_set():
            if len(store) > 1:
                number = dice.randrange(len(store) - 1)
                if store.get(number) != number.to_bytes(4) * 9:
                    wrong.append(number)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(30 * KEEP):
        store.add(number.to_bytes(4) * 9)
    ended.set()
    thread.join()
    assert wrong == []


def test_rows_share_what_they_have_in_common_and_copy_what_is_elsewhere() -> None:
    one = Records()
    for record in (b"a", None, b"b"):
        one.append(record)
    same, other = Records(one.store), Records()
    same.extend(one, 1, 9)
    other.extend(one, 0, 2)
    assert (list(same), list(other)) == ([None, b"b"], [b"a", None])
    assert len(one.store) == 2, "nothing was copied"
    assert list(one.first(2)) == [b"a", None]
    assert one.first(2).store is one.store
    assert one[-1] == b"b"
    assert one[:2] == [b"a", None]
    assert one != same
    same.append(b"c")
    assert list(one) == [b"a", None, b"b"]


def test_a_long_text_takes_a_bounded_number_of_bytes_a_token(make_step: Callable[..., Step]) -> None:
    """Steps with 64 candidates' worth of bytes would be 1.4 kB each in memory; columns and the index are 80."""
    tree, record = Tree(), os.urandom(1400)
    tree.append(1, kind=PROMPT)
    step = make_step(7, 1)

    def grow(count: int) -> None:
        for _ in range(count):
            tree.append(7, kind=DRAWN, step=step)
            tree.path.packed.store.add(record + len(tree).to_bytes(4))

    grow(3 * KEEP)
    tracemalloc.start()
    grow(8 * KEEP)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / (8 * KEEP) < 400
    assert tree.step(5) == tree.step(9)


def test_a_token_behind_the_fork_is_read_from_either_branch(make_step: Callable[..., Step], tmp_path: Path) -> None:
    tree = Tree()
    for token in range(3 * KEEP):
        tree.append(token % 200, kind=DRAWN, step=make_step(token % 200, token))
    tree.rewind(KEEP)
    tree.append(250, kind=DRAWN, step=make_step(250, KEEP))
    for position in (0, 5, KEEP - 1, KEEP):
        step = tree.step(position)
        assert step is not None
        assert (step.token, step.odds.position) == (tree.path.ids[position], position)
    tree.undo()
    last = tree.step(3 * KEEP - 1)
    assert last is not None
    assert last.odds.position == 3 * KEEP - 1
