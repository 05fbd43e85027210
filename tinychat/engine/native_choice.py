"""The choice of a token and its record by the C++ library (cpp/choice.h), in one call.

It says what `observe` and `decide` say, to the last bit, ten times as fast. A chain with a stage that the library does
not know, broken numbers, and a position where nothing is left, are not for it: then the answer is None, and the caller
asks `observe`. What a stage does to which ids is computed where the stage is; the library does it.

V vocabulary.
"""

from __future__ import annotations

import ctypes
import math
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine import bias, draw, penalties
from tinychat.engine.context import STREAM_XTC, Context
from tinychat.engine.exponential import TABLE
from tinychat.engine.knobs import GREEDY_BELOW
from tinychat.engine.observe import RAW
from tinychat.engine.params import SamplingParams
from tinychat.engine.temperature import is_absolute
from tinychat.engine.trace import Candidate, Odds, StageView, Step, candidates_of

_POINTER, _INT, _LONG, _DOUBLE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_double
_BITS = math.log2(math.e)
_NOTHING = -1.0  # instead of a dart: no draw

_KINDS = ("add", "sign", "pull", "temperature", "top_k", "top_p", "min_p", "top_n_sigma", "typical", "epsilon", "eta",
          "top_a", "tfs", "top_h", "xtc")  # fmt: skip
# stages with one number of the settings
_CUTS = {
    "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "top_n_sigma": "top_n_sigma", "typical": "typical_p",
    "epsilon": "epsilon_cutoff", "eta": "eta_cutoff", "top_a": "top_a", "tfs": "tfs_z", "top_h": "top_h",
    "xtc": "xtc_threshold",
}  # fmt: skip

_Ids = NDArray[np.int64]
_Numbers = Any  # of a view: (kept, mass, entropy, chosen, reference, total)
_VIEW = np.dtype([(name, "i8" if name == "kept" else "f8") for name in (
    "kept", "mass", "entropy", "chosen", "reference", "total")])  # fmt: skip


class _Rule(ctypes.Structure):  # these two are in rules.h and choice.h
    _fields_ = (
        *(("kind", _INT), ("count", _INT), ("ids", _POINTER), ("amounts", _POINTER), ("value", _DOUBLE)),
        ("flag", _INT),
    )


class _Choice(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("logits", "table", "rules")),
        *(("size", _LONG), ("rule_count", _INT), ("candidates", _INT), ("u", _DOUBLE)),
        *((name, _POINTER) for name in ("views", "tokens", "logit", "raw", "final", "cut_by")),
        ("varentropy", _DOUBLE),
        *((name, _LONG) for name in ("token", "raw_rank", "final_rank")),
        *((name, _DOUBLE) for name in ("token_logit", "low", "high")),
    )


def declare(library: ctypes.CDLL) -> None:
    """What this module calls. Raises AttributeError for a library that has it not."""
    library.tinychat_chooser_new.restype = _POINTER
    library.tinychat_choose.argtypes = (_POINTER, ctypes.POINTER(_Choice))
    library.tinychat_choose.restype = ctypes.c_bool
    library.tinychat_chooser_free.argtypes = (_POINTER,)
    library.tinychat_chooser_free.restype = None


class _Place:
    """What a rule may look at: the settings, the context, and what several rules ask for."""

    def __init__(self, params: SamplingParams, context: Context, size: int) -> None:
        self.params, self.context, self.size = params, context, size
        self._seen: tuple[_Ids, _Ids] | None = None

    def seen(self) -> tuple[_Ids, _Ids]:
        if self._seen is None:
            self._seen = self.context.seen(self.params, self.size)
        return self._seen


Fill = Callable[[_Rule, _Place], tuple[Any, ...]]  # sets what depends on the place; what must live as long as the rule


class Chooser:
    """Chooses for one engine, with buffers of its own. `candidates` are recorded of every choice."""

    def __init__(self, candidates: int) -> None:
        self._library: ctypes.CDLL | None = None
        self._handle: int | None = None
        self._params: SamplingParams | None = None
        self._names: tuple[str | None, ...] = ()
        self._fills: list[tuple[_Rule, Fill]] = []
        self._fits = False
        n = candidates
        self._tokens, self._cut_by = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int32)
        self._logit, self._raw, self._final = np.zeros(n), np.zeros(n), np.zeros(n)
        self._views = np.zeros(0, dtype=_VIEW)
        self._choice = _Choice(
            table=TABLE.ctypes.data, tokens=self._tokens.ctypes.data, logit=self._logit.ctypes.data,
            raw=self._raw.ctypes.data, final=self._final.ctypes.data, cut_by=self._cut_by.ctypes.data,
        )  # fmt: skip

    def step(
        self, library: ctypes.CDLL | None, logits: Tensor, params: SamplingParams, context: Context, *, started: float
    ) -> Step | None:
        """The token drawn and its record: `decide` of `observe`. `started` is where its time began."""
        position, u = context.place, draw.uniform(params.seed, context.place, context.lane)
        if not self._run(library, logits, params, context, u):
            return None
        choice = self._choice
        views: list[_Numbers] = self._views.tolist()
        first, last = views[0], views[-1]
        token, rank = choice.token, choice.raw_rank
        listed = self._candidates()
        if rank > len(listed):
            chosen = Candidate(
                token=token, logit=choice.token_logit, raw=first[3], final=last[3], rank=rank, cut_by=None
            )
            listed = (*listed, chosen)
        return Step(
            odds=self._odds(position, logits.shape[0], params, listed, views, drawn=True),
            token=token,
            lane=context.lane,
            forced=False,
            raw=first[3],
            final=last[3],
            raw_rank=rank,
            final_rank=choice.final_rank,
            surprisal=max(0.0, math.log(first[5]) - (choice.token_logit - first[4])) * _BITS,
            u=u,
            low=choice.low,
            high=choice.high,
            time_s=time.perf_counter() - started,
            state=context.state,
        )

    def look(
        self, library: ctypes.CDLL | None, logits: Tensor, params: SamplingParams, context: Context
    ) -> Odds | None:
        """The odds of a position: those of `observe` without a token in question."""
        if not self._run(library, logits, params, context, _NOTHING):
            return None
        return self._odds(context.place, logits.shape[0], params, self._candidates(), self._views.tolist(), drawn=False)

    def _run(
        self, library: ctypes.CDLL | None, logits: Tensor, params: SamplingParams, context: Context, u: float
    ) -> bool:
        if library is None or logits.ndim != 1 or not 0 <= context.prompt_len <= len(context.history):
            return False
        if params is not self._params:
            self._plan(params)
        if not self._fits:
            return False
        if library is not self._library:
            self._open(library)
        choice, row = self._choice, logits.detach().cpu().float().contiguous()
        kept: tuple[tuple[Any, ...], ...] = ()
        if self._fills:
            place = _Place(params, context.as_array(), row.shape[0])
            kept = tuple(fill(rule, place) for rule, fill in self._fills)
        choice.logits, choice.size, choice.u = row.data_ptr(), row.shape[0], u
        choice.candidates = self._tokens.size
        done: bool = library.tinychat_choose(self._handle, choice)
        del kept
        return done

    def _plan(self, params: SamplingParams) -> None:
        """Lay out the rules of these settings."""
        active = params.active
        self._params, self._names, self._fills = params, (RAW, *active, None), []
        self._rules = (_Rule * len(active))()
        self._fits = all(self._lay(name, rule, params) for name, rule in zip(active, self._rules, strict=True))
        self._views = np.zeros(1 + len(active), dtype=_VIEW)
        self._choice.views, self._choice.rules = self._views.ctypes.data, ctypes.addressof(self._rules)
        self._choice.rule_count = len(active)

    def _lay(self, name: str, rule: _Rule, params: SamplingParams) -> bool:
        """Set up a stage's rule; False for a stage that the library does not know."""
        kind = name
        if name == "temperature":
            if params.temperature_mode != "fixed" and not params.is_greedy:
                return False
            rule.value = 0.0 if params.temperature <= GREEDY_BELOW else params.temperature
            rule.flag = is_absolute(params)
        elif name in _CUTS:
            rule.value = getattr(params, _CUTS[name])
            if name == "xtc":
                self._fills.append((rule, _throw))
        elif name in _FILLS and not (name == "allowed" and params.allowed_ids):
            kind, fill = _FILLS[name]
            self._fills.append((rule, fill))
        else:
            return False
        rule.kind = _KINDS.index(kind)
        return True

    def _open(self, library: ctypes.CDLL) -> None:
        handle = library.tinychat_chooser_new()
        if handle is None:
            raise MemoryError("there is no memory for the choice of a token")
        weakref.finalize(self, library.tinychat_chooser_free, handle)
        self._library, self._handle = library, handle

    def _candidates(self) -> tuple[Candidate, ...]:
        n = self._choice.candidates
        return candidates_of(
            n,
            self._tokens[:n].tolist(),
            self._logit[:n].tolist(),
            self._raw[:n].tolist(),
            self._final[:n].tolist(),
            range(1, n + 1),
            map(self._names.__getitem__, self._cut_by[:n].tolist()),  # -1 is the None at the end
        )

    def _odds(
        self,
        position: int,
        size: int,
        params: SamplingParams,
        candidates: tuple[Candidate, ...],
        views: list[_Numbers],
        *,
        drawn: bool,
    ) -> Odds:
        stages = tuple(
            StageView(name=name, kept=kept, mass=mass, entropy=entropy, chosen=chosen if drawn else None)  # type: ignore[arg-type]  # only the last name is None
            for name, (kept, mass, entropy, chosen, _, _) in zip(self._names, views, strict=False)
        )
        return Odds(
            position=position,
            vocab_size=size,
            candidates=candidates,
            stages=stages,
            entropy=stages[0].entropy,
            varentropy=self._choice.varentropy,
            final_entropy=stages[-1].entropy,
            kept=stages[-1].kept,
            temperature=params.temperature,
        )


# ---- what stages do to which ids ------------------------------------------------------------------------------------


def _put(rule: _Rule, ids: _Ids, amounts: NDArray[np.float64] | None = None) -> tuple[Any, ...]:
    rule.count, rule.ids = ids.size, ids.ctypes.data
    rule.amounts = None if amounts is None else amounts.ctypes.data
    return ids, amounts


def _throw(rule: _Rule, place: _Place) -> tuple[Any, ...]:
    rule.flag = place.context.dart(place.params, STREAM_XTC) < place.params.xtc_probability
    return ()


def _repetition(rule: _Rule, place: _Place) -> tuple[Any, ...]:
    rule.value = penalties.factor(place.params.repetition_penalty)
    return _put(rule, place.seen()[0])


def _encoder_repetition(rule: _Rule, place: _Place) -> tuple[Any, ...]:
    rule.value = penalties.factor(1.0 / place.params.encoder_repetition_penalty)
    return _put(rule, penalties.of_prompt(place.context, place.size))


def _frequency(rule: _Rule, place: _Place) -> tuple[Any, ...]:
    ids, counts = place.seen()
    return _put(rule, ids, np.multiply(counts, -place.params.frequency_penalty, dtype=np.float64))


def _presence(rule: _Rule, place: _Place) -> tuple[Any, ...]:
    ids, _ = place.seen()
    return _put(rule, ids, np.full(ids.size, -place.params.presence_penalty))


def _dry(rule: _Rule, place: _Place) -> tuple[Any, ...]:
    ids, lost = penalties.dry_losses(place.params, place.context, place.size)
    return _put(rule, ids, -lost)


def _pull(rule: _Rule, place: _Place) -> tuple[Any, ...]:
    ids, rule.value = bias.end_pull(place.params, place.context, place.size)
    return _put(rule, ids)


def _biased(stage: str) -> Fill:
    return lambda rule, place: _put(rule, *bias.biases(stage, place.params, place.context, place.size))


def _banned(stage: str) -> Fill:
    def fill(rule: _Rule, place: _Place) -> tuple[Any, ...]:
        ids = bias.banned(stage, place.params, place.context, place.size)
        return _put(rule, ids, np.full(ids.size, -math.inf))

    return fill


_FILLS: dict[str, tuple[str, Fill]] = {
    "repetition": ("sign", _repetition),
    "encoder_repetition": ("sign", _encoder_repetition),
    "frequency": ("add", _frequency),
    "presence": ("add", _presence),
    "dry": ("add", _dry),
    "end_decay": ("pull", _pull),
    **{name: ("add", _biased(name)) for name in ("logit_bias", "sequence_bias")},
    **{
        name: ("add", _banned(name))
        for name in ("allowed", "bad_words", "min_tokens", "no_repeat_ngram", "encoder_no_repeat_ngram")
    },
}
