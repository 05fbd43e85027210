"""The words on the borders of the panels, and in an empty stream."""

from __future__ import annotations

from tinychat.tui.layouts import TABS

PLACEHOLDERS = {
    "completion": "Type a beginning and press Enter: the model goes on. Then Space pauses, arrow keys walk over the "
    "tokens, F1 lists all keys.",
    "chat": "Type a message and press Enter: the model answers. Esc, then arrow keys walk over the tokens; "
    "F1 lists all keys.",
}
# without their numbers, so that all of them stand on the narrowest panel
_SHORT = {"candidates": "cand", "pipeline": "pipe", "knobs": "knobs", "tree": "tree", "entropy": "entropy",
          "why": "why"}  # fmt: skip
_LONG = {
    "pipeline": ("4 Pipeline", "o order"),
    "knobs": ("5 Knobs (live)", "- = nudge, a all"),
    "tree": ("6 Branches", "t  [ ] version, z fold, H hide"),
    "entropy": ("7 Entropy, bit", ""),
    "why": ("10 Why this token", ""),
}


def tab_names(tab: str) -> str:
    """All panels that share one place, the one that is seen in brackets."""
    return " ".join(f"[{_SHORT[each]}]" if each == tab else _SHORT[each] for each in TABS)


def tab_at(note: str, at: int, tab: str) -> str | None:
    """The panel whose name stands at a place of `tab_names(tab)`; None between the names, and on another note."""
    if note != tab_names(tab):
        return None
    begin = note.rfind(" ", 0, at + 1) + 1
    word = note[begin:].partition(" ")[0].strip("[]")
    return next((each for each in TABS if _SHORT[each] == word and note[at] != " "), None)


def panel_titles(tab: str, *, tabbed: bool) -> dict[str, tuple[str, str]]:
    """Title and note of the panels whose title is always the same. `tabbed`: they share one place.

    Where all are seen, the one that Up and Down act on is marked.
    """
    if tabbed:
        return {panel: (title, tab_names(tab)) for panel, (title, _) in _LONG.items()}
    return {panel: (f"> {title}" if panel == tab else title, note) for panel, (title, note) in _LONG.items()}
