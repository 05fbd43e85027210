"""Decode without waiting: forward, stages, draw and record stay on the device, and are read one step behind.

On CUDA the two halves of a step (chain: logits to token and record; forward: token to logits) are CUDA graphs, made
once per span of the cache and per set of stages, and replayed with new settings in their tensors. While the host reads
the record of one step, the device already computes the next. Nothing is committed by that: logits of the last three
steps are kept, so a turned knob, a pause or a rewind throws the unread step away and goes on from the logits before it.

On any other device the same code runs without graphs: that is how the tests compare it with the engine's own step. It
decides nothing and raises nothing: `take` says None where it cannot serve, and the engine steps as ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tinychat.engine import device_chain, static_step
from tinychat.engine.draw import uniforms
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.model.cache import KVCache
from tinychat.model.transformer import Transformer

AHEAD = 256  # darts per upload: after so many tokens the pipeline is filled anew


@dataclass(frozen=True, slots=True)
class Row:
    """One lane that takes part: its tokens, all in the cache but the last, and how to draw."""

    tokens: tuple[int, ...]
    prompt_len: int
    params: SamplingParams
    dice_lane: int


class Pipeline:
    """The lanes of one cache, decoding in step with each other. `record` is the number of candidates."""

    def __init__(self, model: Transformer, cache: KVCache, *, record: int) -> None:
        self.model, self.cache = model, cache
        self.n = min(record, model.config.vocab_size)
        lanes, size, device = cache.lanes, model.config.vocab_size, cache.device

        def buffer(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self._memory = cache.memory  # of today: a cache that is resized gets another, and graphs keep addresses
        self._ids = buffer(lanes, dtype=torch.int64)
        self._positions = buffer(lanes, dtype=torch.int64)
        self._active = buffer(lanes, dtype=torch.int64)
        self._tick = buffer(1, dtype=torch.int64)
        self._dice = buffer(lanes, AHEAD, dtype=torch.float64)
        self._settings = buffer(lanes, len(device_chain.COLUMNS), dtype=torch.float64)
        self._bias = buffer(lanes, size)
        self._counts = buffer(lanes, size)
        self._logits = [buffer(lanes, size) for _ in range(3)]  # of the newest step, the one before, and before that
        self._tokens = buffer(lanes, dtype=torch.int64)
        self._records: dict[tuple[str, ...], Tensor] = {}
        self._programs: dict[object, Callable[[], None]] = {}
        self._rows: dict[int, Row] = {}
        self._taken: dict[int, int] = {}  # steps read, per lane
        self._launched = 0
        self._start = 0  # the longest lane's first free position
        self._stages: tuple[str, ...] = ()
        self._slots: list[tuple[Tensor, torch.cuda.Event | None]] = []
        self._clock = 0.0

    def is_for(self, cache: KVCache) -> bool:
        """Whether this pipeline still works on the memory of that cache."""
        return self.cache is cache and all(a is b for a, b in zip(self._memory, cache.memory, strict=True))

    @property
    def running(self) -> bool:
        return bool(self._rows)

    def start(self, rows: Mapping[int, Row]) -> bool:
        """Begin with these lanes, each owing the pass of its last token; False where the settings do not allow it."""
        programs = {device_chain.program(row.params) for row in rows.values()}
        if len(programs) != 1 or not all(device_chain.supports(row.params) for row in rows.values()):
            return False
        (self._stages,) = programs
        self._rows, self._taken = dict(rows), dict.fromkeys(rows, 0)
        self._launched = 0
        self._start = max(len(row.tokens) for row in rows.values())
        self._load()
        self._program(("forward", self._span(0)), lambda: self._forward(self._span(0)))()
        self._clock = time.perf_counter()
        return True

    def take(self, lane: int, params: SamplingParams, dice_lane: int) -> Step | None:
        """The next step of a lane; None where this pipeline cannot give it: then `row`, `stop`, and the slow way."""
        row = self._rows.get(lane)
        if row is None or row.params != params or row.dice_lane != dice_lane:
            return None
        taken = self._taken[lane]
        while self._launched < taken + 2 and self._may_launch():
            self._launch()
        if self._launched <= taken:
            return None
        values, event = self._slots[taken % 2]
        if event is not None:
            event.synchronize()
        position = len(row.tokens) + taken
        now = time.perf_counter()
        step = device_chain.read(
            values[lane].tolist(),
            params,
            position=position,
            vocab_size=self.model.config.vocab_size,
            lane=dice_lane,
            u=float(uniforms(params.seed, position, 1, dice_lane)[0]),
            time_s=now - self._clock,
        )
        if step is not None:
            self._taken[lane] = taken + 1
            self._clock = now
        return step

    def held(self, lane: int) -> int:
        """Tokens of the lane that the cache holds for good: those drawn and read are among them."""
        row = self._rows[lane]
        return len(row.tokens) + self._taken[lane]

    def row(self, lane: int) -> Tensor:
        """The raw logits (V,) of the lane's next position, on the CPU."""
        return self._logits[self._launched - self._taken[lane]][lane].to("cpu", copy=True)

    def stop(self) -> None:
        """Forget the lanes; what was launched and not read never happened."""
        self._rows, self._taken = {}, {}

    # ---- launching ---------------------------------------------------------------------------------------------------

    def _may_launch(self) -> bool:
        if self._launched >= AHEAD or self._start + self._launched >= self.cache.length:
            return False
        # logits of three steps are kept: nobody may fall further behind
        return min(self._taken.values()) >= self._launched - 1

    def _launch(self) -> None:
        stages, span = self._stages, self._span(self._launched + 1)
        self._program(("chain", stages), lambda: self._chain(stages))()
        self._read_back()
        self._program(("advance",), self._advance)()
        self._program(("forward", span), lambda: self._forward(span))()
        self._launched += 1

    def _span(self, ahead: int) -> int:
        return static_step.span_for(min(self._start + ahead, self.cache.length), self.cache.length)

    def _chain(self, stages: tuple[str, ...]) -> None:
        u = self._dice.index_select(1, self._tick).squeeze(1)
        tokens, records = device_chain.run(self._logits[0], stages, self._settings, self._counts, self._bias, u, self.n)
        self._tokens.copy_(tokens)
        if stages not in self._records:  # on the first run, which is outside of any capture
            self._records[stages] = torch.zeros_like(records)
        self._records[stages].copy_(records)

    def _advance(self) -> None:
        self._ids.copy_(self._tokens)
        self._positions.add_(self._active).clamp_(max=self.cache.length)
        self._counts.scatter_add_(1, self._tokens.unsqueeze(1), self._active.float().unsqueeze(1))
        self._tick.add_(1).clamp_(max=AHEAD - 1)
        self._logits[2].copy_(self._logits[1])
        self._logits[1].copy_(self._logits[0])

    def _forward(self, span: int) -> None:
        keys, values = self._memory
        logits = static_step.forward(self.model, keys, values, self._ids, self._positions, span)
        self._logits[0].copy_(logits)

    def _read_back(self) -> None:
        """Copy the records to the host without waiting; two places, so that one is read while the other is filled."""
        records = self._records[self._stages]
        slot = self._launched % 2
        if len(self._slots) != 2 or self._slots[0][0].shape != records.shape:
            self._slots = [self._slot(records) for _ in range(2)]
        values, event = self._slots[slot]
        values.copy_(records, non_blocking=True)
        if event is not None:
            event.record()

    @staticmethod
    def _slot(records: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        if not records.is_cuda:
            return torch.zeros_like(records), None
        return torch.zeros(records.shape, dtype=records.dtype, pin_memory=True), torch.cuda.Event()  # type: ignore[no-untyped-call]

    def _load(self) -> None:
        """Everything the programs read, from the host; one upload each."""
        lanes, size = self.cache.lanes, self.model.config.vocab_size
        ids, positions, active = [0] * lanes, [self.cache.length] * lanes, [0] * lanes
        settings = torch.zeros(self._settings.shape, dtype=torch.float64)
        dice = torch.zeros(self._dice.shape, dtype=torch.float64)
        counts, bias = torch.zeros(lanes, size), torch.zeros(lanes, size)
        for lane, row in self._rows.items():
            params, length = row.params, len(row.tokens)
            ids[lane], positions[lane], active[lane] = row.tokens[-1], length - 1, 1
            settings[lane] = torch.tensor(device_chain.settings_row(params), dtype=torch.float64)
            dice[lane] = torch.from_numpy(uniforms(params.seed, length, AHEAD, row.dice_lane))
            seen = row.tokens[row.prompt_len :] if params.penalty_scope == "output" else row.tokens
            counts[lane] = torch.bincount(torch.tensor(seen, dtype=torch.int64), minlength=size)[:size].float()
            for token, added in params.bias:
                bias[lane, token] = added
        for buffer, value in (
            (self._ids, torch.tensor(ids)), (self._positions, torch.tensor(positions)),
            (self._active, torch.tensor(active)), (self._settings, settings), (self._dice, dice),
            (self._counts, counts), (self._bias, bias), (self._tick, torch.zeros(1, dtype=torch.int64)),
        ):  # fmt: skip
            buffer.copy_(value)

    def _program(self, key: tuple[object, ...], action: Callable[[], None]) -> Callable[[], None]:
        if self.cache.device.type != "cuda":
            return action
        if key not in self._programs:
            self._programs[key] = self._captured(action)
        return self._programs[key]

    def _captured(self, action: Callable[[], None]) -> Callable[[], None]:
        """The action as a CUDA graph. It runs a few times first, as libraries set themselves up on first use."""
        state = [self._ids, self._positions, self._counts, self._tick, self._tokens, *self._logits]
        kept = [buffer.clone() for buffer in state]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(side):
            for _ in range(3):
                action()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph):
            action()
        for buffer, before in zip(state, kept, strict=True):
            buffer.copy_(before)
        replay: Callable[[], None] = graph.replay
        return replay
