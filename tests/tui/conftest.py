"""One step to look at: the numbers of the design's frames, from one distribution through three settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, Odds, StageView, Step

from .idle import know_when_idle

WORDS = (" bright", " pale", " silver", " full", " low", " red", " thin", " white", " round", " still", " huge", " dim")
RAW = (21.4, 13.0, 9.8, 7.7, 6.1, 4.9, 4.1, 3.8, 3.0, 2.4, 0.4, 0.3)
FINAL = (36.5, 19.6, 13.7, 10.2, 0.0, 5.8, 4.6, 4.2, 3.1, 2.4, 0.0, 0.0)


@dataclass(frozen=True)
class Moon:
    """`low` was cut by the repetition penalty's doing, `pale` was drawn."""

    odds: Odds
    step: Step
    params: SamplingParams
    label: Callable[[int], str]


@pytest.fixture(scope="session")
def moon() -> Moon:
    odds = Odds(
        position=13,
        vocab_size=50257,
        candidates=tuple(
            Candidate(
                token=token,
                logit=10.0 - token,
                raw=RAW[token] / 100,
                final=FINAL[token] / 100,
                rank=token + 1,
                cut_by=None if FINAL[token] else "top_p",
            )
            for token in range(len(WORDS))
        ),
        stages=(
            StageView(name="raw", kept=50257, mass=1.0, entropy=4.85, chosen=0.130),
            StageView(name="repetition", kept=50257, mass=1.0, entropy=4.86, chosen=0.136),
            StageView(name="temperature", kept=50257, mass=1.0, entropy=3.66, chosen=0.172),
            StageView(name="top_p", kept=9, mass=0.881, entropy=2.64, chosen=0.196),
        ),
        entropy=4.85,
        varentropy=3.0,
        final_entropy=2.64,
        kept=9,
        temperature=0.8,
    )
    step = Step(
        odds=odds, token=1, lane=0, forced=False, raw=0.130, final=0.196, raw_rank=2, final_rank=2, surprisal=2.94,
        u=0.417, low=0.365, high=0.561, time_s=0.005,
    )  # fmt: skip
    return Moon(
        odds=odds,
        step=step,
        params=SamplingParams(temperature=0.8, top_p=0.88, repetition_penalty=1.1),
        label=lambda token: f'"{WORDS[token]}"',
    )


@pytest.fixture(autouse=True)
def _known_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    know_when_idle(monkeypatch)
