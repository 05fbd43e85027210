"""What is chosen from a list by typing: any word of a name or of what is said about it finds an entry.

Textual's own lists look at names alone, and read both as markup, where a regular expression or the key [ is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from textual import work
from textual.app import ComposeResult, SystemCommand
from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.css.query import NoMatches
from textual.events import Click, Mount
from textual.screen import Screen

Entry = tuple[str, Callable[[], Any], str]  # name, what choosing it does, what it is

SHORTEST = 3  # letters that are looked for in descriptions; fewer begin some word of nearly every one
_A_LETTER = 2.0  # of a word that is found; Textual gives 3 and more for a whole part of a name, less for scattered ones


@dataclass(eq=False)
class _Listed(DiscoveryHit):
    """An entry in its place: Textual would have them by the alphabet."""

    place: int = 0

    def __lt__(self, other: object) -> bool:
        return other.place < self.place if isinstance(other, _Listed) else NotImplemented


class Choices(Provider):
    """The entries it is given."""

    def __init__(self, screen: Screen[Any], match_style: Any = None, entries: Iterable[Entry] = ()) -> None:
        super().__init__(screen, match_style)
        self._entries = tuple(entries)

    def entries(self) -> Sequence[Entry]:
        return self._entries

    async def discover(self) -> Hits:
        for place, (name, action, about) in enumerate(self.entries()):
            yield _Listed(Content(name), action, text=name, help=_plain(about), place=place)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, action, about in self.entries():
            by_name, places = matcher.fuzzy_search.match(query, name)
            by_words = score(query, f"{name} {about}")
            if best := max(by_name, by_words):
                shown = Content(name)
                for place in places if by_name == best else ():
                    shown = shown.stylize(matcher.match_style, place, place + 1)
                yield Hit(best, shown, action, text=name, help=_plain(about))


class Actions(Choices):
    """Everything the application and its screen can do."""

    def entries(self) -> Sequence[Entry]:
        found: Iterable[SystemCommand] = self.app.get_system_commands(self.screen)
        return [(name, action, about) for name, about, action, _ in sorted(found, key=_order)]


class _Lines(CommandList):
    """The list of a palette, where a click may be on what another search has taken away."""

    async def _on_click(self, event: Click) -> None:
        if event.style.meta.get("option", 0) >= self.option_count:
            event.prevent_default()  # Textual's own handler comes after this one


class Palette(CommandPalette):
    """Textual's, for keys that come in bursts.

    It is left only once: a second choice or Esc would take away the screen below. Left before it is there, it does not
    begin; and what it has begun, a search or the sign that one takes long, does not look for a list that is gone.
    """

    def dismiss(self, result: None = None) -> AwaitComplete:
        if self.app.screen is self:
            return super().dismiss(result)
        self._selected_command = _NOTHING  # what is chosen twice is done once
        return AwaitComplete()

    def compose(self) -> ComposeResult:
        for widget in super().compose():
            yield _Lines() if type(widget) is CommandList else widget

    def _on_mount(self, event: Mount) -> None:
        if self not in self.app.screen_stack:
            event.prevent_default()

    @property
    def _has_list(self) -> bool:
        return bool(self.query(CommandList))

    @work(exclusive=True, group=CommandPalette._GATHER_COMMANDS_GROUP)
    async def _gather_commands(self, search_value: str) -> None:
        try:
            await CommandPalette._gather_commands.__wrapped__(self, search_value)  # type: ignore[attr-defined]
        except NoMatches:
            if self._has_list:
                raise

    def _action_command_list(self, action: str) -> None:
        with suppress(KeyError):  # a page on in a list that was filled in the same burst, and has no lines yet
            super()._action_command_list(action)

    def _watch__list_visible(self) -> None:
        if self._has_list:
            super()._watch__list_visible()

    async def _watch__show_busy(self) -> None:
        if self._has_list:
            await super()._watch__show_busy()


_NOTHING = DiscoveryHit("", lambda: None)


def _order(command: SystemCommand) -> tuple[bool, str]:
    """Keys, which act at once, before what opens the command line."""
    return command.title.startswith(":"), command.title


def chooser(entries: Iterable[Entry], *, placeholder: str) -> Palette:
    """The screen on which one of the entries is chosen."""
    given = tuple(entries)
    return Palette(
        providers=[lambda: partial(Choices, entries=given)],  # type: ignore[list-item,return-value]  # is called
        placeholder=placeholder,
    )


def score(query: str, text: str) -> float:
    """How well the words of the query fit the text: 0 unless each begins a word of it."""
    words = [word.strip("()[].,:;-'\"") for word in text.casefold().split()]
    wanted = [word.lstrip("-") for word in query.casefold().split()]
    if sum(map(len, wanted)) < SHORTEST or not all(any(word.startswith(each) for word in words) for each in wanted):
        return 0.0
    return _A_LETTER * len("".join(wanted))


def _plain(text: str) -> Any:
    """As it is: what is typed as text would be read as markup."""
    return Content(text)
