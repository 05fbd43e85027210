"""Many options of one kind for a command, made from a table: the command takes them as one mapping.

Nothing here knows what the options mean.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

Command = Callable[..., None]


def spread(place: str, options: Mapping[str, Any]) -> Callable[[Command], Command]:
    """A decorator for a command with the parameter `place`: it gets an option for each of `options` instead.

    `options` are parameter names with their annotations, `Annotated[kind | None, typer.Option(...)]`. The command is
    given a mapping of those that were there on the command line.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for each in signature.parameters.values():
            if each.name == place:
                for name, annotation in options.items():
                    parameters.append(
                        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
                    )
            else:
                parameters.append(each.replace(kind=inspect.Parameter.KEYWORD_ONLY))

        @functools.wraps(command)
        def wrapped(**values: Any) -> None:
            given = {name: value for name in options if (value := values.pop(name)) is not None}
            command(**{place: given}, **values)

        wrapped.__annotations__ = {}  # typer would evaluate all of them again, twice
        wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # typer reads it
        return wrapped

    return decorate
