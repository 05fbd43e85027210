"""The dart and its owner: known answers, a slow twin, and statistics that a wrong draw fails."""

from __future__ import annotations

import bisect
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from vectors import REJECT, chance

from tinychat.engine.draw import HEAD, Pick, likeliest, owned, philox, pick, rank_of, stack, uniform


def a_law(size: int, seed: int, sharpness: float = 2.0) -> NDArray[np.float64]:
    weights = np.exp(np.random.default_rng(seed).normal(size=size) * sharpness)
    return weights / weights.sum()


# ---- the uniform number ---------------------------------------------------------------------------------------------

FULL = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [  # the known answers published with Random123
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((FULL, FULL, FULL, FULL), (FULL, FULL), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], answer: tuple[int, int, int, int]
) -> None:
    assert philox(counter, key) == answer


def test_a_uniform_number_is_53_bits_of_the_first_two_words() -> None:
    assert uniform(0, 0) == ((0x6627E8D5 << 32 | 0xE169C58D) >> 11) / 2**53
    seed, position, lane, stream = 0x299F31D0_A4093822, 0x243F6A88, 0x85A308D3, 0x13198A2E
    first, second, _, _ = philox((position, lane, stream, 0), (seed & FULL, seed >> 32))
    assert uniform(seed, position, lane, stream) == ((first << 32 | second) >> 11) / 2**53


def test_a_uniform_number_never_reaches_one() -> None:
    assert ((FULL << 32 | FULL) >> 11) * 2.0**-53 < 1.0


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, FULL), st.integers(0, FULL), st.integers(0, FULL))
def test_a_uniform_number_is_a_pure_function_in_the_unit_interval(
    seed: int, position: int, lane: int, stream: int
) -> None:
    u = uniform(seed, position, lane, stream)
    assert 0.0 <= u < 1.0
    assert uniform(seed, position, lane, stream) == u


def test_every_word_of_the_place_matters() -> None:
    places = [(1, 2, 3, 4), (2, 1, 3, 4), (1, 3, 2, 4), (1, 2, 4, 3), (1 + 2**32, 2, 3, 4), (1, 2, 3, 5), (0, 0, 0, 0)]
    assert len({uniform(*place) for place in places}) == len(places)


@pytest.mark.parametrize(
    "place",
    [(-1, 0), (2**64, 0), (0, -1), (0, 2**32), (0, 0, -1), (0, 0, 2**32), (0, 0, 0, -1), (0, 0, 0, 2**32), (True, 0)],
)
def test_a_place_out_of_range_is_refused(place: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="whole number"):
        uniform(*place)


def test_half_a_position_is_refused() -> None:
    with pytest.raises(ValueError, match="position must be a whole number"):
        uniform(0, 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("axis", ["seed", "position", "lane", "stream"])
def test_numbers_are_uniform_along_every_axis(axis: str) -> None:
    start = {"seed": 0, "position": 0, "lane": 0, "stream": 0}
    numbers = np.array([uniform(**{**start, axis: i}) for i in range(20_000)])
    bins = np.bincount((numbers * 64).astype(int), minlength=64)
    assert chance(bins, np.full(64, 1 / 64)) > REJECT
    # neighbours are independent: pairs fill the square evenly, and do not correlate
    pairs = (numbers[:-1] * 16).astype(int) * 16 + (numbers[1:] * 16).astype(int)
    assert chance(np.bincount(pairs[::2], minlength=256), np.full(256, 1 / 256)) > REJECT
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 5 / np.sqrt(numbers.size)


def test_lanes_and_streams_do_not_follow_each_other() -> None:
    rows = [np.array([uniform(9, i, lane, stream) for i in range(4000)]) for lane, stream in [(0, 0), (1, 0), (0, 1)]]
    for one, other in itertools.combinations(rows, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(one.size)


# ---- the owner of the dart ------------------------------------------------------------------------------------------


def slow_pick(final: NDArray[np.float64], u: float) -> Pick:
    """The specification word by word: the 256 likeliest, falling, ties by lower id; then all others by id."""
    falling = sorted(range(len(final)), key=lambda token: (-final[token], token))
    head = falling[:HEAD]
    line = [token for token in head + sorted(falling[HEAD:]) if final[token] > 0]
    low, total = 0.0, 0.0
    for token in line:
        total = min(total + float(final[token]), 1.0)
        high = 1.0 if token == line[-1] else total
        if low <= u < high:
            return Pick(token, low, high, 1 + falling.index(token))
        low = high
    raise AssertionError("nobody owns u")


@st.composite
def laws(draw: st.DrawFn) -> NDArray[np.float64]:
    """Distributions with many ties and zeros, on both sides of the head's size."""
    size = draw(st.sampled_from([1, 2, 3, 7, 50, HEAD - 1, HEAD, HEAD + 1, 400, 700]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["ties", "smooth", "peaked", "uniform"]))
    weights = {
        "ties": rng.integers(0, 4, size).astype(float),
        "smooth": np.exp(rng.normal(size=size)),
        "peaked": np.exp(rng.normal(size=size) * 40),
        "uniform": np.ones(size),
    }[kind]
    if weights.sum() == 0:
        weights[draw(st.integers(0, size - 1))] = 1.0
    law: NDArray[np.float64] = weights / weights.sum()
    return law


unit = st.one_of(
    st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, float(np.nextafter(1.0, 0.0)), 0.25, 0.5, 2.0**-53])
)


@settings(max_examples=150, deadline=None)
@given(laws(), unit)
def test_pick_agrees_with_the_slow_twin(final: NDArray[np.float64], u: float) -> None:
    assert pick(final, u) == slow_pick(final, u)


@settings(max_examples=100, deadline=None)
@given(laws(), unit)
def test_the_dart_lands_in_the_slice_and_the_slice_is_the_probability(final: NDArray[np.float64], u: float) -> None:
    found = pick(final, u)
    assert final[found.token] > 0
    assert found.low <= u < found.high <= 1.0
    assert found.high - found.low == pytest.approx(final[found.token], abs=1e-12)
    assert owned(final, found.token) == found


@settings(max_examples=60, deadline=None)
@given(laws())
def test_the_slices_fill_the_interval_without_gap_or_overlap(final: NDArray[np.float64]) -> None:
    slices = [owned(final, int(token)) for token in stack(final).ids]
    assert slices[0].low == 0.0
    assert slices[-1].high == 1.0
    assert all(one.high == other.low for one, other in itertools.pairwise(slices))
    assert sorted(piece.token for piece in slices) == np.flatnonzero(final).tolist()
    assert sorted(piece.rank for piece in slices) == list(range(1, len(slices) + 1))


def test_a_token_without_probability_owns_nothing() -> None:
    assert owned(np.array([0.5, 0.0, 0.5]), 1) == Pick(1, 0.0, 0.0, 0)


def test_ties_at_the_end_of_the_head_go_to_the_lowest_ids() -> None:
    size = HEAD + 100
    order = stack(np.full(size, 1 / size)).ids
    assert order.tolist() == list(range(size))
    law = np.full(size, 1.0)
    law[size - 1] = 2.0  # one likelier token at the far end pushes one of the equals out of the head
    order = stack(law / law.sum()).ids
    assert order.tolist() == [size - 1, *range(size - 1)]


def test_beyond_the_head_tokens_stand_by_id() -> None:
    law = np.arange(1.0, HEAD + 51)  # the likeliest have the highest ids
    order = stack(law / law.sum()).ids.tolist()
    assert order[:HEAD] == list(range(HEAD + 49, 49, -1))
    assert order[HEAD:] == list(range(50))
    tail = pick(law / law.sum(), 1 - 1e-9)
    assert tail.token == 49
    assert tail.rank == HEAD + 1  # a place by probability, though the tail stands by id


def test_the_last_token_owns_what_rounding_left() -> None:
    law = np.full(10, 0.1)
    law[9] = 0.0
    law[8] = 0.2 - 2e-16  # sums to a little less than 1
    assert pick(law, float(np.nextafter(1.0, 0.0))).token in np.flatnonzero(law)
    assert pick(np.array([1.0 - 1e-7, 0.0]), 1 - 1e-9) == Pick(0, 0.0, 1.0, 1)


def test_one_token_owns_everything() -> None:
    for u in (0.0, 0.5, float(np.nextafter(1.0, 0.0))):
        assert pick(np.array([0.0, 1.0]), u) == Pick(1, 0.0, 1.0, 1)


@pytest.mark.parametrize("u", [-1e-9, 1.0, 2.0, float("nan")])
def test_a_dart_beside_the_interval_is_refused(u: float) -> None:
    with pytest.raises(ValueError, match="u must be"):
        pick(np.array([1.0]), u)


@pytest.mark.parametrize(
    "law", [[0.0, 0.0], [0.5, 0.4], [1.5, -0.5], [float("nan"), 1.0], [float("inf"), 0.0], [], [[0.5], [0.5]]]
)
def test_what_is_no_distribution_is_refused(law: list[float]) -> None:
    with pytest.raises(ValueError, match="final must"):
        pick(np.array(law, dtype=float), 0.5)


def test_a_token_outside_the_vocabulary_is_refused() -> None:
    for token in (-1, 2):
        with pytest.raises(ValueError, match="token must be"):
            owned(np.array([0.5, 0.5]), token)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.integers(0, 70))
def test_likeliest_and_rank_agree_with_a_full_sort(values: list[int], count: int) -> None:
    array = np.array(values, dtype=np.float32)
    falling = sorted(range(len(values)), key=lambda i: (-values[i], i))
    assert likeliest(array, count).tolist() == falling[:count]
    assert [rank_of(array, i) for i in falling] == list(range(1, len(values) + 1))


def test_likeliest_puts_cut_tokens_last() -> None:
    values = np.array([-np.inf, 1.0, -np.inf, 2.0], dtype=np.float32)
    assert likeliest(values, 3).tolist() == [3, 1, 0]


# ---- statistics -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [12, 1000])
def test_two_hundred_thousand_draws_follow_the_law(size: int) -> None:
    law = a_law(size, seed=size)
    laid = stack(law)
    darts = np.array([uniform(2024, position, lane=size) for position in range(200_000)])
    drawn = laid.ids[np.searchsorted(laid.edges, darts, side="right")]
    assert [pick(law, float(u)).token for u in darts[:300]] == drawn[:300].tolist()
    counts = np.bincount(drawn, minlength=size)
    assert chance(counts, law) > REJECT


def test_the_chi_square_fails_a_wrong_draw() -> None:
    law = np.array([0.6, 0.3, 0.1])
    noise = np.random.default_rng(0).random((200_000, 3))
    wrong = np.bincount((law / noise).argmax(1), minlength=3)  # a plain uniform where an exponential belongs
    right = np.bincount((law / -np.log(noise)).argmax(1), minlength=3)
    assert chance(wrong, law) < REJECT < chance(right, law)


def test_a_change_of_the_law_moves_only_the_darts_it_must() -> None:
    """The share of darts whose owner changes is the distance of the two laws, as far as the order stays the same."""
    law, other = np.array([0.5, 0.3, 0.2]), np.array([0.55, 0.28, 0.17])
    darts = [uniform(3, position) for position in range(4000)]
    moved = np.mean([pick(law, u).token != pick(other, u).token for u in darts])
    edges = [np.cumsum(law), np.cumsum(other)]
    must = float(np.abs(edges[0] - edges[1]).sum())
    assert abs(moved - must) < 5 * np.sqrt(must / len(darts))


def test_the_slow_twin_knows_its_own_edges() -> None:
    law = a_law(300, seed=5)
    edges = stack(law).edges.tolist()
    for u in [edges[0], edges[HEAD - 1], edges[HEAD]]:  # a dart exactly on an edge belongs to the next token
        assert pick(law, u) == slow_pick(law, u)
        assert pick(law, u).token == stack(law).ids[bisect.bisect_right(edges, u)]
