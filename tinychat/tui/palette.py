"""How the play screen looks: colours, marks and glyphs for every kind of terminal.

One table gives each role (chosen, ghost, heat3, ...) a style at each colour depth, on dark and on light ground. Colour
is never the only carrier: bars have numbers, heat has marks, the cursor is reversed. Nothing here knows a widget.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from rich.style import Style

from tinychat.tui.modes import Mode

Glyphs = Literal["unicode", "ascii"]
Colors = Literal["truecolor", "256", "16", "none"]


@dataclass(frozen=True, slots=True)
class Look:
    """What the terminal can show."""

    glyphs: Glyphs = "unicode"
    colors: Colors = "truecolor"

    @property
    def needs_marks(self) -> bool:
        """Whether heat must be told by a row of marks because there is no colour for it."""
        return self.colors == "none"


def detect(environ: Mapping[str, str], color_system: str | None, *, ascii: bool = False) -> Look:
    """The look for these environment variables and Rich's name of the colour system (`app.console.color_system`).

    NO_COLOR counts when it is not empty (no-color.org); a dumb terminal has neither colours nor block glyphs.
    """
    term = environ.get("TERM", "")
    dumb = term == "dumb" and not environ.get("FORCE_COLOR")
    colors: Colors
    if environ.get("NO_COLOR") or dumb or color_system is None:
        colors = "none"
    elif color_system == "truecolor":
        colors = "truecolor"
    elif color_system == "256":
        colors = "256"
    else:
        colors = "16"
    # the fonts of the Linux console have no eighth blocks
    plain = ascii or dumb or term == "linux" or not _speaks_utf8(environ)
    return Look("ascii" if plain else "unicode", colors)


def _speaks_utf8(environ: Mapping[str, str]) -> bool:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environ.get(name, ""):
            return "utf8" in value.lower().replace("-", "")
    return True  # nothing said, as in most containers: today's terminals speak UTF-8


# -- heat: how surprising a token was ---------------------------------------------------------------------------------

HEAT_STEPS = 6
HEAT_MARKS = (".", ":", ":", "*", "*", "#")  # one per step; the steps refine the marks and never straddle two of them
FORCED_MARK = "^"
MOVED_MARK = "!"
SEARCHED_MARK = "+"
GUESS_MARKS = {"accepted": "=", "rejected": "x"}
PROMPT_MARK = "."  # only where the mode tells sources apart

_BITS = (1.0, 2.0, 3.0, 4.5, 6.0)
_CHANCE = (0.01, 0.05, 0.10, 0.25, 0.50)
_RANKS = (2.0, 3.0, 6.0, 11.0, 101.0)


def heat(mode: Mode, *, surprisal: float, prob: float, entropy: float, rank: int) -> int:
    """The step 0..5 of a token in a mode, or -1 where the mode has no scale or the number is not known."""
    if mode == "surprisal":
        return heat_of_bits(surprisal)
    if mode == "entropy":
        return heat_of_bits(entropy)
    if mode == "probability":
        return -1 if math.isnan(prob) else HEAT_STEPS - 1 - bisect_right(_CHANCE, prob)
    if mode == "rank":
        return -1 if rank < 1 else bisect_right(_RANKS, rank)
    return -1


def heat_of_bits(bits: float) -> int:
    """The step 0..5 of a surprisal or entropy in bits; -1 for NaN."""
    return -1 if math.isnan(bits) else bisect_right(_BITS, bits)


_SCALES: dict[Mode, tuple[str, str, str, str]] = {
    "surprisal": ("<1 bit", "1-3", "3-6", ">6"),
    "probability": (">50%", "10-50", "1-10", "<1"),
    "entropy": ("<1 bit", "1-3", "3-6", ">6"),
    "rank": ("1st", "2-5", "6-100", ">100"),
}


def legend(mode: Mode) -> list[tuple[str, str, str]]:
    """The key of a mode as (mark, meaning, role), likeliest first, to be printed beside the stream."""
    people = [(FORCED_MARK, "forced", "forced"), (MOVED_MARK, "knob moved", "moved")]
    if mode == "source":
        return [(".", "prompt", "prompt"), (" ", "drawn", "text"), (SEARCHED_MARK, "searched", "searched"), *people]
    if mode == "speculation":
        return [
            (GUESS_MARKS["accepted"], "guessed right", "accepted"),
            (GUESS_MARKS["rejected"], "guessed wrong", "rejected"),
            (" ", "no guess", "text"),
            *people,
        ]
    if mode == "off":
        return people
    return [(mark, text, role) for mark, text, role in zip(".:*#", _SCALES[mode], _LEGEND_ROLES, strict=True)] + people


_LEGEND_ROLES = ("heat0", "heat2", "heat4", "heat5")


# -- roles ------------------------------------------------------------------------------------------------------------

# Grey is structure, teal is what was drawn, violet is what the person did, amber to red is surprise.
# role: truecolor dark, truecolor light, 256 dark, 256 light, 16 dark, 16 light, no colour
_ROLES: dict[str, tuple[str, str, str, str, str, str, str]] = {
    "text": ("", "", "", "", "", "", ""),
    "strong": ("bold", "bold", "bold", "bold", "bold", "bold", "bold"),
    "quiet": ("#8b949e", "#59636e", "#8a8a8a", "#626262", "dim", "dim", "dim"),
    "faint": ("#69737e", "#7d8792", "#6c6c6c", "#808080", "dim", "dim", "dim"),
    "chosen": ("bold #4fd6c4", "bold #00706a", "bold #5fd7d7", "bold #005f5f", "bold bright_cyan", "bold blue", "bold"),
    "bar": ("#4a7fa8", "#5b8db8", "#5f87af", "#5f87af", "blue", "blue", ""),
    "bar_chosen": ("#4fd6c4", "#00857c", "#5fd7d7", "#008787", "bright_cyan", "cyan", "bold"),
    "gain": ("#7fb2da", "#2f6797", "#87afd7", "#005f87", "bright_blue", "bright_blue", ""),
    "gain_chosen": ("#a5f3e6", "#005b55", "#afffff", "#005f5f", "bold bright_cyan", "bold cyan", "bold"),
    "on_gain": ("on #7fb2da", "on #2f6797", "on #87afd7", "on #005f87", "on bright_blue", "on bright_blue", ""),
    "on_gain_chosen": ("on #a5f3e6", "on #005b55", "on #afffff", "on #005f5f", "on bright_cyan", "on cyan", ""),
    "ghost": ("#4d5763", "#a9b4bf", "#585858", "#b2b2b2", "dim", "dim", "dim"),
    "on_ghost": ("on #3a434d", "on #cbd3da", "on #444444", "on #c6c6c6", "", "", ""),
    "cut": ("#b07a78", "#9a4b47", "#af8787", "#875f5f", "red", "red", "dim"),
    "selected": ("bold on #2b3b52", "bold on #cfe0f5", "bold on #3a3a3a", "bold on #d7d7ff",
                 "reverse", "reverse", "reverse"),
    "slice_a": ("#dbe7f0 on #2f5472", "#10202c on #b9d3e8", "#eeeeee on #005f87", "#121212 on #afd7ff",
                "reverse blue", "reverse blue", ""),
    "slice_b": ("#c3cfd8 on #243f56", "#10202c on #d9e6f1", "#d0d0d0 on #303030", "#121212 on #dadada",
                "blue", "blue", ""),
    "slice_chosen": ("bold #04211d on #4fd6c4", "bold #ffffff on #00857c", "bold #080808 on #5fd7d7",
                     "bold #eeeeee on #005f5f", "bold reverse bright_cyan", "bold black on cyan", "bold reverse"),
    "dart": ("bold #ffd866", "bold #7d5300", "bold #ffd75f", "bold #875f00", "bold bright_yellow", "bold magenta",
             "bold"),
    "warn": ("bold #ff7b72", "bold #b3202c", "bold #ff8787", "bold #af0000", "bold bright_red", "bold red", "bold"),
    "prompt": ("#7f9bd1", "#3a5fa0", "#87afd7", "#005faf", "bright_blue", "blue", "dim"),
    "forced": ("underline #d2a8ff", "underline #7a3fbf", "underline #d7afff", "underline #8700af",
               "underline bright_magenta", "underline magenta", "underline"),
    "moved": ("#b58bdb", "#7343b8", "#af87d7", "#875faf", "magenta", "magenta", "dim"),
    "searched": ("#8fd18a", "#2f7d32", "#87d787", "#008700", "bright_green", "green", ""),
    "accepted": ("underline #8fd18a", "underline #2f7d32", "underline #87d787", "underline #008700",
                 "underline bright_green", "underline green", "underline"),
    "rejected": ("#f5c451", "#855600", "#ffd75f", "#875f00", "bright_yellow", "magenta", "bold"),
    "cursor": ("bold reverse", "bold reverse", "bold reverse", "bold reverse", "bold reverse", "bold reverse",
               "bold reverse"),
    "caret": ("#4fd6c4", "#00706a", "#5fd7d7", "#005f5f", "bright_cyan", "blue", "bold"),
    "thumb": ("#6b7683", "#8c959f", "#767676", "#8a8a8a", "", "", ""),
    "heat0": ("#929ba5", "#5f6973", "#949494", "#6c6c6c", "dim", "dim", "dim"),
    "heat1": ("#c3cbd3", "#3d444d", "#c6c6c6", "#444444", "", "", ""),
    "heat2": ("#e8e0b0", "#5c4a00", "#ffffaf", "#5f5f00", "yellow", "blue", ""),
    "heat3": ("#f5c451", "#855600", "#ffd75f", "#875f00", "bright_yellow", "magenta", "bold"),
    "heat4": ("#ff9a4d", "#a33d00", "#ff8700", "#af5f00", "bold yellow", "red", "bold"),
    "heat5": ("bold #ff8f94 on #4b1a22", "bold #a4001d on #ffdfe0", "bold #ff8787 on #5f0000",
              "bold #af0000 on #ffd7d7", "bold bright_red", "bold red", "bold underline"),
}  # fmt: skip

ROLES: tuple[str, ...] = (*_ROLES, *(f"tint{step}" for step in range(HEAT_STEPS)))
_COLUMN: dict[Colors, int] = {"truecolor": 0, "256": 2, "16": 4}


@lru_cache(maxsize=16)
def styles(colors: Colors, *, dark: bool) -> Mapping[str, Style]:
    """Every role's style at a colour depth, to be laid over the style of the widget.

    tint0..tint5 are the bare colours of heat0..heat5, for blocks that would show a ground behind them.
    """
    column = 6 if colors == "none" else _COLUMN[colors] + (not dark)
    table = {role: Style.parse(row[column]) for role, row in _ROLES.items()}
    for step in range(HEAT_STEPS):
        table[f"tint{step}"] = Style(color=table[f"heat{step}"].color)
    return MappingProxyType(table)


# truecolor, 256, 16: for text printed on a ground that nobody knows
_ANY_GROUND: dict[str, tuple[str, str, str]] = {
    "heat0": ("#7d8590", "#808080", "dim"),
    "heat1": ("", "", ""),
    "heat2": ("#8f7d00", "#878700", "magenta"),
    "heat3": ("#bb7400", "#af8700", "bold magenta"),
    "heat4": ("#d9541e", "#d75f00", "red"),
    "heat5": ("bold #ffffff on #b3202c", "bold #eeeeee on #af0000", "bold reverse red"),
}


def styles_on_any_ground(colors: Colors) -> Mapping[str, Style]:
    """The roles of text and heat, readable on dark and on light alike."""
    if colors == "none":
        return styles("none", dark=True)
    column = _COLUMN[colors] // 2
    table = {role: Style.parse(row[column]) for role, row in _ANY_GROUND.items()}
    return MappingProxyType(table | {"text": Style(), "strong": Style(bold=True)})


# -- glyphs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GlyphSet:
    """The signs that differ between a font with block glyphs and plain ASCII."""

    eighths: str  # a bar growing to the right, thinnest first; the last is a full cell
    levels: str  # a column growing upwards, lowest first; the last is a full cell
    ghost: str  # the part of a raw bar that the final bar does not reach
    gain: str  # the part of a final bar that the raw one did not reach, where no colour tells
    shade: str  # a whole cell of what settings took away, in a column
    pointer: str  # the selected row
    dart: str
    fill: str  # the inside of a slice that has no ground colour
    wall: str  # between two such slices
    caret: str
    newline: str
    note: tuple[str, str]  # around a knob change in the text
    more: str  # text goes on
    thumb: str
    rule: str
    corner: str
    tee: str
    up: str  # points at the column above
    arrow: str
    lack: str  # a number that does not exist


def spelled(text: str, glyphs: Glyphs) -> str:
    """The name of a setting in the letters of this screen."""
    return text.replace("σ", "sigma") if glyphs == "ascii" else text


GLYPHS: dict[Glyphs, GlyphSet] = {
    "unicode": GlyphSet(
        eighths="▏▎▍▌▋▊▉█", levels="▁▂▃▄▅▆▇█", ghost="╌", gain="▒", shade="░", pointer="▌", dart="▼", fill="─",
        wall="│", caret="▌", newline="↵", note=("‹", "›"), more="…", thumb="▐", rule="─", corner="└", tee="┤",
        up="▲", arrow="→", lack="–",
    ),
    "ascii": GlyphSet(
        eighths="#", levels=".:#", ghost="-", gain="=", shade=":", pointer="|", dart="*", fill="=",
        wall="|", caret="_", newline=" ", note=("<", ">"), more="~", thumb="|", rule="-", corner="+", tee="|",
        up="^", arrow="->", lack="-",
    ),
}  # fmt: skip
