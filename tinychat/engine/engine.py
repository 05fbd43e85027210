"""The engine: ids in, records out. Synchronous, one thread, some lanes of tokens over one cache.

A lane keeps the raw logits of its next position, so odds under other settings cost no forward pass. Passes happen when
logits are asked for: lanes that each wait for one token share one.

What is exact. A draw depends on logits, history, settings, seed, position and lane alone. The last token of a context
is always computed by itself, as decoding does it, so rewinding to any place and playing on gives the same bits again.
Keys and values of a *prompt* come from chunks, whose sums run in another order: the same ids reached another way (fed
as a prompt instead of drawn, with another cached prefix, beside other lanes) may differ by some 1e-6 in the logits.
Nothing here knows text, threads or screens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from tinychat.engine.context import Context
from tinychat.engine.observe import Observation, decide, observe
from tinychat.engine.params import SamplingParams
from tinychat.engine.runner import Runner, choose_device, choose_dtype, default_threads, is_out_of_memory
from tinychat.engine.trace import Odds, Step
from tinychat.errors import NumbersError, OutOfMemoryError_, TinychatError
from tinychat.model.checkpoint import CheckpointInfo
from tinychat.model.transformer import Transformer, load
from tinychat.model.vocabulary import Vocabulary

CHUNK = 128  # prompt tokens per pass: long enough to be fast, short enough to answer a key in between


class NoLegalToken(TinychatError):
    """The settings have cut every token."""


class ContextFull(TinychatError):
    """There is no room for another token."""


@dataclass(slots=True)
class _Lane:
    tokens: list[int] = field(default_factory=list)
    prompt_len: int = 0
    logits: Tensor | None = None  # (V,), of the position after the last token; None while a pass is owed
    ended: bool = False  # the last token was drawn here and ends a reply
    forward_s: float = 0.0  # what the pass behind `logits` took


class Engine:
    """Lanes of token ids on one model. `record` is the number of candidates in every Odds."""

    info: CheckpointInfo | None = None

    def __init__(
        self,
        model: Transformer,
        *,
        end_ids: Iterable[int] = (),
        vocabulary: Vocabulary | None = None,
        lanes: int = 1,
        context: int | None = None,
        record: int = 64,
    ) -> None:
        self.config = model.config
        self.vocabulary = vocabulary
        self.context = model.config.context if context is None else context
        self.end_ids = frozenset(end_ids)
        self.record = record
        self.runner = Runner(model, lanes=lanes, length=self.context)
        self._lanes = [_Lane() for _ in range(lanes)]

    @staticmethod
    def open(
        path: Path | str,
        *,
        device: str = "auto",
        dtype: str | None = None,
        threads: int | None = None,
        spare_cores: int = 0,
        end_ids: Iterable[int] = (),
        vocabulary: Vocabulary | None = None,
        lanes: int = 1,
        context: int | None = None,
        record: int = 64,
    ) -> Engine:
        """The engine of a checkpoint file. Sets torch's thread count (runner.default_threads when `threads` is None).

        Raises FileFormatError for a bad file, UsageError for a device that is not here, OutOfMemoryError_.
        """
        where, what = choose_device(device), choose_dtype(dtype)
        try:
            model, info = load(Path(path), device=where, dtype=what)
            engine = Engine(model, end_ids=end_ids, vocabulary=vocabulary, lanes=lanes, context=context, record=record)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError_(
                f"{path} does not fit into the memory of {where}.", "Free some, or take a smaller model or context."
            ) from error
        torch.set_num_threads(threads or default_threads(info.config.n_parameters(), spare=spare_cores))
        engine.info = info
        return engine

    def twin(self, *, lanes: int, context: int | None = None) -> Engine:
        """Another engine on the same model, with lanes and a cache of its own."""
        return Engine(
            self.runner.model,
            end_ids=self.end_ids,
            vocabulary=self.vocabulary,
            lanes=lanes,
            context=self.context if context is None else context,
            record=self.record,
        )

    def facts(self) -> dict[str, Any]:
        """What runs here, as plain values for a header line."""
        weight = next(self.runner.model.parameters())
        facts: dict[str, Any] = {
            "parameters": self.config.n_parameters(),
            "vocab_size": self.config.vocab_size,
            "context": self.context,
            "device": str(self.runner.device),
            "dtype": str(weight.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "cache_bytes": self.runner.cache.nbytes,
        }
        if self.info is not None:
            facts |= {"path": str(self.info.path), "step": self.info.step, "digest": self.info.digest}
        return facts

    def set_context(
        self,
        ids: Sequence[int],
        *,
        prompt_len: int | None = None,
        lane: int = 0,
        interrupt: Callable[[], bool] | None = None,
    ) -> int:
        """Make the lane hold exactly these ids; the number of tokens computed for it.

        The one way to start, rewind, edit and branch: what the cache shares with `ids` is kept, and where all of it is
        cached, the last token alone is computed again for its logits. `prompt_len` None: all are prompt. `interrupt` is
        asked between chunks; when it says True the rest stays owed, and is paid by the same call again or by whatever
        needs the odds. ValueError for no ids or ids out of the vocabulary, ContextFull for too many.
        """
        self._check(ids, prompt_len)
        here = self._lanes[lane]
        same = here.tokens == list(ids)
        keep = _shared(ids, here.tokens[: self.runner.held(lane)])
        if not same or here.logits is None:
            keep = min(keep, len(ids) - 1)
            self.runner.cache.cut(lane, keep)
            here.logits = None
        here.tokens = list(ids)
        here.prompt_len = len(ids) if prompt_len is None else prompt_len
        here.ended = False
        self._fill(lane, interrupt)
        return self.runner.held(lane) - keep

    def tokens(self, lane: int = 0) -> list[int]:
        """The ids the lane holds."""
        return list(self._lanes[lane].tokens)

    def length(self, lane: int = 0) -> int:
        """How many ids the lane holds."""
        return len(self._lanes[lane].tokens)

    def prompt_length(self, lane: int = 0) -> int:
        """How many of the lane's ids are the prompt."""
        return self._lanes[lane].prompt_len

    def is_computed(self, lane: int = 0) -> bool:
        """Whether the odds of the next position cost no pass."""
        return self._lanes[lane].logits is not None

    def cut(self, length: int, lane: int = 0) -> None:
        """Forget all but the first `length` ids; what is left of the prompt stays prompt."""
        here = self._lanes[lane]
        if not 1 <= length <= len(here.tokens):
            raise ValueError(f"length must be between 1 and {len(here.tokens)}, got {length}")
        self.set_context(here.tokens[:length], prompt_len=min(length, here.prompt_len), lane=lane)

    def fork(self, source: int, target: int) -> None:
        """Make lane `target` what lane `source` is, cache and logits included; no pass."""
        self.runner.cache.copy(source, target)
        a, b = self._lanes[source], self._lanes[target]
        b.tokens, b.prompt_len, b.logits = list(a.tokens), a.prompt_len, a.logits
        b.ended, b.forward_s = a.ended, a.forward_s

    def peek(self, params: SamplingParams, *, lane: int = 0, token: int | None = None) -> Odds:
        """The odds of the next position under `params`, with a row for `token` whatever its rank."""
        return self._observe(params, lane, token).odds

    def step(self, params: SamplingParams, *, lane: int = 0, draw_lane: int | None = None) -> Step:
        """Draw the next token and append it.

        `draw_lane` is whose random numbers are used: the lane's own, unless two lanes shall share their darts. Raises
        NoLegalToken when all is cut and ContextFull when there is no room; then nothing has changed.
        """
        return self._take(params, lane, lane if draw_lane is None else draw_lane, None)

    def force(self, token: int, params: SamplingParams, *, lane: int = 0, draw_lane: int | None = None) -> Step:
        """Append this token as if it had been drawn, recorded with the odds it had; legal even where it was cut."""
        if not 0 <= token < self.config.vocab_size:
            raise ValueError(f"token must be between 0 and {self.config.vocab_size - 1}, got {token}")
        return self._take(params, lane, lane if draw_lane is None else draw_lane, token)

    def look(self, params: SamplingParams, *, lane: int = 0) -> Observation:
        """What `peek` says, with all that it takes to record any choice of the next token."""
        return self._observe(params, lane, None)

    def append(self, token: int, *, lane: int = 0) -> None:
        """Append a token that was chosen and recorded elsewhere. Its pass is shared with other lanes that owe one.

        ValueError for an id out of the vocabulary, ContextFull when there is no room.
        """
        here = self._lanes[lane]
        self._check([token], None)
        if len(here.tokens) >= self.context:
            raise ContextFull(f"The context is full: {self.context} tokens.", "Go back some tokens.")
        here.tokens.append(token)
        here.logits = None
        here.ended = token in self.end_ids

    def stop_reason(self, lane: int = 0) -> Literal["end", "context"] | None:
        """Why a reply is over: its last token is an end id, or there is no room; None while it can go on."""
        here = self._lanes[lane]
        if here.ended:
            return "end"
        return "context" if len(here.tokens) >= self.context else None

    def _take(self, params: SamplingParams, lane: int, draw_lane: int, token: int | None) -> Step:
        here = self._lanes[lane]
        if len(here.tokens) >= self.context:
            what = f"The context is full: {self.context} tokens."
            raise ContextFull(what, "Go back some tokens, or shorten the prompt.")
        self._fill(lane)
        started = time.perf_counter() - here.forward_s
        observation = self._observe(params, lane, None)  # decide adds the chosen token's rows
        if token is None and observation.odds.kept == 0:
            what = f"The settings cut every token at position {observation.odds.position}."
            raise NoLegalToken(what, "Loosen the logit bias or the cuts.")
        step = decide(observation, params, lane=draw_lane, token=token, time_s=time.perf_counter() - started)
        here.tokens.append(step.token)
        here.logits = None
        here.ended = step.token in self.end_ids
        return step

    def _observe(self, params: SamplingParams, lane: int, token: int | None) -> Observation:
        self._fill(lane)
        here = self._lanes[lane]
        assert here.logits is not None  # _fill without an interrupt paid for it
        context = Context(here.tokens, here.prompt_len, vocabulary=self.vocabulary)
        return observe(here.logits, params, context, n=self.record, token=token)

    def _fill(self, lane: int, interrupt: Callable[[], bool] | None = None) -> None:
        """Pay the passes that this lane owes: chunks up to the last token, then that one by itself."""
        here = self._lanes[lane]
        if not here.tokens:
            raise ValueError(f"lane {lane} holds no tokens: set_context comes first")
        while here.logits is None:
            held, last = self.runner.held(lane), len(here.tokens) - 1
            if held == last:
                self._advance(lane)
                return
            self.runner.feed({lane: here.tokens[held : min(held + CHUNK, last)]})
            if interrupt is not None and interrupt():
                return

    def _advance(self, lane: int) -> None:
        """One pass for this lane's last token, and for those of all lanes that owe no more than theirs."""
        owing = {
            row: each.tokens[-1:]
            for row, each in enumerate(self._lanes)
            if each.logits is None and each.tokens and self.runner.held(row) == len(each.tokens) - 1
        }
        started = time.perf_counter()
        logits = self.runner.feed(owing)
        took = time.perf_counter() - started
        for row, line in logits.items():
            if bool(torch.isfinite(line).all()):
                self._lanes[row].logits, self._lanes[row].forward_s = line, took
            else:  # still owed, so that whoever asks for this lane meets the error
                self.runner.cache.cut(row, len(self._lanes[row].tokens) - 1)
        if self._lanes[lane].logits is None:
            raise NumbersError(
                f"The model gave NaN or infinite numbers at position {len(self._lanes[lane].tokens)}.",
                "The checkpoint may be damaged; in a small number type, try float32.",
            )

    def _check(self, ids: Sequence[int], prompt_len: int | None) -> None:
        if not ids:
            raise ValueError("ids must hold at least one token: there is nothing before an empty context")
        vocab_size = self.config.vocab_size
        if not 0 <= min(ids) <= max(ids) < vocab_size:
            raise ValueError(f"ids must be between 0 and {vocab_size - 1}, got {min(ids)} to {max(ids)}")
        if prompt_len is not None and not 0 <= prompt_len <= len(ids):
            raise ValueError(f"prompt_len must be between 0 and {len(ids)}, got {prompt_len}")
        if len(ids) > self.context:
            what = f"The text is {len(ids)} tokens long, the context holds {self.context}."
            raise ContextFull(what, "Shorten it.")


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    for place, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return place
    return min(len(a), len(b))
