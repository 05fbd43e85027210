"""What the search view says above its tree: how things stand, the options, the answers. Pure rows, no widget."""

from __future__ import annotations

import shlex

from tinychat.engine.search_params import SearchParams
from tinychat.text.terminal import clean
from tinychat.tui.lineview import Piece, Row
from tinychat.tui.searchoptions import METHOD_TIPS, Options
from tinychat.tui.searchtree import Growth

ANSWERS = 4  # rows of the table
MORE = "..."  # options that have no room; Tab brings them


def standing(growth: Growth, spec: SearchParams, *, running: bool) -> list[Piece]:
    """How far the search is, and what it cost."""
    state = "RUNNING" if running else "STOPPED" if growth.stopped else "DONE"
    going = "cut off" if growth.stopped else "live"
    words = f"{growth.count(going)} {going}, {growth.count('finished')} complete, {growth.count('pruned')} given up"
    pieces = [(state, "chosen" if running else "strong"), (f"  {spec.method}: {words}", "text")]
    if growth.done is not None:
        pieces.append((f"  {growth.done.calls} odds, {growth.done.passes} passes", "quiet"))
    return pieces


def option_rows(options: Options, width: int) -> list[Row]:
    """The method, and the options it reads, of which the picked one is in sight."""
    first: Row = (
        (" m ", "quiet"), (options.method, "chosen"), (f"  {METHOD_TIPS[options.method]}", "quiet"),
    )  # fmt: skip
    second: list[Piece] = []
    names = options.names
    for name in names:
        text = clean(f"{name.replace('_', ' ')} {_shown(options.value(name))}", keep="")
        picked = name == options.picked
        # brackets where colour and weight may not be seen
        second.append((f"[{text}] " if picked else f" {text}  ", "strong" if picked else "text"))
    seen = names.index(options.picked) + 1
    room = width - 1 - len(MORE)
    while len(second) > 1 and sum(len(text) for text, _ in second[:seen]) > room:
        second, seen = second[1:], seen - 1
    if sum(len(text) for text, _ in second) > width - 2:
        while len(second) > seen and sum(len(text) for text, _ in second) > room:
            second.pop()
        second.append((MORE, "quiet"))
    return [first, ((" ", "text"), *second)]


def _shown(value: object) -> object:
    if value == "":
        return "last number"
    if isinstance(value, tuple):
        return shlex.join(value) or "none"
    return value


def answer_rows(growth: Growth, spec: SearchParams | None) -> list[Row]:
    """The answers with their weights, heaviest first; nothing where none is looked for."""
    done = growth.done
    if done is None or spec is None or spec.method not in ("cot", "majority"):
        return []
    if not done.answers:
        return [((" answer  none of the paths has one: the best path stands for them", "quiet"),)]
    rows: list[Row] = []
    total = sum(each.weight for each in done.answers) or 1.0
    for index, each in enumerate(done.answers[:ANSWERS]):
        text = clean(each.text.replace("\n", " "), keep="")
        paths = f"{len(each.nodes)} path{'s' * (len(each.nodes) != 1)}"
        weight = f"weight {each.weight:.2f} ({100 * each.weight / total:.0f}%), {paths}"
        head, role = ("        ", "text") if index else (" answer ", "chosen")
        rows.append(((head, "quiet"), (f"{text:<16} ", role), (weight, "quiet")))
    if len(done.answers) > ANSWERS:
        rows.append(((f"        {len(done.answers) - ANSWERS} more", "quiet"),))
    return rows
