"""Names of keys: as a person writes them in config.toml, as Textual names them, and as a line of help shows them.

Nothing here imports Textual: names are checked before the screen starts.
"""

from __future__ import annotations

import difflib
import unicodedata

_MODIFIERS = ("ctrl", "shift", "alt", "super", "meta", "hyper")
_NAMED = {
    "space": "Space", "enter": "Enter", "escape": "Esc", "tab": "Tab", "backspace": "Bksp", "delete": "Del",
    "insert": "Ins", "home": "Home", "end": "End", "pageup": "PgUp", "pagedown": "PgDn", "up": "Up", "down": "Down",
    "left": "<-", "right": "->",
} | {f"f{n}": f"F{n}" for n in range(1, 25)}  # fmt: skip
_ALIASES = {"esc": "escape", "return": "enter", "pgup": "pageup", "pgdn": "pagedown", "del": "delete",
            "ins": "insert", "bksp": "backspace"}  # fmt: skip
# Unicode's names, where Textual has shorter ones
_SHORTER = {
    "solidus": "slash", "reverse_solidus": "backslash", "commercial_at": "at", "hyphen_minus": "minus",
    "plus_sign": "plus", "low_line": "underscore",
}  # fmt: skip
# what a terminal without the Kitty protocol sends for them is what it sends for another key
_SAME_BYTES = {
    "ctrl+i": "tab", "ctrl+m": "enter", "ctrl+left_square_bracket": "escape", "ctrl+h": "backspace",
    "shift+enter": "enter", "ctrl+enter": "enter", "shift+space": "space", "ctrl+tab": "tab",
    "shift+backspace": "backspace", "shift+escape": "escape",
}  # fmt: skip


def sign_key(sign: str) -> str:
    """Textual's name for one character: `?` is question_mark, `a` is a."""
    if sign.isalnum():
        return sign
    name = unicodedata.name(sign, "").lower().replace("-", "_").replace(" ", "_")
    return _SHORTER.get(name, name or sign)


_SHOWN = {shown: key for key, shown in _NAMED.items()} | {"←": "left", "→": "right", "↑": "up", "↓": "down"}
_SIGNS = {sign_key(chr(code)): chr(code) for code in range(33, 127) if not chr(code).isalnum()}


def read_keys(text: str) -> tuple[str, ...]:
    """`"ctrl+r, f6"` as Textual's names; a comma itself is called comma. ValueError says what is no key."""
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise ValueError('write keys by name, several with commas between them, for example "ctrl+r, f6"')
    return tuple(dict.fromkeys(_read_key(word) for word in words))


def _read_key(word: str) -> str:
    *modifiers, base = [word] if len(word) == 1 else word.split("+") if not word.endswith("++") else [word[:-2], "+"]
    modifiers = [each.lower() for each in modifiers]
    named = base if len(base) == 1 else _ALIASES.get(base.lower(), base.lower())
    if len(named) == 1 and named.isprintable() and named != " ":
        key = sign_key(named)
    elif named in _NAMED or named in _SIGNS:
        key = named
    else:
        near = difflib.get_close_matches(named, [*_NAMED, *_SIGNS, *_ALIASES], n=1)
        raise ValueError(f"there is no key {word!r}" + (f"; did you mean {near[0]}?" if near else ""))
    for each in modifiers:
        if each not in _MODIFIERS:
            near = difflib.get_close_matches(each, _MODIFIERS, n=1)
            raise ValueError(f"there is no key {word!r}" + (f"; did you mean {near[0]}+{base}?" if near else ""))
    if modifiers and key.isalpha() and len(key) == 1:
        if "shift" in modifiers and len(modifiers) == 1:
            return key.upper()  # that is what a terminal sends
        key = key.lower()
    return "+".join([*sorted(set(modifiers)), key])  # in the order that Textual has


def show_key(key: str) -> str:
    """A key as help shows it: `^r`, `?`, `F6`, `Shift+Tab`."""
    *modifiers, base = key.split("+")
    shown = _NAMED.get(base) or _SIGNS.get(base, base)
    if modifiers == ["ctrl"] and len(shown) == 1:
        return f"^{shown}"
    return "+".join([*(each.capitalize() for each in modifiers), shown])


def read_shown(word: str) -> str | None:
    """The key that a line of help shows so: the inverse of show_key, arrows as signs too. None for any other word."""
    if len(word) == 2 and word[0] == "^":
        return f"ctrl+{word[1]}"
    modifiers, plus, base = word.rpartition("+")
    if modifiers and (key := read_shown(base)) is not None:
        return f"{modifiers.lower()}{plus}{key}"
    return _SHOWN.get(word) or (sign_key(word) if len(word) == 1 else None)


def caution(key: str) -> str:
    """Why this key may never arrive; "" when every terminal sends it."""
    *modifiers, base = key.split("+")
    if key in _SAME_BYTES:
        return f"most terminals send {show_key(_SAME_BYTES[key])} for it"
    if "ctrl" in modifiers and (len(modifiers) > 1 or base in _SIGNS or base.isdecimal()):
        return "only terminals with the Kitty keyboard protocol send it"
    if set(modifiers) & {"super", "meta", "hyper"}:
        return "only terminals with the Kitty keyboard protocol send it"
    if key == "f11":
        return "many terminals take it for full screen"
    if key == "f1":
        return "some terminals take it for their own help"
    return ""
