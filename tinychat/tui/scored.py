"""A text that is being scored beside the run: its ids, what is known of each, and the sums. Plain values, no widget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinychat.engine.totals import COLUMNS, Score
from tinychat.engine.wire import Answer
from tinychat.session.transcript import Speller
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui.tokentext import StreamToken

NAN = float("nan")


class ScoredText:
    """Tokens in order; the first `done` of them are known. The very first has nothing before it and no score."""

    def __init__(self, ids: Sequence[int], tokenizer: Tokenizer, *, n_bytes: int | None = None) -> None:
        """`n_bytes` is the length of the text; None: of the tokens, which are the same unless they are normalised."""
        self.ids = list(ids)
        self.tokenizer = tokenizer
        spelled = int(tokenizer.byte_lengths()[np.asarray(self.ids, dtype=np.int64)].sum())
        self.n_bytes = spelled if n_bytes is None else n_bytes
        self.score = Score()
        self.done = min(len(self.ids), 1)
        size = len(self.ids)
        self.surprisal: NDArray[np.float64] = np.full(size, NAN)
        self.prob: NDArray[np.float64] = np.full(size, NAN)
        self.entropy: NDArray[np.float64] = np.full(size, NAN)
        self.rank: NDArray[np.int64] = np.zeros(size, dtype=np.int64)
        self.seen: NDArray[np.int64] = np.zeros(size, dtype=np.int64)  # tokens before it that the model saw
        self._speller = Speller(tokenizer)
        self._spelled = 0
        self._order: list[int] = []

    @property
    def whole(self) -> bool:
        return self.done == len(self.ids)

    def add(self, answer: Answer) -> None:
        """Take a part of the answer in; ValueError for one that does not follow."""
        blob, first = answer.blob, int(answer.values["first"])
        size = len(blob) // sum(np.dtype(kind).itemsize for _, kind in COLUMNS)
        if first != self.done or first + size > len(self.ids):
            raise ValueError(f"a score of tokens {first} to {first + size} where {self.done} are known")
        start = 0
        for name, kind in COLUMNS:
            column = np.frombuffer(blob, dtype=kind, count=size, offset=start)
            getattr(self, name)[first : first + size] = column
            start += column.nbytes
        self.score += Score(**answer.values["sums"])
        self.done = first + size
        self._order.clear()

    def take_tokens(self) -> list[StreamToken]:
        """Those that became known since the last call, to be shown."""
        found = []
        for at in range(self._spelled, self.done):
            text = self._speller.push(self.ids[at], given=True)
            found.append(
                StreamToken(
                    text=text,
                    kind="drawn" if at else "prompt",
                    surprisal=float(self.surprisal[at]),
                    prob=float(self.prob[at]),
                    entropy=float(self.entropy[at]),
                    rank=int(self.rank[at]),
                )
            )
        self._spelled = self.done
        return found

    def worst(self, place: int) -> int | None:
        """The token that is the most surprising but `place`; None beyond the last."""
        if not self._order:
            self._order = (1 + np.argsort(-self.surprisal[1 : self.done], kind="stable")).tolist()
        return self._order[place] if 0 <= place < len(self._order) else None

    def window(self, at: int, context: int) -> list[int]:
        """What the model sees before the token at a place, as when it was scored; at the end as much as fits."""
        seen = int(self.seen[at]) if at < self.done else context
        return self.ids[max(at - seen, 0) : at]
