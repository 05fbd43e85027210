"""The engine's promises: prefixes are reused, rewinding replays, settings act at once, lanes are single engines."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
import torch

from tinychat.engine import runner
from tinychat.engine.engine import Engine, NoLegalToken
from tinychat.engine.params import SamplingParams
from tinychat.engine.passes import ContextFull
from tinychat.engine.trace import Odds, Step
from tinychat.engine.tracks import CHUNK
from tinychat.errors import NumbersError, UsageError
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

VOCAB = 64
PROMPT = [1, 2, 3, 4, 5]
WARM = SamplingParams(temperature=0.9, top_p=0.95, repetition_penalty=1.1, seed=7)


def a_model(context: int = 300) -> Transformer:
    torch.manual_seed(3)
    model = Transformer(ModelConfig(vocab_size=VOCAB, context=context, width=32, layers=2, heads=4, kv_heads=2))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # wide weights everywhere: odds that depend on every token before
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.2, generator=generator)
    return model.eval()


MODEL = a_model()


def an_engine(**options: object) -> Engine:
    return Engine(MODEL, **options)  # type: ignore[arg-type]


def drawn(engine: Engine, count: int, params: SamplingParams = WARM, **where: int) -> list[int]:
    return [engine.step(params, **where).token for _ in range(count)]


def logits_of(ids: Sequence[int]) -> torch.Tensor:
    """The slow, obvious twin: the whole text through the model, no cache."""
    with torch.no_grad():
        logits: torch.Tensor = MODEL(torch.tensor([list(ids)]))[0, -1]
    return logits


def raw_of(odds: Odds) -> list[tuple[int, float]]:
    return [(candidate.token, candidate.raw) for candidate in odds.candidates]


def same_choice(a: Step, b: Step) -> bool:
    """Equal in everything but the time it took."""
    return (a.odds, a.token, a.u, a.low, a.high, a.surprisal) == (b.odds, b.token, b.u, b.low, b.high, b.surprisal)


# ---- what it computes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, CHUNK, CHUNK + 1, CHUNK + 2, 2 * CHUNK + 5])
def test_odds_are_those_of_the_model_without_a_cache(length: int) -> None:
    ids = [(7 * i * i + i) % VOCAB for i in range(length)]
    engine = an_engine(record=VOCAB)
    assert engine.set_context(ids) == length
    odds = engine.peek(SamplingParams())
    expected = logits_of(ids)
    assert odds.position == length
    assert len(odds.candidates) == VOCAB
    for candidate in odds.candidates:
        assert candidate.logit == pytest.approx(float(expected[candidate.token]), abs=1e-4)


def test_a_long_run_follows_the_model_without_a_cache() -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    for _ in range(40):
        ids = engine.tokens()
        step = engine.step(SamplingParams(temperature=0.0))
        assert step.token == int(logits_of(ids).argmax())


def test_a_peek_costs_no_pass_and_a_step_one() -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    before = engine.runner.forwards
    for temperature in (0.0, 0.5, 1.0, 2.0):
        engine.peek(SamplingParams(temperature=temperature), token=9)
    drawn(engine, 1)
    assert engine.runner.forwards == before
    drawn(engine, 10)
    engine.peek(WARM)
    assert engine.runner.forwards == before + 11


def test_a_peek_after_a_step_is_about_the_next_position() -> None:
    engine = an_engine(record=VOCAB)
    engine.set_context(PROMPT)
    step = engine.step(WARM)
    odds = engine.peek(SamplingParams())
    assert (step.position, odds.position) == (5, 6)
    assert odds.candidates[0].token == int(logits_of([*PROMPT, step.token]).argmax())


def test_a_peek_shows_the_token_in_question_whatever_its_rank() -> None:
    engine = an_engine(record=3)
    engine.set_context(PROMPT)
    last = int(logits_of(PROMPT).argmin())
    odds = engine.peek(SamplingParams(), token=last)
    assert [candidate.rank for candidate in odds.candidates] == [1, 2, 3, VOCAB]
    assert odds.candidates[-1].token == last


# ---- rewinding, editing, branching -----------------------------------------------------------------------------------


def test_rewinding_and_replaying_gives_the_same_steps_to_the_bit() -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    first = [engine.step(WARM) for _ in range(50)]
    whole = engine.tokens()
    for length in (54, 31, 6, 5):
        engine.set_context(whole[:length], prompt_len=5)
        again = [engine.step(WARM) for _ in range(55 - length)]
        assert all(same_choice(a, b) for a, b in zip(first[length - 5 :], again, strict=True))
        assert engine.tokens() == whole


def test_only_what_is_new_is_computed() -> None:
    engine = an_engine()
    assert engine.set_context(PROMPT) == 5
    assert engine.set_context(PROMPT) == 0  # the odds are still there
    drawn(engine, 20)
    whole = engine.tokens()
    assert engine.set_context(whole[:12]) == 1  # cached, but its odds are gone: one token
    assert engine.set_context([*whole[:12], 60, 61]) == 2
    assert engine.set_context([*whole[:3], 60, 61]) == 2
    assert engine.set_context([60, 61]) == 2
    assert engine.set_context([60]) == 1


def test_an_edit_gives_what_a_fresh_engine_gives() -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    drawn(engine, 20)
    edited = [*engine.tokens()[:10], 44, 45, 46]
    engine.set_context(edited, prompt_len=5)
    fresh = an_engine()
    fresh.set_context(edited, prompt_len=5)
    assert drawn(engine, 30) == drawn(fresh, 30)


def test_settings_changed_between_steps_are_those_of_a_fresh_engine_fed_the_same_prefix() -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    for index in range(24):
        params = WARM.with_(temperature=0.3 + 0.1 * index, top_k=index, frequency_penalty=0.02 * index)
        prefix = engine.tokens()
        token = engine.step(params).token
        fresh = an_engine()
        fresh.set_context(prefix, prompt_len=5)
        assert fresh.step(params).token == token


def test_cut_keeps_the_beginning_and_the_prompt() -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    first = drawn(engine, 8)
    engine.cut(7)
    assert engine.tokens() == [*PROMPT, *first[:2]]
    assert drawn(engine, 6) == first[2:]
    with pytest.raises(ValueError, match="length"):
        engine.cut(0)


def test_a_forced_token_is_recorded_with_the_odds_it_had() -> None:
    engine = an_engine(record=3)
    engine.set_context(PROMPT)
    worst = int(logits_of(PROMPT).argmin())
    step = engine.force(worst, SamplingParams(top_k=2))
    assert (step.token, step.forced, step.raw_rank, step.final_rank, step.final) == (worst, True, VOCAB, 0, 0.0)
    assert step.odds.candidates[-1].cut_by == "top_k"
    assert engine.tokens() == [*PROMPT, worst]
    assert engine.peek(SamplingParams()).candidates[0].token == int(logits_of([*PROMPT, worst]).argmax())


def test_a_long_prompt_can_be_interrupted_and_taken_up_again() -> None:
    ids = [(5 * i) % VOCAB for i in range(290)]
    whole, parts = an_engine(), an_engine()
    whole.set_context(ids)
    calls = 0
    computed = parts.set_context(ids, interrupt=lambda: True)
    while not parts.is_computed():
        calls += 1
        assert parts.tokens() == ids
        computed += parts.set_context(ids, interrupt=lambda: True)
    assert calls >= 2
    assert computed == len(ids)
    assert parts.peek(WARM) == whole.peek(WARM)


def test_an_interrupted_prompt_is_paid_by_the_next_peek() -> None:
    ids = [(5 * i) % VOCAB for i in range(290)]
    engine = an_engine()
    engine.set_context(ids, interrupt=lambda: True)
    assert not engine.is_computed()
    assert engine.peek(SamplingParams()).candidates[0].token == int(logits_of(ids).argmax())


def test_the_prompt_is_told_from_the_output_for_penalties_of_the_output_alone() -> None:
    penalty = SamplingParams(presence_penalty=50.0, penalty_scope="output")
    engine = an_engine(record=VOCAB)
    engine.set_context(PROMPT, prompt_len=5)
    free = engine.peek(penalty)
    engine.set_context(PROMPT, prompt_len=2)
    bound = engine.peek(penalty)
    assert raw_of(free) == raw_of(bound)
    final = {candidate.token: candidate.final for candidate in bound.candidates}
    assert all(final[token] < 1e-12 for token in PROMPT[2:])
    assert sum(candidate.final for candidate in free.candidates if candidate.token in PROMPT[2:]) > 1e-6


# ---- lanes -----------------------------------------------------------------------------------------------------------


def test_lanes_are_like_single_engines() -> None:
    prompts = [PROMPT, [9, 8, 7], [20] * 12]
    lanes = an_engine(lanes=3)
    for lane, prompt in enumerate(prompts):
        lanes.set_context(prompt, lane=lane)
    together = [[lanes.step(WARM, lane=lane).token for lane in range(3)] for _ in range(30)]
    for lane, prompt in enumerate(prompts):
        single = an_engine()
        single.set_context(prompt)
        assert drawn(single, 30, draw_lane=lane) == [tokens[lane] for tokens in together]


def test_lanes_in_step_share_their_passes() -> None:
    lanes = an_engine(lanes=3)
    for lane in range(3):
        lanes.set_context(PROMPT, lane=lane)
    before = lanes.runner.forwards
    for _ in range(10):
        for lane in range(3):
            lanes.step(WARM, lane=lane)
    assert lanes.runner.forwards == before + 9  # the first odds were there


def test_a_fork_goes_on_like_its_source_without_a_pass() -> None:
    lanes = an_engine(lanes=2)
    lanes.set_context(PROMPT, lane=0)
    drawn(lanes, 10)
    lanes.peek(WARM)
    before = lanes.runner.forwards
    lanes.fork(0, 1)
    assert lanes.peek(WARM, lane=1) == lanes.peek(WARM, lane=0)
    assert lanes.runner.forwards == before
    ahead = drawn(lanes, 15, lane=1, draw_lane=0)  # the same darts
    assert lanes.runner.forwards == before + 14  # one a token: what came before is in the cache
    assert drawn(lanes, 15, lane=0) == ahead
    drawn(lanes, 5, SamplingParams(seed=99), lane=1)
    assert lanes.tokens(0)[:15] == lanes.tokens(1)[:15]


# ---- stopping and failing --------------------------------------------------------------------------------------------


def test_an_end_id_ends_and_may_be_passed() -> None:
    engine = an_engine(end_ids=[11])
    engine.set_context([11, 11])
    assert engine.stop_reason() is None  # given, not drawn
    engine.force(11, WARM)
    assert engine.stop_reason() == "end"
    engine.step(WARM.with_(logit_bias={11: -torch.inf}))
    assert engine.stop_reason() is None


def test_a_full_context_stops_and_takes_no_more() -> None:
    engine = an_engine(context=8)
    engine.set_context(PROMPT)
    drawn(engine, 3)
    assert engine.stop_reason() == "context"
    assert engine.peek(WARM).position == 8
    with pytest.raises(ContextFull):
        engine.step(WARM)
    engine.cut(7)
    drawn(engine, 1)
    with pytest.raises(ContextFull, match="9 tokens"):
        engine.set_context([1] * 9)
    assert engine.length() == 8


def test_no_legal_token_changes_nothing() -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    nothing = SamplingParams(logit_bias=dict.fromkeys(range(VOCAB), -torch.inf))
    with pytest.raises(NoLegalToken, match="logit_bias left none"):
        engine.step(nothing)
    assert engine.peek(nothing).kept == 0
    assert engine.tokens() == PROMPT
    assert engine.force(3, nothing).final == 0.0


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_numbers_that_broke_are_an_error_every_time(poison: float) -> None:
    model = a_model(context=16)
    engine = Engine(model)
    engine.set_context(PROMPT)
    weight = model.norm.weight
    with torch.no_grad():
        whole = weight.clone()
        weight[0] = poison
        engine.step(WARM)  # of odds that were there before
        for _ in range(2):
            with pytest.raises(NumbersError, match="position 6"):
                engine.step(WARM)
        weight.copy_(whole)
    assert engine.step(WARM).position == 6


@pytest.mark.parametrize("ids", [[], [-1], [VOCAB], [1, 2, VOCAB + 5]])
def test_ids_that_are_none_are_refused(ids: list[int]) -> None:
    engine = an_engine()
    engine.set_context(PROMPT)
    with pytest.raises(ValueError, match="ids must"):
        engine.set_context(ids)
    assert engine.tokens() == PROMPT


def test_a_lane_without_a_context_says_so() -> None:
    with pytest.raises(ValueError, match="set_context"):
        an_engine().step(WARM)


def test_time_is_of_the_pass_and_the_choice_not_of_the_person_thinking(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = an_engine()
    feed = engine.runner.feed

    def slow_feed(rows: dict[int, list[int]]) -> dict[int, torch.Tensor]:
        time.sleep(0.05)
        return feed(rows)

    monkeypatch.setattr(engine.runner, "feed", slow_feed)
    engine.set_context(PROMPT)
    time.sleep(0.5)
    assert 0.05 < engine.step(WARM).time_s < 0.5


# ---- devices and threads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "cpu:", "cuda:99"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        runner.choose_device(name)


def test_threads_follow_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert runner.default_threads(1_000_000) == 1
    assert runner.default_threads(100_000_000) == 8
    assert runner.default_threads(100_000_000, spare=1) == 7
    assert runner.default_threads() == 8
    monkeypatch.setattr(runner, "usable_cores", lambda: 1)
    assert runner.default_threads(100_000_000, spare=1) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert runner.default_threads(1_000_000) == 3


def test_a_container_quota_bounds_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {"/sys/fs/cgroup/cpu.max": "150000 100000"}
    monkeypatch.setattr(runner, "_line", lambda path: lines.get(path, ""))
    monkeypatch.setattr(runner.os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert runner.usable_cores() == 1
    lines["/sys/fs/cgroup/cpu.max"] = "max 100000"
    assert runner.usable_cores() == 16
    for cpu in range(16):  # two threads a core
        lines[f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu % 8},{cpu % 8 + 8}"
    assert runner.usable_cores() == 8


@pytest.mark.cuda
def test_the_gpu_draws_what_the_cpu_draws() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    cpu, gpu = an_engine(), Engine(a_model().to("cuda"))
    for engine in (cpu, gpu):
        engine.set_context(PROMPT)
    assert drawn(cpu, 40) == drawn(gpu, 40)
