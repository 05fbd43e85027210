"""An engine that decodes ahead on the device is the same engine: whatever is asked, whenever."""

from __future__ import annotations

import random
import weakref

import pytest
import torch

from tests.engine.test_graphs import PROMPT, WARM, a_model
from tinychat.engine.engine import ContextFull, Engine
from tinychat.engine.params import SamplingParams

HOT = WARM.with_(temperature=1.4)
SLOW = WARM.with_(mirostat="v2", top_k=0)  # a stage that the device does not have


def both(lanes: int = 1) -> tuple[Engine, Engine]:
    model = a_model()
    return tuple(Engine(model, lanes=lanes, record=16, end_ids=(1,), ahead=each) for each in (True, False))  # type: ignore[return-value]


def test_a_run_goes_through_the_pipeline_and_draws_the_same() -> None:
    fast, slow = both()
    for engine in (fast, slow):
        engine.set_context(PROMPT)
    passes = fast.runner.forwards
    assert [fast.step(WARM).token for _ in range(60)] == [slow.step(WARM).token for _ in range(60)]
    assert fast.runner.forwards == passes  # the first token's logits were there, the others came from the pipeline
    assert fast.tokens() == slow.tokens()
    assert fast.stop_reason() == slow.stop_reason()


@pytest.mark.parametrize("seed", range(4))
def test_any_mixture_of_commands_is_the_same(seed: int) -> None:
    fast, slow = both(lanes=2)
    dice = random.Random(seed)
    for engine in (fast, slow):
        engine.set_context(PROMPT)
        engine.set_context((3, 4), lane=1)
    for _ in range(30):
        kind, lane = (
            dice.choice(["run", "run", "both", "hot", "slow", "peek", "force", "cut", "context", "fork"]),
            dice.randrange(2),
        )
        count, token = dice.randrange(2, 8), dice.randrange(97)
        seen = []
        for engine in (fast, slow):
            if engine.length(lane) > 200:
                engine.set_context(PROMPT, lane=lane)
            got: object
            if kind in ("run", "hot", "slow"):
                params = {"run": WARM, "hot": HOT, "slow": SLOW}[kind]
                got = [engine.step(params, lane=lane).token for _ in range(count)]
            elif kind == "both":
                got = [engine.step(WARM, lane=i % 2).token for i in range(2 * count)]
            elif kind == "peek":
                got = [c.token for c in engine.peek(HOT, lane=lane).candidates]
            elif kind == "force":
                got = engine.force(token, WARM, lane=lane).raw_rank
            elif kind == "cut":
                got = engine.cut(max(1, engine.length(lane) - count), lane)
            elif kind == "context":
                ids = (*engine.tokens(lane)[: max(1, engine.length(lane) - count)], token)
                got = (engine.set_context(ids, prompt_len=1, lane=lane), engine.is_computed(lane))
            else:
                got = engine.fork(lane, 1 - lane)
            seen.append((kind, got, engine.tokens(0), engine.tokens(1), engine.stop_reason(lane)))
        assert seen[0] == seen[1]


def test_it_stops_at_the_end_of_the_context_and_tells_of_ends() -> None:
    fast, slow = both()
    for engine in (fast, slow):
        engine.set_context([i % 97 for i in range(290)])
        for _ in range(10):
            engine.step(WARM)
        assert engine.stop_reason() == "context" or engine.tokens()[-1] == 1
        with pytest.raises(ContextFull):
            engine.step(WARM)
    assert fast.tokens() == slow.tokens()


def test_what_the_device_refuses_goes_the_slow_way_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow = both()

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image\nmore")

    monkeypatch.setattr("tinychat.engine.graphs.static_step.forward", refuse)
    for engine in (fast, slow):
        engine.set_context(PROMPT)
    assert [fast.step(WARM).token for _ in range(20)] == [slow.step(WARM).token for _ in range(20)]
    assert fast.facts()["ahead"] == "off: no kernel image"
    assert slow.facts()["ahead"] == "off"


def test_settings_that_turn_in_mid_run_act_on_the_very_next_token() -> None:
    fast, slow = both()
    for engine in (fast, slow):
        engine.set_context(PROMPT)
    turns = [WARM] * 5 + [HOT] * 5 + [SamplingParams(temperature=0.0)] * 5 + [SLOW] * 5 + [WARM.with_(seed=9)] * 5
    for params in turns:
        a, b = fast.step(params), slow.step(params)
        assert (a.token, a.odds.kept, a.odds.temperature) == (b.token, b.odds.kept, b.odds.temperature)
        assert (a.state.mirostat or 0.0) == pytest.approx(b.state.mirostat or 0.0, abs=1e-4)
        assert torch.isclose(torch.tensor(a.surprisal), torch.tensor(b.surprisal), atol=1e-3)


def test_a_graph_that_cannot_be_made_in_mid_run_changes_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow = both()
    for engine in (fast, slow):
        engine.set_context(PROMPT)
    got = [fast.step(WARM).token for _ in range(10)]

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("tinychat.engine.graphs.Pipeline._launch", refuse)
    got += [fast.step(WARM).token for _ in range(20)]
    assert got == [slow.step(WARM).token for _ in range(30)]
    assert fast.facts()["ahead"] == "off: out of memory"


def test_what_was_not_read_leaves_zeros_in_the_cache() -> None:
    """It may have been NaN, and a masked slot still takes part as 0 times its value."""
    fast, _ = both()
    fast.set_context(PROMPT)
    for _ in range(10):
        fast.step(WARM)
    cache = fast.runner.cache
    assert bool((cache.memory[0][:, 0, :, fast.length()] != 0).any())  # launched, and not read
    fast.peek(HOT)
    for each in cache.memory:
        assert bool((each[:, 0, :, fast.length() : -1] == 0).all())
        assert bool((each[:, 0, :, : fast.length()] != 0).any(-1).all())


def test_sixty_four_lanes_and_a_cache_that_grows_and_shrinks() -> None:
    model = a_model(layers=1, width=16, heads=2)
    engines = [Engine(model, lanes=64, record=4, ahead=each) for each in (True, False)]
    side = WARM.with_(guidance_scale=1.5)
    seen: list[list[int]] = []
    for engine in engines:
        found = []
        for lane in range(64):
            engine.set_context([5 + lane % 3, lane], lane=lane)
        for params in (WARM, side, WARM):
            for _ in range(4):
                found += [engine.step(params, lane=lane, draw_lane=lane).token for lane in range(64)]
                if params is side:
                    break
        seen.append(found)
        assert engine.runner.cache.lanes == 64
    assert seen[0] == seen[1]


def test_a_cache_that_was_replaced_is_not_kept() -> None:
    """A pipeline works on the memory of its cache: held on to, it would be a second cache."""
    fast, _ = both()
    fast.set_context(PROMPT)
    for _ in range(5):
        fast.step(WARM)
    old = weakref.ref(fast.runner.cache.memory[0])
    fast.step(WARM.with_(guidance_scale=1.5))
    assert old() is None
