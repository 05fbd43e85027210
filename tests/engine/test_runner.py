"""What a pass says besides the last logits: against the model without a cache, layer by layer."""

from __future__ import annotations

import pytest
import torch

from tinychat.engine.runner import Runner
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

ROWS = {0: [1, 2, 3, 4, 5], 2: [9, 8]}


def a_model(*, tie: bool, layers: int = 3) -> Transformer:
    config = ModelConfig(vocab_size=40, context=32, width=16, layers=layers, heads=2, kv_heads=1, tie=tie)
    model = Transformer(config).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, 0.3, generator=generator)
    return model.eval().requires_grad_(False)


def by_hand(model: Transformer, ids: list[int], blocks: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Normed states (T, D) and logits (T, V) of a network that ends after so many blocks."""
    short = a_model(tie=model.head is None)
    short.load_state_dict(model.state_dict())
    short.blocks = short.blocks[:blocks]
    seen: list[torch.Tensor] = []
    short.norm.register_forward_hook(lambda module, inputs, output: seen.append(output[0]))
    logits: torch.Tensor = short(torch.tensor([ids]))[0]
    return seen[0], logits


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("every", [True, False])
def test_run_gives_what_is_asked_for(tie: bool, every: bool) -> None:
    model = a_model(tie=tie)
    runner = Runner(model, lanes=3)
    runner.feed({0: [7, 7], 1: [3]})  # lanes that stand at different places
    found = runner.run(ROWS, every=every, exits=(0, 2), hidden=True)
    assert runner.forwards == 2
    assert set(found) == {0, 2}
    for lane, ids in ROWS.items():
        before = [7, 7] if lane == 0 else []
        hidden, logits = by_hand(model, before + ids, 3)
        early = torch.stack([by_hand(model, before + ids, blocks)[1] for blocks in (0, 2)], 1)  # (T, J, V)
        new = slice(len(before), None) if every else -1
        torch.testing.assert_close(found[lane].logits, logits[new].float())
        torch.testing.assert_close(found[lane].exits, early[new].float())
        torch.testing.assert_close(found[lane].hidden, hidden[len(before) :].float())
    assert [runner.held(lane) for lane in range(3)] == [7, 1, 2]


def test_run_is_feed_where_nothing_is_asked_for() -> None:
    model = a_model(tie=True)
    one, other = Runner(model, lanes=3), Runner(model, lanes=3)
    fed, run = one.feed(ROWS), other.run(ROWS)
    for lane in ROWS:
        torch.testing.assert_close(run[lane].logits, fed[lane])
        assert run[lane].exits is None
        assert run[lane].hidden is None


def test_an_early_exit_leaves_a_cache_that_can_be_cut() -> None:
    model = a_model(tie=False)
    runner, fresh = Runner(model), Runner(model)
    for each in (runner, fresh):
        each.feed({0: [4, 5]})
    ids = [4, 5]
    for token in (6, 7, 8):
        ids.append(token)
        early = runner.run({0: [token]}, layers=2)[0].logits
        torch.testing.assert_close(early, by_hand(model, ids, 2)[1][-1].float())
    runner.cache.cut(0, 2)
    torch.testing.assert_close(runner.feed({0: [9, 1]})[0], fresh.feed({0: [9, 1]})[0])


@pytest.mark.parametrize(("exits", "layers"), [((3,), None), ((-1,), None), ((2,), 2), ((), 0), ((), 4)])
def test_layers_that_are_not_there_are_refused(exits: tuple[int, ...], layers: int | None) -> None:
    runner = Runner(a_model(tie=True))
    with pytest.raises(ValueError, match="layers must"):
        runner.run({0: [1]}, exits=exits, layers=layers)
    assert runner.held(0) == 0
