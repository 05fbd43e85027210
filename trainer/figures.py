"""Numbers as people read them on a screen: short, with units."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """1:05, 2:03:04, 3 d 04:05."""
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days} d {hours:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count(value: float) -> str:
    """950, 12.3k, 1.70M, 2.10B."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            scaled = value / size
            return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f}{letter}"
    return f"{value:.0f}"


def size(value: float) -> str:
    """Bytes: 12 kB, 341 MB, 1.20 GB."""
    if value < 1e6:
        return f"{value / 1e3:.0f} kB"
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def flops(value: float) -> str:
    """Operations a second: 14.2 GFLOP/s, 1.20 TFLOP/s."""
    for size_, letter in ((1e12, "T"), (1e9, "G")):
        if value >= size_:
            scaled = value / size_
            return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {letter}FLOP/s"
    return f"{value / 1e6:.0f} MFLOP/s"
