"""Values out of a file from anywhere, each checked for what it must be; Wrong says in words what it is instead."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tinychat.engine.params import SamplingParams

_LONG = re.compile(rb"\d{41}")


class Wrong(Exception):
    """What is wrong with a line, for a person."""


def read_line(line: bytes) -> dict[str, Any]:
    """A line of JSON that is an object; no NaN, no number of more than 40 digits."""
    try:
        # a call for each number only where there may be a long one
        record = json.loads(line, parse_int=_bounded if _LONG.search(line) else None, parse_constant=_no_number)
    except RecursionError:
        raise Wrong("nested too deeply") from None
    except ValueError as error:  # of JSON and of UTF-8
        raise Wrong(f"no JSON ({error})" if not isinstance(error, UnicodeDecodeError) else "no UTF-8 text") from None
    if not isinstance(record, dict):
        raise Wrong("no JSON object")
    return record


def _bounded(text: str) -> int:
    if len(text) > 40:
        raise ValueError("a number is too large")
    return int(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def params_of(record: object, where: str) -> SamplingParams:
    """Sampling settings; `where` they stand is said with what is wrong."""
    if not isinstance(record, dict):
        raise Wrong(f"{where} must be an object")
    try:
        return SamplingParams.from_dict(record)
    except (TypeError, ValueError, OverflowError) as error:
        raise Wrong(f"{where}: {error}") from None


def text_of(record: Mapping[str, Any], name: str) -> str:
    """The text of that name."""
    value = record.get(name)
    if not isinstance(value, str):
        raise Wrong(f"{name} must be text")
    return value


def whole_of(record: Mapping[str, Any], name: str) -> int:
    """The whole number from 0 of that name."""
    value = record.get(name)
    if not is_whole(value):
        raise Wrong(f"{name} must be a whole number from 0")
    assert isinstance(value, int)
    return value


def wholes_of(record: Mapping[str, Any], name: str) -> list[int]:
    """The list of whole numbers from 0 of that name."""
    value = record.get(name)
    if not isinstance(value, list) or not all(is_whole(each) for each in value):
        raise Wrong(f"{name} must be whole numbers from 0")
    return value


def is_whole(value: object) -> bool:
    """Whether it is a whole number from 0 that 63 bits hold."""
    return type(value) is int and 0 <= value < 1 << 63


def utf8(data: bytes) -> str:
    """The bytes as text."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong("the tokenizer is no UTF-8 text") from None
