"""Settings as words of a command line, and back: one spelling for flags, `--at` and the `:` line of the playground.

What is written here is read here: `read_flags` takes back what `settings_flags` wrote, `read_changes` what
`changed_settings` wrote, to the last bit.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinychat.engine.knobs import KNOB_BY_NAME, KNOBS, Knob
from tinychat.engine.lists import LIST_BY_NAME, LISTS, ListSetting
from tinychat.engine.params import SamplingParams

SETTINGS: dict[str, Knob | ListSetting] = {**KNOB_BY_NAME, **LIST_BY_NAME}
CHANGEABLE = (*SETTINGS, "order", "seed")  # in mid-reply
_NAME = re.compile(r"(?:^|,)\s*({})\s*=".format("|".join(name.replace("_", "[_-]") for name in CHANGEABLE)))


def settings_flags(params: SamplingParams) -> list[str]:
    """Every setting that is not neutral, as flags and their words; the seed is not among them."""
    words = []
    for knob in KNOBS:
        value = getattr(params, knob.name)
        if value != knob.neutral:
            words += [knob.flag, _exact(value)]
    for each in LISTS:
        for word in each.words(getattr(params, each.name)):
            words += [each.flag, word]
    if params.order != "default":
        words += ["--order", order_text(params)]
    return words


def read_flags(given: Mapping[str, str | Sequence[str]]) -> dict[str, Any]:
    """Values for SamplingParams.with_ from the words that followed the flags; ValueError says what is wrong."""
    return {name: read_words(name, [words] if isinstance(words, str) else words) for name, words in given.items()}


def read_words(name: str, words: Sequence[str]) -> Any:
    """One setting from the words after its flag; of a setting that is no list the last one counts."""
    setting = SETTINGS.get(name)
    if isinstance(setting, ListSetting):
        return setting.read(words)
    return setting.parse(words[-1]) if setting is not None else words[-1]


def changed_settings(before: SamplingParams, after: SamplingParams) -> str:
    """What `--at` has to say: `name=x,name=x`, or a JSON object where a list changed."""
    names = [name for name in CHANGEABLE if getattr(before, name) != getattr(after, name)]
    if any(name in LIST_BY_NAME for name in names):
        plain = after.to_dict()
        return json.dumps({name: plain[name] for name in names})
    words = {name: order_text(after) if name == "order" else _exact(getattr(after, name)) for name in names}
    return ",".join(f"{name}={word}" for name, word in words.items())


def read_changes(text: str) -> dict[str, Any]:
    """Values for SamplingParams.with_; ValueError says what is wrong."""
    if text.lstrip().startswith("{"):
        return _read_json(text)
    starts = list(_NAME.finditer(text))
    if not starts or starts[0].start() != 0:
        name = text.partition("=")[0].strip()
        raise ValueError(f"there is no setting {name!r} to change{nearest(name)}" if "=" in text else "")
    stops = [start.start() for start in starts[1:]] + [len(text)]
    return {
        (name := start[1].replace("-", "_")): read_text(name, text[start.end() : stop].strip())
        for start, stop in zip(starts, stops, strict=True)
    }


def read_text(name: str, text: str) -> Any:
    """One setting from one text, which of a list may be several elements: ids and biases have commas, others JSON."""
    setting = SETTINGS.get(name)
    if name == "seed":
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"seed must be a whole number, got {text!r}") from None
    if isinstance(setting, ListSetting):
        if setting.many and text.startswith(("[", "{")):
            try:
                return setting.check(name, json.loads(text))
            except json.JSONDecodeError as error:
                raise ValueError(f"{name} is no JSON: {error}") from None
        return setting.read(text.split(",") if name == "logit_bias" else [text])
    return setting.parse(text) if setting is not None else text


def check_ids(params: SamplingParams, vocab_size: int) -> None:
    """ValueError for a token id that the model does not have."""
    for each in LISTS:
        for token in _ids(getattr(params, each.name)):
            if token >= vocab_size:
                raise ValueError(f"{each.name} {token}: the vocabulary has {vocab_size} tokens, from 0")


def _ids(value: Any) -> Iterator[int]:
    """The ids in a value: of a pair of ids and bias the first half; a bias is no whole number."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _ids(part)


def nearest(name: str) -> str:
    """`; did you mean top_p?`, or nothing."""
    near = difflib.get_close_matches(name.replace("-", "_"), CHANGEABLE, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def order_text(params: SamplingParams) -> str:
    """The order as `--order` takes it."""
    return params.order if isinstance(params.order, str) else ",".join(params.stages)


def _read_json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"that is no JSON: {error}") from None
    assert isinstance(found, dict), "it began with a brace"
    for name in found:
        if name not in CHANGEABLE:
            raise ValueError(f"there is no setting {name!r} to change{nearest(name)}")
    return found


def _exact(value: float | str) -> str:
    """A word for the machine: Knob.text rounds for the eye."""
    return value if isinstance(value, str) else repr(value)
