"""Keys and values of the tokens a model has seen: fixed size, written in place, one lane per row.

A lane can be cut at any position and copied onto another. Nothing here computes attention or knows ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tinychat.model.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Slots:
    """Where the T new tokens of each lane go: made once per forward, used by every layer."""

    starts: tuple[int, ...]  # per lane: tokens already there
    counts: tuple[int, ...]  # per lane: how many of the T columns are real
    end: int  # positions that are live in the longest lane, new ones included
    index: Tensor | None  # (lanes, T) slot of every column; None when all lanes stand at the same place


class KVCache:
    """`lanes` rows of `length` positions for every layer; gradients do not flow through it.

    One slot more than `length` is kept: the padding of ragged rows is written there and never read.
    Raises ValueError when `length` exceeds the context of the model.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        lanes: int = 1,
        length: int | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        length = config.context if length is None else length
        if lanes < 1 or not 1 <= length <= config.context:
            raise ValueError(f"a cache needs lanes >= 1 and length 1 to {config.context}, got {lanes} and {length}")
        self.lanes = lanes
        self.length = length
        shape = (config.layers, lanes, config.n_kv_heads, length + 1, config.head_width)
        self._keys = torch.zeros(shape, dtype=dtype, device=device)  # zeros: unseen slots must stay finite
        self._values = torch.zeros(shape, dtype=dtype, device=device)
        self._layers = list(zip(self._keys, self._values, strict=True))
        self._lengths = [0] * lanes

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens held per lane; changed by a forward pass, `cut` and `copy` only."""
        return tuple(self._lengths)

    def held(self, lane: int) -> int:
        """Tokens held by one lane."""
        return self._lengths[lane]

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self._keys.nbytes + self._values.nbytes

    @property
    def memory(self) -> tuple[Tensor, Tensor]:
        """Keys and values themselves, (layers, lanes, G, length + 1, E) each: what a step of fixed shapes writes."""
        return self._keys, self._values

    @property
    def dtype(self) -> torch.dtype:
        return self._keys.dtype

    @property
    def device(self) -> torch.device:
        return self._keys.device

    def cut(self, lane: int, length: int) -> None:
        """Forget all but the first `length` tokens of a lane."""
        held = self._lengths[self._checked(lane)]
        if not 0 <= length <= held:
            raise ValueError(f"lane {lane} holds {held} tokens and cannot be cut to {length}")
        if length == held:
            return
        # a masked slot still takes part as 0 x value: what is forgotten may be NaN and must not come back as NaN
        self._keys[:, lane, :, length:held].zero_()
        self._values[:, lane, :, length:held].zero_()
        self._lengths[lane] = length

    def set_length(self, lane: int, length: int) -> None:
        """The lane holds `length` tokens that a step of fixed shapes has written into `memory`."""
        if not 0 <= length <= self.length:
            raise ValueError(f"a lane holds 0 to {self.length} tokens, not {length}")
        self._lengths[self._checked(lane)] = length

    def copy(self, source: int, target: int) -> None:
        """Make lane `target` hold exactly what lane `source` holds."""
        length = self._lengths[self._checked(source)]
        if self._checked(target) == source:
            return
        self.cut(target, 0)
        self._keys[:, target, :, :length] = self._keys[:, source, :, :length]
        self._values[:, target, :, :length] = self._values[:, source, :, :length]
        self._lengths[target] = length

    def adopt(self, other: KVCache, *, source: int, target: int, length: int) -> None:
        """Make lane `target` hold the first `length` tokens of a lane of another cache of the same model."""
        if not 0 <= length <= other.lengths[source]:
            raise ValueError(f"lane {source} holds {other.lengths[source]} tokens, not {length}")
        self.cut(self._checked(target), 0)
        self._keys[:, target, :, :length] = other._keys[:, source, :, :length]
        self._values[:, target, :, :length] = other._values[:, source, :, :length]
        self._lengths[target] = length

    def resize(self, lanes: int) -> None:
        """Have so many lanes: new ones are empty, the last ones go. `memory` is another afterwards."""
        if lanes < 1:
            raise ValueError(f"a cache needs lanes >= 1, got {lanes}")
        kept, live = min(lanes, self.lanes), max(self._lengths)
        grown = []
        for old in (self._keys, self._values):
            new = old.new_zeros((old.shape[0], lanes, *old.shape[2:]))
            new[:, :kept, :, :live] = old[:, :kept, :, :live]
            grown.append(new)
        self._keys, self._values = grown
        self._layers = list(zip(self._keys, self._values, strict=True))
        self._lengths = [*self._lengths[:kept], *[0] * (lanes - kept)]
        self.lanes = lanes

    def slots(self, tokens: int, counts: Sequence[int] | Tensor | None = None) -> Slots:
        """Where `tokens` new columns go; only the first `counts[lane]` of a lane are kept.

        Raises ValueError when a lane has no room.
        """
        starts = tuple(self._lengths)
        kept = tuple(int(n) for n in counts) if counts is not None else (tokens,) * self.lanes
        if len(kept) != self.lanes or not all(0 <= n <= tokens for n in kept):
            raise ValueError(f"counts must be {self.lanes} numbers from 0 to {tokens}, got {kept}")
        for lane, (start, count) in enumerate(zip(starts, kept, strict=True)):
            if start + count > self.length:
                raise ValueError(f"no room: lane {lane} holds {start} of {self.length} tokens, {count} more do not fit")
        end = max(start + count for start, count in zip(starts, kept, strict=True))
        if min(kept) == tokens and min(starts) == max(starts):
            return Slots(starts, kept, end, None)
        columns = torch.arange(tokens, device=self.device)
        index = torch.tensor(starts, device=self.device)[:, None] + columns  # (lanes, T)
        padding = columns >= torch.tensor(kept, device=self.device)[:, None]
        return Slots(starts, kept, max(end, 1), index.masked_fill(padding, self.length))

    def write(self, layer: int, keys: Tensor, values: Tensor, slots: Slots) -> tuple[Tensor, Tensor]:
        """Put new keys and values (lanes, G, T, E) in place; all that is live, (lanes, G, end, E) each."""
        all_keys, all_values = self._layers[layer]
        if slots.index is None:
            start = slots.starts[0]
            all_keys[:, :, start : slots.end] = keys.detach()
            all_values[:, :, start : slots.end] = values.detach()
        else:
            rows = torch.arange(self.lanes, device=self.device)[:, None]
            all_keys[rows, :, slots.index] = keys.detach().transpose(1, 2)  # (lanes, T, G, E)
            all_values[rows, :, slots.index] = values.detach().transpose(1, 2)
        return all_keys[:, :, : slots.end], all_values[:, :, : slots.end]

    def advance(self, slots: Slots) -> None:
        """The new tokens count from now on; called after the last layer, so that a failed pass changes nothing."""
        self._lengths = [start + count for start, count in zip(slots.starts, slots.counts, strict=True)]

    def _checked(self, lane: int) -> int:
        if not 0 <= lane < self.lanes:
            raise ValueError(f"lane must be 0 to {self.lanes - 1}, got {lane}")
        return lane
