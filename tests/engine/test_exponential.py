"""Our exponential against exact decimals, and where it ends."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np

from tinychat.engine.exponential import LEAST, exp


def test_it_is_within_two_units_of_the_exact_value_everywhere() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([-rng.exponential(5, 600), rng.uniform(LEAST, 700, 600), rng.normal(size=200) * 1e-4])
    with localcontext() as context:
        context.prec = 40
        exact = [Decimal(each).exp() for each in x.tolist()]
        off = [abs(Decimal(y) - e) / Decimal(math.ulp(float(e))) for y, e in zip(exp(x).tolist(), exact, strict=True)]
    assert max(off) < Decimal("1.3")


def test_it_rises_and_meets_its_fixed_points() -> None:
    x = np.sort(np.random.default_rng(1).uniform(-30, 30, 50_000))
    assert (np.diff(exp(x)) >= 0).all()
    assert exp(np.array([0.0, -0.0])).tolist() == [1.0, 1.0]
    assert exp(np.array([-math.inf, -1e300, np.nextafter(LEAST, -math.inf)])).tolist() == [0.0, 0.0, 0.0]
    assert exp(np.array([LEAST]))[0] > 0.0
    assert exp(np.zeros(0)).size == 0


def test_a_number_has_the_same_bits_wherever_it_stands() -> None:
    x = -np.random.default_rng(2).exponential(9, 1001)
    assert exp(x)[500:].tolist() == exp(x[500:]).tolist() == [exp(x[i : i + 1])[0] for i in range(500, 1001)]
