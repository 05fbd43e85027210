"""Who computes what, and when: lanes, their side passes and drafts, put together into as few passes as possible.

A position that is asked for may need several passes: its own, those of its sides, and a draft to look ahead with. All
tracks that owe their last token share one pass per model. Rows for sides are made when first needed and given back
when released, so what is not asked for costs nothing. Nothing here draws a reply's token or knows how a stage works.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from tinychat.engine import drafts, guidance, sides
from tinychat.engine.context import Context
from tinychat.engine.lanes import Lane
from tinychat.engine.params import SamplingParams
from tinychat.engine.runner import Runner
from tinychat.engine.speculate import Guess, Speculation, look_up
from tinychat.engine.tracks import Track, compute
from tinychat.errors import NumbersError, TinychatError, UsageError
from tinychat.model.transformer import Transformer


class ContextFull(TinychatError):
    """There is no room for another token."""


class Passes:
    """The runners of an engine and its lanes. `drafted` counts the guesses that passes looked beyond."""

    def __init__(
        self,
        model: Transformer,
        *,
        amateur: Transformer | None = None,
        draft: Transformer | None = None,
        lanes: int,
        length: int,
        end_ids: Collection[int] = (),
        wrap: Callable[[Runner], Runner] | None = None,
        step: str = "eager",
        threads: int | None = None,
    ) -> None:
        self.config = model.config
        self.end_ids = end_ids
        self.step, self.threads = step, threads
        plain = Runner(model, lanes=lanes, length=length, step=step, threads=threads)
        self.runner = plain if wrap is None else wrap(plain)
        self.amateur = self._helper(amateur, "amateur", lanes, length)
        self.draft = self._helper(draft, "draft", lanes, length)
        self.lanes = [Lane(row, Track(self.runner, row)) for row in range(lanes)]
        self.drafted = 0
        self._drafts = [] if self.draft is None else [Track(self.draft, row) for row in range(lanes)]
        self._speculation: Speculation | None = None

    @property
    def speculation(self) -> Speculation | None:
        return self._speculation

    @speculation.setter
    def speculation(self, plan: Speculation | None) -> None:
        if plan is not None and plan.kind == "draft" and self.draft is None:
            raise UsageError("Speculation needs a draft model, and none is open.", "Open one with --draft.")
        layers = self.config.layers
        if plan is not None and plan.kind == "exit" and not max(plan.layer, 1) < layers:
            what = f"The model has {layers} layers: the first {max(plan.layer, 1)} of them are no short cut."
            raise UsageError(what, "Take fewer, or another kind of draft.")
        self._speculation = plan

    def begin(self, here: Lane, interrupt: Callable[[], bool] | None) -> None:
        """Pay for the lane's own next position, if `interrupt` lets it.

        This pass does not look ahead: a person waits for it, and its bits are those of every other last token.
        """
        if not here.main.looks and here.main.prefill(interrupt):
            here.guesses = []
            self._advance(here, None, None, ())

    def ready(self, here: Lane, params: SamplingParams, context: Context, *, alone: bool = False) -> list[str]:
        """Pay for all that the next position needs under these settings; the kinds of side passes among it.

        `alone` says that there are none: then nobody looks. UsageError for settings that need a model that is not open,
        ContextFull for sides that are too long.
        """
        layers: tuple[int, ...] = ()
        if not alone and params.is_on("dola"):
            layers = guidance.early_layers(self.config.layers, tie=self.config.tie, half=params.dola)
            if here.main.looks and here.main.looks[0].layers != layers:
                here.main.reopen()
        wanted = {} if alone else sides.side_ids(params, here.main.tokens, here.prompt_len)
        for kind, ids in wanted.items():
            self._side(here, kind, len(ids)).hold(ids)
        tracks = [here.main, *(here.sides[kind] for kind in wanted)]
        for track in tracks:
            track.prefill()
        if any(not track.looks for track in tracks):
            self._advance(here, params, context, layers)
            for name, track in zip(("model", *wanted), tracks, strict=True):
                if not track.looks:
                    raise _broken("amateur" if name == sides.AMATEUR else "model", len(track.tokens))
        return list(wanted)

    def release(self, here: Lane, keep: Iterable[str] = ()) -> None:
        """Give back the rows of all sides of a lane but those kinds."""
        kept = set(keep)
        for kind in [kind for kind in here.sides if kind not in kept]:
            track = here.sides.pop(kind)
            track.runner.cache.cut(track.row, 0)
        most = 1 + max(self._rows())
        if most < self.runner.cache.lanes:
            self.runner.cache.resize(most)

    def fork(self, source: Lane, target: Lane) -> None:
        """Make one lane what another is, sides and looks included; no pass."""
        if source is target:
            return
        self.release(target, source.sides)
        target.main.copy(source.main)
        for kind, track in source.sides.items():
            self._side(target, kind, len(track.tokens)).copy(track)
        target.prompt_len, target.states, target.ended = source.prompt_len, list(source.states), source.ended
        target.complete = source.complete
        target.guesses = None if source.guesses is None else list(source.guesses)
        target.forward_s = source.forward_s

    def _advance(
        self, here: Lane, params: SamplingParams | None, context: Context | None, layers: tuple[int, ...]
    ) -> None:
        """One pass per model for this lane's last token, and for those of all tracks that owe no more than theirs."""
        started = time.perf_counter()
        jobs: dict[Runner, list[tuple[Track, list[int]]]] = {}
        paying = []
        for lane in self.lanes:
            if lane.guesses is None and lane.main.owes_one:
                lane.guesses = []
                if params is not None and context is not None:
                    lane.guesses = self._guess(lane, params, _as_of(lane, context) if lane is not here else context)
            tokens = [guess.token for guess in lane.guesses or ()]
            for track in lane.tracks:
                if track.owes_one:
                    jobs.setdefault(track.runner, []).append((track, tokens))
                    if track is lane.main:
                        paying.append(lane)
        for runner, owing in jobs.items():
            compute(owing, exits=layers if runner is self.runner else ())
        took = time.perf_counter() - started
        for lane in paying:
            lane.forward_s = took
        if not here.main.looks:
            raise _broken("model", len(here.main.tokens))

    def _guess(self, lane: Lane, params: SamplingParams, context: Context) -> list[Guess]:
        """Guesses of what follows the lane's tokens, as many as there is room for."""
        plan, ids = self._speculation, lane.main.tokens
        if plan is None:
            return []
        count = min(plan.length, self.runner.cache.length - len(ids))
        if count < 1:
            return []
        if plan.kind == "lookup":
            found = [Guess(token) for token in look_up(ids, count, plan.ngram, self.end_ids)]
        elif plan.kind == "draft":
            found = drafts.from_model(self._drafts[lane.index], plan, count, params, context, self.end_ids)
        else:
            layers = plan.layer or max(1, self.config.layers // 2)
            found = drafts.from_layers(lane.main, layers, plan, count, params, context, self.end_ids)
        self.drafted += len(found)
        return found

    def _side(self, here: Lane, kind: str, length: int) -> Track:
        """The lane's track of that kind, with a row of its own, and room for so many tokens."""
        if kind == sides.AMATEUR and self.amateur is None:
            what = "Contrastive decoding needs an amateur model, and none is open."
            raise UsageError(what, "Open a smaller one of the same family with --amateur, or switch contrastive off.")
        runner = self.amateur if kind == sides.AMATEUR and self.amateur is not None else self.runner
        if length > runner.cache.length:
            what = f"The {kind} side is {length} tokens long, its context holds {runner.cache.length}."
            raise ContextFull(what, "Go back, shorten it, or switch its setting off.")
        if kind not in here.sides:
            row = here.index
            if runner is self.runner:
                taken = self._rows()
                row = next(row for row in range(len(taken) + 1) if row not in taken)
                if row >= runner.cache.lanes:
                    runner.cache.resize(row + 1)
            here.sides[kind] = Track(runner, row)
        return here.sides[kind]

    def _rows(self) -> set[int]:
        """The rows of our own model that are in use."""
        return {track.row for lane in self.lanes for track in lane.tracks if track.runner is self.runner}

    def _helper(self, model: Transformer | None, name: str, lanes: int, length: int) -> Runner | None:
        if model is None:
            return None
        theirs, ours = model.config.vocab_size, self.config.vocab_size
        if theirs != ours:
            what = f"The {name} model has {theirs} tokens, the model {ours}."
            raise UsageError(what, "Take one with the same tokenizer.")
        return Runner(
            model, lanes=lanes, length=min(length, model.config.context), step=self.step, threads=self.threads
        )


def _as_of(lane: Lane, context: Context) -> Context:
    return replace(context, history=lane.main.tokens, prompt_len=lane.prompt_len, lane=lane.index, state=lane.state)


def _broken(name: str, position: int) -> NumbersError:
    return NumbersError(
        f"The {name} gave NaN or infinite numbers at position {position}.",
        "The checkpoint may be damaged; in a small number type, try float32.",
    )
