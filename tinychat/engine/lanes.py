"""What the engine keeps of one lane: its text, its side passes, the samplers' state after each token, open guesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tinychat.engine.speculate import Guess
from tinychat.engine.trace import FRESH, SamplerState
from tinychat.engine.tracks import Track, shared


@dataclass(slots=True, eq=False)
class Lane:
    """`main` holds the lane's own ids. `index` is its row, and whose darts it throws unless told."""

    index: int
    main: Track
    prompt_len: int = 0
    states: list[SamplerState] = field(default_factory=list)  # after each id; FRESH in the prompt
    sides: dict[str, Track] = field(default_factory=dict)  # by kind, see sides.py
    guesses: list[Guess] | None = None  # what the pass looked beyond; None when the next one may guess anew
    ended: bool = False  # the last token was drawn here and ends a reply
    complete: bool = False  # it was drawn here, its grammar lets nothing follow, and no token could end the reply
    forward_s: float = 0.0  # what the pass behind the next token's logits took; 0 where an earlier one had them

    @property
    def tracks(self) -> tuple[Track, ...]:
        return (self.main, *self.sides.values())

    @property
    def state(self) -> SamplerState:
        """The samplers' state before the next token."""
        return self.states[-1]

    def hold(self, ids: Sequence[int], prompt_len: int, state: SamplerState | None) -> int:
        """Hold exactly these ids; how many are cached already.

        States are remembered for the ids that stay; a reply that goes on from `state`, or whose own is not known,
        starts with it, or afresh.
        """
        common = shared(ids, self.main.tokens)
        known = self.states[prompt_len:common]
        self.states = [FRESH] * prompt_len + known + [FRESH] * (len(ids) - prompt_len - len(known))
        if state is not None:
            self.states[-1] = state
        keep = self.main.hold(ids)
        if not self.main.looks:
            self.guesses = None
        self.prompt_len, self.ended, self.complete = prompt_len, False, False
        return keep

    def take(self, token: int, state: SamplerState, *, ends: bool) -> None:
        """One token more, for the text and all its sides."""
        guessed = bool(self.guesses) and self.guesses is not None and self.guesses[0].token == token
        for track in self.tracks:
            track.take(token, guessed=guessed)
        self.states.append(state)
        self.guesses = self.guesses[1:] if guessed and self.guesses is not None and self.main.looks else None
        self.ended, self.complete, self.forward_s = ends, False, 0.0
