"""What a machine with a GPU should check first: graphs draw what the engine draws step by step, and nothing is stale.

Everything here is skipped where there is no CUDA device; the same promises are kept on the CPU by the other tests.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.engine.test_graphs import PROMPT, WARM, a_model
from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.quantise import to_int8
from tinychat.engine.trace import Step
from tinychat.model.transformer import Transformer

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

GREEDY = SamplingParams(temperature=0.0)
ALL = SamplingParams(
    logit_bias={3: 1.5, 4: float("-inf")}, repetition_penalty=1.2, frequency_penalty=0.3, presence_penalty=0.2,
    top_n_sigma=2.5, temperature=1.3, smoothing_factor=0.1, smoothing_curve=1.5, top_k=90, typical_p=0.95, top_p=0.97,
    min_p=0.001, epsilon_cutoff=0.0002, eta_cutoff=0.001, top_a=0.01, tfs_z=0.998, top_h=0.97, xtc_probability=0.5,
    xtc_threshold=0.02, seed=11,
)  # fmt: skip


def on_cuda(dtype: torch.dtype = torch.float32, **changes: Any) -> Transformer:
    return a_model(vocab_size=997, **changes).to(device="cuda", dtype=dtype)


def both(model: Transformer, *, lanes: int = 1, step: str = "auto") -> tuple[Engine, Engine]:
    """The engine with graphs, and the one without."""
    fast = Engine(model, lanes=lanes, record=64, step=step, ahead=True)
    slow = Engine(model, lanes=lanes, record=64, step="eager", ahead=False)
    for lane in range(lanes):
        for engine in (fast, slow):
            engine.set_context([*PROMPT, lane], lane=lane)
    return fast, slow


def tokens(engine: Engine, params: SamplingParams, count: int, lane: int = 0) -> list[int]:
    return [engine.step(params, lane=lane).token for _ in range(count)]


def assert_near(one: Step, other: Step) -> None:
    assert (one.token, one.u, one.raw_rank, one.final_rank) == (
        other.token, other.u, other.raw_rank, other.final_rank,
    )  # fmt: skip
    assert one.odds.kept == other.odds.kept
    for name in ("raw", "final", "surprisal", "low", "high"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-3, abs=1e-4), name
    assert [c.token for c in one.odds.candidates[:8]] == [c.token for c in other.odds.candidates[:8]]
    assert [c.cut_by for c in one.odds.candidates[:8]] == [c.cut_by for c in other.odds.candidates[:8]]


@pytest.mark.parametrize("changes", [{}, {"kv_heads": 2}, {"tie": False, "position": "learned", "norm": "layer"}])
def test_256_greedy_tokens_are_the_eager_ones(changes: dict[str, Any]) -> None:
    fast, slow = both(on_cuda(**changes))
    assert tokens(fast, GREEDY, 256) == tokens(slow, GREEDY, 256)  # across two spans
    assert fast.facts()["ahead"] == "on"
    assert fast.runner.forwards < 10  # and it was the pipeline that did it


@pytest.mark.parametrize("params", [WARM, ALL, SamplingParams(seed=5)], ids=["warm", "all", "neutral"])
def test_sampled_streams_and_their_records_are_the_same(params: SamplingParams) -> None:
    fast, slow = both(on_cuda())
    for _ in range(200):
        assert_near(fast.step(params), slow.step(params))
    assert fast.facts()["ahead"] == "on"


def test_the_cpu_and_the_device_draw_the_same() -> None:
    here, there = Engine(a_model(vocab_size=997), record=64), both(on_cuda())[0]
    for engine in (here, there):
        engine.set_context(PROMPT)
    assert tokens(here, WARM, 100) == tokens(there, WARM, 100)


def test_bfloat16_agrees_with_eager_bfloat16_and_is_near_float32() -> None:
    fast, slow = both(on_cuda(torch.bfloat16))
    exact = both(on_cuda())[1]
    same = 0
    for _ in range(100):
        a, b, c = fast.peek(GREEDY), slow.peek(GREEDY), exact.peek(GREEDY)
        assert a.candidates[0].raw == pytest.approx(b.candidates[0].raw, rel=0.1, abs=0.02)
        same += a.candidates[0].token == c.candidates[0].token
        for engine in (fast, slow, exact):  # the same text for all, whatever each would draw
            engine.force(c.candidates[0].token, GREEDY)
    assert same >= 90
    assert len(tokens(fast, WARM, 100)) == 100


@pytest.mark.parametrize("lanes", [1, 4, 16, 64])
def test_lanes_decode_as_each_alone(lanes: int) -> None:
    model = on_cuda()
    fast, _ = both(model, lanes=lanes)
    found: list[list[int]] = [[] for _ in range(lanes)]
    for _ in range(40):
        for lane in range(lanes):
            found[lane].append(fast.step(WARM, lane=lane, draw_lane=lane).token)
    assert fast.facts()["ahead"] == "on"
    for lane in {0, lanes // 2, lanes - 1}:
        alone = Engine(model, record=64, ahead=False)
        alone.set_context([*PROMPT, lane])
        assert found[lane] == [alone.step(WARM, draw_lane=lane).token for _ in range(40)]


def test_a_turned_knob_a_peek_a_rewind_and_a_resize_are_seen_at_once() -> None:
    fast, slow = both(on_cuda(), lanes=2)
    guided = WARM.with_(guidance_scale=1.5)  # a side pass: the cache gets another row, and the graphs another memory
    hot, sharp = WARM.with_(temperature=1.4), WARM.with_(temperature=0.3, top_k=5)
    for params in (WARM, hot, GREEDY, WARM.with_(top_p=0.9), guided, WARM, sharp, guided, ALL, WARM):
        for lane in (0, 1):
            assert tokens(fast, params, 12, lane) == tokens(slow, params, 12, lane)
        assert [c.token for c in fast.peek(hot).candidates[:5]] == [c.token for c in slow.peek(hot).candidates[:5]]
        for engine in (fast, slow):
            engine.cut(engine.length() - 3)
            engine.fork(0, 1)
    assert fast.tokens() == slow.tokens()
    assert fast.facts()["ahead"] == "on"


def test_graphs_of_an_old_cache_give_their_memory_back() -> None:
    fast, _ = both(on_cuda(context=2048), lanes=8)
    tokens(fast, WARM, 20)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(5):
        tokens(fast, WARM.with_(guidance_scale=1.5), 4)
        tokens(fast, WARM, 20)
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() < before * 1.2 + 2**20


def test_many_programs_share_their_memory() -> None:
    fast, _ = both(on_cuda(), lanes=16)
    tokens(fast, WARM, 4)
    before = torch.cuda.memory_reserved()
    for k in range(2, 8):
        tokens(fast, ALL.with_(**dict(list({"min_p": 0.0, "top_a": 0.0, "typical_p": 1.0}.items())[: k % 3])), 6)
    assert torch.cuda.memory_reserved() < before + 2**28


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_the_compiled_step_draws_the_same(kind: str) -> None:
    model = on_cuda()
    model = to_int8(model) if kind == "int8" else model
    fast, slow = both(model, step="compiled")
    got = [fast.step(WARM) for _ in range(60)]
    assert fast.facts()["ahead"] == "on, compiled", fast.facts()["ahead"]
    if kind == "float32":  # int8 computes in bfloat16: another order of sums may turn a token
        assert [step.token for step in got] == tokens(slow, WARM, 60)
    else:
        first = slow.step(WARM)
        assert got[0].raw == pytest.approx(first.raw, rel=0.1, abs=0.02)


def test_int8_on_the_device_is_the_network_that_int8_is_on_the_cpu() -> None:
    here = Engine(to_int8(a_model(vocab_size=997)), record=64)
    there = Engine(to_int8(on_cuda()), record=64, step="auto")
    same = 0
    for engine in (here, there):
        engine.set_context(PROMPT)
    for _ in range(60):
        a, b = here.peek(GREEDY), there.peek(GREEDY)
        same += a.candidates[0].token == b.candidates[0].token
        for engine in (here, there):
            engine.force(a.candidates[0].token, GREEDY)
    assert same >= 54  # activations are bfloat16 there
    assert there.facts()["dtype"] == "int8"


def test_what_is_captured_in_a_thread_beside_others_is_whole() -> None:
    """The playground may run the engine in a thread; pinned memory made elsewhere must not spoil a capture."""
    import threading

    fast, slow = both(on_cuda())
    stop = threading.Event()

    def pin() -> None:
        while not stop.is_set():
            torch.zeros(1 << 16).pin_memory()

    other = threading.Thread(target=pin)
    other.start()
    try:
        got = tokens(fast, WARM, 150)
    finally:
        stop.set()
        other.join()
    assert got == tokens(slow, WARM, 150)
    assert fast.facts()["ahead"] == "on"
