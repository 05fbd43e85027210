"""The help screen, written from the key table and the knobs."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tinychat.tui import commands
from tinychat.tui.config import Taste
from tinychat.tui.keys import GROUPS, PICKED_KNOBS, edit_keys, shown
from tinychat.tui.modes import MODES
from tinychat.tui.palette import legend, spelled
from tinychat.tui.widgets.lines import wrap

_WIDTH, _INDENT = 74, 16  # of 80 columns border, padding and scroll bar take six


def help_text(*, ascii_only: bool, taste: Taste | None = None) -> str:
    """All keys and commands as plain text, in lines that fit 80 columns."""
    taste = taste or Taste()
    lines = ["INSPECT: single keys act. EDIT: you type into the prompt. The header says which.", ""]
    for group, title in GROUPS.items():
        lines.append(title)
        for action in taste.keymap.actions:
            if action.group == group:
                lines += _entry(shown(action.shown, ascii_only=ascii_only), f"{action.title}. {action.tip}")
        if group == "choose":
            lines += _entry("1 to 9", "Take that candidate at once.")
        if group == "knobs":
            for knob in PICKED_KNOBS:
                lines += _entry(knob.key, f"Pick {knob.label}. {knob.help}")
            lines += _entry("digits", "After a knob's letter: a value (it begins with . or 1 to 9); Enter sets it.")
        lines.append("")
    lines.append("While editing the prompt")
    for keys, meaning in edit_keys(enter_runs=taste.enter_runs):
        lines += _entry(keys, meaning)
    lines += ["", "Chat: a line that begins with / (in a completion it is text)"]
    for form, meaning in commands.SLASH.items():
        lines += _entry(form, meaning)
    lines += ["", "Command line, after :"]
    for form, meaning in commands.WORDS.items():
        lines += _entry(form, meaning)
    lines += ["", "Marks under the tokens (n shows them), by the colour mode (c)"]
    for mode in MODES:
        lines += _entry(mode, "  ".join(f"{mark} {meaning}" for mark, meaning, _ in legend(mode) if mark.strip()))
    lines += [
        "",
        "Screens that open over this one say their keys in the last line; the shell's",
        "tinychat keys  lists all, and config.toml can change them (tinychat paths).",
        "",
        "Mouse: click a token or a candidate (twice takes it), drag a slider, turn",
        "the wheel over one. Select text with Shift (Option on a Mac) held, or start",
        "with --no-mouse. Should a killed program leave the terminal odd, type:  reset",
    ]
    return spelled("\n".join(lines), "ascii" if ascii_only else "unicode")


def _entry(keys: str, meaning: str) -> list[str]:
    first, *more = wrap(meaning, _WIDTH - _INDENT)
    return [f"  {keys:<{_INDENT - 3}} {first}", *(" " * _INDENT + line for line in more)]


class HelpScreen(ModalScreen[None]):
    """A scrolling page; Esc, ? or q closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,question_mark,f1,q,enter,ctrl+c", "dismiss", "Close", id="help.close", tooltip="Close the help."
        ),
    ]

    def __init__(self, *, ascii_only: bool, taste: Taste | None = None) -> None:
        super().__init__()
        self._text = help_text(ascii_only=ascii_only, taste=taste)

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help-panel") as panel:
            panel.border_title = "Keys"
            panel.border_subtitle = "Up Down scroll, Esc closes"
            yield Static(Content(self._text), id="help-text", markup=False)
