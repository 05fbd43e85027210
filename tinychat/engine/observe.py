"""What the settings do to one position, as a record: the raw odds, each stage's cut, and the token chosen.

`observe` walks the same stages as `stages.shape`, so the record cannot disagree with the draw. `decide` throws the dart
(or takes the token a person names) and completes the record. Nothing here knows the model, the cache or the screen.

V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine import draw
from tinychat.engine.adaptive import STATEFUL, advance
from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.exponential import exp
from tinychat.engine.params import SamplingParams
from tinychat.engine.rows import Row, Tally, probs_of
from tinychat.engine.stages import checked, walk
from tinychat.engine.temperature import Heat
from tinychat.engine.trace import FRESH, Candidate, Odds, SamplerState, StageView, Step, candidates_of

RAW = "raw"  # the name of the first row, and what cut a token that the model itself gave -inf


@dataclass(frozen=True, slots=True)
class Observation:
    """The odds of one position, and what it takes to complete them once a token is chosen."""

    odds: Odds
    rows: tuple[Row, ...]  # as odds.stages
    probs: NDArray[np.float64]  # (A,) of the last row's tokens: they sum to 1; all 0 when odds.kept is 0
    raw_logits: NDArray[np.float32]  # (V,)
    shown: int  # of odds.candidates, those that are there without being asked for
    state: SamplerState = FRESH  # before this token

    @property
    def final(self) -> NDArray[np.float64]:
        """The probabilities (V,) of the draw."""
        return self.rows[-1].spread(self.probs, self.odds.vocab_size, 0.0)

    def for_token(self, token: int) -> Odds:
        """The odds with this token's probability in every stage, and the token among the candidates."""
        if not 0 <= token < self.odds.vocab_size:
            raise ValueError(f"token must be from 0 to {self.odds.vocab_size - 1}, got {token}")
        views = tuple(
            StageView(name=view.name, kept=view.kept, mass=view.mass, entropy=view.entropy, chosen=prob)
            for view, prob in zip(self.odds.stages, probs_of(self.rows, token), strict=True)
        )
        shown = self.odds.candidates[: self.shown]
        if all(candidate.token != token for candidate in shown):
            shown = (*shown, self._candidate(token, views))
        return replace(self.odds, stages=views, candidates=shown)

    def _candidate(self, token: int, views: tuple[StageView, ...]) -> Candidate:
        return Candidate(
            token=token,
            logit=float(self.raw_logits[token]),
            raw=views[0].chosen or 0.0,
            final=views[-1].chosen or 0.0,
            rank=draw.rank_of(self.raw_logits, token),
            cut_by=next((row.name for row in self.rows if row.find(token) is None), None),
        )


def observe(
    raw_logits: Tensor,
    params: SamplingParams,
    context: Context = NOTHING_SEEN,
    *,
    n: int = 64,
    watch: Sequence[int] = (),
    token: int | None = None,
) -> Observation:
    """The odds of the context's place under the settings, from the model's own logits (V,), which stay as they are.

    `n` is how many of the likeliest raw tokens are listed, and `watch` others that are; `token` is one in question.
    When the settings leave nothing, odds.kept is 0. Raises ValueError for NaN and +inf, and for a token outside the
    vocabulary.
    """
    raw = checked(raw_logits).cpu()
    values = raw.numpy()
    tally, heat = Tally(RAW, raw), Heat(params.temperature)
    rows, varentropy = [tally.row], tally.varentropy
    for after in walk(raw, params, context):
        rows.append(tally.follow(after))
        heat = after.heat or heat
    probs = tally.probs
    listed = draw.likeliest(values, n)
    views = tuple(StageView(name=row.name, kept=row.kept, mass=row.mass, entropy=row.entropy) for row in rows)
    odds = Odds(
        position=context.place,
        vocab_size=values.size,
        candidates=_candidates(listed, values, rows, probs),
        stages=views,
        entropy=views[0].entropy,
        varentropy=varentropy,
        final_entropy=views[-1].entropy,
        kept=views[-1].kept,
        temperature=heat.temperature,
        region=heat.region,
    )
    seen = Observation(
        odds=odds, rows=tuple(rows), probs=probs, raw_logits=values, shown=listed.size, state=context.state
    )
    for each in watch:
        listing = seen.for_token(each).candidates
        seen = replace(seen, odds=replace(seen.odds, candidates=listing), shown=len(listing))
    return seen if token is None else replace(seen, odds=seen.for_token(token))


def decide(
    observation: Observation, params: SamplingParams, *, lane: int = 0, token: int | None = None, time_s: float
) -> Step:
    """Draw a token with the dart of (seed, position, lane), or take `token`: the full record of the choice.

    Raises ValueError when a draw is asked for and the settings leave no token.
    """
    odds = observation.odds
    u = draw.uniform(params.seed, odds.position, lane)
    if token is None and odds.kept == 0:
        raise ValueError("no token is left to draw: every one is cut")
    last = observation.rows[-1]
    place = draw.pick(observation.probs, u, last.ids) if token is None else _owned(observation, token)
    chosen = place.token
    seen = observation.for_token(chosen)
    entered = {row.name: came.surprisal(chosen) for came, row in pairwise(observation.rows) if row.name in STATEFUL}
    return Step(
        odds=seen,
        token=chosen,
        lane=lane,
        forced=token is not None,
        raw=seen.stages[0].chosen or 0.0,
        final=seen.stages[-1].chosen or 0.0,
        raw_rank=draw.rank_of(observation.raw_logits, chosen),
        final_rank=place.rank,
        surprisal=observation.rows[0].surprisal(chosen),
        u=u,
        low=place.low,
        high=place.high,
        time_s=time_s,
        state=advance(observation.state, params, entered),
    )


def _owned(observation: Observation, token: int) -> draw.Pick:
    last = observation.rows[-1]
    index = last.find(token)
    return draw.Pick(token, 0.0, 0.0, 0) if index is None else draw.owned(observation.probs, index, last.ids)


def _candidates(
    listed: NDArray[np.int64], values: NDArray[np.float32], rows: list[Row], probs: NDArray[np.float64]
) -> tuple[Candidate, ...]:
    cut_by: list[str | None] = [None] * listed.size
    left, before = np.arange(listed.size), values.size  # which of them are not cut yet
    for row in rows:
        if row.kept < before:
            inside = row.inside(listed[left])
            for index in left[~inside].tolist():
                cut_by[index] = row.name
            left = left[inside]
        before = row.kept
    first, last = rows[0], rows[-1]
    raw = exp(values[listed].astype(np.float64) - first.reference) / first.total
    final = np.zeros(listed.size)
    places = listed[left] if last.ids is None else last.ids.searchsorted(listed[left])
    final[left] = probs[places]
    return candidates_of(
        listed.size,
        listed.tolist(),
        values[listed].tolist(),
        raw.tolist(),
        final.tolist(),
        range(1, listed.size + 1),
        cut_by,
    )
