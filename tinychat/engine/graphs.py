"""Decode without waiting: forward, stages, draw and record stay on the device, and are read one step behind.

On CUDA the two halves of a step (chain: logits to token and record; forward: token to logits) are CUDA graphs, made
once per span of the cache, per set of stages and per number of rows, and replayed with new settings in their tensors.
While the host reads the record of one step, the device already computes the next. Nothing is committed by that: logits
of the last three steps are kept, so a turned knob, a pause or a rewind throws the unread step away and goes on from the
logits before it.

On any other device the same code runs without graphs: that is how the tests compare it with the engine's own step. It
decides nothing and raises nothing of its own: `take` says None where it cannot serve, and the engine steps as ever.

B lanes of the cache; R of them take part, the first ones, a power of two: lanes above the highest that runs cost
nothing. V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinychat.engine import device_chain, device_stages, static_step
from tinychat.engine.captured import Captures
from tinychat.engine.compiled import Compiled
from tinychat.engine.context import STREAM_XTC
from tinychat.engine.device_record import Records
from tinychat.engine.device_record import width as width_of
from tinychat.engine.draw import uniforms
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.model.cache import KVCache
from tinychat.model.transformer import Transformer

DARTS = 256  # per upload


@dataclass(frozen=True, slots=True)
class Row:
    """One lane that takes part: its tokens, all in the cache but the last, and how to draw."""

    tokens: tuple[int, ...]
    prompt_len: int
    params: SamplingParams
    dice_lane: int


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where the records (R, numbers) of a step arrive on the host, and what tells that they have."""

    values: Tensor
    arrived: torch.cuda.Event | None


class Pipeline:
    """The lanes of one cache, decoding in step with each other. `record` is the number of candidates.

    `compiled` sends forward and chain through torch's compiler first, which takes many seconds for each new program.
    """

    def __init__(self, model: Transformer, cache: KVCache, *, record: int, compiled: bool = False) -> None:
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
        self._darts = buffer(lanes, 2, DARTS, dtype=torch.float64)  # of the token and of XTC
        self._settings = buffer(lanes, len(device_stages.COLUMNS), dtype=torch.float64)
        self._bias = buffer(lanes, size, dtype=torch.float64)
        self._counts = buffer(lanes, size)
        self._logits = [buffer(lanes, size) for _ in range(3)]  # of the newest step, the one before, and before that
        self._records: dict[tuple[int, ...], Tensor] = {}
        self._programs: dict[object, Callable[[], None]] = {}
        self._captures = Captures(device) if device.type == "cuda" else None
        tuned = device.type == "cuda"
        self._forward_of = Compiled(static_step.forward, tuned=tuned) if compiled else static_step.forward
        self._chain_of = Compiled(device_chain.run, tuned=tuned) if compiled else device_chain.run
        # of this run
        self._rows: dict[int, Row] = {}
        self._taken: dict[int, int] = {}  # steps read, per lane
        self._thrown: dict[int, list[float]] = {}  # darts uploaded so far, per lane
        self._launched = 0
        self._start = 0  # the longest lane's first free position
        self._width = 1  # R
        self._stages: tuple[str, ...] = ()
        self._slots: list[_Slot] = []
        self._arrived: dict[int, Records] = {}  # the newest, by step
        self._clock = 0.0

    @property
    def trouble(self) -> str:
        """Why what was to be compiled is not; empty when all is well."""
        parts = (self._forward_of, self._chain_of)
        return next((part.trouble for part in parts if isinstance(part, Compiled) and part.trouble), "")

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
        self._width = min(1 << max(rows).bit_length(), self.cache.lanes)
        self._arrived.clear()
        self._load()
        self._make_slots()
        self._forward(0)()
        self._clock = time.perf_counter()
        return True

    def take(self, lane: int, params: SamplingParams, dice_lane: int) -> Step | None:
        """The next step of a lane; None where this pipeline cannot give it: then `row`, `stop`, and the slow way."""
        row = self._rows.get(lane)
        if row is None or row.dice_lane != dice_lane or (row.params is not params and row.params != params):
            return None
        taken = self._taken[lane]
        while self._launched < taken + 2 and self._may_launch():
            self._launch()
        if self._launched <= taken:
            return None
        records = self._read(taken)
        now = time.perf_counter()
        step = records.read(
            lane,
            params,
            position=len(row.tokens) + taken,
            lane=dice_lane,
            u=self._thrown[lane][taken],
            time_s=now - self._clock,
        )
        if step is not None:
            self._taken[lane] = taken + 1
            self._clock = now
        return step

    def held(self, lane: int) -> int:
        """Tokens of the lane that the cache holds for good: those drawn and read are among them."""
        return len(self._rows[lane].tokens) + self._taken[lane]

    def written(self, lane: int) -> int:
        """Places of the lane that were written in the cache, with what was never read."""
        return min(len(self._rows[lane].tokens) + self._launched, self.cache.length)

    def row(self, lane: int) -> Tensor:
        """The raw logits (V,) of the lane's next position, on the CPU."""
        return self._logits[self._launched - self._taken[lane]][lane].to("cpu", copy=True)

    def stop(self) -> None:
        """Forget the lanes; what was launched and not read never happened."""
        self._rows, self._taken, self._thrown = {}, {}, {}

    # ---- launching ---------------------------------------------------------------------------------------------------

    def _may_launch(self) -> bool:
        # logits of three steps are kept, and records of two: nobody may fall further behind
        room = self._start + self._launched < self.cache.length
        return room and min(self._taken.values()) >= self._launched - 1

    def _launch(self) -> None:
        if self._launched and self._launched % DARTS == 0:
            self._throw()
        stages, width = self._stages, self._width
        # both before either runs: where one cannot be made, everything is as the last whole step left it
        chain = self._program(("chain", stages, width), lambda: self._chain(stages, width))
        forward = self._forward(self._launched + 1)
        chain()
        self._read_back()
        forward()
        self._launched += 1

    def _forward(self, ahead: int) -> Callable[[], None]:
        most, width = self.cache.length, self._width
        span = static_step.span_for(min(self._start + ahead, most), most)
        return self._program(("forward", span, width), lambda: self._logits_after(span, width))

    def _chain(self, stages: tuple[str, ...], width: int) -> None:
        """Logits to tokens and records; then everything is as it was before the pass of those tokens."""
        u = self._darts[:width].index_select(2, self._tick).squeeze(2)
        logits, older, oldest = (each[:width] for each in self._logits)
        settings, counts, bias = self._settings[:width], self._counts[:width], self._bias[:width]
        tokens, records = self._chain_of(logits, stages, settings, counts, bias, u, self.n)
        self._records_of(stages, width).copy_(records)
        active = self._active[:width]
        self._ids[:width].copy_(tokens)
        self._positions[:width].add_(active).clamp_(max=self.cache.length)
        counts.scatter_add_(1, tokens.unsqueeze(1), active.float().unsqueeze(1))
        self._tick.add_(1).clamp_(max=DARTS - 1)  # replayed for a trial, it must stay inside
        oldest.copy_(older)
        older.copy_(logits)

    def _logits_after(self, span: int, width: int) -> None:
        """Tokens to logits."""
        keys, values = self._memory
        layers = [(k[:width], v[:width]) for k, v in zip(keys.unbind(), values.unbind(), strict=True)]
        ids, positions = self._ids[:width], self._positions[:width]
        self._logits[0][:width].copy_(self._forward_of(self.model, layers, ids, positions, span))

    def _program(self, key: object, action: Callable[[], None]) -> Callable[[], None]:
        if self._captures is None:
            return action
        if key not in self._programs:
            state = [self._ids, self._positions, self._counts, self._tick, *self._logits]
            self._programs[key] = self._captures.capture(action, state)
        return self._programs[key]

    # ---- to the host and from it -------------------------------------------------------------------------------------

    def _records_of(self, stages: tuple[str, ...], width: int) -> Tensor:
        """Where records of that shape lie on the device: graphs write there."""
        shape = (width, width_of(stages, self.n))
        if shape not in self._records:
            self._records[shape] = torch.zeros(shape, dtype=torch.float64, device=self.cache.device)
        return self._records[shape]

    def _make_slots(self) -> None:
        """Two places for records on the host, so that one is read while the other is filled."""
        shape = self._records_of(self._stages, self._width).shape
        if self._slots and self._slots[0].values.shape == shape:
            return
        pinned = self._captures is not None
        self._slots = []
        for _ in range(2):
            arrived = torch.cuda.Event() if pinned else None  # type: ignore[no-untyped-call]  # torch's own lack
            self._slots.append(_Slot(torch.zeros(shape, dtype=torch.float64, pin_memory=pinned), arrived))

    def _read_back(self) -> None:
        """Send the records to the host without waiting for them."""
        slot = self._slots[self._launched % 2]
        slot.values.copy_(self._records_of(self._stages, self._width), non_blocking=True)
        if slot.arrived is not None:
            slot.arrived.record(torch.cuda.current_stream(self.cache.device))

    def _read(self, step: int) -> Records:
        """The records of a step, as soon as they have arrived."""
        if step not in self._arrived:
            slot = self._slots[step % 2]
            if slot.arrived is not None:
                slot.arrived.synchronize()
            self._arrived.pop(step - 2, None)
            self._arrived[step] = Records(slot.values.numpy(), self._stages, self.model.config.vocab_size)
        return self._arrived[step]

    def _throw(self) -> None:
        """Upload the next darts."""
        table = np.zeros((self._width, 2, DARTS))
        for lane, row in self._rows.items():
            seed, start = row.params.seed, len(row.tokens) + self._launched
            for place, stream in enumerate((0, STREAM_XTC)):
                table[lane, place] = uniforms(seed, start, DARTS, row.dice_lane, stream)
            self._thrown.setdefault(lane, []).extend(table[lane, 0].tolist())
        self._darts[: self._width].copy_(torch.from_numpy(table))
        self._tick.zero_()

    def _load(self) -> None:
        """Everything the programs read, from the host."""
        lanes, size = self.cache.lanes, self.model.config.vocab_size
        ids, positions, active = [0] * lanes, [self.cache.length] * lanes, [0] * lanes
        settings = [[0.0] * len(device_stages.COLUMNS)] * lanes
        self._bias.zero_()
        for lane, row in self._rows.items():
            params, length = row.params, len(row.tokens)
            ids[lane], positions[lane], active[lane] = row.tokens[-1], length - 1, 1
            settings[lane] = device_chain.settings_row(params)
            seen = np.array(row.tokens[row.prompt_len if params.penalty_scope == "output" else 0 :], dtype=np.int64)
            self._counts[lane].copy_(torch.from_numpy(np.bincount(seen, minlength=size)))
            if params.bias:
                added = np.zeros(size)
                for token, value in params.bias:
                    added[token] = value
                self._bias[lane].copy_(torch.from_numpy(added))
        self._ids.copy_(torch.tensor(ids))
        self._positions.copy_(torch.tensor(positions))
        self._active.copy_(torch.tensor(active))
        self._settings.copy_(torch.tensor(settings, dtype=torch.float64))
        self._thrown = {}
        self._throw()
