"""The engine: ids in, records out. Synchronous, one thread, some lanes of tokens over one cache.

A lane keeps the raw logits of its next position, so odds under other settings cost no forward pass. Passes happen when
logits are asked for: lanes that each wait for one token share one, and so do their side passes (sides.py), which are
rows of the same batch that come when a setting first needs them and go with the first token drawn without.

What is exact. A draw depends on logits, history, settings, seed, position and lane alone. The last token of a context
is always computed by itself, as decoding does it, so rewinding to any place and playing on gives the same bits again.
Keys and values of a *prompt* come from chunks, whose sums run in another order: the same ids reached another way (fed
as a prompt instead of drawn, with another cached prefix, beside other lanes, in a pass that looks ahead, by torch or by
the native step) may differ by some 1e-6 in the logits. Nothing here knows text, threads or screens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tinychat.engine import sides
from tinychat.engine.ahead import Ahead
from tinychat.engine.choices import Choices
from tinychat.engine.constrain import Grammars
from tinychat.engine.context import Context
from tinychat.engine.lanes import Lane
from tinychat.engine.native import choose_step
from tinychat.engine.observe import Observation
from tinychat.engine.opening import load_family
from tinychat.engine.params import SamplingParams
from tinychat.engine.passes import ContextFull, Passes
from tinychat.engine.runner import INT8, Runner, choose_device, default_threads, is_out_of_memory
from tinychat.engine.speculate import Speculation
from tinychat.engine.trace import Odds, SamplerState, Step
from tinychat.errors import OutOfMemoryError_, TinychatError
from tinychat.model.checkpoint import CheckpointInfo, tokenizer_of
from tinychat.model.transformer import Transformer
from tinychat.model.vocabulary import Vocabulary


class NoLegalToken(TinychatError):
    """The settings have cut every token."""


class Engine:
    """Lanes of token ids on one model. `record` is the number of candidates in every Odds."""

    info: CheckpointInfo | None = None

    def __init__(
        self,
        model: Transformer,
        *,
        end_ids: Iterable[int] = (),
        vocabulary: Vocabulary | None = None,
        amateur: Transformer | None = None,
        draft: Transformer | None = None,
        lanes: int = 1,
        context: int | None = None,
        record: int = 64,
        runner: Callable[[Runner], Runner] | None = None,
        ahead: bool | None = None,
        step: str = "eager",
        threads: int | None = None,
    ) -> None:
        """`ahead` decodes runs in a pipeline on the device (graphs.py); None: on CUDA, if the step is not eager.

        `step` and `threads` are the runner's.
        """
        self.config = model.config
        self.context = model.config.context if context is None else context
        self.end_ids = frozenset(end_ids)
        self._bare: Vocabulary | None = None  # without texts
        self.record = record
        self.watch: tuple[int, ...] = ()  # tokens that every Odds lists besides
        self.accepted = 0  # guesses that came true
        self._passes = Passes(
            model,
            amateur=amateur,
            draft=draft,
            lanes=lanes,
            length=self.context,
            end_ids=self.end_ids,
            wrap=runner,
            step=step,
            threads=threads,
        )
        self._lanes = self._passes.lanes
        self._choices = Choices(self._passes.runner, record)
        chosen = choose_step(step)
        wished = self.runner.device.type == "cuda" and chosen != "eager" if ahead is None else ahead
        self._ahead = Ahead(self._passes, record=record, compiled=chosen == "compiled") if wished else None
        self._vocabulary = vocabulary
        self._grammars: Grammars | None = None
        self._needs = sides.needs_of(None)

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
        amateur: Path | str | None = None,
        draft: Path | str | None = None,
        lanes: int = 1,
        context: int | None = None,
        record: int = 64,
        step: str | None = None,
    ) -> Engine:
        """The engine of a checkpoint file. `threads` None is runner.default_threads.

        `amateur` and `draft` are checkpoints with the same tokenizer, for contrastive decoding and for speculation.
        `step` None is auto: see Runner. In `dtype` int8 all models are rounded.
        Raises FileFormatError for a bad file, UsageError for a device or step that is not here and for a helper with
        another tokenizer, OutOfMemoryError_.
        """
        where = choose_device(device)
        try:
            beside = {"amateur": amateur, "draft": draft}
            model, info, helpers = load_family(Path(path), beside, device=where, dtype=dtype)
            engine = Engine(
                model, end_ids=end_ids, vocabulary=vocabulary, lanes=lanes, context=context, record=record,
                step=step or "auto", threads=threads or default_threads(info.config.n_parameters(), spare=spare_cores),
                amateur=helpers.get("amateur"), draft=helpers.get("draft"),
            )  # fmt: skip
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError_(
                f"{path} does not fit into the memory of {where}.", "Free some, or take a smaller model or context."
            ) from error
        engine.info = info
        return engine

    def twin(
        self, *, lanes: int, context: int | None = None, runner: Callable[[Runner], Runner] | None = None
    ) -> Engine:
        """Another engine on the same models, with lanes and caches of its own; it does not speculate.

        `runner` makes another one of its runner.
        """
        twin = Engine(
            self.runner.model,
            end_ids=self.end_ids,
            vocabulary=self._vocabulary,
            amateur=None if self._passes.amateur is None else self._passes.amateur.model,
            lanes=lanes,
            context=self.context if context is None else context,
            record=self.record,
            runner=runner,
            step=self._passes.step,
            threads=self._passes.threads,
        )
        twin.info = self.info
        return twin

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What is known of the tokens: as given, else of the checkpoint, made when first asked for; None of neither."""
        if self._vocabulary is None and self.info is not None:
            known = Vocabulary.of(tokenizer_of(self.info), self.config.vocab_size)
            self._vocabulary = replace(known, end_ids=tuple(sorted(self.end_ids)))
        return self._vocabulary

    @property
    def runner(self) -> Runner:
        """The model's own forward step; rows beyond the lanes are side passes."""
        return self._passes.runner

    @property
    def speculation(self) -> Speculation | None:
        """How tokens are guessed ahead; None not at all. May be set any time; UsageError for what cannot work here."""
        return self._passes.speculation

    @speculation.setter
    def speculation(self, plan: Speculation | None) -> None:
        self._settle()
        self._passes.speculation = plan

    def facts(self) -> dict[str, Any]:
        """What runs here, as plain values for a header line."""
        weight = next(self.runner.model.parameters())
        facts: dict[str, Any] = {
            "parameters": self.config.n_parameters(),
            "vocab_size": self.config.vocab_size,
            "context": self.context,
            "device": str(self.runner.device),
            "dtype": INT8 if self.runner.model.int8 else str(weight.dtype).removeprefix("torch."),
            "forward": self.runner.step_state,
            "threads": self.runner.threads,
            "cache_bytes": self.runner.cache.nbytes,
            "passes": self.runner.forwards,
            "drafted": self._passes.drafted,
            "accepted": self.accepted,
            "ahead": "off" if self._ahead is None else self._ahead.state,
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
        state: SamplerState | None = None,
        interrupt: Callable[[], bool] | None = None,
    ) -> int:
        """Make the lane hold exactly these ids; the number of tokens computed for it.

        The one way to start, rewind, edit and branch: what the cache shares with `ids` is kept, and where all of it is
        cached, the last token alone is computed again for its logits. `prompt_len` None: all are prompt. `state` is the
        samplers' after the last id; None: as remembered for these ids, else fresh. `interrupt` is asked between chunks;
        when it says True the rest stays owed, and is paid by the same call again or by whatever needs the odds.
        ValueError for no ids or ids out of the vocabulary, ContextFull for too many.
        """
        self._check(ids, prompt_len)
        self._settle()
        here = self._lanes[lane]
        keep = here.hold(ids, len(ids) if prompt_len is None else prompt_len, state)
        self._passes.begin(here, interrupt)
        return here.main.held - keep

    def tokens(self, lane: int = 0) -> list[int]:
        """The ids the lane holds."""
        return list(self._lanes[lane].main.tokens)

    def length(self, lane: int = 0) -> int:
        """How many ids the lane holds."""
        return len(self._lanes[lane].main.tokens)

    def prompt_length(self, lane: int = 0) -> int:
        """How many of the lane's ids are the prompt."""
        return self._lanes[lane].prompt_len

    def is_computed(self, lane: int = 0) -> bool:
        """Whether the odds of the next position cost no pass."""
        self._settle()
        return bool(self._lanes[lane].main.looks)

    def cut(self, length: int, lane: int = 0) -> None:
        """Forget all but the first `length` ids; what is left of the prompt stays prompt."""
        tokens, prompt_len = self._lanes[lane].main.tokens, self._lanes[lane].prompt_len
        if not 1 <= length <= len(tokens):
            raise ValueError(f"length must be between 1 and {len(tokens)}, got {length}")
        self.set_context(tokens[:length], prompt_len=min(length, prompt_len), lane=lane)

    def fork(self, source: int, target: int) -> None:
        """Make lane `target` what lane `source` is, caches and logits included; no pass."""
        self._settle()
        self._passes.fork(self._lanes[source], self._lanes[target])

    def peek(
        self, params: SamplingParams, *, lane: int = 0, draw_lane: int | None = None, token: int | None = None
    ) -> Odds:
        """The odds of the next position under `params`, with a row for `token` whatever its rank.

        Costs passes only where the settings need sides that are not there yet. TinychatError for settings this engine
        has no model for.
        """
        here = self._lanes[lane]
        _, context = self._ready(params, here, draw_lane)
        return self._choices.odds(here, params, context, watch=self.watch, token=token)

    def step(self, params: SamplingParams, *, lane: int = 0, draw_lane: int | None = None) -> Step:
        """Draw the next token and append it.

        `draw_lane` is whose random numbers are used: the lane's own, unless two lanes shall share their darts. Raises
        NoLegalToken when all is cut and ContextFull when there is no room; then nothing has changed.
        """
        return self._take(params, self._lanes[lane], draw_lane, None)

    def force(self, token: int, params: SamplingParams, *, lane: int = 0, draw_lane: int | None = None) -> Step:
        """Append this token as if it had been drawn, recorded with the odds it had; legal even where it was cut."""
        if not 0 <= token < self.config.vocab_size:
            raise ValueError(f"token must be between 0 and {self.config.vocab_size - 1}, got {token}")
        return self._take(params, self._lanes[lane], draw_lane, token)

    def look(self, params: SamplingParams, *, lane: int = 0, draw_lane: int | None = None) -> Observation:
        """What `peek` says, with all that it takes to record any choice of the next token."""
        _, context = self._ready(params, self._lanes[lane], draw_lane)
        return self._choices.observe(self._lanes[lane], params, context, watch=self.watch)

    def append(self, token: int, *, lane: int = 0, state: SamplerState | None = None) -> None:
        """Append a token that was chosen and recorded elsewhere. Its pass is shared with other lanes that owe one.

        `state` is the samplers' after it; None: as before it. ValueError for an id out of the vocabulary, ContextFull
        when there is no room.
        """
        self._settle()
        here = self._lanes[lane]
        self._check([token], None)
        if len(here.main.tokens) >= self.context:
            raise ContextFull(f"The context is full: {self.context} tokens.", "Go back some tokens.")
        here.take(token, here.state if state is None else state, ends=token in self.end_ids)

    def state(self, lane: int = 0) -> SamplerState:
        """The samplers' state before the next token of the lane."""
        return self._lanes[lane].state

    def stop_reason(self, lane: int = 0) -> Literal["end", "grammar", "context"] | None:
        """Why a reply is over: its last token is an end id, or there is no room; None while it can go on.

        "grammar" where no id ends a reply, and a regex or schema has been met and lets nothing follow.
        """
        here = self._lanes[lane]
        if here.ended:
            return "end"
        if here.complete:
            return "grammar"
        return "context" if len(here.main.tokens) >= self.context else None

    def is_whole(self, reply: Sequence[int], params: SamplingParams) -> bool:
        """Whether the reply meets a regex or schema that lets nothing follow, and no id could end it: "grammar"."""
        return self._grammars is not None and not self.end_ids and self._grammars.is_complete(params, reply)

    def _take(self, params: SamplingParams, here: Lane, draw_lane: int | None, token: int | None) -> Step:
        if len(here.main.tokens) >= self.context:
            what = f"The context is full: {self.context} tokens."
            raise ContextFull(what, "Go back some tokens, or shorten the prompt.")
        dice = here.index if draw_lane is None else draw_lane
        if self._ahead is not None and token is None and not self.watch:
            ready = self._ahead.take(here, params, dice)
            if ready is not None:
                return ready
        kinds, context = self._ready(params, here, draw_lane)
        step = self._choices.step(here, params, context, watch=self.watch, token=token, plan=self.speculation)
        if step is None:
            trouble = self._grammars and self._grammars.trouble(params, here.main.tokens[here.prompt_len :])
            raise NoLegalToken(*(trouble or self._choices.dead_end(here, params, context)))
        self.accepted += step.drafted == "accepted"
        here.take(step.token, step.state, ends=step.token in self.end_ids)
        here.complete = self._grammars is not None and self.is_whole(here.main.tokens[here.prompt_len :], params)
        self._passes.release(here, kinds)
        if self._ahead is not None:
            self._ahead.drew(here, params, dice)
        return step

    def _ready(self, params: SamplingParams, here: Lane, draw_lane: int | None) -> tuple[list[str], Context]:
        """Pay all passes that the odds need: the kinds of side passes among them, and what the stages may look at."""
        self._settle()
        tokens = here.main.tokens
        if not tokens:
            raise ValueError(f"lane {here.index} holds no tokens: set_context comes first")
        if params is not self._needs.params:
            self._needs = sides.needs_of(params)
        needs = self._needs
        context = Context(
            tokens,
            here.prompt_len,
            lane=here.index if draw_lane is None else draw_lane,
            state=here.state,
            vocabulary=self._words() if needs.words else None,
        )
        kinds = self._passes.ready(here, params, context, alone=not needs.sides)
        if not (needs.sides or needs.grammar):
            return kinds, context
        legal = None
        if needs.grammar:
            self._grammars = self._grammars or Grammars(self._words())
            legal = self._grammars.legal(params, tokens[here.prompt_len :])
        looks = {kind: here.sides[kind].looks[0] for kind in kinds}
        beside = sides.sides_of(params, here.main.looks[0], looks)
        return kinds, replace(context, sides=beside, legal=legal)

    def _settle(self) -> None:
        """Bring lanes that decode ahead on the device back to what was read of them."""
        if self._ahead is not None:
            self._ahead.settle()

    def _words(self) -> Vocabulary:
        """The vocabulary; where the tokens' text is not known, at least the ends of a reply."""
        if self.vocabulary is not None:
            return self.vocabulary
        if self._bare is None:  # made once: it is large, and stages remember what they found in it
            self._bare = Vocabulary((b"",) * self.config.vocab_size, tuple(sorted(self.end_ids)))
        return self._bare

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
