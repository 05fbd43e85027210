"""Small pictures beside the curve: strips of a series over the run, and the next-token bars of the probe.

Everything can be read without colour and without Unicode. Pure: values in, lines out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tinychat.text.terminal import one_line
from trainer.events import Probed
from trainer.history import Point

LABEL = 10  # columns before a strip
TOKEN, BAR, SHARE = 12, 8, 8  # columns of a probe line; its history gets the rest
LEVELS, LEVELS_ASCII = "▁▂▃▄▅▆▇█", "_.-=+*%#"
PARTS = "▏▎▍▌▋▊▉█"
MOST_TOKENS = 5
_PLAIN_SIGNS = str.maketrans({"␣": "_", "↵": "\\n", "⇥": "\\t", "…": "~", "◌": "o"})


def strip(values: Sequence[float | None], *, low: float, high: float, ascii_only: bool) -> str:
    """One character a value, by its height between `low` and `high`; blank for None."""
    levels = LEVELS_ASCII if ascii_only else LEVELS
    span = high - low
    made = []
    for value in values:
        if value is None or not math.isfinite(value):
            made.append(" ")
        elif span <= 0:
            made.append(levels[len(levels) // 2])
        else:
            made.append(levels[min(len(levels) - 1, max(0, int((value - low) / span * len(levels))))])
    return "".join(made)


def at_columns(points: Sequence[Point], first: float, last: float, width: int) -> list[float | None]:
    """The mean of the points that fall into each of `width` columns from `first` to `last`; gaps inside are bridged."""
    sums, counts = [0.0] * width, [0] * width
    for step, value in points:
        if first <= step <= last and math.isfinite(value):
            column = min(width - 1, int((step - first) / max(last - first, 1e-9) * width))
            sums[column] += value
            counts[column] += 1
    found = [total / count if count else None for total, count in zip(sums, counts, strict=True)]
    ends = [column for column, value in enumerate(found) if value is not None]
    before: float | None = None
    for column in range(ends[0], ends[-1]) if ends else ():
        before = found[column] = before if found[column] is None else found[column]
    return found


def series_strip(label: str, points: Sequence[Point], width: int, *, ascii_only: bool) -> Text:
    """A series over its own steps."""
    line = Text(f"{label:<{LABEL}}", "dim")
    if points:
        values = at_columns(points, points[0][0], points[-1][0], max(1, width - LABEL))
        known = _settled(values)
        line.append(strip(values, low=min(0.0, *known), high=max(known), ascii_only=ascii_only), "cyan")
    return line


def rate_strip(label: str, points: Sequence[Point], planned: Sequence[Point], width: int, *, ascii_only: bool) -> Text:
    """The rates so far, a mark where the run stands, and what the schedule has planned."""
    line = Text(f"{label:<{LABEL}}", "dim")
    columns = max(2, width - LABEL)
    if not points and not planned:
        return line
    now = points[-1][0] if points else planned[0][0]
    last = max(now, planned[-1][0] if planned else now)
    first = min(points[0][0] if points else now, planned[0][0] if planned else now)
    place = min(columns - 1, int((now - first) / max(last - first, 1e-9) * (columns - 1)))
    high = max((value for _, value in (*points, *planned)), default=0.0)
    done = at_columns(points, first, now, place) if place else []
    to_come = at_columns([point for point in planned if point[0] >= now], now, last, max(1, columns - place - 1))
    line.append(strip(done, low=0.0, high=high, ascii_only=ascii_only), "cyan")
    line.append("|", "bold")
    line.append(strip(to_come, low=0.0, high=high, ascii_only=ascii_only), "dim")
    return line


def probe_lines(probes: Sequence[Probed], width: int, height: int, *, ascii_only: bool) -> list[Text]:
    """The likeliest next tokens after the probe now, each with its share at the probes before."""
    if not probes or height < 2:
        return []
    now = probes[-1]
    heading = Text("next after ", "dim")
    prompt = one_line(now.prompt)
    while cell_len(prompt) > max(4, width - cell_len(heading.plain) - 2):
        prompt = "~" + prompt[2:]
    heading.append(f'"{prompt}"', "bold")
    lines = [heading]
    seen = [_share(probe, text) or 0.0 for probe in probes for text, _ in now.top[:MOST_TOKENS]]
    for text, share in now.top[: min(MOST_TOKENS, height - 1)]:
        line = Text(set_cell_size(token_text(text, ascii_only=ascii_only), TOKEN - 1) + " ", "bold")
        line.append(f"{_bar(share, ascii_only=ascii_only):<{BAR}}", "green")
        line.append(f"{share * 100:5.1f} % ")
        history = max(0, width - TOKEN - BAR - SHARE)
        before = [_share(probe, text) for probe in probes[-history:]] if history else []
        line.append(strip(before, low=0.0, high=max(seen), ascii_only=ascii_only), "cyan")
        lines.append(line)
    return lines


def _bar(share: float, *, ascii_only: bool) -> str:
    if ascii_only:
        return "#" * round(share * BAR)
    whole, part = divmod(round(share * BAR * len(PARTS)), len(PARTS))
    return PARTS[-1] * whole + (PARTS[part - 1] if part else "")


def probe_line(probes: Sequence[Probed], width: int, *, ascii_only: bool) -> Text:
    """The same on one line: the likeliest tokens and their shares."""
    now = probes[-1]
    line = Text("next after ", "dim").append(f'"{one_line(now.prompt)}"', "bold").append(" ")
    for text, share in now.top[:MOST_TOKENS]:
        token = token_text(text, ascii_only=ascii_only)
        word = f" {set_cell_size(token, min(TOKEN, cell_len(token)))} "
        value = f"{share * 100:.0f}%"
        if cell_len(line.plain) + cell_len(word) + len(value) > width:
            break
        line.append(word).append(value, "green")
    return line


def token_text(text: str, *, ascii_only: bool) -> str:
    """A token's label; ours are the signs for what cannot be seen, so they go where only ASCII can be shown."""
    return one_line(text).translate(_PLAIN_SIGNS) if ascii_only else one_line(text)


def _share(probe: Probed, text: str) -> float | None:
    return next((share for said, share in probe.top if said == text), None)


def _settled(values: Sequence[float | None]) -> list[float]:
    """The values, without the first tenth where something follows it: a wild start would press the rest flat."""
    rest = [value for value in values[len(values) // 10 :] if value is not None]
    return rest or [value for value in values if value is not None] or [0.0]
