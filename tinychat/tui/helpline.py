"""The last line of the screen: the keys that matter now, from the key table, as many as fit."""

from __future__ import annotations

from rich.cells import cell_len

from tinychat.tui.config import Taste
from tinychat.tui.keys import ACTION_BY_NAME, shown
from tinychat.tui.lineview import Piece, Row
from tinychat.tui.palette import Look

_EDITING = (("Esc", "inspect"), ("F5", "run/pause"), ("^c", "stop"), ("F1", "help"), ("^q", "quit"))
_RUNNING = {"run": "pause", "stop": "stop"}
_FIRST = ("run", "help", "edit", "take", "step_once", "left", "nudge_up", "rewind", "next_panel", "candidate_up",
          "regenerate", "leave")  # fmt: skip


def help_row(width: int, *, editing: bool, running: bool, look: Look, taste: Taste) -> Row:
    """Keys and words, the most needed first to get a place, in the order of the table."""
    plain, actions = look.glyphs == "ascii", taste.keymap.actions
    if editing:
        run, newline = ("Enter", "^j") if taste.enter_runs else ("^j", "Enter")
        entries = [(run, "run"), (newline, "newline"), *_EDITING]
    else:
        chosen, used = set(), 1
        ranked = sorted((a for a in actions if a.short), key=lambda a: _FIRST.index(a.name) if a.name in _FIRST else 99)
        for action in ranked:
            cells = cell_len(_keys(action.name, action.shown, plain)) + len(action.short) + 3
            if used + cells <= width:
                used += cells
                chosen.add(action.name)
        entries = [
            (_keys(a.name, a.shown, plain), _RUNNING.get(a.name, a.short) if running else a.short)
            for a in actions
            if a.name in chosen
        ]
    pieces: list[Piece] = [(" ", "text")]
    for keys, word in entries:
        pieces += [(keys, "strong"), (f" {word}  ", "quiet")]
    return tuple(pieces)


def _keys(name: str, keys: str, plain: bool) -> str:
    both = {"left": "<- ->" if plain else "← →", "candidate_up": "Up Down" if plain else "↑ ↓", "nudge_up": "- =",
            "next_branch": "[ ]", "take": "Enter 1-9"}  # fmt: skip
    if name in both and keys == ACTION_BY_NAME[name].shown:  # a key and its neighbour, where both are as they were
        return both[name]
    return shown(keys, ascii_only=plain)
