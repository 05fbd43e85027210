"""The pipeline that never waits gives what the engine gives step by step, and what was not read never happened."""

from __future__ import annotations

import pytest
import torch

from tinychat.engine import static_step
from tinychat.engine.draw import uniform
from tinychat.engine.engine import Engine
from tinychat.engine.graphs import DARTS, Pipeline, Row
from tinychat.engine.params import SamplingParams
from tinychat.engine.trace import Step
from tinychat.model.cache import KVCache
from tinychat.model.config import PRESETS, ModelConfig
from tinychat.model.transformer import Transformer

WARM = SamplingParams(temperature=0.9, top_k=30, repetition_penalty=1.1, seed=3)
PROMPT = (5, 9, 2, 7)


def a_model(**changes: object) -> Transformer:
    config = ModelConfig(**{"vocab_size": 97, "context": 300, "width": 32, "layers": 2, "heads": 4, **changes})  # type: ignore[arg-type]
    model = Transformer(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(std=0.3, generator=generator)
    return model.eval().requires_grad_(False)


def the_slow_way(model: Transformer, prompt: tuple[int, ...], params: SamplingParams, count: int) -> list[Step]:
    engine = Engine(model, record=16)
    engine.set_context(prompt)
    return [engine.step(params) for _ in range(count)]


def a_pipeline(model: Transformer, *prompts: tuple[int, ...]) -> tuple[Pipeline, KVCache]:
    """A pipeline over a cache that holds every prompt but its last token."""
    cache = KVCache(model.config, lanes=len(prompts))
    widest = max(len(prompt) for prompt in prompts)
    table = torch.tensor([[*prompt[:-1], *[0] * (widest - len(prompt))] for prompt in prompts])
    with torch.inference_mode():
        model(table, cache, counts=[len(prompt) - 1 for prompt in prompts])
    return Pipeline(model, cache, record=16), cache


@pytest.mark.parametrize(
    "changes",
    [{}, {"kv_heads": 2}, {"tie": False}, {**PRESETS["gpt2"]}, {"activation": "relu2", "position": "learned"}],
    ids=str,
)
def test_the_forward_step_of_fixed_shapes_is_the_model(changes: dict[str, object]) -> None:
    model = a_model(**changes)
    cache, twin = KVCache(model.config, lanes=3), KVCache(model.config, lanes=3)
    prompts = torch.randint(0, 97, (3, 6), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for each in (cache, twin):
            model(prompts, each, counts=[6, 2, 4])
        ids = torch.tensor([1, 2, 3])
        wanted = model(ids[:, None], twin)[:, 0]
        got = static_step.forward(model, list(zip(*cache.memory, strict=True)), ids, torch.tensor([6, 2, 4]), 128)
        torch.testing.assert_close(got, wanted, atol=2e-5, rtol=1e-5)
        for mine, theirs in zip(cache.memory, twin.memory, strict=True):
            for lane, length in enumerate((7, 3, 5)):
                torch.testing.assert_close(mine[:, lane, :, :length], theirs[:, lane, :, :length], atol=1e-5, rtol=1e-5)


def test_spans_hold_what_is_asked_and_never_more_than_there_is() -> None:
    assert [static_step.span_for(n, 4096) for n in (1, 128, 129, 300, 513, 1025)] == [128, 128, 256, 512, 1024, 2048]
    assert static_step.span_for(600, 700) == 700
    assert static_step.span_for(5, 64) == 64


@pytest.mark.parametrize("params", [WARM, WARM.with_(xtc_probability=0.5, xtc_threshold=0.05, top_h=0.9)])
def test_one_lane_decodes_as_the_engine_does(params: SamplingParams) -> None:
    model = a_model()
    wanted = the_slow_way(model, PROMPT, params, 200)  # across two spans
    pipeline, _ = a_pipeline(model, PROMPT)
    with torch.inference_mode():
        assert pipeline.start({0: Row(PROMPT, len(PROMPT), params, 0)})
        got = [pipeline.take(0, params, 0) for _ in range(200)]
    assert [step and step.token for step in got] == [step.token for step in wanted]
    assert pipeline.held(0) == len(PROMPT) + 200
    for fast, slow in zip(got, wanted, strict=True):
        assert fast is not None
        assert (fast.u, fast.raw_rank, fast.odds.kept) == (slow.u, slow.raw_rank, slow.odds.kept)
        assert fast.low == pytest.approx(slow.low, abs=1e-4)


def test_lanes_of_different_length_and_settings_decode_beside_each_other() -> None:
    model = a_model()
    prompts = (PROMPT, (1, 2), (8, 8, 8, 3, 4, 6))
    settings = [WARM.with_(seed=10 + lane, temperature=0.7 + 0.2 * lane) for lane in range(3)]
    pipeline, _ = a_pipeline(model, *prompts)
    found: dict[int, list[int]] = {0: [], 1: [], 2: []}
    with torch.inference_mode():
        assert pipeline.start({i: Row(p, len(p), settings[i], 0) for i, p in enumerate(prompts)})
        for _ in range(40):
            for lane in (1, 0, 2):
                step = pipeline.take(lane, settings[lane], 0)
                assert step is not None
                found[lane].append(step.token)
    for lane, prompt in enumerate(prompts):
        assert found[lane] == [step.token for step in the_slow_way(model, prompt, settings[lane], 40)]


def test_a_turned_knob_finds_the_logits_of_its_own_position() -> None:
    model = a_model()
    wanted = the_slow_way(model, PROMPT, WARM, 20)
    pipeline, _ = a_pipeline(model, PROMPT)
    with torch.inference_mode():
        pipeline.start({0: Row(PROMPT, len(PROMPT), WARM, 0)})
        for count in range(1, 20):
            assert pipeline.take(0, WARM, 0) is not None
            assert pipeline.take(0, WARM.with_(temperature=0.5), 0) is None  # other settings: not from here
            raw = pipeline.row(0)
            likeliest = wanted[count].odds.candidates[0]
            assert int(raw.argmax()) == likeliest.token
            assert float(raw.max()) == pytest.approx(likeliest.logit, abs=1e-4)


def test_what_was_launched_and_not_read_leaves_no_trace() -> None:
    model = a_model()
    pipeline, cache = a_pipeline(model, PROMPT)
    with torch.inference_mode():
        pipeline.start({0: Row(PROMPT, len(PROMPT), WARM, 0)})
        drawn = [step.token for _ in range(5) if (step := pipeline.take(0, WARM, 0))]
        held = pipeline.held(0)
        pipeline.stop()
        assert not pipeline.running
        other = (*PROMPT, *drawn[:-1], 11)  # another last token than the one that was drawn
        pipeline.start({0: Row(other, len(PROMPT), WARM, 0)})
        after = [step.token for _ in range(10) if (step := pipeline.take(0, WARM, 0))]
    assert held == len(PROMPT) + 5
    engine = Engine(model, record=16)
    engine.set_context(other, prompt_len=len(PROMPT))
    assert after == [engine.step(WARM).token for _ in range(10)]
    assert cache.length == 300


def test_it_throws_new_darts_and_ends_with_the_context() -> None:
    model = a_model()
    pipeline, _ = a_pipeline(model, PROMPT)
    darts = []
    with torch.inference_mode():
        pipeline.start({0: Row(PROMPT, len(PROMPT), WARM, 0)})
        while (step := pipeline.take(0, WARM, 0)) is not None:
            darts.append((step.odds.position, step.u, step.low <= step.u < step.high))
    assert len(darts) == 300 - len(PROMPT) > DARTS
    assert darts == [(place, uniform(WARM.seed, place), True) for place in range(len(PROMPT), 300)]


def test_settings_that_the_host_must_walk_are_refused() -> None:
    pipeline, _ = a_pipeline(a_model(), PROMPT, PROMPT)
    rows = {0: Row(PROMPT, 4, WARM, 0), 1: Row(PROMPT, 4, WARM.with_(min_p=0.1), 0)}
    assert not pipeline.start(rows)  # two programs
    assert not pipeline.start({0: Row(PROMPT, 4, WARM.with_(mirostat="v2"), 0)})
    assert not pipeline.running
