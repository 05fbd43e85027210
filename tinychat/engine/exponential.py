"""The exponential, the same bits everywhere: here, and several times as fast in the C++ library (cpp/doubles.h).

Those of numpy and torch come from libraries that differ from machine to machine in the last digit, and in C++ there
would be a third. This one is a table and a short polynomial of additions and multiplications that every machine rounds
alike: e^x = 2^w T(j) e^r with x = (2048 w + j) ln 2 / 2048 + r and |r| < ln 2 / 4096.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

LEAST = -708.0  # below, an exponential is 0 here: numbers that small lose digits, and take many times as long

_PARTS = 2048  # of an octave
_SCALE = float.fromhex("0x1.71547652b82fep+11")  # parts / ln 2
_HIGH = float.fromhex("0x1.62e42fee00000p-12")  # ln 2 / parts, but 32 bits: times a whole number it is exact
_LOW = float.fromhex("0x1.a39ef35793c76p-44")  # and the rest of it
_SHIFT = 1.5 * 2.0**52  # added to a number, it leaves the nearest whole one in the lowest bits


def _table() -> NDArray[np.float64]:
    with localcontext() as context:
        context.prec = 40
        step, power, powers = Decimal(2) ** (Decimal(1) / _PARTS), Decimal(1), []
        for _ in range(_PARTS):
            powers.append(float(power))
            power *= step
    return np.array(powers)


TABLE = _table()  # 2 to the i / 2048, each rounded once


def exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exponentials of numbers up to 709, to 1.3 units in the last place; 0 below LEAST."""
    x = np.maximum(values, LEAST)
    t = x * _SCALE
    t += _SHIFT
    bits = t.view(np.int64)
    found = TABLE.take(bits & (_PARTS - 1))
    octaves = bits >> 11
    octaves <<= 52  # where a float64 has its exponent
    t -= _SHIFT
    x -= t * _HIGH
    t *= _LOW
    x -= t
    bent = x * (1.0 / 6.0)
    bent += 0.5
    np.multiply(x, x, out=t)
    bent *= t
    bent += x
    bent *= found
    found += bent
    found.view(np.int64)[...] += octaves
    if values.size and values.min() < LEAST:
        found[values < LEAST] = 0.0
    return found
