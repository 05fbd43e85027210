"""Batches: labels one further on, every token of an epoch once, and the same batch for the same number."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.errors import CorpusError
from trainer import batches as batches_module
from trainer.batches import IGNORED, Batches, shuffled
from trainer.data_mixture import Mixture
from trainer.shards import Shard, write_shard

DIGEST = hashlib.sha256(b"a tokenizer").hexdigest()
END = 0


def shard_of(folder: Path, ids: Any) -> Shard:
    path = folder / "a.bin"
    write_shard(path, [ids], vocab_size=60_000, tokenizer_digest=DIGEST)
    return Shard.open(path)


def counting(folder: Path, count: int) -> Shard:
    """Token i is i, so that a row shows where it was cut."""
    return shard_of(folder, list(range(1, count + 1)))


def documents(sizes: list[int]) -> list[int]:
    """Documents that start with END; every other token occurs once."""
    ids, word = [], 1
    for size in sizes:
        ids += [END, *range(word, word + size - 1)]
        word += size - 1
    return ids


# --- the shuffle -------------------------------------------------------------------------------------------------


@given(size=st.integers(1, 300), key=st.integers(0, 2**64 - 1))
def test_shuffled_is_a_permutation(size: int, key: int) -> None:
    assert sorted(shuffled(turn, size, key) for turn in range(size)) == list(range(size))


def test_shuffled_puts_everything_everywhere() -> None:
    """Chi-square over (place, value) of 4,000 keys; 49 degrees of freedom after the fixed margins, p = 1e-6 at 109."""
    size, keys = 8, 4000
    seen = Counter((turn, shuffled(turn, size, key * 7919)) for key in range(keys) for turn in range(size))
    expected = keys / size
    chi = sum((seen[turn, value] - expected) ** 2 / expected for turn in range(size) for value in range(size))
    assert chi < 109


def test_the_order_never_changes_between_versions() -> None:
    assert [shuffled(turn, 10, 1) for turn in range(10)] == [9, 1, 7, 3, 0, 5, 2, 4, 6, 8]


@given(seed=st.integers(0, 2**64 - 1), use=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_many_keys_at_once_are_the_keys(seed: int, use: int) -> None:
    assert batches_module._keys(seed, 20, use).tolist() == [batches_module._key(seed, n, use) for n in range(20)]


# --- windows -----------------------------------------------------------------------------------------------------


def windows(folder: Path, count: int, *, context: int, rows: int = 1, seed: int = 0) -> Batches:
    return Batches(counting(folder, count), context=context, rows=rows, seed=seed, mode="windows", end_of_text=END)


def test_labels_are_the_inputs_one_further_on(tmp_path: Path) -> None:
    batches = windows(tmp_path, 1000, context=16, rows=4)
    for index in range(30):
        x, y, _ = batches.batch(index)
        assert x.shape == y.shape == (4, 16)
        assert x.dtype == y.dtype == np.int64
        assert np.array_equal(y, x + 1)


def test_the_legal_starts_of_ten_tokens_and_context_four_are_zero_to_five(tmp_path: Path) -> None:
    batches = windows(tmp_path, 10, context=4)
    assert {int(batches.batch(index)[0][0, 0]) - 1 for index in range(300)} == set(range(6))


@given(data=st.data(), context=st.integers(1, 9), rows=st.integers(1, 4), seed=st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_no_token_of_an_epoch_of_windows_comes_twice_and_few_are_left_out(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, context: int, rows: int, seed: int
) -> None:
    count = data.draw(st.integers(context + 1, 12 * context))
    batches = windows(tmp_path_factory.mktemp("w"), count, context=context, rows=1, seed=seed)
    per_epoch = batches.rows_per_epoch
    for epoch in range(3):
        seen = [int(t) for row in range(per_epoch) for t in batches.batch(epoch * per_epoch + row)[0][0]]
        assert len(set(seen)) == len(seen)
        assert count - len(seen) < 2 * context or per_epoch == 1
        inner = range(2 * context + 1, count - 2 * context)
        assert set(inner) <= set(seen)


def test_another_epoch_has_other_windows_in_another_order(tmp_path: Path) -> None:
    batches = windows(tmp_path, 5000, context=16)
    n = batches.rows_per_epoch
    first, second = ([int(batches.batch(e * n + i)[0][0, 0]) for i in range(n)] for e in range(2))
    assert first[0] % 16 != second[0] % 16
    assert np.argsort(first).tolist() != np.argsort(second).tolist()


def test_a_row_does_not_depend_on_how_many_rows_a_batch_has(tmp_path: Path) -> None:
    shard = counting(tmp_path, 3000)
    ones = Batches(shard, context=8, rows=1, seed=5, mode="windows", end_of_text=END)
    fours = Batches(shard, context=8, rows=4, seed=5, mode="windows", end_of_text=END)
    x = fours.batch(200).x  # in the third epoch
    assert np.array_equal(x, np.concatenate([ones.batch(800 + lane)[0] for lane in range(4)]))


@pytest.mark.parametrize("mode", ["windows", "documents", "packed"])
def test_the_same_number_is_the_same_batch_in_another_process_and_another_seed_is_another(
    tmp_path: Path, mode: Any
) -> None:
    shard = shard_of(tmp_path, documents([5, 9, 14, 3, 22, 8] * 20))
    make = lambda seed: Batches(shard, context=16, rows=4, seed=seed, mode=mode, end_of_text=END)  # noqa: E731
    running = make(1)
    for index in range(40):
        running.batch(index)
    resumed = make(1).batch(40)
    assert all(np.array_equal(a, b) for a, b in zip(running.batch(40)[:2], resumed[:2], strict=True))
    assert not np.array_equal(make(2).batch(40)[0], resumed[0])


def test_the_epoch_counts_rows(tmp_path: Path) -> None:
    batches = windows(tmp_path, 101 * 8, context=8, rows=4)
    assert batches.rows_per_epoch == 100
    assert batches.batches_per_epoch == 25
    assert batches.epoch(0) == 0
    assert batches.epoch(50) == 2


# --- documents ---------------------------------------------------------------------------------------------------


def packed(folder: Path, ids: list[int], context: int, seed: int = 0) -> Batches:
    return Batches(shard_of(folder, ids), context=context, rows=1, seed=seed, mode="documents", end_of_text=END)


def rows_of(batches: Batches, epoch: int) -> list[tuple[list[int], list[int]]]:
    n = batches.rows_per_epoch
    found = [batches.batch(epoch * n + row) for row in range(n)]
    return [(x[0].tolist(), y[0].tolist()) for x, y, _ in found]


@given(
    sizes=st.lists(st.integers(1, 40), min_size=3, max_size=25),
    context=st.integers(2, 24),
    seed=st.integers(0, 2**64 - 1),
)
@settings(max_examples=80, deadline=None)
def test_every_token_of_every_document_is_trained_once_an_epoch(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], context: int, seed: int
) -> None:
    ids = documents(sizes)
    if len(ids) <= context:
        return
    batches = packed(tmp_path_factory.mktemp("d"), ids, context, seed)
    after = {ids[i]: ids[i + 1] if i + 1 < len(ids) else END for i in range(len(ids)) if ids[i] != END}
    for epoch in range(2):
        rows = rows_of(batches, epoch)
        pairs = [(a, b) for x, y in rows for a, b in zip(x, y, strict=True) if b != IGNORED]
        assert sorted(a for a, _ in pairs) == sorted(ids)
        assert all(after[a] == b for a, b in pairs if a != END)
        starts = Counter(b for a, b in pairs if a == END)
        assert starts == Counter(ids[i + 1] if i + 1 < len(ids) else END for i in range(len(ids)) if ids[i] == END)


@given(sizes=st.lists(st.integers(1, 16), min_size=4, max_size=25), seed=st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_rows_begin_with_a_document_and_hold_whole_ones(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int
) -> None:
    context = 16
    ids = documents(sizes)
    if len(ids) <= context:
        return
    for x, y in rows_of(packed(tmp_path_factory.mktemp("d"), ids, context, seed), 0):
        used = sum(label != IGNORED for label in y)
        assert x[0] == END
        assert all(label == IGNORED for label in y[used:])
        assert all(token == END for token in x[used:])
        assert y[used - 1] == END  # the last document of the row is whole: its end is learned


def test_packing_wastes_little(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    ids = documents(generator.integers(5, 60, 800).tolist())
    batches = packed(tmp_path, ids, 128)
    assert len(ids) / (batches.rows_per_epoch * 128) > 0.99


def test_a_long_document_fills_rows_of_its_own(tmp_path: Path) -> None:
    rows = rows_of(packed(tmp_path, documents([50, 6]), 16), 0)
    assert len(rows) == 4
    full = sorted(x for x, _ in rows if END not in x)
    assert full == [list(range(16, 32)), list(range(32, 48))]


def test_the_order_of_rows_and_of_documents_in_a_row_is_new_in_each_epoch(tmp_path: Path) -> None:
    batches = packed(tmp_path, documents([4] * 64), 16)
    first, second = rows_of(batches, 0), rows_of(batches, 1)
    assert first != second
    shared = [{frozenset(x) for x, _ in rows} for rows in (first, second)]
    assert shared[0] == shared[1]


# --- documents kept apart ----------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(1, 40), min_size=3, max_size=25), seed=st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_packed_rows_are_those_of_documents_with_every_document_numbered(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int
) -> None:
    ids, context = documents(sizes), 16
    if len(ids) <= context:
        return
    shard = shard_of(tmp_path_factory.mktemp("p"), ids)
    plain, apart = (
        Batches(shard, context=context, rows=2, seed=seed, mode=mode, end_of_text=END)
        for mode in ("documents", "packed")
    )
    place = {(ids[at], ids[at + 1] if at + 1 < len(ids) else END): at for at in range(len(ids))}
    for index in range(int(plain.batches_per_epoch) + 1):
        x, y, numbers = apart.batch(index)
        assert np.array_equal(x, plain.batch(index).x)
        assert np.array_equal(y, plain.batch(index).y)
        assert plain.batch(index).documents is None
        assert numbers is not None
        for row in range(2):
            # inside a number the corpus goes on; a document that begins, and the free end, have a new one
            for at in range(1, context):
                same = numbers[row, at] == numbers[row, at - 1]
                if y[row, at] == IGNORED:
                    assert same == (y[row, at - 1] == IGNORED)
                elif x[row, at] == END:
                    assert not same
                elif x[row, at - 1] != END and same:
                    assert place[x[row, at], y[row, at]] == place[x[row, at - 1], y[row, at - 1]] + 1


# --- mixtures ----------------------------------------------------------------------------------------------------


@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=5), rows=st.integers(1, 300))
@settings(max_examples=100, deadline=None)
def test_every_stretch_of_rows_holds_each_sources_share(weights: list[float], rows: int) -> None:
    mixture = Mixture(weights)
    turns: Counter[int] = Counter()
    for row in range(rows):
        source, turn = mixture.place(row)
        assert turn == turns[source]
        turns[source] += 1
        for number, share in enumerate(mixture.shares):
            assert abs(turns[number] - (row + 1) * share) < len(weights)


def test_three_to_one_is_three_to_one() -> None:
    assert [Mixture([3, 1]).place(row)[0] for row in range(8)] == [0, 0, 1, 0, 0, 0, 1, 0]


def test_mixed_rows_are_those_of_each_source_alone(tmp_path: Path) -> None:
    one = counting(tmp_path, 800)
    (tmp_path / "b").mkdir()
    two = shard_of(tmp_path / "b", list(range(1001, 1301)))
    mixed = Batches([one, two], context=8, rows=4, seed=3, weights=[3, 1], end_of_text=END)
    alone = Batches(one, context=8, rows=1, seed=3, end_of_text=END)
    assert mixed.rows_per_epoch == 99 + 36
    rows = np.concatenate([mixed.batch(index).x for index in range(200)])
    firsts = rows[rows[:, 0] < 1000]
    assert len(firsts) == 600
    assert all(np.array_equal(row, alone.batch(number).x[0]) for number, row in enumerate(firsts))
    seconds = rows[rows[:, 0] > 1000]
    for epoch in range(5):  # each source has epochs of its own
        seen = seconds[epoch * 36 : epoch * 36 + 36].ravel()
        assert len(set(seen.tolist())) == len(seen)


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["windows", "documents", "packed"])
def test_a_corpus_that_cannot_fill_a_row_is_refused_with_numbers(tmp_path: Path, mode: Any) -> None:
    with pytest.raises(CorpusError, match="16 tokens, one row needs 17"):
        Batches(counting(tmp_path, 16), context=16, rows=1, seed=0, mode=mode, end_of_text=END)
    Batches(counting(tmp_path, 17), context=16, rows=1, seed=0, mode=mode, end_of_text=END).batch(0)


def test_nonsense_is_refused(tmp_path: Path) -> None:
    shard = counting(tmp_path, 100)
    with pytest.raises(ValueError, match="at least 1"):
        Batches(shard, context=0, rows=1, seed=0, end_of_text=END)
    with pytest.raises(ValueError, match="mode must be one of"):
        Batches(shard, context=4, rows=1, seed=0, mode="page", end_of_text=END)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one weight for each"):
        Batches(shard, context=4, rows=1, seed=0, end_of_text=END, weights=[1, 2])
    with pytest.raises(ValueError, match="above 0"):
        Batches(shard, context=4, rows=1, seed=0, end_of_text=END, weights=[0])
    with pytest.raises(ValueError, match="index"):
        Batches(shard, context=4, rows=1, seed=0, end_of_text=END).batch(-1)
