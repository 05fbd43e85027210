"""What a grammar lets come next: regular expressions and JSON schemas over the model's own byte vocabulary.

A token is legal when the bytes of the reply with it are still the beginning of a text of the grammar; an end id is
legal only where that text is whole. The automata are llguidance's (derivatives of regular expressions, an Earley
parser above them), imported at first use. Nothing is forced and no spelling preferred: any tokens that write a text of
the grammar are legal, not the tokenizer's own choice alone.

The grammar is about the whole reply, from its first token, also when it is switched on in mid-reply or a person has
forced tokens. Where the reply so far cannot begin a text of the grammar, nothing is legal, and `trouble` says why.

B any leading axes, V vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tinychat.engine.context import Context
from tinychat.engine.cuts import CUT
from tinychat.engine.params import SamplingParams
from tinychat.errors import TinychatError
from tinychat.model.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

# White space between the parts of JSON: one space, or one line break and an indentation. JSON itself sets no end to it,
# and a small model that has begun to indent seldom stops. The schema's "x-guidance" (llguidance) can say otherwise.
JSON_SPACE = r" |\n[ \t]{0,20}"

GRAMMARS = 4  # kept compiled: a person goes back and forth between a few
STATES = 128  # kept of each: every lane, and every branch of a search, goes on from the place it has reached

_SPELT = {"regex": "regular expression", "json_schema": "JSON schema"}
_MARK = 0xFF  # llguidance marks special tokens with this byte, which no UTF-8 text holds
_DEAD_END = "NoExtensionBias"  # llguidance: a text of the grammar can go on from here, but no token can write it
_PREAMBLE = re.compile(r".*?(\(in regex\): |failed to compile JSON schema: |at \d+\(\d+\): )", re.DOTALL)


class GrammarTooHard(TinychatError):
    """The automaton grew beyond its limits in mid-reply."""


def grammar(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """The stage: logits (B..., V), -inf where the grammar forbids. ValueError when nobody says what is legal."""
    legal = context.legal
    if legal is None:
        raise ValueError("a grammar is on, but the context does not say which tokens are legal (Grammars.legal)")
    if legal.shape != logits.shape[-1:]:
        raise ValueError(f"legal must have {logits.shape[-1]} entries, as the logits, got {tuple(legal.shape)}")
    return logits.masked_fill(~legal.to(logits.device), CUT)


def check_grammar(params: SamplingParams, vocabulary: Vocabulary) -> None:
    """ValueError, naming the setting and the reason, for a grammar that cannot be used; having none is fine."""
    Grammars(vocabulary).legal(params, ())


@dataclass(slots=True)
class _State:
    """A matcher that has read the tokens `ids`, and what it says about the next one."""

    ids: list[int]
    matcher: LLMatcher
    legal: Tensor | None = None  # (V,) bool; None until somebody asks
    whole: bool = False  # whether the text may end here; known with `legal`
    final: bool = False  # whether it must, since no token can follow


@dataclass(frozen=True, slots=True)
class _Grammar:
    root: LLMatcher  # has read nothing
    states: list[_State]  # the latest used comes last


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a reply stands in its grammar."""

    legal: Tensor  # (V,) bool
    whole: bool
    final: bool
    broken: int | None = None  # the first token of the reply that does not fit


class Grammars:
    """The grammars of one vocabulary, compiled once, and the places reached in them. For one thread."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._ends = frozenset(vocabulary.end_ids)
        self._end_rows = torch.tensor(sorted(self._ends), dtype=torch.int64)
        # what a token writes; nothing for the ends, which no automaton reads, and for bytes outside UTF-8
        self._texts = tuple(
            b"" if token in self._ends or _MARK in text else text for token, text in enumerate(vocabulary.token_bytes)
        )
        self._nothing = torch.zeros(vocabulary.size, dtype=torch.bool)
        self._tokenizer: LLTokenizer | None = None
        self._grammars: dict[tuple[str, str], _Grammar] = {}  # the latest used comes last

    def legal(self, params: SamplingParams, output: Sequence[int]) -> Tensor | None:
        """What may come after these ids of the reply: (V,) bool, not to be changed; None when no grammar is on.

        End ids are legal where the text is whole, other tokens without text nowhere. All is False where `trouble` has
        something to say. A reply one token longer than one asked for before costs one step of the automaton; a rewound
        or branched one a copy besides. ValueError as check_grammar; GrammarTooHard.
        """
        place = self._find(params, output)
        return None if place is None else place.legal

    def is_complete(self, params: SamplingParams, output: Sequence[int]) -> bool:
        """Whether the reply is a whole text of the grammar, and nothing but its end can follow.

        A model without end ids has no other way to end it: then the reply is over, for the reason "grammar".
        """
        place = self._find(params, output)
        return place is not None and place.final

    def trouble(self, params: SamplingParams, output: Sequence[int]) -> tuple[str, str] | None:
        """Why the grammar leaves no token after these ids of the reply, and what to do; None where it leaves some."""
        place = self._find(params, output)
        if place is None or bool(place.legal.any()):
            return None
        name = _SPELT["regex" if params.regex else "json_schema"]
        if place.broken is not None:
            hint = "It is about the whole reply: go back to before that token, or switch it off."
            return f"Token {place.broken + 1} of the reply does not fit the {name}.", hint
        if place.final:
            return f"The reply is whole: the {name} lets nothing follow.", "Go back, or switch it off."
        return f"No token of this vocabulary can go on as the {name} wants.", "Go back, or change it."

    # ---- places -----------------------------------------------------------------------------------------------------

    def _find(self, params: SamplingParams, output: Sequence[int]) -> _Place | None:
        source = ("regex", params.regex) if params.regex else ("json_schema", params.json_schema)
        if not source[1]:
            return None
        ids = list(output)
        compiled = self._compiled(*source)
        state = self._reach(compiled, ids)
        if state.legal is None:
            self._look(compiled, state)
        assert state.legal is not None
        read = len(state.ids)
        if read == len(ids):
            return _Place(state.legal, state.whole, state.final)
        if ids[read] in self._ends and state.whole:
            if len(ids) == read + 1:
                return _Place(self._nothing, whole=True, final=True)
            read += 1  # the first token after the end
        return _Place(self._nothing, whole=False, final=False, broken=read)

    def _reach(self, compiled: _Grammar, ids: list[int]) -> _State:
        """The state after as many of the ids as fit."""
        states = compiled.states
        at, shared = None, 0
        for index in range(len(states) - 1, -1, -1):
            common = _shared(states[index].ids, ids)
            whole = common == len(states[index].ids)
            if common > shared or (common == shared and whole):  # a state that need not go back goes on as it is
                at, shared = index, common
                if whole and common >= len(ids) - 1:
                    break
        if at is None:
            state = _State([], compiled.root.deep_copy())
        elif shared == len(states[at].ids):
            state = states.pop(at)
        else:
            state = _State(ids[:shared], states[at].matcher.deep_copy())
            back = len(states[at].ids) - shared
            if not state.matcher.rollback(back):
                raise _too_hard(state.matcher)
        states.append(state)
        del states[:-STATES]
        for token in ids[shared:]:
            if not self._texts[token] or not state.matcher.try_consume_tokens([token]):
                break
            state.ids.append(token)
            state.legal = None
        if state.matcher.is_error():
            states.pop()
            raise _too_hard(state.matcher)
        return state

    def _look(self, compiled: _Grammar, state: _State) -> None:
        """Fill in what the state says about the next token."""
        size = self.vocabulary.size
        state.whole = state.matcher.is_accepting()
        packed = np.frombuffer(state.matcher.compute_bitmask(), dtype=np.uint8)
        if state.matcher.is_error():
            if not state.matcher.get_error().startswith(_DEAD_END):
                raise _too_hard(state.matcher)
            legal = torch.zeros(size, dtype=torch.bool)
            state.matcher = compiled.root.deep_copy()  # an error stays; the state before it is wanted again
            state.matcher.try_consume_tokens(state.ids)
        else:
            # the last entry is llguidance's own end, not one of the vocabulary
            legal = torch.from_numpy(np.unpackbits(packed, count=size, bitorder="little").view(np.bool_))
        state.final = state.whole and not bool(legal.any())
        if state.whole:
            legal[self._end_rows] = True
        state.legal = legal

    # ---- grammars ---------------------------------------------------------------------------------------------------

    def _compiled(self, name: str, text: str) -> _Grammar:
        found = self._grammars.pop((name, text), None)
        if found is None:
            found = self._compile(name, text)
        self._grammars[name, text] = found
        while len(self._grammars) > GRAMMARS:
            del self._grammars[next(iter(self._grammars))]
        return found

    def _compile(self, name: str, text: str) -> _Grammar:
        import llguidance  # here: 8 MB that only a grammar needs

        rule = _regex_rule(text) if name == "regex" else _json_rule(text)
        # without forcing, any spelling of a text is legal; with it only the tokenizer's own
        source = f'%llguidance {{"no_forcing": true}}\nstart: {rule}'
        compiled = _Grammar(llguidance.LLMatcher(self._automaton(), source, log_level=0), [])
        if compiled.root.is_error():
            raise ValueError(f"{name} cannot be used: {_reason(compiled.root.get_error())}")
        state = _State([], compiled.root.deep_copy())
        try:
            self._look(compiled, state)
        except GrammarTooHard as error:
            raise ValueError(f"{name} cannot be used: {error.hint}") from error
        assert state.legal is not None
        if not (state.whole or bool(state.legal.any())):
            raise ValueError(f"{name} cannot be used: no token of this vocabulary can begin a text of it")
        compiled.states.append(state)
        return compiled

    def _automaton(self) -> LLTokenizer:
        if self._tokenizer is None:
            import llguidance

            self._tokenizer = llguidance.LLTokenizer(_Table((*self._texts, b"")))  # type: ignore[arg-type]  # duck
        return self._tokenizer


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


def _too_hard(matcher: LLMatcher) -> GrammarTooHard:
    reason = matcher.get_error().splitlines()[0][:200]
    return GrammarTooHard("The grammar has become too hard to follow here.", f"Make it simpler ({reason}).")


def _shared(a: list[int], b: list[int]) -> int:
    """Length of the common beginning, by halving: slices compare faster than a loop."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:  # a[:low] is shared, a[:high] is not
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
