"""The sampler on the device equals the one that walks a row: records, draws and edge cases, for every program."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinychat.engine import device_chain, device_record, draw
from tinychat.engine.context import STREAM_XTC, Context
from tinychat.engine.observe import decide, observe
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step

INF = math.inf
CHAINS = {
    "neutral": SamplingParams(),
    "greedy": SamplingParams(temperature=0.0, repetition_penalty=1.3),
    "cuts": SamplingParams(temperature=0.8, top_k=20, top_p=0.9, min_p=0.02),
    "all": SamplingParams(
        logit_bias={3: 1.5, 4: -INF, 5: -2.0}, repetition_penalty=1.2, frequency_penalty=0.3, presence_penalty=0.2,
        top_n_sigma=2.5, temperature=1.3, smoothing_factor=0.1, smoothing_curve=1.5, top_k=90, typical_p=0.95,
        top_p=0.97, min_p=0.001, epsilon_cutoff=0.0002, eta_cutoff=0.001, top_a=0.01, tfs_z=0.998, top_h=0.97,
        xtc_probability=0.5, xtc_threshold=0.02,
    ),
    "llama.cpp": SamplingParams(temperature=1.4, top_k=30, top_p=0.9, min_p=0.05, order="llama.cpp"),
    "output only": SamplingParams(frequency_penalty=0.5, penalty_scope="output"),
}  # fmt: skip
HISTORY, PROMPT = (3, 5, 5, 9, 2, 7, 7, 7), 3


def the_slow_way(logits: torch.Tensor, params: SamplingParams, lane: int, n: int) -> Step:
    context = Context(HISTORY, PROMPT, lane=lane)
    return decide(observe(logits, params, context, n=n), params, lane=lane, time_s=0.0)


def the_fast_way(rows: torch.Tensor, params: list[SamplingParams], n: int) -> list[Step | None]:
    size, place = rows.shape[-1], len(HISTORY)
    counts, bias = torch.zeros(rows.shape), torch.zeros(rows.shape, dtype=torch.float64)
    for lane, each in enumerate(params):
        seen = HISTORY[PROMPT:] if each.penalty_scope == "output" else HISTORY
        counts[lane] = torch.from_numpy(np.bincount([t for t in seen if t < size], minlength=size)).float()
        for token, value in each.bias:
            bias[lane, token] = value
    darts = [draw.uniform(each.seed, place, lane) for lane, each in enumerate(params)]
    both = [
        (dart, draw.uniform(each.seed, place, i, STREAM_XTC))
        for i, (dart, each) in enumerate(zip(darts, params, strict=True))
    ]
    values = torch.tensor([device_chain.settings_row(each) for each in params], dtype=torch.float64)
    stages = device_chain.program(params[0])
    _, numbers = device_chain.run(
        rows, stages, values, counts, bias, torch.tensor(both, dtype=torch.float64), min(n, size)
    )
    assert numbers.shape == (len(params), device_record.width(stages, min(n, size)))
    records = device_record.Records(numbers.numpy(), stages, size)
    return [
        records.read(lane, each, position=place, lane=lane, u=darts[lane], time_s=0.0)
        for lane, each in enumerate(params)
    ]


def assert_same(fast: Step | None, slow: Step) -> None:
    assert fast is not None
    assert (fast.token, fast.raw_rank, fast.final_rank) == (slow.token, slow.raw_rank, slow.final_rank)
    for name in ("raw", "final", "surprisal", "u", "low", "high"):
        assert getattr(fast, name) == pytest.approx(getattr(slow, name), rel=1e-6, abs=1e-9), name
    for name in ("entropy", "varentropy", "final_entropy", "temperature"):
        assert getattr(fast.odds, name) == pytest.approx(getattr(slow.odds, name), rel=1e-6, abs=1e-7), name
    assert (fast.odds.kept, fast.odds.position, fast.odds.vocab_size) == (
        slow.odds.kept, slow.odds.position, slow.odds.vocab_size,
    )  # fmt: skip
    for one, other in zip(fast.odds.stages, slow.odds.stages, strict=True):
        assert (one.name, one.kept) == (other.name, other.kept)
        assert (one.mass, one.entropy, one.chosen) == pytest.approx((other.mass, other.entropy, other.chosen), abs=1e-6)
    for a, b in zip(fast.odds.candidates, slow.odds.candidates, strict=True):
        assert (a.token, a.logit, a.rank, a.cut_by) == (b.token, b.logit, b.rank, b.cut_by)
        assert (a.raw, a.final) == pytest.approx((b.raw, b.final), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("size", [11, 300, 1500])
def test_every_lane_gets_the_step_that_its_row_gets_alone(name: str, size: int) -> None:
    base = CHAINS[name]
    rows = torch.randn(4, size, generator=torch.Generator().manual_seed(size)) * 3
    params = [base.with_(seed=7 + lane, temperature=base.temperature * (1 + 0.2 * lane)) for lane in range(4)]
    params = [each for each in params if device_chain.program(each) == device_chain.program(params[0])]
    for lane, fast in enumerate(the_fast_way(rows[: len(params)], params, 32)):
        assert_same(fast, the_slow_way(rows[lane], params[lane], lane, 32))


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.just(-INF), st.integers(-30 << 20, 30 << 20).map(lambda n: n / (1 << 20))), min_size=6, max_size=40
    ).filter(lambda row: max(row) > -INF),
    seed=st.integers(0, 2**64 - 1),
    name=st.sampled_from(["neutral", "greedy", "cuts", "llama.cpp", "output only"]),
)
def test_rows_with_cuts_ties_and_constants(values: list[float], seed: int, name: str) -> None:
    row, params = torch.tensor(values), CHAINS[name].with_(seed=seed)
    slow = the_slow_way(row, params, 0, 16)
    # a probability within rounding of a rule's edge may fall on either side: not a matter of this test
    if any(abs(step - 0.9) < 1e-6 for step in np.cumsum([c.final for c in slow.odds.candidates])):
        return
    assert_same(the_fast_way(row[None], [params], 16)[0], slow)


def test_a_record_outlives_the_place_where_it_arrived() -> None:
    params = CHAINS["cuts"]
    rows = torch.randn(1, 300, generator=torch.Generator().manual_seed(8)) * 3
    counts, stages = torch.zeros(rows.shape), device_chain.program(params)
    for token in HISTORY:
        counts[0, token] += 1
    knobs = torch.tensor([device_chain.settings_row(params)], dtype=torch.float64)
    u = draw.uniform(params.seed, len(HISTORY), 0)
    darts = torch.tensor([[u, 0.5]], dtype=torch.float64)
    _, numbers = device_chain.run(rows, stages, knobs, counts, rows.double(), darts, 16)
    place = numbers.numpy().copy()
    step = device_record.Records(place, stages, 300).read(0, params, position=len(HISTORY), lane=0, u=u, time_s=0.0)
    place[:] = math.nan  # the next record but one arrives there; nobody has looked at this one yet
    assert_same(step, the_slow_way(rows[0], params, 0, 16))


def test_what_leaves_nothing_or_is_nan_is_told() -> None:
    nothing = SamplingParams(logit_bias={0: -INF, 1: -INF})
    assert the_fast_way(torch.zeros(1, 2), [nothing], 4) == [None]
    with pytest.raises(ValueError, match="finite"):
        the_fast_way(torch.tensor([[0.0, math.nan]]), [SamplingParams()], 4)


def test_it_never_asks_the_host() -> None:
    """On the meta device there are no numbers: any look at one (item, bool, a data-dependent shape) would raise."""
    size, params = 400, CHAINS["all"]
    with torch.device("meta"):
        rows = torch.zeros(3, size)
        u = torch.zeros(3, 2, dtype=torch.float64)
        knobs = torch.zeros(3, len(device_chain.COLUMNS), dtype=torch.float64)
    stages = device_chain.program(params)
    token, record = device_chain.run(rows, stages, knobs, rows, rows.double(), u, 64)
    assert token.shape == (3,)
    assert record.shape == (3, device_record.width(stages, 64))


def test_what_the_host_must_do_is_not_taken() -> None:
    taken = (*CHAINS.values(), SamplingParams(top_p=0.5, order="hf"))
    assert all(device_chain.supports(each) for each in taken)
    left = (
        SamplingParams(mirostat="v2"), SamplingParams(temperature_mode="edt"), SamplingParams(guidance_scale=2.0),
        SamplingParams(regex="a+"), SamplingParams(dry_multiplier=0.5),
        SamplingParams(repetition_penalty=1.2, penalty_window=5),
        SamplingParams(repetition_penalty=1.2, temperature=0.5, order="temperature,repetition"),
    )  # fmt: skip
    assert not any(device_chain.supports(each) for each in left)


@given(
    seed=st.integers(0, 2**64 - 1),
    start=st.integers(0, 2**31),
    lane=st.integers(0, 2**32 - 1),
    stream=st.integers(0, 3),
)
@settings(max_examples=50, deadline=None)
def test_many_darts_are_the_single_ones(seed: int, start: int, lane: int, stream: int) -> None:
    many = draw.uniforms(seed, start, 5, lane, stream)
    assert many.tolist() == [draw.uniform(seed, start + i, lane, stream) for i in range(5)]
