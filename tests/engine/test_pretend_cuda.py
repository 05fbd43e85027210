"""The engine on a device that is not there: graphs, records and slow steps mix nothing, look at nothing, draw the same.

See pretend_cuda.py for what is watched. test_cuda.py asks a real device.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine import test_cuda
from tests.engine.pretend_cuda import HERE, OnDevice, Pretend, install
from tests.engine.test_cuda import ALL, GREEDY
from tests.engine.test_device_programs import ON
from tests.engine.test_graphs import PROMPT, WARM, a_model
from tinychat.engine import device_chain, graphs, score, static_step
from tinychat.engine.attention import AttentionRunner
from tinychat.engine.engine import Engine
from tinychat.engine.params import SamplingParams
from tinychat.engine.quantise import pack, to_int8
from tinychat.engine.runner import Runner, choose_device
from tinychat.engine.speculate import Speculation
from tinychat.model.cache import KVCache
from tinychat.model.config import PRESETS
from tinychat.model.transformer import Transformer, load

LONG = tuple(range(2, 92)) + tuple(range(5, 39))  # 124 tokens: the first span of the cache ends at 128
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {}, "groups": {"kv_heads": 2}, "one group": {"kv_heads": 1}, "head": {"tie": False},
    "gpt2": dict(PRESETS["gpt2"]), "relu2": {"activation": "relu2", "position": "learned"},
}  # fmt: skip
KINDS: dict[str, Callable[[Transformer], Transformer]] = {
    "float32": lambda model: model,
    "bfloat16": lambda model: model.bfloat16(),
    "int8": lambda model: pack(model, torch.bfloat16),
}


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretend]:
    """Within the test there is a CUDA device."""
    with install(monkeypatch) as mode:
        yield mode


def drawn(engine: Engine, params: SamplingParams, count: int, lane: int = 0) -> list[tuple[int, float, int, int]]:
    steps = [engine.step(params, lane=lane) for _ in range(count)]
    return [(step.token, step.u, step.raw_rank, step.odds.kept) for step in steps]


@pytest.mark.parametrize(
    ("family", "kind"),
    [(family, kind) for family in FAMILIES for kind in KINDS if kind == "float32" or family in ("gpt2", "one group")],
)
def test_recorded_graphs_are_the_network_whatever_it_is(
    pretend: Pretend, monkeypatch: pytest.MonkeyPatch, family: str, kind: str
) -> None:
    monkeypatch.setattr(graphs, "DARTS", 5)  # new ones in mid-run
    model = a_model(**FAMILIES[family])
    twin = copy.deepcopy(model).to("cuda")
    here = Engine(KINDS[kind](model), record=97)
    there = Engine(to_int8(twin) if kind == "int8" else KINDS[kind](twin), record=97, ahead=True)
    for engine in (here, there):
        engine.set_context(LONG)
    found = drawn(there, WARM, 12)
    assert there.facts()["ahead"] == "on"
    assert pretend.replays == 1 + 2 * 12  # the pass that 11 tokens begin with, and of them and one more, chain and pass
    if kind == "float32":
        assert found == drawn(here, WARM, 12)
    here.set_context(there.tokens())  # in a small type a rounding may turn a token: of the same text, then
    mine, theirs = ({c.token: c.logit for c in each.peek(SamplingParams()).candidates} for each in (there, here))
    near = {"abs": 1e-4} if kind == "float32" else {"abs": 0.02 * max(map(abs, theirs.values()))}
    assert mine == pytest.approx(theirs, **near)


@pytest.mark.parametrize("params", [GREEDY, SamplingParams(seed=5), ALL], ids=["greedy", "neutral", "all"])
def test_every_record_is_the_one_of_the_slow_way(pretend: Pretend, params: SamplingParams) -> None:
    fast, slow = test_cuda.both(test_cuda.on_cuda())
    for _ in range(12):
        test_cuda.assert_near(fast.step(params), slow.step(params))
    assert fast.facts()["ahead"] == "on"


def test_each_stage_is_recorded_without_a_look(pretend: Pretend) -> None:
    fast, slow = test_cuda.both(test_cuda.on_cuda())
    for name, settings in ON.items():
        params = SamplingParams(order=name, seed=4, **settings)
        assert device_chain.program(params) == (name,)
        before = pretend.replays
        for _ in range(3):
            test_cuda.assert_near(fast.step(params), slow.step(params))
        assert pretend.replays > before
        assert fast.facts()["ahead"] == "on"


def test_a_run_waits_for_nothing_but_its_records(pretend: Pretend) -> None:
    engine = test_cuda.both(test_cuda.on_cuda())[0]
    drawn(engine, WARM, 10)
    before, launched = pretend.looks, pretend.replays
    drawn(engine, WARM, 30)
    assert pretend.looks == before
    assert pretend.replays == launched + 60


def test_lanes_of_all_lengths_are_prefilled_and_go_on_beside_each_other(pretend: Pretend) -> None:
    here = Engine(a_model(), lanes=4, record=16)
    there = Engine(a_model().to("cuda"), lanes=4, record=16, ahead=True)
    for engine in (here, there):
        for lane, prompt in enumerate((PROMPT, LONG + LONG[:20], (3,), PROMPT[::-1])):
            engine.set_context(prompt, lane=lane)
    for lanes in ((0, 1, 2, 3), (1, 3), (2,)):
        for _ in range(4):
            for lane in lanes:
                assert there.step(WARM, lane=lane).token == here.step(WARM, lane=lane).token
    assert there.facts()["ahead"] == "on"


def test_a_turned_knob_a_peek_a_rewind_and_a_resize_are_seen_at_once(pretend: Pretend) -> None:
    fast, slow = test_cuda.both(test_cuda.on_cuda(), lanes=2)
    guided = WARM.with_(guidance_scale=1.5)  # a side pass: the cache gets another row, and the graphs another memory
    for params in (WARM, WARM.with_(temperature=1.4), GREEDY, guided, WARM):
        for lane in (0, 1):
            assert drawn(fast, params, 4, lane) == drawn(slow, params, 4, lane)
        assert [c.token for c in fast.peek(GREEDY).candidates[:5]] == [
            c.token for c in slow.peek(GREEDY).candidates[:5]
        ]
        for engine in (fast, slow):
            engine.cut(engine.length() - 2)
            engine.fork(0, 1)
    assert fast.tokens() == slow.tokens()
    assert fast.facts()["ahead"] == "on"


def test_a_graph_that_cannot_be_recorded_leaves_the_text_to_the_slow_way(
    pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = static_step.forward
    lengths: list[int] = []

    def looking(model: Any, layers: Any, ids: Any, positions: Any, span: int) -> Any:
        lengths.append(int(positions.max()) if pretend.graph is None or span > 128 else 0)
        return plain(model, layers, ids, positions, span)

    monkeypatch.setattr(static_step, "forward", looking)
    fast, slow = test_cuda.both(test_cuda.on_cuda())
    for engine in (fast, slow):
        engine.set_context(LONG)
    stream = torch.cuda.current_stream()
    assert drawn(fast, WARM, 12) == drawn(slow, WARM, 12)  # the second span is refused, in mid-run
    assert torch.cuda.current_stream() is stream
    assert fast.facts()["ahead"].startswith("off: operation not permitted when stream is capturing")
    assert max(lengths) > 120


def test_what_needs_other_passes_runs_there_too(pretend: Pretend) -> None:
    settings = (
        WARM.with_(guidance_scale=1.5, negative_ids=(3, 4)), WARM.with_(dola="high"),
        WARM.with_(mirostat="v2", top_k=0), WARM.with_(temperature_mode="kl"), WARM.with_(dry_multiplier=0.8), WARM,
    )  # fmt: skip
    here, there = Engine(a_model(), record=16), Engine(a_model().to("cuda"), record=16, ahead=True)
    for engine in (here, there):
        engine.set_context(LONG)
    for params in settings:
        assert drawn(there, params, 3) == drawn(here, params, 3)
    for engine in (here, there):
        engine.speculation = Speculation(kind="lookup", length=3)
    assert drawn(there, GREEDY, 12) == drawn(here, GREEDY, 12)
    for engine in (here, there):
        engine.speculation = Speculation(kind="exit", length=2, layer=1)
    assert drawn(there, WARM, 6) == drawn(here, WARM, 6)


def test_scores_and_attention_are_computed_there(pretend: Pretend) -> None:
    ids = [each % 97 for each in range(5, 420, 3)]
    here, there = a_model(), a_model().to("cuda")
    (mine,), (theirs,) = (list(score.score(model, ids, context=200)) for model in (there, here))
    np.testing.assert_allclose(mine.surprisal, theirs.surprisal, rtol=1e-5)
    assert mine.rank.tolist() == theirs.rank.tolist()
    runners = [AttentionRunner(Runner(model, lanes=2)) for model in (here, there)]
    for runner in runners:
        runner.feed({0: ids[:7], 1: ids[:4]})
    torch.testing.assert_close(runners[0].attended[1], runners[1].attended[1])


def test_a_cache_there_is_cut_copied_resized_and_adopted(pretend: Pretend) -> None:
    caches = []
    for where in ("cpu", "cuda:0"):
        model = a_model().to(where)
        cache, other = (KVCache(model.config, lanes=2, device=where) for _ in range(2))
        with torch.inference_mode():
            model(torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]], device=where), cache, counts=[4, 2])
        cache.resize(4)
        cache.cut(0, 3)
        cache.copy(0, 3)
        other.adopt(cache, source=3, target=1, length=2)
        caches.append(torch.cat([each.cpu().flatten() for each in (*cache.memory, *other.memory)]))
        assert cache.device == torch.device(where)
    torch.testing.assert_close(*caches)


def test_the_shipped_model_opens_there(pretend: Pretend) -> None:
    path = next((Path(__file__).parents[2] / "assets").glob("*.safetensors"))
    model, _ = load(path, device=choose_device("auto"))
    assert all(isinstance(each, OnDevice) for each in (*model.parameters(), model.rope))
    assert choose_device("cuda:0") == HERE


def test_a_mask_needs_no_copy_whatever_the_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's memory-efficient attention copies a mask, in every layer, unless all strides but the last are 8 n."""
    strides = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def attend(*args: Any, attn_mask: torch.Tensor, **kwargs: Any) -> Any:
        strides.append(attn_mask.stride())
        return plain(*args, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)
    model = a_model()
    for lanes in (1, 3):
        cache = KVCache(model.config, lanes=lanes)
        layers = list(zip(*cache.memory, strict=True))
        for span in (128, 300, 301):
            ids = torch.zeros(lanes, dtype=torch.int64)
            with torch.inference_mode():
                static_step.forward(model, layers, ids, ids + 5, span)
    assert [last for *_, last in strides] == [1] * len(strides)
    assert not [each for *others, _ in strides for each in others if each % 8]


def test_the_pretence_refuses_what_a_device_refuses(pretend: Pretend) -> None:
    there = torch.zeros(3, device="cuda")
    assert (there.device, there.is_cuda, (there + 1).device) == (HERE, True, HERE)
    for wrong in (lambda: there + torch.ones(3), lambda: torch.cat((there, torch.ones(3)))):
        with pytest.raises(RuntimeError, match="same device"):
            wrong()
    with pytest.raises(TypeError):
        there.numpy()
    for look in (there.sum().item, there.cpu, (there > 0).nonzero, lambda: there[there > 0]):
        with pytest.raises(RuntimeError, match="capturing"), torch.cuda.graph(torch.cuda.CUDAGraph(), **PLAIN):
            look()


PLAIN: Any = {"capture_error_mode": "thread_local", "stream": "another"}


def test_the_pretence_replays_on_the_memory_of_its_recording(pretend: Pretend) -> None:
    there, total, graph = torch.zeros(3, device="cuda"), torch.zeros(1, device="cuda"), torch.cuda.CUDAGraph()
    step, slot = 1.0, torch.zeros(1, pin_memory=True)
    with torch.inference_mode(), torch.cuda.graph(graph, **PLAIN):
        total.add_((there * 2 + step).sum())
    assert total.item() == 0.0  # nothing ran
    step = 100.0
    for value in (1.0, 2.0):
        there.fill_(value)
        graph.replay()
    assert total.item() == 9.0 + 15.0
    slot.copy_(total, non_blocking=True)
    assert slot.isnan().all()
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream())
    arrived.synchronize()
    assert slot.item() == 24.0
