"""The plain values of a command line, read without pydantic.

typer reads every value through pydantic, also of options that were not given. Its import takes longer than all else
that `tinychat play` does before it draws, so what is surely right is read here: text, decimal numbers within their
range, paths nobody has to look at. Everything else, and with it every mistake, goes typer's way.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from tinychat.failures import Asked

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{0,18})?", re.ASCII)


_JSON_FLAGS, _JSON_NAMES = {"--json", "--jsonl"}, ("json_output", "jsonl")


class QuickCommand(TyperCommand):
    """A command that reads its options the quick way, and notes whether JSON was asked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        quicken(self.get_params(ctx))
        asked = ctx.find_object(Asked)
        if asked is not None:
            asked.command = ctx.command_path
            asked.json = bool(_JSON_FLAGS & set(args))  # as far as one can see, should the parser give up
        rest = super().parse_args(ctx, args)
        if asked is not None:
            asked.json = any(ctx.params.get(name) for name in _JSON_NAMES)
        return rest


def quicken(parameters: Iterable[Any]) -> None:
    """Give typer's parameters the quick way, once."""
    for parameter in parameters:
        slow = parameter.process_value
        if not isinstance(slow, functools.partial):
            parameter.process_value = functools.partial(_process, parameter, slow)


def _process(parameter: Any, slow: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    descriptor = parameter.type_descriptor
    many = parameter.multiple or parameter.nargs == -1
    if value is None and not parameter.required:
        nothing = () if many else None
        return nothing if parameter.callback is None else parameter.callback(context, parameter, nothing)
    if parameter.callback is None and parameter.nargs in (1, -1) and descriptor.parameter_info.parser is None:
        read = _texts if descriptor.annotation == list[str] else _READERS.get(descriptor.annotation)
        if read is not None and (quick := read(value, descriptor.parameter_info)) is not None:
            return quick
    return slow(context, value)


# a reader gives the value, or None where typer is to say what it is


def _text(value: Any, info: Any) -> str | None:
    return value if type(value) is str else None


def _texts(value: Any, info: Any) -> list[str] | None:
    several = isinstance(value, (list, tuple)) and value and all(type(each) is str for each in value)
    return list(value) if several else None


def _whole(value: Any, info: Any) -> int | None:
    if isinstance(value, str):
        value = int(value) if _WHOLE.fullmatch(value) else None
    return value if type(value) is int and _within(value, info) else None


def _decimal(value: Any, info: Any) -> float | None:
    if isinstance(value, str):
        value = float(value) if _DECIMAL.fullmatch(value) else None
    return value if type(value) is float and _within(value, info) else None


def _within(value: float, info: Any) -> bool:
    return (info.min is None or value >= info.min) and (info.max is None or value <= info.max)


def _path(value: Any, info: Any) -> Path | None:
    looked_at = info.exists or info.readable or info.writable or info.resolve_path or info.allow_dash
    special = looked_at or info.path_type is not None or not (info.file_okay and info.dir_okay)
    return Path(value) if isinstance(value, str) and not special else None


_READERS: dict[Any, Callable[[Any, Any], Any]] = {str: _text, int: _whole, float: _decimal, Path: _path}
