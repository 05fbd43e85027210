"""Time generations of our own engine, in a process that does nothing else.

A generation is a prompt and `tokens` steps of every lane, with a stamp a step; prefill and the first token are apart.
Five kinds of it (plan.py), whose differences are what records and settings cost. Nothing here decides what counts: that
is the door's.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from tinychat.bench.machine import available_bytes
from tinychat.bench.plan import ASKED, CHAIN, FORWARD, FULL_CHAIN, GREEDY, OFF, RECORD, RECORDED, Job
from tinychat.bench.quiet import Watch
from tinychat.bench.traffic import BYTES
from tinychat.bench.weights import random_model
from tinychat.engine.engine import Engine
from tinychat.engine.native import choose_step
from tinychat.engine.params import SamplingParams
from tinychat.engine.quantise import to_int8
from tinychat.engine.runner import INT8, choose_device, choose_dtype
from tinychat.errors import OutOfMemoryError_
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer, load

_BESIDE_BYTES = 1 << 29  # an interpreter with torch, the cache, and the buffers of a pass


@dataclass(frozen=True, slots=True)
class Timing:
    """One generation, in seconds."""

    prefill_s: float  # the prompts of all lanes
    first_s: float  # from nothing to the first token of every lane
    steps: tuple[float, ...]  # every further token of all lanes
    rest_cores: float | None  # that others used meanwhile
    wall_s: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "prefill_s": self.prefill_s, "first_s": self.first_s, "steps": list(self.steps),
            "rest_cores": self.rest_cores, "wall_s": self.wall_s,
        }  # fmt: skip


class Ours:
    """A network and the engines over it, one for each number of recorded candidates."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.device = choose_device(job.device)
        self.threads = torch.get_num_threads()  # the worker has settled it
        self.model = open_model(job, self.device)
        self._engines: dict[int, Engine] = {}
        self.prompts = prompts(self.model.config.vocab_size, job.prompt, job.lanes)

    def engine(self, record: int) -> Engine:
        if record not in self._engines:
            job = self.job
            engine = Engine(
                self.model,
                lanes=job.lanes,
                context=job.prompt + job.tokens,
                record=record,
                step=choose_step(job.step),
                threads=self.threads,
            )
            engine.runner.await_step()  # a step that takes over in mid-measurement would be no measurement
            self._engines[record] = engine
        return self._engines[record]

    def facts(self) -> dict[str, Any]:
        return self.engine(self.job.record).facts()

    def generate(self, kind: str) -> Timing:
        """One generation of this kind, from an empty cache."""
        if kind == FORWARD:
            return self._forward(self.engine(self.job.record))
        record, params = {
            ASKED: (self.job.record, self.job.params),
            OFF: (RECORDED["off"], GREEDY),
            RECORD: (RECORDED["full"], GREEDY),
            CHAIN: (RECORDED["full"], FULL_CHAIN),
        }[kind]
        return self._steps(self.engine(record), params)

    def _steps(self, engine: Engine, params: SamplingParams) -> Timing:
        lanes = range(self.job.lanes)
        self._clear(engine)
        watch = Watch()
        started = time.perf_counter()
        for lane in lanes:
            engine.set_context(self.prompts[lane], lane=lane)
        filled = time.perf_counter()
        stamps = []
        for _ in range(self.job.tokens):
            for lane in lanes:
                engine.step(params, lane=lane)
            stamps.append(time.perf_counter())
        return timing_of(started, filled, stamps, watch)

    def _forward(self, engine: Engine) -> Timing:
        """The pass and an argmax: what a loop that records nothing has to do."""
        lanes = range(self.job.lanes)
        self._clear(engine)
        watch = Watch()
        started = time.perf_counter()
        for lane in lanes:
            engine.set_context(self.prompts[lane], lane=lane)
        filled = time.perf_counter()
        last = {lane: [self.prompts[lane][0]] for lane in lanes}  # which token comes first does not matter here
        stamps = [time.perf_counter()]
        for _ in range(self.job.tokens - 1):
            logits = engine.runner.feed(last)
            last = {lane: [int(row.argmax())] for lane, row in logits.items()}
            stamps.append(time.perf_counter())
        return timing_of(started, filled, stamps, watch)

    def _clear(self, engine: Engine) -> None:
        """Leave nothing of the prompts in the cache: a context that begins with another token."""
        for lane, ids in enumerate(self.prompts):
            engine.set_context([(ids[0] + 1) % self.model.config.vocab_size], lane=lane)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def open_model(job: Job, device: torch.device) -> Transformer:
    """The job's network: of its file, or with random weights. Raises OutOfMemoryError_ before anything is made."""
    dtype = choose_dtype(job.dtype)
    assert dtype is not None
    check_memory(job.model_config, job.dtype, device)
    if job.path is not None:
        model = load(Path(job.path), device=device, dtype=dtype)[0]
    else:
        model = random_model(job.model_config, device=device, dtype=dtype)
    return to_int8(model) if job.dtype == INT8 else model


def check_memory(config: ModelConfig, dtype: str, device: torch.device) -> None:
    """Raise OutOfMemoryError_ where the weights, and what a process needs beside them, are more than what is free."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
    # int8 stands beside the float32 numbers that prompts are computed with
    needed = config.n_parameters() * (BYTES[dtype] + 4 * (dtype == INT8)) + _BESIDE_BYTES
    if free is not None and needed > free:
        raise OutOfMemoryError_(
            f"{config.n_parameters() / 1e9:.2f} billion parameters in {dtype} need {needed / 1e9:.1f} GB;"
            f" {free / 1e9:.1f} GB of {device} are free.",
            "Take a smaller shape or number type, or free some memory.",
        )


def prompts(vocab_size: int, length: int, lanes: int) -> list[list[int]]:
    """The same pseudo-random ids in every process, others in every lane."""
    dice = [random.Random(lane) for lane in range(lanes)]
    return [[each.randrange(vocab_size) for _ in range(length)] for each in dice]


def memory(device: torch.device) -> dict[str, int]:
    """Peak bytes of this process, and of its share of the device where that is not the host."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there
    peak = {"host_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.type == "cuda":
        peak["device_bytes"] = torch.cuda.max_memory_allocated(device)
    return peak


def timing_of(started: float, filled: float, stamps: list[float], watch: Watch) -> Timing:
    rest, wall = watch.rest()
    return Timing(
        prefill_s=filled - started,
        first_s=stamps[0] - started,
        steps=tuple(after - before for before, after in pairwise(stamps)),
        rest_cores=rest,
        wall_s=wall,
    )
