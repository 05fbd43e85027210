"""What the settings do to one position, as a record: the raw odds, each stage's cut, and the token chosen.

`observe` walks the same stages as `stages.shape`, so the record cannot disagree with the draw. `decide` throws the dart
(or takes the token a person names) and completes the record. Nothing here knows the model, the cache or the screen.

V vocabulary, A tokens not cut, N candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine import draw
from tinychat.engine.adaptive import STATEFUL, advance
from tinychat.engine.context import NOTHING_SEEN, Context
from tinychat.engine.cuts import CUT
from tinychat.engine.params import SamplingParams
from tinychat.engine.stages import checked, walk
from tinychat.engine.temperature import Heat
from tinychat.engine.trace import FRESH, Candidate, Odds, SamplerState, StageView, Step

RAW = "raw"  # the name of the first row, and what cut a token that the model itself gave -inf
_BITS = math.log2(math.e)  # bits in a nat


@dataclass(frozen=True, slots=True)
class Row:
    """The distribution after one stage, over the tokens that are left."""

    name: str
    ids: NDArray[np.int64] | None  # (A,) rising; None while nothing is cut
    logits: NDArray[np.float64]  # (A,) less their largest
    probs: NDArray[np.float64]  # (A,)
    log_total: float  # nats: the logarithm of a probability is its logit less this
    mass: float  # of the probability that came in, the share these tokens had

    @property
    def entropy(self) -> float:
        """Bits."""
        return max(0.0, self.log_total - float(self.probs @ self.logits)) * _BITS

    @property
    def varentropy(self) -> float:
        """Bits squared: how much the surprisal varies around the entropy."""
        surprisal = self.log_total - self.logits
        mean = float(self.probs @ surprisal)
        return float(self.probs @ np.square(surprisal - mean)) * _BITS**2

    def find(self, token: int) -> int | None:
        """Where the token stands in this row; None when it is cut."""
        if self.ids is None:
            return token
        index = int(np.searchsorted(self.ids, token))
        return index if index < self.ids.size and self.ids[index] == token else None

    def prob(self, token: int) -> float:
        """Probability of the token; 0 when it is cut."""
        index = self.find(token)
        return 0.0 if index is None else float(self.probs[index])

    def surprisal(self, token: int) -> float:
        """Bits; infinite when the token is cut. Finite where the probability itself rounds to 0."""
        index = self.find(token)
        return math.inf if index is None else max(0.0, self.log_total - float(self.logits[index])) * _BITS


@dataclass(frozen=True, slots=True)
class Observation:
    """The odds of one position, and what it takes to complete them once a token is chosen."""

    odds: Odds
    final: NDArray[np.float64]  # (V,) sums to 1; all 0 when odds.kept is 0
    rows: tuple[Row, ...]  # as odds.stages
    raw_logits: NDArray[np.float32]  # (V,)
    shown: int  # of odds.candidates, those that are there without being asked for
    state: SamplerState = FRESH  # before this token

    def for_token(self, token: int) -> Odds:
        """The odds with this token's probability in every stage, and the token among the candidates."""
        if not 0 <= token < self.odds.vocab_size:
            raise ValueError(f"token must be from 0 to {self.odds.vocab_size - 1}, got {token}")
        views = tuple(
            replace(view, chosen=row.prob(token)) for view, row in zip(self.odds.stages, self.rows, strict=True)
        )
        shown = self.odds.candidates[: self.shown]
        if all(candidate.token != token for candidate in shown):
            shown = (*shown, self._candidate(token))
        return replace(self.odds, stages=views, candidates=shown)

    def _candidate(self, token: int) -> Candidate:
        return Candidate(
            token=token,
            logit=float(self.raw_logits[token]),
            raw=self.rows[0].prob(token),
            final=float(self.final[token]),
            rank=draw.rank_of(self.raw_logits, token),
            cut_by=next((row.name for row in self.rows if row.find(token) is None), None),
        )


def observe(
    raw_logits: Tensor,
    params: SamplingParams,
    context: Context = NOTHING_SEEN,
    *,
    n: int = 64,
    token: int | None = None,
) -> Observation:
    """The odds of the context's place under the settings, from the model's own logits (V,), which stay as they are.

    `n` is how many of the likeliest raw tokens are listed; `token` is one in question. When the settings leave
    nothing, odds.kept is 0. Raises ValueError for NaN and +inf, and for a token outside the vocabulary.
    """
    raw = checked(raw_logits).cpu()
    values = raw.numpy()
    rows, heat = _walked(values, raw, params, context)
    last = rows[-1]
    final = last.probs if last.ids is None else np.zeros(values.size)
    if last.ids is not None:
        final[last.ids] = last.probs
    listed = draw.likeliest(values, n)
    odds = Odds(
        position=context.place,
        vocab_size=values.size,
        candidates=_candidates(listed, values, rows, final),
        stages=tuple(StageView(name=row.name, kept=row.probs.size, mass=row.mass, entropy=row.entropy) for row in rows),
        entropy=rows[0].entropy,
        varentropy=rows[0].varentropy,
        final_entropy=last.entropy,
        kept=last.probs.size,
        temperature=heat.temperature,
        region=heat.region,
    )
    seen = Observation(
        odds=odds, final=final, rows=tuple(rows), raw_logits=values, shown=listed.size, state=context.state
    )
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
    place = draw.pick(observation.final, u) if token is None else draw.owned(observation.final, token)
    chosen = place.token
    entered = {row.name: came.surprisal(chosen) for came, row in pairwise(observation.rows) if row.name in STATEFUL}
    return Step(
        odds=observation.for_token(chosen),
        token=chosen,
        lane=lane,
        forced=token is not None,
        raw=observation.rows[0].prob(chosen),
        final=float(observation.final[chosen]),
        raw_rank=draw.rank_of(observation.raw_logits, chosen),
        final_rank=place.rank,
        surprisal=observation.rows[0].surprisal(chosen),
        u=u,
        low=place.low,
        high=place.high,
        time_s=time_s,
        state=advance(observation.state, params, entered),
    )


def _walked(
    values: NDArray[np.float32], raw: Tensor, params: SamplingParams, context: Context
) -> tuple[list[Row], Heat]:
    """The raw row, then one for every switched-on stage; and the temperature that was used."""
    rows, heat = [_row(RAW, None, values, None)], Heat(params.temperature)
    for after in walk(raw, params, context):
        rows.append(_row(after.name, rows[-1].ids, after.logits.numpy(), rows[-1]))
        heat = after.heat or heat
    return rows, heat


def _row(name: str, ids: NDArray[np.int64] | None, logits: NDArray[np.float32], came_in: Row | None) -> Row:
    """Softmax in float64 over the finite entries of `logits` (V,); `ids` are those finite so far."""
    left = logits if ids is None else logits[ids]
    alive = left != CUT
    mass = 1.0
    if not alive.all():
        if came_in is not None:
            mass = float(came_in.probs[alive].sum())
        ids = np.flatnonzero(alive) if ids is None else ids[alive]
        left = left[alive]
    if left.size == 0:
        nothing = np.zeros(0)
        return Row(name, ids, nothing, nothing, 0.0, 0.0)
    below = left.astype(np.float64)
    below -= below.max()
    weights = np.exp(below)
    total = float(weights.sum())
    weights /= total
    return Row(name, ids, below, weights, math.log(total), mass)


def _candidates(
    listed: NDArray[np.int64], values: NDArray[np.float32], rows: list[Row], final: NDArray[np.float64]
) -> tuple[Candidate, ...]:
    raw = np.zeros(listed.size)
    cut_by: list[str | None] = [None] * listed.size
    for row in rows:
        if row.ids is None:
            inside: NDArray[Any] = np.ones(listed.size, dtype=bool)
            places = listed
        else:
            places = np.searchsorted(row.ids, listed)
            inside = np.zeros(listed.size, dtype=bool)
            reachable = places < row.ids.size
            inside[reachable] = row.ids[places[reachable]] == listed[reachable]
        if row is rows[0]:
            raw[inside] = row.probs[places[inside]]
        for index in np.flatnonzero(~inside):
            cut_by[index] = cut_by[index] or row.name
    return tuple(
        Candidate(token=token, logit=logit, raw=before, final=after, rank=rank, cut_by=cut)
        for rank, (token, logit, before, after, cut) in enumerate(
            zip(listed.tolist(), values[listed].tolist(), raw.tolist(), final[listed].tolist(), cut_by, strict=True), 1
        )
    )
