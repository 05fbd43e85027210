"""One step of all lanes as rows of float64 numbers: what the device writes, and the records the host makes of them.

The device writes what it must look at whole rows of logits for: places, counts and sums. What follows from these for
some dozens of numbers is computed here, beside the device: every kernel there costs its launch, however small.
float64 holds every id and every float32 exactly.

R rows, N candidates, M = N + 1 with the token itself, J lines: the raw logits and what each stage left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Candidate, StageView, Step, candidates_of, odds_later

# A row holds, one after the other: low, high and end of the dart's slices, the raw sum of weight times below squared;
# with a logit bias the weight it spared; of each line the total and the sum of weight times below; ids (M); the ranks
# less 1, raw and final; tokens kept of each line; logits (J, M); the largest of each line.
# A weight is e to what a logit is below the largest.
_BITS = math.log2(math.e)


def width(stages: Sequence[str], n: int) -> int:
    """Numbers in a row."""
    lines = len(stages) + 1
    return 4 + ("logit_bias" in stages) + 2 * lines + (n + 1) + 2 + lines + lines * (n + 1) + lines


class Records:
    """What the rows (R, width) of a step say; all lanes have the same stages on, those of `stages`.

    Candidates and stages are made of it when somebody looks at them: at the speed of a device the host would else be
    what is waited for.
    """

    def __init__(self, rows: NDArray[np.float64], stages: Sequence[str], vocab_size: int) -> None:
        lines = len(stages) + 1
        count = (rows.shape[1] - width(stages, -1)) // (lines + 1)  # M
        rows = rows.copy()  # it is soon written again
        sizes = (4, int("logit_bias" in stages), lines, lines, count, 2, lines, lines * count, lines)
        ends = list(accumulate(sizes))
        columns = [rows[:, end - size : end] for size, end in zip(sizes, ends, strict=True)]
        own, self._spared, total, parts, self._ids, ranks, kept, logits, self._largest = columns
        self._total, self._kept, self._seen = total, kept, logits.reshape(-1, lines, count)
        self.names = ("raw", *stages)
        self.vocab_size = vocab_size
        self.largest = self._largest[:, 0].tolist()
        with np.errstate(all="ignore"):  # where all is cut there is nothing to divide by, and `read` says so
            below = self._seen[:, :, -1] - self._largest
            chosen = np.exp(below) / total  # (R, J)
            mean, log_total = parts / total, np.log(total)
            entropy = np.maximum(log_total - mean, 0.0) * _BITS
            spread = np.maximum(own[:, 3] / total[:, 0] - np.square(mean[:, 0]), 0.0)
            surprisal = np.maximum(log_total[:, 0] - below[:, 0], 0.0)
        self.low, end = own[:, 0].tolist(), own[:, 2]
        self.high = np.where(own[:, 1] >= end, 1.0, own[:, 1]).tolist()  # the last slice reaches to the end
        self.tokens = self._ids[:, -1].astype(np.int64).tolist()
        self.ranks = (ranks + 1).astype(np.int64).tolist()
        self.kept, self.entropy = kept.astype(np.int64).tolist(), entropy.tolist()
        self.chosen, self.surprisal = chosen.tolist(), (surprisal * _BITS).tolist()
        self.varentropy = (spread * _BITS**2).tolist()

    def read(
        self, at: int, params: SamplingParams, *, position: int, lane: int, u: float, time_s: float
    ) -> Step | None:
        """The step of one row; None where the settings left no token. ValueError for logits that are NaN."""
        if not math.isfinite(self.largest[at]):
            raise ValueError("logits must be finite or -inf")
        kept, entropy, chosen = self.kept[at], self.entropy[at], self.chosen[at]
        if not kept[-1]:
            return None
        raw_rank, final_rank = self.ranks[at]
        odds = odds_later(
            partial(self._looked_at, at), position=position, vocab_size=self.vocab_size, entropy=entropy[0],
            varentropy=self.varentropy[at], final_entropy=entropy[-1], kept=kept[-1], temperature=params.temperature,
            region=None,
        )  # fmt: skip
        return Step(
            odds=odds, token=self.tokens[at], lane=lane, forced=False, raw=chosen[0], final=chosen[-1],
            raw_rank=raw_rank, final_rank=final_rank, surprisal=self.surprisal[at], u=u, low=self.low[at],
            high=self.high[at], time_s=time_s,
        )  # fmt: skip

    def _looked_at(self, at: int) -> tuple[tuple[Candidate, ...], tuple[StageView, ...]]:
        """Candidates and stages of one row, which has something left."""
        own = slice(at, at + 1)
        mass = _masses(self.names[1:], self._spared[own], self._total[own], self._kept[own], self._largest[own])
        columns = zip(self.names, self.kept[at], mass[0].tolist(), self.entropy[at], self.chosen[at], strict=True)
        views = tuple(StageView(name=name, kept=k, mass=m, entropy=e, chosen=c) for name, k, m, e, c in columns)
        seen = self._seen[at]  # (J, M)
        ends = [0, -1]  # the raw line and the last
        raw, final = (np.exp(seen[ends] - self._largest[at, ends, None]) / self._total[at, ends, None]).tolist()
        alive = (seen != -math.inf).sum(0).tolist()  # lines, from the first on: a token that is cut never comes back
        cut_by = [None if lines == len(seen) else self.names[lines] for lines in alive]
        ids, logits = self._ids[at].astype(np.int64).tolist(), seen[0].tolist()
        token, n = ids[-1], len(ids) - 1
        shown = candidates_of(n, ids, logits, raw, final, range(1, n + 1), cut_by) if n else ()
        if token not in ids[:n]:
            rank = self.ranks[at][0]
            last = Candidate(token=token, logit=logits[n], raw=raw[n], final=final[n], rank=rank, cut_by=cut_by[n])
            shown = (*shown, last)
        return shown, views


def _masses(
    stages: Sequence[str],
    spared: NDArray[np.float64],
    total: NDArray[np.float64],
    kept: NDArray[np.float64],
    largest: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Of the probability that came into each line, the share that its tokens had (R, J)."""
    mass = np.ones_like(total)
    # a cut leaves the logits of the others as they were, so their weights are those of the line before
    mass[:, 1:] = total[:, 1:] * np.exp(largest[:, 1:] - largest[:, :-1]) / total[:, :-1]
    for line, name in enumerate(stages, start=1):
        if name == "temperature":  # cuts all but the likeliest, or nothing
            mass[:, line] = 1.0 / total[:, line - 1]
        elif name == "logit_bias":
            mass[:, line] = spared[:, 0] / total[:, line - 1]
    mass[:, 1:][kept[:, 1:] == kept[:, :-1]] = 1.0
    return mass
