"""The choice of a token and its record by the C++ library (cpp/choice.h), in one call.

It says what `observe` and `decide` say, to the last bit, ten times as fast. A chain with a stage that the library does
not know, broken numbers, and a position where nothing is left, are not for it: then the answer is None, and the caller
asks `observe`. What the history does to which ids is found in the library; what texts and lists do, where the stage is.

V vocabulary.
"""

from __future__ import annotations

import ctypes
import math
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tinychat.engine import bias, penalties
from tinychat.engine.context import STREAM_XTC, Context
from tinychat.engine.exponential import TABLE
from tinychat.engine.knobs import GREEDY_BELOW
from tinychat.engine.observe import RAW
from tinychat.engine.params import SamplingParams
from tinychat.engine.temperature import is_absolute
from tinychat.engine.trace import Candidate, Odds, StageView, Step, candidates_of, odds_later
from tinychat.model.vocabulary import Vocabulary

_POINTER, _INT, _LONG, _DOUBLE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_double
_BITS = math.log2(math.e)

# of which the library finds the ids in the history
_READING = ("repetition", "encoder_repetition", "frequency", "presence", "dry", "no_repeat_ngram",
            "encoder_no_repeat_ngram")  # fmt: skip
_KINDS = ("add", "sign", "pull", *_READING, "temperature", "top_k", "top_p", "min_p", "top_n_sigma", "typical",
          "epsilon", "eta", "top_a", "tfs", "top_h", "xtc")  # fmt: skip
# stages with one number of the settings
_VALUES = {
    "frequency": "frequency_penalty", "presence": "presence_penalty", "dry": "dry_multiplier",
    "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "top_n_sigma": "top_n_sigma", "typical": "typical_p",
    "epsilon": "epsilon_cutoff", "eta": "eta_cutoff", "top_a": "top_a", "tfs": "tfs_z", "top_h": "top_h",
    "xtc": "xtc_threshold",
}  # fmt: skip

_ROW_BYTES = 4 * 8 + 4  # of a candidate: id, logit, raw and final probability, and by which stage it was cut
_ROOM = 256  # tokens that a text may grow by before its array is too small

_Ids = NDArray[np.int64]
_Numbers = Any  # of a view: (kept, mass, entropy, chosen, reference, total)
_VIEW = np.dtype([(name, "i8" if name == "kept" else "f8") for name in (
    "kept", "mass", "entropy", "chosen", "reference", "total")])  # fmt: skip


class _Rule(ctypes.Structure):  # these three are in rules.h and choice.h
    _fields_ = (
        ("kind", _INT), ("count", _INT), *((name, _POINTER) for name in ("ids", "amounts", "breakers")),
        *((name, _DOUBLE) for name in ("value", "base")), *((name, _LONG) for name in ("n", "window")), ("flag", _INT),
    )  # fmt: skip


class _History(ctypes.Structure):
    _fields_ = (("ids", _POINTER), *((name, _LONG) for name in ("length", "prompt", "reach")))


class _At(ctypes.Structure):  # Place in rules.h
    _fields_ = (("seed", ctypes.c_uint64), ("position", ctypes.c_uint32), ("lane", ctypes.c_uint32))


class _Choice(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("logits", "table", "rules")),
        *(("history", _History), ("place", _At), ("size", _LONG), ("rule_count", _INT)),
        *((name, _INT) for name in ("candidates", "draws")),
        *((name, _POINTER) for name in ("views", "tokens", "logit", "raw", "final", "cut_by")),
        *((name, _DOUBLE) for name in ("varentropy", "u")),
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


class _Text:
    """Histories as arrays: of one that goes on from the last one, only what is new is read."""

    def __init__(self) -> None:
        self._known: list[int] = []
        self._array: _Ids = np.zeros(0, dtype=np.int64)

    def ids(self, context: Context) -> _Ids:
        """The history side by side, and maybe more behind it."""
        history = context.history
        if not isinstance(history, list):
            return np.ascontiguousarray(context.ids())
        known, length = len(self._known), len(history)
        # of two lists of the same objects a comparison looks at their addresses alone
        if not known <= length <= self._array.size or history[:known] != self._known:
            self._array = np.concatenate((context.ids(), np.zeros(length + _ROOM, dtype=np.int64)))
            self._known = history.copy()
            return self._array
        for place in range(known, length):
            self._array[place] = index(history[place])
            self._known.append(history[place])
        return self._array


# sets what depends on the place in a text and the size of the vocabulary; returns what must live as long as the rule
Fill = Callable[[_Rule, SamplingParams, Context, int], tuple[Any, ...]]


class Chooser:
    """Chooses for one engine, with buffers of its own. `candidates` are recorded of every choice."""

    def __init__(self, candidates: int) -> None:
        self._library: ctypes.CDLL | None = None
        self._handle: int | None = None
        self._params: SamplingParams | None = None
        self._names: tuple[str | None, ...] = ()
        self._fills: list[tuple[_Rule, Fill]] = []
        self._fits = self._reads = False
        self._text = _Text()
        self._n = candidates
        self._rows = np.zeros(candidates * _ROW_BYTES, dtype=np.uint8)  # the columns of the candidates, see _rows_of
        self._views = np.zeros(0, dtype=_VIEW)
        starts = [self._rows.ctypes.data + 8 * candidates * column for column in range(5)]
        self._choice = _Choice(
            table=TABLE.ctypes.data, tokens=starts[0], logit=starts[1], raw=starts[2], final=starts[3],
            cut_by=starts[4],
        )  # fmt: skip

    def step(
        self, library: ctypes.CDLL | None, logits: Tensor, params: SamplingParams, context: Context, *, started: float
    ) -> Step | None:
        """The token drawn and its record: `decide` of `observe`. `started` is where its time began."""
        if not self._run(library, logits, params, context, draws=True):
            return None
        choice = self._choice
        views: list[_Numbers] = self._views.tolist()
        first, last = views[0], views[-1]
        token, rank = choice.token, choice.raw_rank
        chosen = None
        if rank > choice.candidates:
            chosen = Candidate(
                token=token, logit=choice.token_logit, raw=first[3], final=last[3], rank=rank, cut_by=None
            )
        return Step(
            odds=self._odds(context.place, logits.shape[0], params, views, drawn=True, chosen=chosen),
            token=token,
            lane=context.lane,
            forced=False,
            raw=first[3],
            final=last[3],
            raw_rank=rank,
            final_rank=choice.final_rank,
            surprisal=max(0.0, math.log(first[5]) - (choice.token_logit - first[4])) * _BITS,
            u=choice.u,
            low=choice.low,
            high=choice.high,
            time_s=time.perf_counter() - started,
            state=context.state,
        )

    def look(
        self, library: ctypes.CDLL | None, logits: Tensor, params: SamplingParams, context: Context
    ) -> Odds | None:
        """The odds of a position: those of `observe` without a token in question."""
        if not self._run(library, logits, params, context, draws=False):
            return None
        return self._odds(context.place, logits.shape[0], params, self._views.tolist(), drawn=False)

    def _run(
        self, library: ctypes.CDLL | None, logits: Tensor, params: SamplingParams, context: Context, *, draws: bool
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
        size, text = row.shape[0], None
        if self._reads:
            text, past = self._text.ids(context), choice.history
            past.ids, past.length, past.prompt = text.ctypes.data, len(context.history), context.prompt_len
            past.reach = past.prompt if params.penalty_scope == "output" else 0
            if params.penalty_window:
                past.reach = max(past.reach, past.length - params.penalty_window)
        kept = [fill(rule, params, context, size) for rule, fill in self._fills]
        choice.logits, choice.size, choice.draws = row.data_ptr(), size, draws
        at = choice.place
        at.seed, at.position, at.lane = params.seed, context.place, context.lane
        choice.candidates = self._n
        done: bool = library.tinychat_choose(self._handle, choice)
        del kept, text
        return done

    def _plan(self, params: SamplingParams) -> None:
        """Lay out the rules of these settings."""
        active = params.active
        self._params, self._names, self._fills = params, (RAW, *active, None), []
        self._reads = not set(active).isdisjoint(_READING)
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
        elif name in _VALUES:
            rule.value = getattr(params, _VALUES[name])
        elif name == "repetition":
            rule.value = penalties.factor(params.repetition_penalty)
        elif name == "encoder_repetition":
            rule.value = penalties.factor(1.0 / params.encoder_repetition_penalty)
        elif name in ("no_repeat_ngram", "encoder_no_repeat_ngram"):
            rule.n = getattr(params, name)
        elif name in _GIVEN and not (name == "allowed" and params.allowed_ids):
            kind = _GIVEN[name]
        else:
            return False
        if name == "dry":
            self._fills.append((rule, _Breakers()))
            rule.base, rule.n, rule.window = params.dry_base, params.dry_allowed_length, params.dry_window
        elif name == "xtc":
            rule.base, rule.flag = params.xtc_probability, STREAM_XTC
        if name in _FILLS:
            self._fills.append((rule, _FILLS[name]))
        rule.kind = _KINDS.index(kind)
        return True

    def _open(self, library: ctypes.CDLL) -> None:
        handle = library.tinychat_chooser_new()
        if handle is None:
            raise MemoryError("there is no memory for the choice of a token")
        weakref.finalize(self, library.tinychat_chooser_free, handle)
        self._library, self._handle = library, handle

    def _odds(
        self,
        position: int,
        size: int,
        params: SamplingParams,
        views: list[_Numbers],
        *,
        drawn: bool,
        chosen: Candidate | None = None,
    ) -> Odds:
        n = self._choice.candidates
        return odds_later(
            partial(_rows_of, self._rows.tobytes(), self._n, n, self._names, views, drawn, chosen),
            position=position,
            vocab_size=size,
            entropy=views[0][2],
            varentropy=self._choice.varentropy,
            final_entropy=views[-1][2],
            kept=views[-1][0],
            temperature=params.temperature,
            region=None,
        )


def _rows_of(
    rows: bytes,
    room: int,
    n: int,
    names: Sequence[str | None],
    views: list[_Numbers],
    drawn: bool,
    last: Candidate | None,
) -> tuple[tuple[Candidate, ...], tuple[StageView, ...]]:
    """n candidates, and the `last` one, of columns with `room` for each; and the stages."""
    numbers = [
        np.frombuffer(rows, dtype=np.float64, count=n, offset=8 * room * column).tolist() for column in (1, 2, 3)
    ]
    cut_by = np.frombuffer(rows, dtype=np.int32, count=n, offset=32 * room).tolist()
    listed = candidates_of(
        n,
        np.frombuffer(rows, dtype=np.int64, count=n).tolist(),
        *numbers,
        range(1, n + 1),
        map(names.__getitem__, cut_by),  # -1 is the None at the end
    )
    stages = tuple(
        StageView(name=name, kept=kept, mass=mass, entropy=entropy, chosen=chosen if drawn else None)  # type: ignore[arg-type]  # only the last name is None
        for name, (kept, mass, entropy, chosen, _, _) in zip(names, views, strict=False)
    )
    return listed if last is None else (*listed, last), stages


# ---- what the library does not find by itself ----------------------------------------------------------------------


def _put(rule: _Rule, ids: _Ids, amounts: NDArray[np.float64] | None = None) -> tuple[Any, ...]:
    rule.count, rule.ids = ids.size, ids.ctypes.data
    rule.amounts = None if amounts is None else amounts.ctypes.data
    return ids, amounts


class _Breakers:
    """Of DRY: made for settings, and found once for a vocabulary."""

    def __init__(self) -> None:
        self._known: tuple[Vocabulary | None, NDArray[np.uint8]] | None = None

    def __call__(self, rule: _Rule, params: SamplingParams, context: Context, size: int) -> tuple[Any, ...]:
        if self._known is None or self._known[0] is not context.vocabulary:
            flags = penalties.breaker_flags(params, context)
            self._known = context.vocabulary, flags
            rule.count, rule.breakers = flags.size, flags.ctypes.data
        return ()


def _pull(rule: _Rule, params: SamplingParams, context: Context, size: int) -> tuple[Any, ...]:
    ids, rule.value = bias.end_pull(params, context, size)
    return _put(rule, ids)


def _biased(stage: str) -> Fill:
    return lambda rule, params, context, size: _put(rule, *bias.biases(stage, params, context, size))


def _banned(stage: str) -> Fill:
    def fill(rule: _Rule, params: SamplingParams, context: Context, size: int) -> tuple[Any, ...]:
        ids = bias.banned(stage, params, context, size)
        return _put(rule, ids, np.full(ids.size, -math.inf))

    return fill


# of stages whose ids are given to the library: what it does with them
_GIVEN = {
    "end_decay": "pull", "logit_bias": "add", "sequence_bias": "add", "allowed": "add", "bad_words": "add",
    "min_tokens": "add",
}  # fmt: skip
_FILLS: dict[str, Fill] = {
    "end_decay": _pull,
    **{name: _biased(name) for name in ("logit_bias", "sequence_bias")},
    **{name: _banned(name) for name in ("allowed", "bad_words", "min_tokens")},
}
