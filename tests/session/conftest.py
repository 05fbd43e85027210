"""A small real tokenizer and steps made by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tinychat.engine.trace import Candidate, Odds, StageView, Step
from tinychat.text.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the cat sat on the mat and looked at the moon, as cats do. "] * 4, vocab_size=280)


@pytest.fixture
def make_step() -> Callable[..., Step]:
    def make(token: int, position: int, *, forced: bool = False, surprisal: float = 2.0) -> Step:
        odds = Odds(
            position=position,
            vocab_size=280,
            candidates=(Candidate(token=token, logit=1.0, raw=0.25, final=0.5, rank=1),),
            stages=(StageView(name="raw", kept=280, mass=1.0, entropy=3.0),),
            entropy=3.0,
            varentropy=1.0,
            final_entropy=2.0,
            kept=280,
            temperature=1.0,
        )
        return Step(
            odds=odds, token=token, lane=0, forced=forced, raw=0.25, final=0.5, raw_rank=1, final_rank=1,
            surprisal=surprisal, u=0.5, low=0.25, high=0.75, time_s=0.01,
        )  # fmt: skip

    return make
