"""Guesses from a model, and what becomes of a guess.

A draft is drawn token after token from the odds of a cheaper pass, under the settings of the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from tinychat.engine import draw
from tinychat.engine.context import STREAM_ACCEPT, STREAM_DRAFT, Context
from tinychat.engine.observe import Observation
from tinychat.engine.params import SamplingParams
from tinychat.engine.speculate import Guess, Speculation, Verdict, accept_typical, verify
from tinychat.engine.stages import shape
from tinychat.engine.tracks import CHUNK, Track

TOKEN_STREAM = 0  # of draw.uniform: the token's own dart


def from_model(
    track: Track, plan: Speculation, count: int, params: SamplingParams, context: Context, end_ids: Collection[int]
) -> list[Guess]:
    """At most `count` guesses of a draft model, of what follows the context's history; `track` is its own."""
    ids = [int(token) for token in context.history]
    if len(ids) >= track.runner.cache.length:
        return []
    track.hold(ids)
    while len(ids) - track.held > CHUNK:
        track.runner.feed({track.row: ids[track.held : track.held + CHUNK]})

    def more(tokens: list[int]) -> Tensor:
        return track.runner.feed({track.row: tokens})[track.row]

    count = min(count, track.runner.cache.length - len(ids))
    guesses = _drawn(more, ids[track.held :], plan, count, params, context, end_ids)
    track.tokens = [*ids, *(guess.token for guess in guesses)]  # what is cached of it is kept if it proves right
    return guesses


def from_layers(
    track: Track, layers: int, plan: Speculation, count: int, params: SamplingParams, context: Context,
    end_ids: Collection[int],
) -> list[Guess]:  # fmt: skip
    """Guesses of the first `layers` blocks of the lane's own model, whose `track` owes its last token.

    Self-speculation (Elhoushi et al. 2024, arXiv 2404.16710): right as often as the model was trained to exit early.
    The whole pass computes these blocks once more.
    """
    held = track.runner.held(track.row)

    def more(tokens: list[int]) -> Tensor:
        return track.runner.run({track.row: tokens}, layers=layers)[track.row].logits

    try:
        return _drawn(more, track.tokens[-1:], plan, count, params, context, end_ids)
    finally:
        track.runner.cache.cut(track.row, held)


def judge(guess: Guess, plan: Speculation, seen: Observation, params: SamplingParams, dice: int) -> Verdict | None:
    """The verdict on a guess of the position that was seen; None: draw as ever, it may still come."""
    place = seen.odds.position
    dart = draw.uniform(params.seed, place, dice)
    if plan.verify == "typical":
        return accept_typical(seen.final, guess.token, epsilon=plan.epsilon, delta=plan.delta, dart=dart)
    if plan.verify == "match" or guess.odds is None:
        return None
    accept = draw.uniform(params.seed, place, dice, STREAM_ACCEPT)
    return verify(seen.final, guess.odds, guess.token, accept=accept, dart=dart)


def _drawn(
    more: Callable[[list[int]], Tensor], ids: list[int], plan: Speculation, count: int, params: SamplingParams,
    context: Context, end_ids: Collection[int],
) -> list[Guess]:  # fmt: skip
    """Guess after guess; `more` takes tokens in and gives the logits (V,) of what follows them."""
    settings = _alone(params)
    # matched tokens are thrown with the position's dart: then so is the draft, and like odds give like tokens
    stream = STREAM_DRAFT if plan.verify == "residual" else TOKEN_STREAM
    history = [int(token) for token in context.history]
    guesses: list[Guess] = []
    while len(guesses) < count:
        logits = more(ids)
        shaped = shape(logits, settings, replace(context, history=history)) if bool(logits.isfinite().all()) else None
        if shaped is None or not bool(torch.isfinite(shaped).any()):
            break  # numbers that broke, or no legal token: the model itself has the last word
        odds = shaped.double().softmax(-1).numpy()
        token = draw.pick(odds, draw.uniform(params.seed, len(history), context.lane, stream)).token
        guesses.append(Guess(token, odds))
        history.append(token)
        ids = [token]
        if token in end_ids:
            break
    return guesses


@lru_cache(maxsize=4)
def _alone(params: SamplingParams) -> SamplingParams:
    """The settings without what needs other passes or a grammar: a draft may be wrong, but must be cheap."""
    kl = params.temperature_mode == "kl"
    if not kl and not any(params.is_on(stage) for stage in ("guidance", "contrastive", "dola", "grammar")):
        return params
    mode = "fixed" if kl else params.temperature_mode
    return params.with_(
        guidance_scale=1.0, contrastive="off", dola="off", regex="", json_schema="", temperature_mode=mode
    )
