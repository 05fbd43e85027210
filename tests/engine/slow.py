"""The specification in plain numbers: every stage as a walk over {token: logit}, by its definition and nothing else.

Slow on purpose. It refuses, with TooClose, what only the last bit of a sum decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from tinychat.engine.context import Context
from tinychat.engine.params import SamplingParams

Left = dict[int, float]


class TooClose(Exception):
    """A threshold lies where the last bit of a sum decides."""


@dataclass(frozen=True)
class Place:
    """What a stage may look at."""

    params: SamplingParams
    history: list[int]
    prompt_len: int
    end_ids: tuple[int, ...]
    breakers: frozenset[int]
    dart: float

    @property
    def prompt(self) -> list[int]:
        return self.history[: self.prompt_len]

    @property
    def reach(self) -> list[int]:
        """What the penalties look at."""
        ids = self.history if self.params.penalty_scope == "all" else self.history[self.prompt_len :]
        return ids[-self.params.penalty_window :] if self.params.penalty_window else ids


def slow_walk(logits: Tensor, params: SamplingParams, context: Context) -> Left:
    """{token: logit} of what is left at the end, stage after stage."""
    left = {token: float(value) for token, value in enumerate(logits.tolist()) if value > -math.inf}
    breakers: frozenset[int] = frozenset()
    if context.vocabulary is not None:
        breakers = breakers.union(*(context.vocabulary.containing(text) for text in params.dry_breakers))
    place = Place(
        params=params,
        history=[int(token) for token in context.history],
        prompt_len=context.prompt_len,
        end_ids=() if context.vocabulary is None else context.vocabulary.end_ids,
        breakers=breakers,
        dart=context.dart(params, 1),
    )
    for stage in params.stages:
        if params.is_on(stage) and left:
            left = STAGES[stage](left, place)
    return left


def softmax(left: Left) -> Left:
    top = max(left.values())
    total = math.fsum(math.exp(value - top) for value in left.values())
    return {token: math.exp(value - top) / total for token, value in left.items()}


def _far(distances: ArrayLike) -> None:
    found = np.asarray(distances)
    if found.size and np.abs(found).min() < 1e-5:
        raise TooClose


def _falling(left: Left) -> list[int]:
    _far(np.diff(sorted(left.values())))
    return sorted(left, key=lambda token: (-left[token], token))


def _entropy(p: Left) -> float:
    return -math.fsum(value * math.log(value) for value in p.values())


def _at_least(left: Left, floor: float) -> Left:
    """The tokens of at least a probability, or else the likeliest."""
    p = softmax(left)
    _far([math.log(value / floor) for value in p.values()])
    return {t: v for t, v in left.items() if p[t] >= floor} or {_falling(left)[0]: max(left.values())}


# ---- constraints and biases -----------------------------------------------------------------------------------------


def _follows(history: list[int], phrase: tuple[int, ...]) -> bool:
    return history[len(history) - (len(phrase) - 1) :] == list(phrase[:-1]) if len(phrase) > 1 else True


def _without(left: Left, banned: set[int]) -> Left:
    return {t: v for t, v in left.items() if t not in banned}


def _allowed(left: Left, at: Place) -> Left:
    kept = set(at.params.allowed_ids) or set(left)
    return {t: v for t, v in _without(left, set(at.params.banned_ids)).items() if t in kept}


def _bad_words(left: Left, at: Place) -> Left:
    return _without(left, {tuple(word)[-1] for word in at.params.bad_words if _follows(at.history, tuple(word))})


def _min_tokens(left: Left, at: Place) -> Left:
    early = len(at.history) - at.prompt_len < at.params.min_tokens
    return _without(left, set(at.end_ids)) if early else left


def _ngram(left: Left, history: list[int], text: list[int], n: int) -> Left:
    grams = {tuple(text[i : i + n]) for i in range(len(text) - n + 1)}
    end = tuple(history[len(history) - n + 1 :])
    return {t: v for t, v in left.items() if (*end, t) not in grams}


def _logit_bias(left: Left, at: Place) -> Left:
    biased = {t: v + dict(at.params.bias).get(t, 0.0) for t, v in left.items()}
    return {t: v for t, v in biased.items() if v > -math.inf}


def _sequence_bias(left: Left, at: Place) -> Left:
    for ids, bias in at.params.sequence_bias:
        phrase = tuple(ids)
        if phrase[-1] in left and _follows(at.history, phrase):
            left = left | {phrase[-1]: left[phrase[-1]] + bias}
    return left


def _end_decay(left: Left, at: Place) -> Left:
    past = max(0, len(at.history) - at.prompt_len - at.params.end_decay_start)
    pull = at.params.end_decay**past - 1
    return {t: v + abs(v) * pull if t in at.end_ids else v for t, v in left.items()}


# ---- penalties ------------------------------------------------------------------------------------------------------


def _by_sign(left: Left, seen: list[int], theta: float) -> Left:
    return {t: (v / theta if v > 0 else v * theta) if t in seen else v for t, v in left.items()}


def _frequency(left: Left, at: Place) -> Left:
    return {t: v - at.reach.count(t) * at.params.frequency_penalty for t, v in left.items()}


def _presence(left: Left, at: Place) -> Left:
    return {t: v - (t in at.reach) * at.params.presence_penalty for t, v in left.items()}


def longest_repeats(history: list[int], breakers: frozenset[int]) -> dict[int, int]:
    """m(v) for every v: the longest end of the history, without breakers, that v once followed."""
    found: dict[int, int] = {}
    for length in range(1, len(history)):
        end = history[len(history) - length :]
        if breakers & set(end):
            break
        for start in range(len(history) - length):
            if history[start : start + length] == end:
                found[history[start + length]] = length
    return {token: length for token, length in found.items() if token not in breakers}


def _dry(left: Left, at: Place) -> Left:
    params = at.params
    lengths = longest_repeats(at.history[-params.dry_window :] if params.dry_window else at.history, at.breakers)
    over = {t: m - params.dry_allowed_length for t, m in lengths.items() if m >= params.dry_allowed_length}
    return {t: v - params.dry_multiplier * params.dry_base ** over[t] if t in over else v for t, v in left.items()}


# ---- temperature and truncations ------------------------------------------------------------------------------------


def _temperature(left: Left, at: Place) -> Left:
    return {t: v / at.params.temperature for t, v in left.items()}


def _quadratic(left: Left, at: Place) -> Left:
    factor, curve, top = at.params.smoothing_factor, at.params.smoothing_curve, max(left.values())
    k, s = (3 - curve) / 2, (curve - 1) / 2
    return {t: top - k * factor * (v - top) ** 2 + s * factor * (v - top) ** 3 for t, v in left.items()}


def _sigma(left: Left, at: Place) -> Left:
    floor = max(left.values()) - at.params.top_n_sigma * float(np.std(list(left.values())))
    _far(np.array(list(left.values())) - floor)
    return {t: v for t, v in left.items() if v >= floor}


def _top_k(left: Left, at: Place) -> Left:
    return {t: left[t] for t in _falling(left)[: at.params.top_k]}


def _prefix(left: Left, order: list[int], goal: float) -> Left:
    """The smallest prefix of the ordered tokens whose mass reaches the goal."""
    p = softmax(left)
    kept, mass = {}, 0.0
    for token in order:
        kept[token] = left[token]
        mass += p[token]
        _far([mass - goal])
        if mass >= goal:
            break
    return kept


def _typical(left: Left, at: Place) -> Left:
    p = softmax(left)
    entropy = _entropy(p)
    distance = {token: abs(-math.log(value) - entropy) for token, value in p.items()}
    _far(np.diff(sorted(distance.values())))
    return _prefix(left, sorted(left, key=lambda token: distance[token]), at.params.typical_p)


def _eta(left: Left, at: Place) -> Left:
    x = at.params.eta_cutoff
    return _at_least(left, min(x, math.sqrt(x) * math.exp(-_entropy(softmax(left)))))


def _tfs(left: Left, at: Place) -> Left:
    order = _falling(left)
    p = [softmax(left)[token] for token in order]
    bends = [abs(p[i] - 2 * p[i + 1] + p[i + 2]) for i in range(len(p) - 2)]
    if not sum(bends):
        return left
    kept, running = {order[0]: left[order[0]]}, 0.0
    for token, bend in zip(order[1:], bends, strict=False):
        running += bend / math.fsum(bends)
        _far([running - at.params.tfs_z])
        if running > at.params.tfs_z:
            break
        kept[token] = left[token]
    return kept


def _top_h(left: Left, at: Place) -> Left:
    p = softmax(left)
    limit = at.params.top_h * _entropy(p)
    kept, running = {}, 0.0
    for token in _falling(left):
        running -= p[token] * math.log(p[token])
        _far([running - limit])
        if kept and running > limit:
            break
        kept[token] = left[token]
    return kept


def _xtc(left: Left, at: Place) -> Left:
    if at.dart >= at.params.xtc_probability:
        return left
    p = softmax(left)
    _far([math.log(value / at.params.xtc_threshold) for value in p.values()])
    top = [token for token in _falling(left) if p[token] >= at.params.xtc_threshold]
    return _without(left, set(top[:-1]))


STAGES: dict[str, Callable[[Left, Place], Left]] = {
    "allowed": _allowed,
    "bad_words": _bad_words,
    "min_tokens": _min_tokens,
    "no_repeat_ngram": lambda left, at: _ngram(left, at.history, at.history, at.params.no_repeat_ngram),
    "encoder_no_repeat_ngram": lambda left, at: _ngram(left, at.history, at.prompt, at.params.encoder_no_repeat_ngram),
    "logit_bias": _logit_bias,
    "sequence_bias": _sequence_bias,
    "repetition": lambda left, at: _by_sign(left, at.reach, at.params.repetition_penalty),
    "encoder_repetition": lambda left, at: _by_sign(left, at.prompt, 1 / at.params.encoder_repetition_penalty),
    "frequency": _frequency,
    "presence": _presence,
    "dry": _dry,
    "end_decay": _end_decay,
    "top_n_sigma": _sigma,
    "temperature": _temperature,
    "quadratic": _quadratic,
    "top_k": _top_k,
    "typical": _typical,
    "top_p": lambda left, at: _prefix(left, _falling(left), at.params.top_p),
    "min_p": lambda left, at: _at_least(left, at.params.min_p * max(softmax(left).values())),
    "epsilon": lambda left, at: _at_least(left, at.params.epsilon_cutoff),
    "eta": _eta,
    "tfs": _tfs,
    "top_a": lambda left, at: _at_least(left, at.params.top_a * max(softmax(left).values()) ** 2),
    "top_h": _top_h,
    "xtc": _xtc,
}
