"""A fan: continuations of one text on different draws, and in what they agree. No widgets here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tinychat.engine.trace import Step
from tinychat.session.transcript import Speller
from tinychat.text.tokenizer import Tokenizer
from tinychat.tui.tokentext import StreamToken

AGREE = 0.5  # more than this share of all is worth naming


@dataclass(slots=True)
class Ray:
    """One continuation, on the darts of `dart`."""

    dart: int
    steps: list[Step] = field(default_factory=list)
    stop: str = ""

    @property
    def ids(self) -> list[int]:
        return [step.token for step in self.steps]

    @property
    def perplexity(self) -> float:
        """By the model's own odds; 0 without a token."""
        if not self.steps:
            return 0.0
        bits = sum(min(step.surprisal, 999.0) for step in self.steps) / len(self.steps)
        return float(2.0 ** min(bits, 60.0))

    def tokens(self, tokenizer: Tokenizer, before: Sequence[int]) -> list[StreamToken]:
        """As a stream shows them, after the ids of the text before."""
        speller = Speller(tokenizer)
        for token in before:
            speller.push(token, given=False)
        return [
            StreamToken(
                speller.push(step.token, given=False), "drawn", min(step.surprisal, 999.0), step.final,
                step.odds.entropy, step.raw_rank,
            )
            for step in self.steps
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rays that have the same token where not all have it any more; None for those that have ended before."""

    token: int | None
    rays: tuple[int, ...]


def common_length(texts: Sequence[Sequence[int]]) -> int:
    """How many of the first tokens all have."""
    return next((at for at, row in enumerate(zip(*texts, strict=False)) if len(set(row)) > 1), min(map(len, texts)))


def clusters(texts: Sequence[Sequence[int]]) -> list[Cluster]:
    """The texts by the first token in which they differ, the largest cluster first; equal ones by their first text."""
    at = common_length(texts)
    groups: dict[int | None, list[int]] = {}
    for number, ids in enumerate(texts):
        groups.setdefault(ids[at] if at < len(ids) else None, []).append(number)
    return [Cluster(token, tuple(rays)) for token, rays in sorted(groups.items(), key=lambda each: -len(each[1]))]


def agreement(texts: Sequence[Sequence[int]], length: int) -> list[int]:
    """For 1 to `length` tokens: how many of the texts have the most frequent beginning of so many tokens."""
    found = []
    for count in range(1, length + 1):
        starts = Counter(tuple(ids[:count]) for ids in texts if len(ids) >= count)
        if not starts:
            break
        found.append(starts.most_common(1)[0][1])
    return found


def agreement_words(texts: Sequence[Sequence[int]]) -> str:
    """The longest beginning that more than half of them share."""
    counts = agreement(texts, max(map(len, texts)))
    most = [at for at, count in enumerate(counts, start=1) if count > AGREE * len(texts)]
    if not most:
        return f"no {len(texts) // 2 + 1} of {len(texts)} agree on the next token" if counts else ""
    length = most[-1]
    return f"{counts[length - 1]} of {len(texts)} agree on the next {f'{length} tokens' if length > 1 else 'token'}"
