"""A group of commands of which only the one that is asked for is imported: the list needs their help lines only.

Nothing here knows what the commands do. typer builds every option of every command before it looks at the command
line; with some hundred settings that takes longer than Python's own start.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from tinychat.failures import Asked
from tinychat.quick_options import QuickCommand, quicken


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a command is: `module` has a function, or a Typer of more commands, by the command's name.

    `line` is its line in the list, the first of its own help. `cls` is "module:name" of a class of commands. `schema`
    is that of its JSON, also of its errors; empty where it has none.
    """

    name: str
    module: str
    line: str
    cls: str = ""
    schema: str = ""


class LazyGroup(TyperGroup):
    """A group whose `commands` are lines of the list; `load` and `resolve_command` give the command itself."""

    places: ClassVar[Sequence[Place]] = ()

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands.update({each.name: TyperCommand(each.name, help=each.line) for each in self.places})

    def load(self, name: str) -> Any:
        """The command, imported."""
        place = next(each for each in self.places if each.name == name)
        found = getattr(importlib.import_module(place.module), name)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_group(found)
            command.name = name
            return command
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name, cls=_named(place.cls) if place.cls else QuickCommand)(found)
        return typer.main.get_command(alone)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            command = self.load(name)
            if (asked := ctx.find_object(Asked)) is not None:
                asked.command = f"{ctx.command_path} {name}"
                asked.schema = next(each.schema for each in self.places if each.name == name)
        return name, command, rest

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        quicken(self.get_params(ctx))
        if (asked := ctx.find_object(Asked)) is not None:
            asked.command = ctx.command_path
        return super().parse_args(ctx, args)


def _named(cls: str) -> type[TyperCommand]:
    module, _, name = cls.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    assert issubclass(found, TyperCommand)
    return found
