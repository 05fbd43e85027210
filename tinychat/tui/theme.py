"""Our own themes: for dark and light ground in true colour and in the terminal's own sixteen, and one with no colour.

The last three use only the terminal's default colours, so that nothing can come out black on black.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

from tinychat.tui.palette import Look

_DEFAULTS = {
    "ansi-background": "ansi_default",
    "ansi-foreground": "ansi_default",
    "block-cursor-foreground": "ansi_default",
    "block-cursor-background": "ansi_default",
    "block-cursor-text-style": "reverse",
    "input-cursor-background": "ansi_default",
    "input-cursor-foreground": "ansi_default",
    "input-cursor-text-style": "reverse",
    "input-selection-background": "ansi_default",
    "input-selection-foreground": "ansi_default",
    "screen-selection-background": "ansi_default",
    "screen-selection-foreground": "ansi_default",
    "border": "ansi_default",
    "border-blurred": "ansi_default",
    "scrollbar-background": "ansi_default",
    "scrollbar-background-hover": "ansi_default",
    "scrollbar-background-active": "ansi_default",
}


def _ansi(name: str, *, accent: str, on_accent: str, dark: bool = True) -> Theme:
    return Theme(
        name=name, ansi=True, dark=dark, primary=accent, secondary=accent, warning=accent, error=accent,
        success=accent, accent=accent, foreground="ansi_default", background="ansi_default", surface="ansi_default",
        panel="ansi_default", boost="ansi_default",
        variables=_DEFAULTS | {
            "panel-border": "ansi_default", "panel-focus": accent, "muted": "ansi_default", "on-accent": on_accent,
            "scrollbar": accent, "scrollbar-hover": accent, "scrollbar-active": accent,
        },
    )  # fmt: skip


THEMES = (
    Theme(
        name="tinychat", dark=True, primary="#4fd6c4", secondary="#7f9bd1", warning="#ffd866", error="#ff7b72",
        success="#4fd6c4", accent="#d2a8ff", foreground="#d5dbe1", background="#0f1318", surface="#161b22",
        panel="#1c232c", boost="#1c232c",
        variables={"panel-border": "#39424d", "panel-focus": "#4fd6c4", "muted": "#8b949e", "on-accent": "#04211d"},
    ),
    Theme(
        name="tinychat-light", dark=False, primary="#00706a", secondary="#3a5fa0", warning="#9a6700", error="#b3202c",
        success="#00706a", accent="#7a3fbf", foreground="#1f2328", background="#ffffff", surface="#f6f8fa",
        panel="#eef1f4", boost="#eef1f4",
        variables={"panel-border": "#c4ccd4", "panel-focus": "#00706a", "muted": "#59636e", "on-accent": "#ffffff"},
    ),
    _ansi("tinychat-16", accent="ansi_cyan", on_accent="ansi_black"),
    _ansi("tinychat-16-light", accent="ansi_blue", on_accent="ansi_white", dark=False),
    _ansi("tinychat-plain", accent="ansi_default", on_accent="ansi_default"),
)  # fmt: skip


OTHER_GROUND = {"tinychat": "tinychat-light", "tinychat-16": "tinychat-16-light"}
OTHER_GROUND |= {light: dark for dark, light in OTHER_GROUND.items()}


def has_light_ground(environ: Mapping[str, str]) -> bool:
    """Whether the terminal says that its background is light, as in COLORFGBG="0;default;15"; most say nothing."""
    ground = environ.get("COLORFGBG", "").rpartition(";")[2]
    return ground in ("7", "15")


def theme_for(look: Look, *, light: bool = False) -> str:
    """The theme for what the terminal can show."""
    if look.colors == "none":
        return "tinychat-plain"
    if look.colors == "16":
        return "tinychat-16-light" if light else "tinychat-16"
    return "tinychat-light" if light else "tinychat"
