"""The rate is a pure function of the step: up in a line, no wasted step, the floor at the last one."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.schedule import SHAPES, Schedule, Shape

BASE = Schedule(shape="cosine", steps=1000, peak=1.0, floor=0.1, warmup=0.1, hold_until=0.5, decay_end=1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_warm_up_is_a_line_that_begins_above_zero_and_reaches_the_peak(shape: Shape) -> None:
    schedule = replace(BASE, shape=shape)
    assert [schedule.rate(step) for step in (0, 9, 49, 99)] == pytest.approx([0.01, 0.1, 0.5, 1.0])


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "constant"])
def test_the_last_update_has_the_floor_and_so_has_all_after_it(shape: Shape) -> None:
    schedule = replace(BASE, shape=shape)
    assert [schedule.rate(step) for step in (999, 1000, 5000)] == pytest.approx([0.1, 0.1, 0.1])
    assert schedule.rate(998) > 0.1


@pytest.mark.parametrize("shape", ["wsd", "warmup_hold_cosine"])
def test_holding_shapes_hold_until_their_point(shape: Shape) -> None:
    schedule = replace(BASE, shape=shape)
    assert {schedule.rate(step) for step in range(99, 499)} == {1.0}
    assert schedule.rate(500) < 1.0


def test_halfway_down_is_halfway_in_every_decaying_shape() -> None:
    holding: tuple[Shape, ...] = ("wsd", "warmup_hold_cosine")
    for shape in holding:
        assert replace(BASE, shape=shape).rate(749) == pytest.approx(0.55)
    falling: tuple[Shape, ...] = ("linear", "cosine")
    for shape in falling:
        assert replace(BASE, shape=shape).rate(549) == pytest.approx(0.55)


def test_cosine_is_the_formula() -> None:
    for step in range(100, 1000, 37):
        progress = (step + 1 - 100) / 900
        assert BASE.rate(step) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))


def test_decay_end_leaves_the_rest_at_the_floor() -> None:
    schedule = replace(BASE, warmup=0.05, decay_end=0.9)
    assert schedule.rate(898) > 0.1
    assert {schedule.rate(step) for step in range(899, 1000)} == {0.1}


def test_points_above_one_are_steps() -> None:
    assert [replace(BASE, warmup=100).rate(step) for step in range(1000)] == [BASE.rate(step) for step in range(1000)]


@given(
    shape=st.sampled_from(SHAPES),
    steps=st.integers(1, 3000),
    warmup=st.floats(0, 1),
    hold=st.floats(0, 1),
    end=st.floats(0.01, 1),
)
def test_no_rate_leaves_its_bounds_and_after_the_warm_up_none_rises(
    shape: Shape, steps: int, warmup: float, hold: float, end: float
) -> None:
    schedule = Schedule(shape=shape, steps=steps, peak=2e-3, floor=1e-4, warmup=warmup, hold_until=hold, decay_end=end)
    rates = [schedule.rate(step) for step in range(0, steps, max(1, steps // 50))]
    assert all(0 < rate <= 2e-3 * (1 + 1e-12) for rate in rates)
    later = [schedule.rate(step) for step in range(math.ceil(warmup * steps), steps)]
    assert all(late <= early * (1 + 1e-12) for early, late in pairwise(later))


def test_a_step_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="step must be at least 0"):
        BASE.rate(-1)
