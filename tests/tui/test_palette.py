"""Looks for every terminal: who gets colour, what the marks mean, and that nothing is told by colour alone."""

from __future__ import annotations

import math

import pytest
from rich.color import ColorSystem, ColorType

from tinychat.tui import palette
from tinychat.tui.bars import bar, odds_bar, percent
from tinychat.tui.modes import MODES
from tinychat.tui.palette import GLYPHS, Look, detect

UTF8 = {"TERM": "xterm-256color", "LANG": "en_US.UTF-8"}
DEPTHS: tuple[palette.Colors, ...] = ("truecolor", "256", "16", "none")


@pytest.mark.parametrize(
    ("environ", "system", "look"),
    [
        (UTF8, "truecolor", Look("unicode", "truecolor")),
        (UTF8, "256", Look("unicode", "256")),
        (UTF8, "standard", Look("unicode", "16")),
        (UTF8, None, Look("unicode", "none")),
        (UTF8 | {"NO_COLOR": "1"}, "truecolor", Look("unicode", "none")),
        (UTF8 | {"NO_COLOR": ""}, "truecolor", Look("unicode", "truecolor")),
        (UTF8 | {"TERM": "dumb"}, "truecolor", Look("ascii", "none")),
        (UTF8 | {"TERM": "dumb", "FORCE_COLOR": "1"}, "256", Look("unicode", "256")),
        (UTF8 | {"TERM": "linux"}, "standard", Look("ascii", "16")),
        (UTF8 | {"LC_ALL": "C"}, "256", Look("ascii", "256")),
        (UTF8 | {"LC_ALL": "C.utf8"}, "256", Look("unicode", "256")),
        ({"LANG": "de_DE.ISO-8859-1"}, "256", Look("ascii", "256")),
        ({}, "256", Look("unicode", "256")),
    ],
)
def test_the_look_follows_the_environment(environ: dict[str, str], system: str | None, look: Look) -> None:
    assert detect(environ, system) == look


def test_ascii_can_be_asked_for() -> None:
    assert detect(UTF8, "truecolor", ascii=True) == Look("ascii", "truecolor")


def marks(values: list[float]) -> str:
    return "".join(palette.HEAT_MARKS[palette.heat_of_bits(value)] for value in values)


def test_marks_change_at_one_three_and_six_bits() -> None:
    assert marks([0.0, 0.99, 1.0, 2.99, 3.0, 5.99, 6.0, 40.0]) == "..::**##"


@pytest.mark.parametrize("mode", MODES)
def test_heat_never_falls_as_a_token_gets_less_likely(mode: palette.Mode) -> None:
    steps = [
        palette.heat(mode, surprisal=bits, prob=2**-bits, entropy=bits, rank=max(round(2**bits), 1))
        for bits in (0, 0.3, 1.2, 2.5, 3.5, 4, 5, 7, 12)
    ]
    assert steps == sorted(steps)
    plain = mode in ("source", "speculation", "off")
    assert (steps[0], steps[-1]) == ((-1, -1) if plain else (0, palette.HEAT_STEPS - 1))


def test_unknown_numbers_have_no_heat() -> None:
    for mode in MODES:
        assert palette.heat(mode, surprisal=math.nan, prob=math.nan, entropy=math.nan, rank=0) == -1


@pytest.mark.parametrize("mode", MODES)
def test_the_legend_names_every_mark_once(mode: palette.Mode) -> None:
    signs = [mark for mark, _, _ in palette.legend(mode)]
    assert len(signs) == len(set(signs))
    assert {"^", "!"} <= set(signs)
    assert all(role in palette.ROLES for _, _, role in palette.legend(mode))


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("colors", DEPTHS)
def test_every_role_has_a_style_at_every_depth(colors: palette.Colors, dark: bool) -> None:
    assert set(palette.styles(colors, dark=dark)) == set(palette.ROLES)


def test_no_colour_means_none_and_still_tells_roles_apart() -> None:
    table = palette.styles("none", dark=True)
    assert all(style.color is None and style.bgcolor is None for style in table.values())
    assert all(
        str(table[role]) != str(table["text"]) for role in ("cursor", "selected", "forced", "chosen", "slice_chosen")
    )


@pytest.mark.parametrize("dark", [True, False])
def test_sixteen_colours_are_the_terminals_own(dark: bool) -> None:
    for style in palette.styles("16", dark=dark).values():
        for color in (style.color, style.bgcolor):
            assert color is None or color.type in (ColorType.STANDARD, ColorType.DEFAULT)


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize(("colors", "system"), [("truecolor", ColorSystem.TRUECOLOR), ("256", ColorSystem.EIGHT_BIT)])
def test_heat_steps_stay_distinct_as_the_terminal_shows_them(
    colors: palette.Colors, system: ColorSystem, dark: bool
) -> None:
    table = palette.styles(colors, dark=dark)
    shown = []
    for step in range(palette.HEAT_STEPS):
        color = table[f"tint{step}"].color
        assert color is not None
        shown.append(color.downgrade(system).get_truecolor())
    assert len(set(shown)) == palette.HEAT_STEPS


def contrast(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """WCAG 2 contrast ratio."""

    def luminance(rgb: tuple[int, ...]) -> float:
        parts = [value / 255 for value in rgb]
        parts = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    light, dim = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dim + 0.05)


@pytest.mark.parametrize(("dark", "ground"), [(True, (15, 19, 24)), (False, (255, 255, 255))])
@pytest.mark.parametrize("colors", ["truecolor", "256"])
def test_words_are_readable_on_their_ground(colors: palette.Colors, dark: bool, ground: tuple[int, ...]) -> None:
    for role, style in palette.styles(colors, dark=dark).items():
        if style.color is None or role in ("ghost", "thumb") or role.startswith(("tint", "gain", "bar")):
            continue  # areas, not words
        behind = tuple(style.bgcolor.get_truecolor()) if style.bgcolor else ground
        ratio = contrast(tuple(style.color.get_truecolor()), behind)
        assert ratio >= (3.0 if role == "faint" else 4.3), f"{role}: {ratio:.1f}"


@pytest.mark.parametrize("colors", ["truecolor", "256"])
def test_on_a_ground_that_nobody_knows_words_are_readable_on_both(colors: palette.Colors) -> None:
    styles = palette.styles_on_any_ground(colors)
    for role, style in styles.items():
        grounds = [tuple(style.bgcolor.get_truecolor())] if style.bgcolor else [(15, 19, 24), (255, 255, 255)]
        for ground in grounds if style.color else []:
            ratio = contrast(tuple(style.color.get_truecolor()), ground)
            assert ratio >= 3.0, f"{role}: {ratio:.1f}"


@pytest.mark.parametrize("colors", ["truecolor", "256", "16", "none"])
def test_on_a_ground_that_nobody_knows_heat_steps_stay_distinct(colors: palette.Colors) -> None:
    styles = palette.styles_on_any_ground(colors)
    steps = {str(styles[f"heat{step}"]) for step in range(palette.HEAT_STEPS)}
    assert len(steps) == (palette.HEAT_STEPS if colors != "none" else 4)


def test_a_bar_has_the_length_of_its_share() -> None:
    glyphs = GLYPHS["unicode"]
    assert bar(0.0, 10, glyphs) == ""
    assert bar(1.0, 4, glyphs) == "████"
    assert bar(0.5, 5, glyphs) == "██▌"
    assert bar(1e-9, 10, glyphs) == "▏"
    assert bar(0.5, 6, GLYPHS["ascii"]) == "###"


@pytest.mark.parametrize(
    ("raw", "final", "drawn"), [(0.5, 1.0, "####===="), (1.0, 0.5, "####----"), (0.5, 0.5, "####"), (0.25, 0.0, "--")]
)
def test_one_bar_tells_what_settings_added_and_took(raw: float, final: float, drawn: str) -> None:
    pieces = odds_bar(raw, final, 8, GLYPHS["ascii"], chosen=False, color=True)
    assert "".join(text for text, _ in pieces) == drawn


@pytest.mark.parametrize("raw", [0.0, 0.01, 0.13, 0.37, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("final", [0.0, 0.02, 0.14, 0.365, 0.51, 1.0])
def test_an_odds_bar_ends_where_the_longer_share_ends(raw: float, final: float) -> None:
    for width in (0, 1, 7, 40):
        pieces = odds_bar(raw, final, width, GLYPHS["unicode"], chosen=True, color=True)
        length = len("".join(text for text, _ in pieces))
        assert abs(length - max(raw, final) * width) <= 1
        assert length <= width


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100.0"),
        (0.9999, "100.0"),
        (0.365, "36.5"),
        (0.0, "0.0"),
        (0.0004, "0.04"),
        (0.00001, "<.01"),
        (0.001, "0.1"),
    ],
)
def test_percent_fits_five_characters(share: float, text: str) -> None:
    assert percent(share) == text
    assert len(text) <= 5
