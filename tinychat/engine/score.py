"""What a model thinks of tokens that are there already: surprisal, rank and entropy of each, and totals over a text.

A text longer than the context is scored through a sliding window, the strided form of Hugging Face's guide "Perplexity
of fixed-length models": windows of the context's length start every `stride` tokens, and each scores only the tokens
that no window before it reached, so every token but the very first is scored once. One pass gives all positions of a
window, and windows of a length go through the model together. Nothing here knows text or screens.

B windows, T tokens fed of each, D model width, R positions scored together, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine.totals import Score
from tinychat.errors import NumbersError
from tinychat.model.transformer import Transformer

FED_TOKENS = 4096  # tokens of one pass, on the CPU; more only take memory
FED_TOKENS_CUDA = 1 << 16
LOGITS = 1 << 22  # of one block on the CPU: 16 MiB a copy
LOGITS_CUDA = 1 << 27

_BITS = math.log2(math.e)  # bits in a nat
_LOWEST = torch.finfo(torch.float32).min


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredToken:
    """One token of a text, in the model's own distribution: bits, shares of 1, ranks from 1 with ties by lower id."""

    position: int  # in the ids
    token: int
    surprisal: float  # -log2 prob
    prob: float
    rank: int
    entropy: float
    expected: int  # the likeliest token
    expected_prob: float
    seen: int  # tokens before it that the model saw


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Scored tokens that follow each other, as columns (R,); fields as in ScoredToken."""

    position: NDArray[np.int64]
    token: NDArray[np.int64]
    surprisal: NDArray[np.float64]
    prob: NDArray[np.float64]
    rank: NDArray[np.int64]
    entropy: NDArray[np.float64]
    expected: NDArray[np.int64]
    expected_prob: NDArray[np.float64]
    seen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.token)

    def __iter__(self) -> Iterator[ScoredToken]:
        names = [each.name for each in fields(self)]
        for values in zip(*(getattr(self, name).tolist() for name in names), strict=True):
            yield ScoredToken(**dict(zip(names, values, strict=True)))

    def at(self, place: int) -> ScoredToken:
        """One of them."""
        return ScoredToken(**{each.name: getattr(self, each.name)[place].item() for each in fields(self)})

    @property
    def score(self) -> Score:
        """The sums of these tokens."""
        return Score(
            tokens=len(self),
            bits=float(self.surprisal.sum()),
            entropy_bits=float(self.entropy.sum()),
            ranks=int(self.rank.sum()),
            top_1=int(np.count_nonzero(self.rank == 1)),
            top_5=int(np.count_nonzero(self.rank <= 5)),
        )


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens `start` to `stop` - 1 of the ids, of which those from `first` on are scored."""

    start: int
    first: int
    stop: int


def windows(count: int, *, context: int, stride: int) -> Iterator[Window]:
    """The windows over `count` tokens. ValueError for a context or stride with which a token would see nothing."""
    if context < 2:
        raise ValueError(f"context must be at least 2, got {context}")
    if not 1 <= stride < context:
        raise ValueError(f"stride must be from 1 to {context - 1}, got {stride}")
    return _spans(count, context, stride)  # checked now, not at the first window


def _spans(count: int, context: int, stride: int) -> Iterator[Window]:
    first, start = 1, 0
    while first < count:
        stop = min(start + context, count)
        yield Window(start, first, stop)
        first, start = stop, start + stride


def score(
    model: Transformer,
    ids: Sequence[int],
    *,
    context: int | None = None,
    stride: int | None = None,
    fed: int | None = None,
) -> Iterator[Chunk]:
    """All tokens of `ids` but the first, which nothing precedes, in order and in chunks.

    `context` None is the model's; `stride` None is half of it, and 1 gives every token all the context there is, a pass
    each. Tokens see at least `context` - `stride` others, where so many precede them. `fed` is how many tokens a pass
    takes where that is more than a window. ValueError for other ids, context or stride; NumbersError where the model
    gives no numbers.
    """
    config = model.config
    context = config.context if context is None else context
    if context > config.context:
        raise ValueError(f"context must be at most {config.context}, got {context}")
    table = np.asarray(ids, dtype=np.int64)
    if not table.size:
        raise ValueError("ids must hold at least one token")
    if not 0 <= table.min() <= table.max() < config.vocab_size:
        raise ValueError(f"ids must be from 0 to {config.vocab_size - 1}, got {table.min()} to {table.max()}")
    spans = windows(len(table), context=context, stride=max(1, context // 2) if stride is None else stride)
    cuda = next(model.parameters()).device.type == "cuda"
    fed = (FED_TOKENS_CUDA if cuda else FED_TOKENS) if fed is None else fed
    at_once = max(1, fed // min(context, len(table)))
    return _chunks(model, table, spans, at_once, max(1, (LOGITS_CUDA if cuda else LOGITS) // config.vocab_size))


def _chunks(
    model: Transformer, ids: NDArray[np.int64], spans: Iterator[Window], at_once: int, rows: int
) -> Iterator[Chunk]:
    group: list[Window] = []
    for span in spans:
        group.append(span)
        if len(group) == at_once:
            yield from _pass(model, ids, group, rows)
            group = []
    if group:
        yield from _pass(model, ids, group, rows)


def _pass(model: Transformer, ids: NDArray[np.int64], group: list[Window], rows: int) -> Iterator[Chunk]:
    """One pass over these windows; `rows` positions a chunk."""
    hidden = _hidden(model, ids, group)  # (R, D)
    position = np.concatenate([np.arange(span.first, span.stop) for span in group])
    seen = position - np.concatenate([np.full(span.stop - span.first, span.start) for span in group])
    for at in range(0, len(position), rows):
        here = slice(at, at + rows)
        chunk = _odds(model, hidden[here], position=position[here], token=ids[position[here]], seen=seen[here])
        if np.isnan(chunk.surprisal + chunk.entropy).any():
            raise NumbersError(
                f"The model gives no numbers near token {position[here][0]}.", "Its weights hold NaN or infinity."
            )
        yield chunk


@torch.inference_mode()
def _hidden(model: Transformer, ids: NDArray[np.int64], group: list[Window]) -> Tensor:
    """What the head reads (R, D) before each token that these windows score."""
    # a window's last token is scored, not fed; padding on the right is seen by nothing that is asked for
    widest = max(span.stop - span.start for span in group) - 1
    table = np.zeros((len(group), widest), dtype=np.int64)  # (B, T)
    for row, span in zip(table, group, strict=True):
        row[: span.stop - 1 - span.start] = ids[span.start : span.stop - 1]
    x = model.stream(torch.from_numpy(table).to(next(model.parameters()).device))
    kept = [row[span.first - 1 - span.start : span.stop - 1 - span.start] for row, span in zip(x, group, strict=True)]
    return model.norm(torch.cat(kept))  # type: ignore[no-any-return]  # a module's call is Any


@torch.inference_mode()
def _odds(
    model: Transformer,
    hidden: Tensor,
    *,
    position: NDArray[np.int64],
    token: NDArray[np.int64],
    seen: NDArray[np.int64],
) -> Chunk:
    """What the odds after each hidden state (R, D) say of a token (R,): sums are float64, exponentials float32."""
    logits = model.logits(hidden).float()  # (R, V)
    targets = torch.from_numpy(token).to(hidden.device)[:, None]
    largest, expected = logits.max(dim=-1)
    own = logits.gather(-1, targets)  # (R, 1)
    above = (logits > own).count_nonzero(dim=-1)
    equal = (logits == own).count_nonzero(dim=-1)
    tied = torch.nonzero(equal > 1)[:, 0]
    if len(tied):
        before = torch.arange(logits.shape[-1], device=logits.device) < targets[tied]
        above[tied] += ((logits[tied] == own[tied]) & before).count_nonzero(dim=-1)
    apart = (own[:, 0].double() - largest).cpu()
    below = logits.sub_(largest[:, None]).clamp_(min=_LOWEST)  # a token without a chance enters no sum as 0 * -inf
    weights = below.exp()
    total = weights.sum(-1, dtype=torch.float64)
    mean = (weights.mul_(below).sum(-1, dtype=torch.float64) / total).cpu()
    log_total = total.log().cpu()
    surprisal = (log_total - apart).clamp(min=0.0)
    return Chunk(
        position=position,
        token=token,
        surprisal=(surprisal * _BITS).numpy(),
        prob=(-surprisal).exp().numpy(),
        rank=(above + 1).cpu().numpy(),
        entropy=((log_total - mean).clamp(min=0.0) * _BITS).numpy(),
        expected=expected.cpu().numpy(),
        expected_prob=(-log_total).exp().numpy(),
        seen=seen,
    )
