"""The choice by the C++ library against observe and decide: whole records, equal to the last bit."""

from __future__ import annotations

import ctypes
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from twin import variant
from vectors import a_context

from tinychat.engine import native_build
from tinychat.engine.context import Context
from tinychat.engine.engine import Engine, NoLegalToken
from tinychat.engine.native_choice import Chooser, declare
from tinychat.engine.observe import decide, observe
from tinychat.engine.params import STAGE_NAMES, SamplingParams
from tinychat.engine.presets import PRESETS
from tinychat.engine.trace import Odds, Step

INF = math.inf
ORDERS = ("default", "hf", "llama.cpp", "vllm")
KNOBS: dict[str, tuple[Any, ...]] = {
    "temperature": (0.0, 1e-6, 0.3, 0.8, 1.5), "top_k": (1, 2, 40, 300, 2000), "top_p": (0.0, 0.1, 0.5, 0.95, 0.999),
    "min_p": (0.01, 0.5, 1.0), "top_n_sigma": (0.5, 1.0, 3.0), "typical_p": (0.0, 0.2, 0.98),
    "epsilon_cutoff": (1e-5, 0.1), "eta_cutoff": (1e-4, 1e-2), "top_a": (0.01, 0.5), "tfs_z": (0.0, 0.5, 0.99),
    "top_h": (0.0, 0.3, 0.9), "xtc_probability": (0.5, 1.0), "xtc_threshold": (0.0, 0.05, 0.2),
    "repetition_penalty": (0.8, 1.1, 2.0), "encoder_repetition_penalty": (1.3,), "frequency_penalty": (-0.7, 0.3),
    "presence_penalty": (-1.1, 0.2), "penalty_window": (3,), "penalty_scope": ("output",),
    "dry_multiplier": (0.8, 90.0), "dry_base": (1.0, 100.0), "dry_allowed_length": (1, 4), "dry_window": (1, 20),
    "dry_breakers": (["b"],), "no_repeat_ngram": (1, 2, 3), "encoder_no_repeat_ngram": (2,),
    "logit_bias": ({0: 2.0}, {0: -INF}, {0: 100.0}), "banned_ids": ([0],),
    "sequence_bias": ({(0,): 3.0},), "bad_words": ([[0, 0]],), "min_tokens": (9,), "end_decay": (1.2,),
}  # fmt: skip
KNOWN = SamplingParams(
    temperature=0.8, top_k=900, top_p=0.99, min_p=1e-4, typical_p=0.99, repetition_penalty=1.2, frequency_penalty=0.2,
    presence_penalty=0.3, encoder_repetition_penalty=1.1, dry_multiplier=0.8, dry_breakers=(), no_repeat_ngram=2,
    encoder_no_repeat_ngram=2, top_n_sigma=6.0, epsilon_cutoff=1e-6, eta_cutoff=1e-6, tfs_z=0.999, top_a=1e-3,
    top_h=0.99, xtc_probability=1.0, logit_bias={5: 9.0, 6: -INF}, banned_ids=[7], min_tokens=9, end_decay=1.1,
    sequence_bias={(4,): 1.0}, bad_words=[[8]],
)  # fmt: skip


@pytest.fixture(scope="module")
def library(libraries: Path) -> ctypes.CDLL:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(libraries))
        path = native_build.find("float", "float")
    found = ctypes.CDLL(str(path))
    declare(found)
    return found


def a_row(rng: np.random.Generator, size: int) -> Tensor:
    """Smooth, tied, cut, flat, sorted either way, or with huge numbers; something is left."""
    row = rng.normal(size=size) * rng.choice([0.1, 1.0, 3.0, 10.0, 60.0])
    kind = rng.integers(7)
    if kind == 1:
        row = np.round(row)
    elif kind == 2:
        row[rng.random(size) < rng.random()] = -INF
    elif kind == 3:
        row[:] = row[0]
    elif kind == 4:
        row.sort()
    elif kind == 5:
        row = np.sort(row)[::-1].copy()
        row[rng.random(size) < 0.05] = -INF
    elif kind == 6:
        row = rng.integers(-1, 2, size) * rng.choice([1e-3, 1.0, 700.0, 1e37, 3.4e38])
    row[rng.integers(size)] = max(float(row[0]), 0.0)
    return torch.from_numpy(row.astype(np.float32))


def some_settings(rng: np.random.Generator) -> SamplingParams:
    share = rng.choice([0.1, 0.3, 0.7])
    values = {name: each[rng.integers(len(each))] for name, each in KNOBS.items() if rng.random() < share}
    values = {"dry_breakers": (), **values}
    return SamplingParams(**values, order=str(rng.choice(ORDERS)), seed=int(rng.integers(1 << 40)))


def both(
    library: ctypes.CDLL, row: Tensor, params: SamplingParams, context: Context, n: int
) -> tuple[tuple[Step, Odds] | None, tuple[Step, Odds] | None]:
    """The library's record and the slow one; None for who says that it has none."""
    chooser = Chooser(n)
    odds = chooser.look(library, row, params, context)
    step = chooser.step(library, row, params, context, started=0.0)
    seen = observe(row, params, context, n=n)
    want = decide(seen, params, lane=context.lane, time_s=0.0), seen.odds
    return None if step is None or odds is None else (replace(step, time_s=0.0), odds), want


@pytest.mark.parametrize("seed", range(6))
def test_records_are_equal_to_the_last_bit_for_any_settings(library: ctypes.CDLL, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left = 0
    for _ in range(70):
        size = int(rng.choice([1, 2, 3, 17, 255, 256, 257, 400, 1536, 5461, 5462, 9000]))
        row, params = a_row(rng, size), some_settings(rng)
        history = rng.integers(0, min(size, 30), rng.integers(0, 40)).tolist()
        place = a_context(size, history, prompt_len=5)
        context = replace(place, lane=int(rng.integers(3)))
        seen = observe(row, params, context, n=0)
        if seen.odds.kept == 0:
            assert Chooser(64).step(library, row, params, context, started=0.0) is None
            continue
        found, wanted = both(library, row, params, context, int(rng.choice([0, 1, 20, 64])))
        assert found == wanted
        left += 1
    assert left > 30


@pytest.mark.parametrize("size", [32_000, 128_256])
@pytest.mark.parametrize("order", ORDERS)
def test_large_vocabularies_and_every_stage_it_knows(library: ctypes.CDLL, size: int, order: str) -> None:
    rng = np.random.default_rng(size)
    context = a_context(size, tuple(range(40)) * 3, prompt_len=60)
    for scale in (0.5, 3.0):
        row = torch.from_numpy((rng.normal(size=size) * scale).astype(np.float32))
        for params in (SamplingParams(), SamplingParams(top_p=0.9), SamplingParams(typical_p=0.9), KNOWN):
            found, wanted = both(library, row, params.with_(order=order), context, 64)
            assert found == wanted


def test_a_text_that_grows_is_cut_and_begins_anew_is_read_as_it_is(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(8)
    params = KNOWN.with_(penalty_window=50, dry_breakers=["b"], dry_allowed_length=1)
    row = torch.from_numpy(rng.normal(size=300).astype(np.float32))
    chooser, text = Chooser(20), [1, 2, 3]
    for kind in rng.choice(["one", "one", "one", "many", "back", "change", "anew"], 100):
        if kind == "one":
            text.append(int(rng.integers(12)))
        elif kind == "many":
            text += rng.integers(0, 12, 120).tolist()
        elif kind == "back":
            del text[1 + int(rng.integers(len(text))) :]
        elif kind == "change":
            text[int(rng.integers(len(text)))] = int(rng.integers(12))
        else:
            text = rng.integers(0, 12, 9).tolist()
        context = a_context(300, text, prompt_len=1)
        found = chooser.step(library, row, params, context, started=0.0)
        assert found is not None
        assert replace(found, time_s=0.0) == decide(observe(row, params, context, n=20), params, time_s=0.0)


def test_darts_at_the_very_end_find_their_token(library: ctypes.CDLL) -> None:
    row = torch.from_numpy(np.random.default_rng(3).normal(size=700).astype(np.float32))
    ranks = set()
    for seed in range(300):
        found, wanted = both(library, row, SamplingParams(seed=seed), Context((1, 2), 1), 4)
        assert found == wanted
        assert wanted is not None
        ranks.add(wanted[0].final_rank > 256)
    assert ranks == {True, False}


def test_what_it_does_not_know_is_left_to_others(library: ctypes.CDLL) -> None:
    row = torch.zeros(9)
    known = set(KNOWN.active) | {"temperature"}
    for params in (
        SamplingParams(mirostat="v2"),
        SamplingParams(allowed_ids=[1]),
        SamplingParams(smoothing_factor=0.2),
    ):
        assert Chooser(4).look(library, row, params, Context((1,), 1)) is None
        assert known.isdisjoint(params.active) or params.allowed_ids
    assert Chooser(4).look(library, row, SamplingParams(temperature_mode="dynamic", temperature=0.8), Context()) is None
    assert Chooser(4).look(None, row, SamplingParams(), Context()) is None
    assert known <= set(STAGE_NAMES)


@pytest.mark.parametrize("broken", [math.nan, INF])
def test_broken_numbers_are_left_to_others(library: ctypes.CDLL, broken: float) -> None:
    for place in (0, 40, 99):
        row = torch.zeros(100)
        row[place] = broken
        assert Chooser(4).step(library, row, SamplingParams(), Context(), started=0.0) is None
    assert Chooser(4).step(library, torch.full((100,), -INF), SamplingParams(), Context(), started=0.0) is None


@pytest.mark.parametrize("name", ["greedy", "story"])
def test_an_engine_draws_the_same_records_by_it_and_without(
    name: str, libraries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(libraries))
    params, steps = PRESETS[name].with_(seed=5), []
    for slow in (False, True):
        engine = Engine(variant(), step="native")
        if slow:
            monkeypatch.setattr(Chooser, "_run", lambda *_, **__: False)
        engine.set_context([1, 2, 3])
        peeked = engine.peek(params)
        steps.append([replace(engine.step(params), time_s=0.0) for _ in range(12)])
        assert peeked.stages[0].entropy == steps[-1][0].odds.entropy
    assert steps[0] == steps[1]


def test_an_engine_says_where_nothing_is_left(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(libraries))
    engine = Engine(variant(), step="native")
    engine.set_context([1])
    with pytest.raises(NoLegalToken, match="position 1"):
        engine.step(SamplingParams(banned_ids=list(range(engine.config.vocab_size))))
    assert engine.tokens() == [1]
