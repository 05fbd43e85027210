"""One step of one lane as a row of float64 numbers: what the device writes, and the record the host makes of it.

The device knows no names: it writes places, counts and sums, in the order that is fixed here. float64 holds every id
and every float32 exactly.

N candidates, S stages that are on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, Odds, StageView, Step, candidates_of

OWN = 7  # numbers of a row that are neither a candidate's nor a stage's
CANDIDATE = 5  # numbers of a candidate: id, logit, raw and final probability, and what cut it
VIEW = 4  # numbers of a stage: tokens kept, mass, entropy, probability of the token
NEVER = -1.0  # in place of the stage that cut a token


def width(stages: int, n: int) -> int:
    """Numbers in one lane's row: OWN, the columns of n candidates and of the token, then every stage, raw first."""
    return OWN + CANDIDATE * (n + 1) + VIEW * (stages + 1)


def read(
    row: Sequence[float],
    params: SamplingParams,
    *,
    position: int,
    vocab_size: int,
    lane: int,
    u: float,
    time_s: float,
) -> Step | None:
    """The step of one lane's row; None where the settings left no token. ValueError for logits that are NaN."""
    names = ("raw", *params.active)
    largest, low, high, raw_rank, final_rank, surprisal, varentropy = row[:OWN]
    if not math.isfinite(largest):
        raise ValueError("logits must be finite or -inf")
    end = len(row) - VIEW * len(names)
    views = tuple(
        StageView(name=name, kept=int(row[at]), mass=row[at + 1], entropy=row[at + 2], chosen=row[at + 3])
        for name, at in zip(names, range(end, len(row), VIEW), strict=True)
    )
    if not views[-1].kept:
        return None
    size = (end - OWN) // CANDIDATE
    ids, logits, raws, finals, cuts = (row[OWN + i * size : OWN + (i + 1) * size] for i in range(CANDIDATE))
    tokens = [int(i) for i in ids]
    cut_by = [None if cut == NEVER else names[int(cut)] for cut in cuts]
    token = tokens[-1]
    n = size - 1
    shown = candidates_of(n, tokens, logits, raws, finals, range(1, size), cut_by) if n else ()
    if token not in tokens[:n]:
        chosen = Candidate(
            token=token, logit=logits[n], raw=raws[n], final=finals[n], rank=int(raw_rank), cut_by=cut_by[n]
        )
        shown = (*shown, chosen)
    odds = Odds(
        position=position, vocab_size=vocab_size, candidates=shown, stages=views, entropy=views[0].entropy,
        varentropy=varentropy, final_entropy=views[-1].entropy, kept=views[-1].kept, temperature=params.temperature,
    )  # fmt: skip
    return Step(
        odds=odds, token=token, lane=lane, forced=False, raw=raws[n], final=finals[n], raw_rank=int(raw_rank),
        final_rank=int(final_rank), surprisal=surprisal, u=u, low=low, high=high, time_s=time_s,
    )  # fmt: skip
