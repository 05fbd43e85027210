"""Regular expressions and JSON schemas as automata over the bytes of a vocabulary.

The automata are llguidance's (derivatives of regular expressions, an Earley parser above them), imported at first use.
Nothing is forced and no spelling preferred: any tokens that write a text of the grammar fit it, not the tokenizer's
own choice alone. Nothing here needs torch, so that a bad grammar is named before anybody waits for a model.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tinychat.engine.params import SamplingParams
from tinychat.errors import TinychatError
from tinychat.model.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

# White space between the parts of JSON: one space, or one line break and an indentation. JSON itself sets no end to it,
# and a small model that has begun to indent seldom stops. The schema's "x-guidance" (llguidance) can say otherwise.
JSON_SPACE = r" |\n[ \t]{0,20}"

_MARK = 0xFF  # llguidance marks special tokens with this byte, which no UTF-8 text holds
_DEAD_END = "NoExtensionBias"  # llguidance: a text of the grammar can go on from here, but no token can write it
_PREAMBLE = re.compile(r".*?(\(in regex\): |failed to compile JSON schema: |at \d+\(\d+\): )", re.DOTALL)
_SPELT = {"regex": "regular expression", "json_schema": "JSON schema"}


class GrammarTooHard(TinychatError):
    """The automaton grew beyond its limits in mid-reply."""


def grammar_of(params: SamplingParams) -> tuple[str, str] | None:
    """The setting that holds the grammar, and its text; None when no grammar is on."""
    if params.regex:
        return "regex", params.regex
    return ("json_schema", params.json_schema) if params.json_schema else None


def spelt(name: str) -> str:
    """What the setting holds, in words."""
    return _SPELT[name]


def check_grammar(params: SamplingParams, vocabulary: Vocabulary) -> None:
    """ValueError, naming the setting and the reason, for a grammar that cannot be used; having none is fine."""
    grammar = grammar_of(params)
    if grammar is not None:
        Compiler(vocabulary).compile(*grammar)


class Compiler:
    """Makes matchers: automata that read tokens of this vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        ends = frozenset(vocabulary.end_ids)
        # what a token writes; nothing for the ends, which no automaton reads, and for bytes outside UTF-8
        self.texts = tuple(
            b"" if token in ends or _MARK in text else text for token, text in enumerate(vocabulary.token_bytes)
        )
        self._tokenizer: LLTokenizer | None = None

    def compile(self, name: str, text: str) -> LLMatcher:
        """A matcher that has read nothing. ValueError, naming the setting and the reason, where there is none.

        `name` is "regex": the syntax of Rust's regex crate, whole texts only, without look-around and backreferences.
        Or "json_schema": what llguidance knows of JSON schemas; what it does not know is refused, never ignored.
        """
        import llguidance  # here: 8 MB that only a grammar needs

        if self._tokenizer is None:
            self._tokenizer = llguidance.LLTokenizer(_Table((*self.texts, b"")))  # type: ignore[arg-type]  # it quacks
        rule = _regex_rule(text) if name == "regex" else _json_rule(text)
        # without forcing any spelling of a text fits; with it only the tokenizer's own
        source = f'%llguidance {{"no_forcing": true}}\nstart: {rule}'
        matcher = llguidance.LLMatcher(self._tokenizer, source, log_level=0)
        if matcher.is_error():
            raise ValueError(f"{name} cannot be used: {_reason(matcher.get_error())}")
        try:
            begins = allowed(matcher.deep_copy())
        except GrammarTooHard as error:
            raise ValueError(f"{name} cannot be used: {error.hint}") from error
        if begins is None:
            raise ValueError(f"{name} cannot be used: no token of this vocabulary can begin a text of it")
        return matcher


def allowed(matcher: LLMatcher) -> bytes | None:
    """One bit for each token that may come next, lowest first, then one for the end of the text.

    None where no token can and the text is not whole either; then the matcher is of no use any more. GrammarTooHard.
    """
    bits = matcher.compute_bitmask()
    if not matcher.is_error():
        return bits
    if matcher.get_error().startswith(_DEAD_END):
        return None
    raise too_hard(matcher)


def too_hard(matcher: LLMatcher) -> GrammarTooHard:
    """The error of a matcher that has failed."""
    reason = matcher.get_error().splitlines()[0][:200]
    return GrammarTooHard("The grammar has become too hard to follow here.", f"Make it simpler ({reason}).")


class _Table:
    """The vocabulary as llguidance wants to see it, with one token more: the end of the text."""

    is_tokenizer_wrapper = True
    bos_token_id = None
    special_token_ids: tuple[int, ...] = ()

    def __init__(self, tokens: tuple[bytes, ...]) -> None:
        self.tokens = tokens
        self.eos_token_id = len(tokens) - 1

    def __call__(self, text: str) -> list[int]:
        raise AssertionError("only forced tokens are tokenized, and nothing is forced")


def _regex_rule(text: str) -> str:
    import llguidance

    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"regex cannot be used: it holds half a surrogate pair, got {text!r}") from None
    return f"/{llguidance.regex_to_lark(text, '')}/"


def _json_rule(text: str) -> str:
    try:
        schema = json.loads(text)
        if schema is True:
            schema = {}
        if isinstance(schema, dict):
            schema = {"x-guidance": {"whitespace_pattern": JSON_SPACE}, **schema}
        return f"%json {json.dumps(schema)}"
    except (ValueError, RecursionError) as error:
        raise ValueError(f"json_schema must be JSON: {error}, got {text[:80]!r}") from None


def _reason(message: str) -> str:
    """The one line of llguidance's report that says what is wrong."""
    lines = [line for line in message.splitlines() if not re.match(r"\s*(\d+ \||\^)", line)]
    named = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    said = named[0] if named else " ".join(" ".join(lines).split())
    while match := _PREAMBLE.match(said):
        said = said[match.end() :]
    return said[:300]
