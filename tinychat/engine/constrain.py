"""What a grammar lets come next: the places that replies have reached in it, and the stage that cuts the rest.

A token is legal when the bytes of the reply with it are still the beginning of a text of the grammar; an end id is
legal only where that text is whole.

The grammar is about the whole reply, from its first token, also when it is switched on in mid-reply or a person has
forced tokens. Where the reply so far cannot begin a text of the grammar, nothing is legal, and `trouble` says why.

B any leading axes, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tinychat.engine.context import Context
from tinychat.engine.cuts import CUT
from tinychat.engine.grammars import Compiler, allowed, grammar_of, spelt, too_hard
from tinychat.engine.params import SamplingParams
from tinychat.model.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance import LLMatcher

GRAMMARS = 4  # kept compiled: a person goes back and forth between a few
STATES = 128  # kept of each: every lane, and every branch of a search, goes on from the place it has reached


def grammar(logits: Tensor, params: SamplingParams, context: Context) -> Tensor:
    """The stage: logits (B..., V), -inf where the grammar forbids. ValueError when nobody says what is legal."""
    legal = context.legal
    if legal is None:
        raise ValueError("a grammar is on, but the context does not say which tokens are legal (Grammars.legal)")
    if legal.shape != logits.shape[-1:]:
        raise ValueError(f"legal must have {logits.shape[-1]} entries, as the logits, got {tuple(legal.shape)}")
    return logits.masked_fill(~legal.to(logits.device), CUT)


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
        self._compiler = Compiler(vocabulary)
        self._nothing = torch.zeros(vocabulary.size, dtype=torch.bool)
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
        name = spelt("regex" if params.regex else "json_schema")
        if place.broken is not None:
            hint = "It is about the whole reply: go back to before that token, or switch it off."
            return f"Token {place.broken + 1} of the reply does not fit the {name}.", hint
        if place.final:
            return f"The reply is whole: the {name} lets nothing follow.", "Go back, or switch it off."
        return f"No token of this vocabulary can go on as the {name} wants.", "Go back, or change it."

    # ---- places -----------------------------------------------------------------------------------------------------

    def _find(self, params: SamplingParams, output: Sequence[int]) -> _Place | None:
        source = grammar_of(params)
        if source is None:
            return None
        ids = list(output)
        compiled = self._compiled(source)
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
                raise too_hard(state.matcher)
        states.append(state)
        del states[:-STATES]
        for token in ids[shared:]:
            if not self._compiler.texts[token] or not state.matcher.try_consume_tokens([token]):
                break
            state.ids.append(token)
            state.legal = None
        if state.matcher.is_error():
            states.pop()
            raise too_hard(state.matcher)
        return state

    def _look(self, compiled: _Grammar, state: _State) -> None:
        """Fill in what the state says about the next token."""
        size = self.vocabulary.size
        state.whole = state.matcher.is_accepting()
        bits = allowed(state.matcher)
        if bits is None:
            legal = torch.zeros(size, dtype=torch.bool)
            state.matcher = compiled.root.deep_copy()  # the old one is of no use; its place is asked for again
            state.matcher.try_consume_tokens(state.ids)
        else:
            packed = np.frombuffer(bits, dtype=np.uint8)
            legal = torch.from_numpy(np.unpackbits(packed, count=size, bitorder="little").view(np.bool_))
        state.final = state.whole and not bool(legal.any())
        if state.whole:
            legal[self._end_rows] = True
        state.legal = legal

    def _compiled(self, source: tuple[str, str]) -> _Grammar:
        found = self._grammars.pop(source, None) or _Grammar(self._compiler.compile(*source), [])
        self._grammars[source] = found
        while len(self._grammars) > GRAMMARS:
            del self._grammars[next(iter(self._grammars))]
        return found


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
