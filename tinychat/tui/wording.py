"""Settings as a person reads them on the screen: which to show, and labels and values in few cells."""

from __future__ import annotations

import re
from datetime import datetime

from tinychat.engine.knobs import KNOBS, Knob
from tinychat.engine.lists import LISTS, ListSetting
from tinychat.engine.params import SamplingParams
from tinychat.errors import TinychatError
from tinychat.text.terminal import clean

_FOLDERS = re.compile(r"(?<![^\s'\"])~?/(?:[^/\s:]+/)+")  # the folders in front of a file's name

MAIN = 5  # knobs that are always shown
LONGEST = 24  # cells of a list's value where it stands among others

Setting = Knob | ListSetting


def error_line(error: TinychatError) -> str:
    """An error for a line of the screen: what is wrong comes into view, for the files are without their folders."""
    return clean(f"{_FOLDERS.sub('', error.what)} {error.hint}".rstrip(), keep="")


def clock_time(saved: str, *, now: datetime | None = None) -> str:
    """When something was saved (ISO 8601), by this machine's clock: 14:03, yesterday 14:03, 21 Nov 14:03."""
    try:
        then = datetime.fromisoformat(saved).astimezone()
    except (ValueError, OverflowError, OSError):
        return saved[:16]
    days = ((now or datetime.now()).astimezone().date() - then.date()).days
    if days in (0, 1):
        return f"{'yesterday ' if days else ''}{then:%H:%M}"
    return f"{then.day} {then:%b %H:%M}" if 0 < days < 300 else f"{then:%Y-%m-%d %H:%M}"


def shown_settings(params: SamplingParams, picked: str) -> list[Setting]:
    """The main five, the picked one, all that are on, and what says how those work."""
    shown: list[Setting] = [
        knob for i, knob in enumerate(KNOBS) if i < MAIN or knob.name == picked or _matters(knob, params)
    ]
    return shown + [each for each in LISTS if each.name == picked or is_on(each, params)]


def is_on(setting: Setting, params: SamplingParams) -> bool:
    """Whether it differs from its neutral value."""
    return bool(getattr(params, setting.name) != setting.neutral)


def _matters(knob: Knob, params: SamplingParams) -> bool:
    if knob.aux:
        return params.is_used(knob.name)
    return is_on(knob, params)


def label_of(setting: Setting) -> str:
    """A few letters for the name."""
    return setting.label if isinstance(setting, Knob) else setting.name.replace("_", " ")


def short_text(setting: Setting, params: SamplingParams) -> str:
    """The value in one short piece; of a list the words, cut."""
    value = getattr(params, setting.name)
    if isinstance(setting, Knob):
        return value_text(setting, value)
    text = " ".join(word if word.isprintable() else repr(word) for word in setting.words(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]}.."


def value_text(knob: Knob, value: float | str) -> str:
    """Two decimals for the usual numbers, so that the rows stand still; more where they are needed."""
    if isinstance(value, str) or knob.whole:
        return knob.text(value)
    text = f"{value:.2f}"
    return text if float(text) == value else knob.text(value)
