"""Which key does what, once the person's own keys are laid over the table.

A binding has an id: `play.NAME` for the actions of keys.py, what it was given in another screen. In config.toml an
action of the play screen is called by its name, any other binding by its id. Nothing here imports Textual.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tinychat.tui.keynames import read_keys, show_key
from tinychat.tui.keys import ACTIONS, PICKED_KNOBS, Action

PLAY = "play"
FIXED = {"ctrl+q": "leave", "ctrl+p": "palette"}  # they do that on every screen


@dataclass(frozen=True, slots=True)
class Bound:
    """One thing that keys can do, on one screen."""

    name: str  # as config.toml calls it
    id: str  # of the binding
    keys: tuple[str, ...]  # in Textual's names
    title: str
    tip: str
    screen: str = PLAY


@dataclass(frozen=True, slots=True)
class Keymap:
    """The keys in force."""

    changed: Mapping[str, str] = field(default_factory=dict)  # binding id -> keys, of those that a person set
    actions: tuple[Action, ...] = ACTIONS  # with the keys that are in force


def play_bound() -> tuple[Bound, ...]:
    """Everything that the play screen binds: actions, knobs and digits."""
    return (
        *(Bound(a.name, f"play.{a.name}", read_keys(a.keys), a.title, a.tip) for a in ACTIONS),
        *(Bound(f"pick_{k.name}", f"play.pick_{k.name}", (k.key,), f"Pick {k.label}", k.help) for k in PICKED_KNOBS),
        *(
            Bound(f"take_{n}", f"play.take_{n}", (str(n),), f"Take candidate {n}",
                  "Take it at once; after a knob's letter: begin a value.")
            for n in range(1, 10)
        ),
    )  # fmt: skip


def remapped(wishes: Mapping[str, str], bound: Iterable[Bound]) -> Keymap:
    """The keys in force when `wishes` (name -> keys as written) are laid over `bound`.

    KeyProblem for a name that nothing has, for a key that is none, and for one key that would do two things.
    """
    bound = tuple(bound)
    known = {each.name for each in bound}
    keys: dict[str, tuple[str, ...]] = {}
    ids: dict[str, str] = {each.name: each.id for each in bound}
    for name, written in wishes.items():
        if name not in known:
            near = difflib.get_close_matches(name.replace("-", "_"), known, n=1)
            raise KeyProblem(name, f"there is no such action{f'; did you mean {near[0]}?' if near else ''}")
        try:
            keys[name] = read_keys(written)
        except ValueError as error:
            raise KeyProblem(name, str(error)) from None
        for key in keys[name]:
            if FIXED.get(key, name) != name:
                raise KeyProblem(name, f"{show_key(key)} is {FIXED[key]} on every screen")
    _check_clashes(bound, keys)
    actions = tuple(
        replace(a, keys=",".join(keys[a.name]), shown=" ".join(map(show_key, keys[a.name]))) if a.name in keys else a
        for a in ACTIONS
    )
    return Keymap(changed={ids[name]: ",".join(each) for name, each in keys.items()}, actions=actions)


class KeyProblem(ValueError):
    """`name` is the action whose keys cannot be as they were written."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def _check_clashes(bound: tuple[Bound, ...], keys: Mapping[str, tuple[str, ...]]) -> None:
    for screen in {each.screen for each in bound}:
        owner: dict[str, str] = {}
        here = [each for each in bound if each.screen == screen]
        for each in sorted(here, key=lambda one: one.name in keys):  # what was not asked for comes first
            for key in keys.get(each.name, each.keys):
                other = owner.setdefault(key, each.name)
                if other != each.name and {other, each.name} & set(keys):
                    raise KeyProblem(each.name, f"{show_key(key)} is the key of {other}; give that one another")
