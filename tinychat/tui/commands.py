"""The `:` line: `:t 0.9`, `:seed 7`, `:preset story` as plain wishes. Pure text in, records out."""

from __future__ import annotations

import difflib
import math
import shlex
from dataclasses import dataclass
from typing import Any

from tinychat.engine.knobs import Knob
from tinychat.engine.lists import ListSetting
from tinychat.engine.machine import SPECULATION_FIELDS
from tinychat.engine.orders import ORDERS
from tinychat.engine.params import SEED_LIMIT, SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.errors import UsageError
from tinychat.session.presets import find_preset
from tinychat.session.spelling import SETTINGS, check_ids, read_text
from tinychat.tui.breakpoints import FORMS
from tinychat.tui.keys import ACTION_BY_NAME
from tinychat.tui.timelines import CHARTS
from tinychat.tui.wording import Setting


@dataclass(frozen=True, slots=True)
class Settings:
    """Draw with these from the next token on."""

    params: SamplingParams
    seed_asked: bool = False
    picked: str = ""  # the knob that was named


@dataclass(frozen=True, slots=True)
class MaxTokens:
    count: int


@dataclass(frozen=True, slots=True)
class Rate:
    tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class System:
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """A name for a branch."""

    text: str


@dataclass(frozen=True, slots=True)
class Perform:
    """An action of the key table, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Words:
    """Text to be made ids: phrases that may not come, or the prompt to move away from."""

    bad_words: tuple[str, ...] = ()
    negative: str | None = None

    @property
    def picked(self) -> str:
        """The list they go into."""
        return "bad_words" if self.bad_words else "negative_ids"


@dataclass(frozen=True, slots=True)
class Speculate:
    """Guess ahead like this; None not at all."""

    plan: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Line:
    """What a part of the screen reads by itself: break, watch, chart."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class SavePreset:
    name: str


@dataclass(frozen=True, slots=True)
class Name:
    """Keep the session under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Export:
    """Write what is on the screen to this file; the ending says the format. "" asks."""

    path: str


@dataclass(frozen=True, slots=True)
class Fan:
    """So many continuations from the cursor on."""

    count: int


@dataclass(frozen=True, slots=True)
class Compare:
    """A lane of this checkpoint beside the text."""

    path: str


Wish = (
    Fan
    | Compare
    | Settings
    | MaxTokens
    | Rate
    | System
    | Label
    | Line
    | Speculate
    | Perform
    | Words
    | SavePreset
    | Name
    | Export
)

WORDS = {
    "seed N": "the seed of the draws, 0 to 2**64 - 1",
    "max N": "tokens to draw at most",
    "rate N": "tokens a second; 0 is as fast as it goes",
    "preset NAME": ", ".join(PRESETS) + ", or one of yours",
    "save-preset NAME": "keep these settings under a name",
    "name NAME": "keep the session under this name; save NAME does the same",
    "export FILE": "the text on the screen as .txt .md .html .json .jsonl, or all of it as .session.jsonl",
    "order NAMES": ", ".join(ORDERS) + ", or stages joined by commas",
    "bias ID=X": "add X to a token's logit, -inf bans it; bias alone clears",
    "bad-word TEXT": "a phrase that may not come whole",
    "negative TEXT": "guidance: the prompt to move away from",
    "system TEXT": "the system message, of a conversation in hand too; alone it opens it, off takes it away",
    "label TEXT": "name the branch (in the list: the chosen one); label alone takes the name away",
    "unhide": "list hidden branches again",
    "break COND": f"stop behind a token: {FORMS}",
    "fan N": "so many continuations from the cursor on, 1 to 64",
    "compare PATH": "another model beside the text, on the same draws",
    "speculate HOW": "guess ahead: lookup, draft, exit; off; more: lookup draft-length=8 verify=typical",
    "watch TEXT": "follow a token's probability over time; off clears",
    "chart NAME": f"over time: {', '.join(CHARTS)}",
    "T 0.9": "any knob by letter or name, any other setting by name: regex [a-z ]+; off clears",
}
_ACTIONS = {
    "new": "new",
    "chat": "mode",
    "quit": "leave",
    "q": "leave",
    "help": "help",
    "save": "save",
    "name": "save",
    "sessions": "open",
    "unhide": "unhide",
    "retry": "regenerate",
    "revise_message": "revise_message",
}
SLASH = {
    "/retry": "another reply, by another seed",
    "/edit": "change your last message and send it anew",
    "/system TEXT": "the system message; alone it opens it",
    "/new": "start anew",
    "/undo": "back to the branch before",
    "/save NAME": "keep the session under a name",
    "/given": "what the model is given, token by token",
    "/settings": "find any setting; /t 0.9 and all the rest of the command line work too",
    "//TEXT": "a message that begins with a slash",
}
_SLASH_NAMES = {"edit": "revise_message"}


def parse(line: str, params: SamplingParams, *, vocab_size: int) -> Wish:
    """What the line asks for; ValueError says what is wrong with it."""
    word, _, rest = line.strip().lstrip(":").strip().partition(" ")
    rest = rest.strip()
    name = word.lower().replace("-", "_")
    if not name:
        raise ValueError("type a setting and its value, for example:  t 0.9")
    if (setting := _setting(word)) is not None:
        cleared = rest == "off" or (not rest and isinstance(setting, ListSetting))
        value = setting.neutral if cleared and not _is_choice(setting, rest) else read_line(setting.name, rest)
        changed = params.with_(**{setting.name: value})
        check_ids(changed, vocab_size)
        return Settings(changed, picked=setting.name)
    if name == "seed":
        seed = int(_number(rest, "seed", whole=True))
        if not 0 <= seed < SEED_LIMIT:
            raise ValueError(f"seed must be from 0 to 2**64 - 1, got {rest}")
        return Settings(params.with_(seed=seed), seed_asked=True)
    if name == "max":
        count = int(_number(rest, "max", whole=True))
        if count < 1:
            raise ValueError(f"max must be at least 1, got {count}")
        return MaxTokens(count)
    if name == "rate":
        rate = _number(rest, "rate", whole=False)
        if not 0 <= rate < math.inf:
            raise ValueError(f"rate must be a number of at least 0, got {rest}")
        return Rate(rate or None)
    if name == "preset":
        return Settings(preset(rest, params))
    if name == "order":
        return Settings(params.with_(order=rest or "default"))
    if name == "bias":
        return Settings(params.with_(logit_bias=_bias(rest, params, vocab_size)))
    if name in ("name", "save") and rest:
        return Name(rest)
    if name == "export":
        return Export(rest)
    if name == "save_preset":
        return SavePreset(rest)
    if name == "bad_word":
        if not rest:
            raise ValueError("bad-word needs some text, for example:  bad-word owl")
        return Words(bad_words=(rest,))
    if name == "negative":
        return Words(negative=rest)
    if name == "system":
        return System("" if rest == "off" else rest) if rest else Perform("revise_system")
    if name == "fan" and rest:
        count = int(_number(rest, "fan", whole=True))
        if not 1 <= count <= 64:
            raise ValueError(f"fan must be from 1 to 64, got {count}")
        return Fan(count)
    if name == "compare" and rest:
        return Compare(rest)
    if name == "label":
        return Label(rest)
    if name in ("break", "watch", "chart"):
        return Line(name, rest)
    if name == "speculate":
        return Speculate(speculation(rest))
    if name in _ACTIONS:
        return Perform(_ACTIONS[name])
    if name in ACTION_BY_NAME:
        return Perform(name)
    known = [*(w.split()[0].replace("-", "_") for w in WORDS), *_ACTIONS, *SETTINGS, *ACTION_BY_NAME]
    near = difflib.get_close_matches(name, known, n=1)
    raise ValueError(f"there is no {word!r}" + (f"; did you mean {near[0]}?" if near else "; ? lists all"))


def from_slash(text: str) -> str:
    """The command line that `/word ...` in the chat box stands for; ValueError for a bare slash."""
    word, _, rest = text.removeprefix("/").strip().partition(" ")
    if not word:
        raise ValueError("type a command, for example:  /retry")
    return f"{_SLASH_NAMES.get(word.lower(), word)} {rest}".strip()


def speculation(text: str) -> dict[str, Any] | None:
    """`lookup draft-length=8` as fields of speculate.Speculation, named as the options; None for `off`."""
    how, *more = text.split() or [""]
    if how not in ("lookup", "draft", "exit", "off"):
        raise ValueError(f"speculate needs lookup, draft, exit or off, got {how!r}")
    plan: dict[str, Any] = {"kind": how}
    for word in more:
        name, _, value = word.partition("=")
        field = SPECULATION_FIELDS.get(name.replace("-", "_"))
        if field in (None, "kind") or how == "off":
            raise ValueError(f"speculate {how} has no {name!r}; it has " + ", ".join(
                each.replace("_", "-") for each in SPECULATION_FIELDS if each != "speculate"))  # fmt: skip
        plan[str(field)] = value if field == "verify" else int(_number(value, name, whole=True))
    return None if how == "off" else plan


def preset(name: str, params: SamplingParams) -> SamplingParams:
    """The settings of a preset with the seed in hand."""
    try:
        return find_preset(name).with_(seed=params.seed)
    except UsageError as error:
        raise ValueError(f"{error.what} {error.hint}") from error


def _setting(word: str) -> Setting | None:
    for setting in SETTINGS.values():
        names = {setting.name, setting.name.replace("_", "-")}
        if isinstance(setting, Knob):
            names |= {setting.label, setting.key, setting.key.lower()} - {""}
        if word in names or word.lower() in names:
            return setting
    return None


def _is_choice(setting: Setting, text: str) -> bool:
    return isinstance(setting, Knob) and text in setting.choices


def read_line(name: str, text: str) -> object:
    """A setting as typed: of a list with several elements words as a shell has them, or JSON."""
    setting = SETTINGS[name]
    if not isinstance(setting, ListSetting) or not setting.many or text.startswith(("[", "{")):
        return read_text(name, text)
    return setting.read(shlex.split(text))


def _number(text: str, label: str, *, whole: bool) -> float:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{label} needs {kind}, got {text!r}") from None


def _bias(text: str, params: SamplingParams, vocab_size: int) -> dict[int, float]:
    if not text:
        return {}
    token, equals, value = text.partition("=")
    if not equals:
        raise ValueError("bias needs ID=X, for example:  bias 17=-inf")
    number = int(_number(token, "bias id", whole=True))
    if not 0 <= number < vocab_size:
        raise ValueError(f"bias needs a token id from 0 to {vocab_size - 1}, got {token}")
    return dict(params.bias) | {number: _number(value, "bias", whole=False)}
