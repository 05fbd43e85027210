"""What a person has laid out around a text: breakpoints, watched tokens, and the search that was put together last.

Kept with the session and saved with it, as plain values. Nothing here stops, watches or searches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tinychat.engine.breaks import KINDS, Condition, Kind, watchable
from tinychat.engine.search_params import METHODS, check_option


@dataclass(slots=True)
class Searching:
    """A method, and the options that are not as usual, of this method and of others."""

    method: str = METHODS[0]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Tools:
    """`typed` has what was last typed of each kind of breakpoint, on or off."""

    breaks: tuple[Condition, ...] = ()
    typed: dict[Kind, Condition] = field(default_factory=dict)
    watch: tuple[int, ...] = ()
    search: Searching = field(default_factory=Searching)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON; what is as at the beginning is left out."""
        kept = {each.kind: each for each in self.breaks}
        off = [each for each in self.typed.values() if kept.get(each.kind) != each]
        rows = [(each, each in self.breaks) for each in (*self.breaks, *off)]
        values = {
            "breaks": [{"kind": c.kind, "value": c.value, "text": c.text, "on": on} for c, on in rows],
            "watch": list(self.watch),
        }
        search = {"method": self.search.method, "options": dict(self.search.options)}
        return {name: value for name, value in values.items() if value} | (
            {"search": search} if self.search != Searching() else {}
        )


def read_tools(record: object, *, vocab_size: int) -> Tools:
    """The inverse of to_dict, for a file from anywhere; ValueError says what is wrong."""
    if not isinstance(record, dict):
        raise ValueError("tools must be an object")
    tools = Tools()
    for row in _rows(record, "breaks"):
        kind, value, text = row.get("kind"), row.get("value"), row.get("text")
        if kind not in KINDS or not (isinstance(value, (int, float)) and isinstance(text, str)):
            raise ValueError("a breakpoint needs kind, value and text")
        condition = Condition(kind, float(value), text)
        if row.get("on") is True:
            tools.breaks += (condition,)
        tools.typed[condition.kind] = condition
    watched = record.get("watch", [])
    if not isinstance(watched, list) or not all(type(token) is int for token in watched):
        raise ValueError("watch must be a list of ids")
    tools.watch = watchable(watched, vocab_size)
    if (search := record.get("search")) is not None:
        tools.search = _searching(search)
    return tools


def _rows(record: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = record.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{name} must be a list of objects")
    return rows


def _searching(record: object) -> Searching:
    if not isinstance(record, dict) or not isinstance(record.get("options"), dict):
        raise ValueError("search must have method and options")
    method = record.get("method")
    if method not in METHODS:
        raise ValueError(f"search has the method {method!r}, which is none")
    return Searching(method, {name: check_option(name, value) for name, value in record["options"].items()})
