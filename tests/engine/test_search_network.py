"""Searches on a real transformer: lanes in one batch find what one hypothesis at a time finds without a cache."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tables import END, Table, TableEngine, done_of

from tinychat.engine.context import Context, Sides
from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.passes import ContextFull
from tinychat.engine.search import search
from tinychat.engine.search_params import SearchParams, scoring, search_notes
from tinychat.engine.search_tree import Done, Grown, tree_of
from tinychat.engine.stages import shape
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer
from tinychat.model.vocabulary import Vocabulary

VOCAB, ENDS = 40, 7
PROMPT = [1, 2, 3, 4, 5]
NEUTRAL = SamplingParams()
WORDS = Vocabulary(tuple(b"" if token == ENDS else bytes([97 + token % 26]) for token in range(VOCAB)), (ENDS,))


@functools.cache
def network() -> Transformer:
    model = Transformer(ModelConfig(vocab_size=VOCAB, context=64, width=32, layers=2, heads=4, kv_heads=2))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # wide weights everywhere: odds that depend on every token before
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.2, generator=generator)
    return model.eval()


def an_engine() -> Engine:
    engine = Engine(network(), end_ids=[ENDS], vocabulary=WORDS, record=3)
    engine.set_context(PROMPT)
    return engine


def slow_log_probs(ids: Sequence[int], params: SamplingParams = NEUTRAL) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The whole text through the model, no cache, no batch; then the settings."""
    with torch.no_grad():
        raw = network()(torch.tensor([list(ids)]))[0, -1]
        without = None
        if params.negative_ids:
            without = network()(torch.tensor([[*params.negative_ids, *ids[len(PROMPT) :]]]))[0, -1]
    sides = Sides(without=without)
    context = Context(history=list(ids), prompt_len=len(PROMPT), vocabulary=WORDS, sides=sides)
    shaped = shape(raw, params, context).double()
    return shaped.log_softmax(-1).numpy()


def slow_beam(width: int, length: int, params: SamplingParams = NEUTRAL) -> dict[tuple[int, ...], float]:
    """All that ended, in variant ours, run to the end."""
    live: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    ended: dict[tuple[int, ...], float] = {}
    while live:
        grown = [
            (total + float(value), -token, -place, (*ids, token))
            for place, (ids, total) in enumerate(live)
            for token, value in enumerate(slow_log_probs([*PROMPT, *ids], params))
            if value > -np.inf
        ]
        best = sorted(grown, reverse=True)[:width]
        live = []
        for total, _, _, ids in best:
            if ids[-1] == ENDS or len(ids) == length:
                ended[ids] = total
            else:
                live.append((ids, total))
    return ended


SETTINGS = {
    "neutral": NEUTRAL,
    "penalties": SamplingParams(repetition_penalty=1.5, frequency_penalty=0.3, penalty_scope="output"),
    "constraints": SamplingParams(no_repeat_ngram=1, banned_ids=(3, 4), min_tokens=4, logit_bias={9: 1.0, 8: -2.0}),
    "guidance": SamplingParams(guidance_scale=1.7, negative_ids=(11, 12, 13)),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_beams_in_one_batch_are_beams_one_by_one(name: str) -> None:
    params = SETTINGS[name]
    spec = SearchParams(width=4, max_tokens=8, stop_rule="never")
    done = done_of(an_engine(), spec, params)
    assert {each.ids: each.logprob for each in done.hypotheses} == pytest.approx(slow_beam(4, 8, params), abs=1e-4)


def test_settings_of_the_draw_change_no_score() -> None:
    spec = SearchParams(width=4, max_tokens=8)
    drawn = SamplingParams(temperature=0.3, top_k=2, min_p=0.2, top_n_sigma=0.5, mirostat="v2", seed=5)
    plain = done_of(an_engine(), spec)
    assert done_of(an_engine(), spec, drawn) == plain
    assert [plain.hypotheses[0].ids] == [max(slow_beam(4, 8).items(), key=lambda item: item[1])[0]]
    said = "; ".join(search_notes(drawn, spec))
    assert all(name in said for name in ("temperature", "top_k", "min_p", "top_n_sigma", "mirostat"))
    assert scoring(drawn.with_(presence_penalty=0.5)).presence_penalty == 0.5
    assert search_notes(drawn, SearchParams(method="best-of")) == []


def test_best_first_and_little_memory_agree_with_beams() -> None:
    beam = done_of(an_engine(), SearchParams(width=3, max_tokens=8)).hypotheses[0]
    for memory in (1, 3, 16):
        first = done_of(an_engine(), SearchParams(method="best-first", width=3, max_tokens=8, memory=memory))
        assert first.hypotheses[0].ids == beam.ids
        assert first.hypotheses[0].logprob == pytest.approx(beam.logprob, abs=1e-4)


def test_beams_share_their_passes() -> None:
    done = done_of(an_engine(), SearchParams(width=6, max_tokens=10, stop_rule="never"))
    assert done.calls > 30
    assert done.passes <= 12  # the prompt's two and one for each further place


def test_a_grammar_holds_in_every_hypothesis() -> None:
    pattern = "(ab|c)[d-f]{1,3}z"
    done = done_of(an_engine(), SearchParams(width=5, max_tokens=8), SamplingParams(regex=pattern))
    complete = [each for each in done.hypotheses if each.reason == "end"]
    assert complete
    for each in complete:
        assert re.fullmatch(pattern, b"".join(WORDS.token_bytes[token] for token in each.ids).decode())


@pytest.mark.parametrize("method", ["beam", "best-first", "contrastive", "cot", "self-eval", "best-of"])
def test_a_grammar_that_is_met_ends_a_hypothesis_where_no_id_can(method: str) -> None:
    engine = Engine(network(), vocabulary=WORDS, record=3)
    engine.set_context(PROMPT)
    done = done_of(engine, SearchParams(method=method, max_tokens=8), SamplingParams(regex="(ab|c)[d-f]z"))
    assert {each.reason for each in done.hypotheses} == {"grammar"}
    for each in done.hypotheses:
        assert re.fullmatch("(ab|c)[d-f]z", b"".join(WORDS.token_bytes[token] for token in each.ids).decode())


# ---- contrastive search ----------------------------------------------------------------------------------------------


def slow_contrastive(width: int, alpha: float, length: int) -> list[int]:
    """From the formula: every candidate's whole text through the model, cosines one by one."""
    model, ids = network(), list(PROMPT)
    while len(ids) < len(PROMPT) + length and (len(ids) == len(PROMPT) or ids[-1] != ENDS):
        probs = np.exp(slow_log_probs(ids))
        scored = []
        for token in np.argsort(-probs, kind="stable")[:width].tolist():
            with torch.no_grad():
                hidden = model.norm(model.stream(torch.tensor([[*ids, token]])))[0]
            alike = max(float(torch.cosine_similarity(hidden[-1], row, dim=0)) for row in hidden[:-1])
            scored.append(((1 - alpha) * float(probs[token]) - alpha * alike, token))
        ids.append(max(scored, key=lambda each: each[0])[1])
    return ids[len(PROMPT) :]


@pytest.mark.parametrize(("width", "alpha"), [(4, 0.6), (2, 0.3), (6, 1.0)])
def test_contrastive_search_is_its_formula(width: int, alpha: float) -> None:
    spec = SearchParams(method="contrastive", width=width, contrast_alpha=alpha, max_tokens=12)
    done = done_of(an_engine(), spec)
    assert list(done.hypotheses[0].ids) == slow_contrastive(width, alpha, 12)


def test_contrastive_search_without_its_penalty_is_greedy_and_with_it_is_not() -> None:
    greedy = done_of(an_engine(), SearchParams(width=1, max_tokens=12)).hypotheses[0]
    off, on = (
        done_of(an_engine(), SearchParams(method="contrastive", contrast_alpha=alpha, max_tokens=12)).hypotheses[0]
        for alpha in (0.0, 0.6)
    )
    assert off.ids == greedy.ids
    assert on.ids != greedy.ids


def test_contrastive_candidates_share_one_pass() -> None:
    done = done_of(an_engine(), SearchParams(method="contrastive", width=5, max_tokens=10))
    assert done.passes == 2 + len(done.hypotheses[0].ids)


# ---- where it begins and ends ----------------------------------------------------------------------------------------


def test_a_search_leaves_the_engine_as_it_is_and_starts_from_what_it_holds() -> None:
    engine = an_engine()
    drawn = [engine.step(SamplingParams(seed=3)).token for _ in range(6)]
    forwards, before = engine.runner.forwards, engine.tokens()
    events = list(search(engine, NEUTRAL, SearchParams(width=3, max_tokens=4)))
    assert (engine.tokens(), engine.runner.forwards) == (before, forwards)
    first = next(event.node for event in events if isinstance(event, Grown))
    assert first.step.position == len(PROMPT) + len(drawn)
    assert engine.prompt_length() == len(PROMPT)


def test_every_node_holds_the_full_record_of_its_choice() -> None:
    events = list(search(an_engine(), NEUTRAL, SearchParams(width=3, max_tokens=5)))
    nodes, done = tree_of(events)
    assert done is not None
    for node in nodes.values():
        above = nodes[node.parent].logprob if node.parent else 0.0
        assert node.logprob == pytest.approx(above + np.log(node.step.final))
        assert len(node.step.odds.candidates) >= 3
        assert node.step.forced  # chosen, not drawn


def test_a_dead_end_competes_only_where_nothing_else_is_left() -> None:
    engine = TableEngine(Table(2))
    once = SamplingParams(no_repeat_ngram=1, banned_ids=(END,))
    done = done_of(engine, SearchParams(width=3, max_tokens=9), once)
    assert {(len(each.ids), each.reason) for each in done.hypotheses} == {(4, "no_legal_token")}
    mixed = done_of(engine, SearchParams(width=3, max_tokens=9), SamplingParams(no_repeat_ngram=1))
    assert {each.reason for each in mixed.hypotheses} == {"end"}
    nothing = done_of(engine, SearchParams(max_tokens=3), SamplingParams(banned_ids=(0, 1, 2, 3, 4, END)))
    assert (nothing.hypotheses, nothing.best) == ((), None)


def test_a_full_context_has_no_room_for_a_search() -> None:
    engine = Engine(network(), context=8)
    engine.set_context([1] * 8)
    with pytest.raises(ContextFull, match="8 tokens"):
        next(search(engine, NEUTRAL, SearchParams()))


def test_a_negative_prompt_longer_than_the_prompt_fits() -> None:
    params = SamplingParams(guidance_scale=1.5, negative_ids=tuple(range(8, 28)))
    assert isinstance(done_of(an_engine(), SearchParams(width=2, max_tokens=3), params), Done)
