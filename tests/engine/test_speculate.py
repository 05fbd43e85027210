"""Speculation changes what a token costs, never the law it is drawn from; with matching not even the token."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toys import PROMPT, VOCAB, a_toy, drawn
from vectors import a_vector, chance, probs, seeds

from tinychat.engine.context import Context
from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.runner import Pass, Runner
from tinychat.engine.speculate import Speculation, accept_typical, look_up, verify
from tinychat.engine.stages import shape
from tinychat.engine.trace import Step
from tinychat.errors import UsageError

MODEL, DRAFT = a_toy(3, layers=3), a_toy(4, layers=1)
PLANS = {
    "lookup": Speculation(kind="lookup", length=4),
    "draft": Speculation(kind="draft", length=4),
    "exit": Speculation(kind="exit", length=3, layer=2),
}
GREEDY = SamplingParams(temperature=0.0)
WARM = SamplingParams(temperature=0.5, top_p=0.95, seed=4)


def an_engine(plan: Speculation | None = None, **options: Any) -> Engine:
    engine = Engine(MODEL, **{"draft": DRAFT, "amateur": DRAFT, "record": 8} | options)
    engine.set_context(PROMPT)
    engine.speculation = plan
    return engine


def record(step: Step) -> tuple[Any, ...]:
    """What must not depend on how the logits came about."""
    return (step.token, step.position, step.u, step.raw_rank, step.final_rank, step.odds.kept, step.forced)


def same_steps(a: Sequence[Step], b: Sequence[Step]) -> None:
    for one, other in zip(a, b, strict=True):
        assert record(one) == record(other)
        np.testing.assert_allclose(
            [one.low, one.high, one.raw, one.final, one.odds.entropy, one.surprisal],
            [other.low, other.high, other.raw, other.final, other.odds.entropy, other.surprisal], atol=1e-4,
        )  # fmt: skip


# ---- prompt lookup ---------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.integers(0, 3), min_size=1, max_size=30), length=st.integers(1, 6), ngram=st.integers(1, 5))
def test_lookup_takes_what_followed_the_longest_suffix_where_it_stood_last(
    ids: list[int], length: int, ngram: int
) -> None:
    found = look_up(ids, length, ngram)
    for size in range(min(ngram, len(ids) - 1), 0, -1):
        starts = [at for at in range(len(ids) - size) if ids[at : at + size] == ids[-size:]]
        if starts:
            follows = ids[starts[-1] + size :]
            while len(follows) < length:  # a loop is guessed whole
                follows += follows
            assert found == follows[:length]
            return
    assert found == []


def test_lookup_guesses_nothing_after_an_end() -> None:
    assert look_up([5, 6, 9, 7, 5, 6], 4, 3, end_ids={9}) == [9]


# ---- the same tokens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PLANS)
def test_greedy_is_the_same_stream_with_every_kind_of_draft(kind: str) -> None:
    plain, ahead = an_engine(), an_engine(PLANS[kind])
    for number in range(34):  # 102 prompts with the three kinds
        prompt = [(number * 7 + place * place) % VOCAB for place in range(3 + number % 5)]
        for engine in (plain, ahead):
            engine.set_context(prompt)
        assert drawn(ahead, 7, GREEDY) == drawn(plain, 7, GREEDY)
    assert ahead.accepted > 0


SETTINGS = {
    "warm": WARM,
    "penalties": WARM.with_(repetition_penalty=1.3, presence_penalty=0.2, dry_multiplier=0.5, no_repeat_ngram=4),
    "steered": WARM.with_(mirostat="v2", mirostat_tau=2.0, mirostat_eta=0.4),
    "coins": WARM.with_(xtc_probability=0.5, xtc_threshold=0.02),
    "guided": WARM.with_(guidance_scale=1.5, negative_ids=[9, 8]),
    "contrast": WARM.with_(contrastive="difference", dola="low"),
    "kl": WARM.with_(temperature_mode="kl"),
}


@pytest.mark.parametrize("kind", PLANS)
@pytest.mark.parametrize("name", SETTINGS)
def test_matching_draws_the_same_steps_with_every_setting(kind: str, name: str) -> None:
    plain, ahead = an_engine(), an_engine(PLANS[kind])
    steps = [ahead.step(SETTINGS[name]) for _ in range(25)]
    same_steps(steps, [plain.step(SETTINGS[name]) for _ in range(25)])
    fates = [step.drafted for step in steps]
    assert fates.count("accepted") == ahead.accepted
    assert ahead.facts()["accepted"] == ahead.accepted
    assert ahead.runner.forwards == plain.runner.forwards - ahead.accepted  # every guess that came true saved a pass


def test_a_turned_knob_acts_on_the_very_next_token() -> None:
    plain, ahead = an_engine(), an_engine(PLANS["draft"])
    for index in range(30):
        params = WARM.with_(temperature=0.2 + 0.05 * index, top_k=index % 7, guidance_scale=1.0 + index % 3)
        assert ahead.peek(params).kept == plain.peek(params).kept
        same_steps([ahead.step(params)], [plain.step(params)])


@pytest.mark.parametrize("kind", PLANS)
def test_rewinds_edits_forces_and_forks_in_the_midst_of_open_guesses(kind: str) -> None:
    plain, ahead = an_engine(lanes=2), an_engine(PLANS[kind], lanes=2)
    whole = drawn(ahead, 20, WARM)
    for engine in (plain, ahead):
        engine.set_context([*PROMPT, *whole[:11]], prompt_len=5)
        assert drawn(engine, 9, WARM) == whole[11:]
        engine.cut(8)
        engine.force(30, WARM)
        engine.append(31)
    assert drawn(ahead, 9, WARM) == drawn(plain, 9, WARM)
    ahead.fork(0, 1)
    plain.fork(0, 1)
    assert drawn(ahead, 9, WARM, lane=1) == drawn(plain, 9, WARM, lane=1)
    assert drawn(ahead, 9, WARM) == drawn(plain, 9, WARM)
    assert ahead.tokens(0) == plain.tokens(0)


def test_speculation_is_switched_at_any_time() -> None:
    plain, ahead = an_engine(), an_engine()
    for plan in (PLANS["draft"], None, PLANS["exit"], PLANS["lookup"], None):
        ahead.speculation = plan
        assert drawn(ahead, 7, WARM) == drawn(plain, 7, WARM)


@pytest.mark.parametrize("kind", PLANS)
def test_the_end_of_the_context_is_reached_and_not_passed(kind: str) -> None:
    plain, ahead = an_engine(context=14), an_engine(PLANS[kind], context=14)
    assert drawn(ahead, 9, WARM) == drawn(plain, 9, WARM)
    assert ahead.stop_reason() == "context"
    short = Engine(MODEL, draft=a_toy(4, layers=1, context=10))
    short.set_context(PROMPT)
    short.speculation = PLANS["draft"]
    plain.set_context(PROMPT)
    assert drawn(short, 9, WARM) == drawn(plain, 9, WARM)  # beyond the draft's context nothing is guessed


def test_lanes_look_ahead_together() -> None:
    plan = Speculation(kind="draft", length=3)
    lanes = Engine(MODEL, draft=MODEL, lanes=3)
    lanes.speculation = plan
    for lane in range(3):
        lanes.set_context([*PROMPT, lane], lane=lane)
    before = lanes.runner.forwards
    found = [[lanes.step(WARM, lane=lane).token for lane in range(3)] for _ in range(9)]
    assert lanes.runner.forwards == before + 2  # one token at first, then blocks of 1 + 3 for all
    for lane in range(3):
        single = Engine(MODEL)
        single.set_context([*PROMPT, lane])
        assert drawn(single, 9, WARM, draw_lane=lane) == [row[lane] for row in found]


# ---- how many guesses come true --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["match", "residual"])
@pytest.mark.parametrize("params", [GREEDY, WARM, SamplingParams(temperature=1.5, seed=9)])
def test_a_draft_that_is_the_model_is_always_right(rule: Any, params: SamplingParams) -> None:
    engine = Engine(MODEL, draft=MODEL)
    engine.set_context(PROMPT)
    engine.speculation = Speculation(kind="draft", length=4, verify=rule)
    before = engine.runner.forwards
    steps = [engine.step(params) for _ in range(21)]
    assert [step.drafted for step in steps] == [None, *([*["accepted"] * 4, None] * 4)]
    assert engine.runner.forwards == before + 4
    assert (engine.facts()["drafted"], engine.accepted) == (16, 16)


class Markov(Runner):
    """A network whose odds depend on the last token alone."""

    def __init__(self, plain: Runner, table: torch.Tensor) -> None:
        super().__init__(plain.model, lanes=plain.cache.lanes, length=plain.cache.length)
        self.table = table

    def feed(self, rows: Mapping[int, Sequence[int]]) -> dict[int, torch.Tensor]:
        return {row: each.logits[-1] for row, each in self.run(rows, every=True).items()}

    def run(self, rows: Mapping[int, Sequence[int]], **asked: Any) -> dict[int, Pass]:
        counts = [len(rows.get(lane, ())) for lane in range(self.cache.lanes)]
        self.cache.advance(self.cache.slots(max(counts), counts))
        self.forwards += 1
        return {row: Pass(self.table[list(ids)]) for row, ids in rows.items()}


def markov(target: torch.Tensor, draft: torch.Tensor, plan: Speculation) -> Engine:
    network = a_toy(vocab=len(target), layers=1)
    engine = Engine(network, draft=network, record=1, runner=lambda plain: Markov(plain, target))
    track = engine._passes._drafts[0]
    track.runner = Markov(track.runner, draft)
    engine.speculation = plan
    engine.set_context([0])
    return engine


@pytest.mark.parametrize("rule", ["match", "residual"])
def test_a_draft_of_other_tokens_is_never_right_and_does_no_harm(rule: Any) -> None:
    even, odd = torch.randn(8, 8), torch.randn(8, 8)
    even[:, ::2] += 2000
    odd[:, 1::2] += 2000
    engine = markov(even, odd, Speculation(kind="draft", length=3, verify=rule))
    steps = [engine.step(SamplingParams(seed=2)) for _ in range(20)]
    assert [step.drafted for step in steps] == [None, *["rejected"] * 19]
    assert all(step.token % 2 == 0 for step in steps)
    assert len({step.token for step in steps}) > 1
    assert engine.accepted == 0


# ---- the law of speculative sampling ---------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=seeds, size=st.integers(2, 40), cut=st.sampled_from([0.0, 0.4]), close=st.sampled_from([0.0, 1e-9, 1.0]))
def test_the_verdicts_law_is_the_wanted_one(seed: int, size: int, cut: float, close: float) -> None:
    wanted = a_vector(seed, size, cut=cut)
    p, q = probs(wanted), probs(a_vector(seed + 1, size, cut=cut)) if close == 1.0 else probs(wanted + close)
    law = np.zeros(size)
    for token in np.flatnonzero(q):
        yes = verify(p, q, int(token), accept=0.0, dart=0.5)
        bound = yes.high if yes.accepted else 0.0
        assert bound == pytest.approx(min(1.0, p[token] / q[token]))
        law[token] += q[token] * bound
        if bound < 1.0:
            shares, dart = np.zeros(size), 0.0  # walk over the unit interval: a slice is a token's share of the rest
            while dart < 1.0:
                no = verify(p, q, int(token), accept=bound, dart=dart)
                assert not no.accepted
                shares[no.token] = no.high - no.low
                dart = no.high
            law += q[token] * (1 - bound) * shares
    np.testing.assert_allclose(law, p, atol=1e-12)


def joint_law(table: torch.Tensor, params: SamplingParams, length: int) -> NDArray[np.float64]:
    """The probability of every reply of that length, in lexical order."""
    size, found = len(table), []
    for reply in itertools.product(range(size), repeat=length):
        chance = 1.0
        for place, token in enumerate(reply):
            history = [0, *reply[:place]]
            law = shape(table[history[-1]], params, Context(history, 1)).double().softmax(-1)
            chance *= float(law[token])
        found.append(chance)
    return np.array(found)


def test_blocks_of_tokens_follow_the_targets_joint_law() -> None:
    # only one token of each row is drafted too often: its dart would always give the same token of what is left
    rows = [torch.tensor([0.2, 0.3, 0.5]).log(), torch.tensor([0.5, 0.2, 0.3]).log()]
    target, draft = (torch.stack([row.roll(last) for last in range(3)]) for row in rows)
    params = SamplingParams(temperature=0.9, presence_penalty=0.3, penalty_scope="output")
    engine = markov(target, draft, Speculation(kind="draft", length=2, verify="residual"))
    counts = np.zeros(81, dtype=np.int64)
    fates = []
    for seed in range(800):
        engine.set_context([0])
        seeded = params.with_(seed=seed)
        steps = [engine.step(seeded) for _ in range(4)]  # the first, two guesses, and a bonus or not
        counts[np.ravel_multi_index([step.token for step in steps], (3,) * 4)] += 1
        fates += [step.drafted for step in steps]
        for step in steps:
            assert step.low <= step.u < step.high
    assert min(fates.count(fate) for fate in ("accepted", "rejected")) > 300
    assert chance(counts, joint_law(target, params, 4)) > 1e-6


def test_residual_is_deterministic_and_greedy_as_without() -> None:
    plan = Speculation(kind="draft", length=4, verify="residual")
    assert drawn(an_engine(plan), 30, WARM) == drawn(an_engine(plan), 30, WARM)
    assert drawn(an_engine(plan), 30, GREEDY) == drawn(an_engine(), 30, GREEDY)


# ---- typical acceptance ----------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(seed=seeds, size=st.integers(2, 40), spread=st.sampled_from([0.3, 2.0, 6.0]), dart=st.floats(0.0, 0.99))
def test_typical_acceptance_is_its_formula(seed: int, size: int, spread: float, dart: float) -> None:
    p = probs(a_vector(seed, size, spread, cut=0.3))
    entropy = -sum(share * np.log(share) for share in p if share)
    bound = min(0.09, 0.3 * np.exp(-entropy))
    for token in range(size):
        found = accept_typical(p, token, epsilon=0.09, delta=0.3, dart=dart)
        if abs(p[token] - bound) > 1e-9:
            assert (found is not None) == (p[token] > bound)
        if found is not None:
            assert found.high - found.low == pytest.approx(p[token])


def test_typical_keeps_more_guesses_says_so_and_is_greedy_where_that_is_asked() -> None:
    exact = an_engine(PLANS["draft"])
    loose = an_engine(Speculation(kind="draft", length=4, verify="typical", epsilon=0.01))
    hot = SamplingParams(seed=4)
    drawn(exact, 40, hot)
    steps = [loose.step(hot) for _ in range(40)]
    assert loose.accepted > exact.accepted
    assert any(step.drafted == "accepted" and not step.low <= step.u < step.high for step in steps)
    assert not any(step.forced for step in steps)
    for engine in (exact, loose):
        engine.set_context(PROMPT)
    assert drawn(loose, 20, GREEDY) == drawn(exact, 20, GREEDY)


# ---- what cannot be --------------------------------------------------------------------------------------------------


def test_plans_that_cannot_work_are_refused() -> None:
    engine = Engine(MODEL)
    with pytest.raises(UsageError, match="--draft"):
        engine.speculation = PLANS["draft"]
    with pytest.raises(UsageError, match="3 layers"):
        engine.speculation = Speculation(kind="exit", layer=3)
    with pytest.raises(UsageError, match="1 layers"):
        Engine(DRAFT).speculation = Speculation(kind="exit")
    assert engine.speculation is None


@pytest.mark.parametrize(
    "values",
    [{"kind": "medusa"}, {"verify": "hope"}, {"epsilon": 1.5}, {"delta": "x"}, {"length": 0}, {"length": 2.5},
     {"ngram": 0}, {"layer": -1}, {"kind": "lookup", "verify": "residual"}],
)  # fmt: skip
def test_a_plan_checks_itself(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(values)[-1]):
        Speculation(**values)
