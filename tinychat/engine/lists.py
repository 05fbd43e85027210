"""The settings of a sampler that are no numbers: ids, sequences of ids, biases and texts, declared once.

As KNOBS are for sliders, LISTS are for flags, `--at`, JSON and saved files. Nothing here touches a tensor.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tinychat.engine.knobs import plain_number

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSetting:
    """One such setting. On the command line a `many` setting is repeated, any other is given once."""

    name: str  # the field of SamplingParams
    stage: str
    metavar: str
    help: str
    neutral: Any  # as the field holds it
    check: Callable[[str, Any], Any]  # (name, value) -> the value as the field holds it; ValueError
    parse: Callable[[str, str], Any]  # (name, one word of the command line) -> one element, or the whole value
    spell: Callable[[Any], str]  # the inverse of parse
    many: bool = False
    aux: bool = False  # switches nothing on by itself

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    def words(self, value: Any) -> list[str]:
        """The value as words of the command line, each to follow the flag."""
        if value == self.neutral:
            return []
        if not value:
            return [""]  # emptied, where the neutral value is not empty
        return [self.spell(each) for each in value] if self.many else [self.spell(value)]

    def read(self, words: Iterable[str]) -> Any:
        """The inverse of `words`, checked; one empty word is the empty value."""
        words = list(words)
        if words == [""]:
            return self.check(self.name, "" if isinstance(self.neutral, str) else ())
        parsed = [self.parse(self.name, word) for word in words]
        if not parsed:
            return self.neutral
        return self.check(self.name, parsed if self.many else parsed[-1])


# ---- checks ---------------------------------------------------------------------------------------------------------


def _id(name: str, value: Any) -> int:
    number = plain_number(value)
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"{name} needs token ids of at least 0, got {value!r}")
    return number


def _listed(name: str, value: Any) -> list[Any]:
    if isinstance(value, str | bytes):
        raise ValueError(f"{name} must be a list, got {value!r}")
    try:
        return list(value)
    except TypeError:
        raise ValueError(f"{name} must be a list, got {value!r}") from None


def _ids(name: str, value: Any) -> Ids:
    return tuple(_id(name, each) for each in _listed(name, value))


def _id_set(name: str, value: Any) -> Ids:
    return tuple(sorted(set(_ids(name, value))))


def _phrase(name: str, value: Any) -> Ids:
    ids = _ids(name, value)
    if not ids:
        raise ValueError(f"{name} needs at least one token in a phrase")
    return ids


def _phrases(name: str, value: Any) -> tuple[Ids, ...]:
    return tuple(sorted({_phrase(name, each) for each in _listed(name, value)}))


def _bias(name: str, what: str, value: Any) -> float:
    number = -math.inf if value == "-inf" else plain_number(value)  # "-inf" is how JSON carries it
    # minus infinity bans a token; plus infinity or NaN would poison the softmax
    if number is None or not (number == -math.inf or abs(number) <= sys.float_info.max):
        raise ValueError(f"{name} of {what} must be a number or -inf, got {value!r}")
    return float(number)


def _pairs(name: str, what: str, value: Any) -> list[tuple[Any, Any]]:
    try:
        items = value.items() if isinstance(value, Mapping) else value
        return [(left, right) for left, right in items]
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a mapping or pairs of {what} and number, got {value!r}") from None


def _token_biases(name: str, value: Any) -> tuple[tuple[int, float], ...]:
    pairs = _pairs(name, "token id", value)
    found = {_id(name, token): _bias(name, f"token {token}", bias) for token, bias in pairs}
    return tuple(sorted(found.items()))


def _phrase_biases(name: str, value: Any) -> tuple[tuple[Ids, float], ...]:
    pairs = _pairs(name, "token ids", value)
    found = {_phrase(name, ids): _bias(name, f"tokens {ids}", bias) for ids, bias in pairs}
    return tuple(sorted(found.items()))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {value!r}")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    texts = tuple(_text(name, each) for each in _listed(name, value))
    if not all(texts):
        raise ValueError(f"{name} needs some text")
    return tuple(dict.fromkeys(texts))


def _two_texts(name: str, value: Any) -> tuple[str, ...]:
    texts = _texts(name, value)
    if len(texts) != 2:
        raise ValueError(f"{name} needs two different texts, what opens and what closes, got {len(texts)}")
    return texts


# ---- words of the command line --------------------------------------------------------------------------------------


def _parse_ids(name: str, word: str) -> Ids:
    try:
        return tuple(int(part) for part in word.split(",")) if word else ()
    except ValueError:
        raise ValueError(f"{name} must be ids joined by commas, got {word!r}") from None


def _parse_bias(name: str, word: str) -> tuple[Any, float]:
    left, equals, right = word.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return (int(left), float(right))
    except ValueError:
        raise ValueError(f"{name} must be of the form ID=X, got {word!r}") from None


def _parse_phrase_bias(name: str, word: str) -> tuple[Ids, float]:
    left, equals, right = word.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return (_parse_ids(name, left), float(right))
    except ValueError:
        raise ValueError(f"{name} must be of the form ID,ID,...=X, got {word!r}") from None


def _parse_text(name: str, word: str) -> str:
    return word


def _spell_ids(ids: Ids) -> str:
    return ",".join(map(str, ids))


LISTS: tuple[ListSetting, ...] = (
    ListSetting(name="logit_bias", stage="logit_bias", metavar="ID=X", neutral=(), check=_token_biases,
                parse=_parse_bias, spell=lambda pair: f"{pair[0]}={pair[1]!r}", many=True,
                help="Add X to a token's logit; -inf bans it."),
    ListSetting(name="sequence_bias", stage="sequence_bias", metavar="ID,ID,...=X", neutral=(), check=_phrase_biases,
                parse=_parse_phrase_bias, spell=lambda pair: f"{_spell_ids(pair[0])}={pair[1]!r}", many=True,
                help="Add X to the logit of a phrase's last token where the tokens before it are there."),
    ListSetting(name="allowed_ids", stage="allowed", metavar="ID,ID,...", neutral=(), check=_id_set, parse=_parse_ids,
                spell=_spell_ids, help="Only these tokens may be drawn."),
    ListSetting(name="banned_ids", stage="allowed", metavar="ID,ID,...", neutral=(), check=_id_set, parse=_parse_ids,
                spell=_spell_ids, help="These tokens may not be drawn."),
    ListSetting(name="bad_words", stage="bad_words", metavar="ID,ID,...", neutral=(), check=_phrases,
                parse=_parse_ids, spell=_spell_ids, many=True,
                help="A phrase, as ids, that may not come whole; may be repeated."),
    ListSetting(name="dry_breakers", stage="dry", metavar="TEXT", neutral=("\n", ":", '"', "*"), check=_texts,
                parse=_parse_text, spell=str, many=True, aux=True,
                help="Tokens with this text end a DRY sequence and go free; those given replace the defaults."),
    ListSetting(name="regex", stage="grammar", metavar="REGEX", neutral="", check=_text, parse=_parse_text, spell=str,
                help="The reply must match this regular expression as a whole."),
    ListSetting(name="json_schema", stage="grammar", metavar="JSON", neutral="", check=_text, parse=_parse_text,
                spell=str, help="The reply must be JSON that this schema allows; {} is any JSON."),
    ListSetting(name="negative_ids", stage="guidance", metavar="ID,ID,...", neutral=(), check=_ids, parse=_parse_ids,
                spell=_spell_ids, aux=True,
                help="Guidance: the prompt to move away from; left out, the prompt's last token alone."),
    ListSetting(name="synthid_keys", stage="synthid", metavar="N,N,...", neutral=(), check=_ids, parse=_parse_ids,
                spell=_spell_ids, help="Marks the reply by SynthID's tournament, one round a key."),
    ListSetting(name="think_tags", stage="think_budget", metavar="TEXT", neutral=("<think>", "</think>"),
                check=_two_texts, parse=_parse_text, spell=str, many=True, aux=True,
                help="What opens and what closes a block of reasoning; given twice."),
)  # fmt: skip

LIST_BY_NAME: dict[str, ListSetting] = {each.name: each for each in LISTS}
