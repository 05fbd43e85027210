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
from tinychat.tui.keys import ACTIONS, EDIT_KEYS, GROUPS, PICKED_KNOBS, shown
from tinychat.tui.palette import MODES, legend


def help_text(*, ascii_only: bool) -> str:
    """All keys and commands as plain text."""
    lines = ["INSPECT: single keys act. EDIT: you type into the prompt. The header says which.", ""]
    for group, title in GROUPS.items():
        lines.append(title)
        for action in ACTIONS:
            if action.group == group:
                lines.append(f"  {shown(action.shown, ascii_only=ascii_only):<11} {action.title}. {action.tip}")
        if group == "choose":
            lines.append(f"  {'1 to 9':<11} Take that candidate at once.")
        if group == "knobs":
            for knob in PICKED_KNOBS:
                lines.append(f"  {knob.key:<11} Pick {knob.label}. {knob.help}")
            lines.append(
                f"  {'digits':<11} After a knob's letter: type a value (begin with . or 1 to 9), Enter sets it."
            )
        lines.append("")
    lines.append("While editing the prompt")
    lines += [f"  {keys:<11} {meaning}" for keys, meaning in EDIT_KEYS]
    lines += ["", "Command line, after :"]
    lines += [f"  {form:<14} {meaning}" for form, meaning in commands.WORDS.items()]
    lines += ["", "Marks under the tokens (n shows them), by the colour mode (c)"]
    for mode in MODES:
        signs = "  ".join(f"{mark} {meaning}" for mark, meaning, _ in legend(mode) if mark.strip())
        lines.append(f"  {mode:<11} {signs}")
    lines += [
        "",
        "Mouse: click a token or a candidate (twice takes it), drag a slider, turn the wheel over one.",
        "Select text with Shift (Option on a Mac) held, or start with --no-mouse.",
        "Should a killed program leave the terminal odd, type:  reset",
    ]
    return "\n".join(lines)


class HelpScreen(ModalScreen[None]):
    """A scrolling page; Esc, ? or q closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,question_mark,f1,q,enter,ctrl+c", "dismiss", "Close", id="help.close", tooltip="Close the help."
        ),
        Binding("j", "app.scroll_help(1)", "Down", id="help.down", show=False, tooltip="Down."),
        Binding("k", "app.scroll_help(-1)", "Up", id="help.up", show=False, tooltip="Up."),
    ]

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__(classes="ascii" if ascii_only else "")
        self._text = help_text(ascii_only=ascii_only)

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help-panel") as panel:
            panel.border_title = "Keys"
            panel.border_subtitle = "Esc closes"
            yield Static(Content(self._text), id="help-text", markup=False)
