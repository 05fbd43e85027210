"""The networks that are measured: ours with random weights, and transformers' twin of it."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo.utils

from tinychat.bench import measure
from tinychat.bench.measure import Ours, check_memory, prompts
from tinychat.bench.peer_hf import Peer, logits_difference, twin
from tinychat.bench.plan import ASKED, CHAIN, FORWARD, OFF, OURS, PEERS, RECORD, Job
from tinychat.bench.weights import SPREAD, random_model
from tinychat.errors import OutOfMemoryError_, UsageError
from tinychat.model.config import PRESETS, ModelConfig

TINY = ModelConfig(vocab_size=300, context=64, width=32, layers=2, heads=4, kv_heads=2)
CPU = torch.device("cpu")


def job(**changes: object) -> Job:
    raw = Job(kind=OURS, device="cpu", dtype="float32", config=TINY.to_dict(), threads=1, step="eager").to_dict()
    return Job.from_dict({**raw, "prompt": 5, "tokens": 6, **changes})


def test_random_weights_are_the_same_again_and_their_logits_spread_as_promised() -> None:
    one, other = (random_model(TINY, device=CPU, dtype=torch.float32) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    logits = one(torch.tensor(prompts(TINY.vocab_size, 16, 8)))
    assert float(logits.std()) == pytest.approx(SPREAD, rel=0.1)


def test_a_smaller_type_has_the_same_weights_rounded() -> None:
    exact = random_model(TINY, device=CPU, dtype=torch.float32)
    coarse = random_model(TINY, device=CPU, dtype=torch.bfloat16)
    for one, other in zip(exact.parameters(), coarse.parameters(), strict=True):
        assert torch.equal(one.bfloat16(), other)


@pytest.mark.parametrize(
    "changes",
    [{}, {"kv_heads": 1, "tie": False}, {"kv_heads": None, "rope_theta": 5e5}, {"bias": True, "hidden": 48}],
    ids=["gqa", "untied", "theta", "bias"],
)
def test_the_twin_gives_our_logits(changes: dict[str, object]) -> None:
    ours = random_model(ModelConfig.from_dict({**TINY.to_dict(), **changes}), device=CPU, dtype=torch.float32)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():  # norms and biases too, so that nothing agrees by being 1 or 0
        for name, parameter in ours.named_parameters():
            if parameter.ndim == 1 and name != "norm.weight":
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    assert logits_difference(ours, twin(ours)) < 1e-4


def test_another_network_is_found_out() -> None:
    ours = random_model(TINY, device=CPU, dtype=torch.float32)
    theirs = twin(ours)
    with torch.no_grad():
        theirs.model.layers[1].mlp.gate_proj.weight[0] += 0.5
    assert logits_difference(ours, theirs) > 1e-3


def test_a_network_of_another_family_has_no_twin() -> None:
    config = ModelConfig.from_dict({**PRESETS["gpt2"], "vocab_size": 300, "width": 32, "heads": 2})
    with pytest.raises(UsageError, match="Llama-like"):
        twin(random_model(config, device=CPU, dtype=torch.float32))


def test_the_peer_stamps_every_token_and_tells_what_it_is() -> None:
    torch._dynamo.utils.counters.clear()  # other tests of this process may have compiled something
    peer = Peer(job(kind=PEERS["hf"][0], lanes=2))
    timing = peer.generate(ASKED)
    assert len(timing.steps) == 5
    assert 0 < timing.first_s <= timing.wall_s
    assert peer.facts()["logits_difference"] < 1e-4
    assert peer.facts()["compiled_graphs"] == 0


def test_a_peer_refuses_settings_it_has_not() -> None:
    with pytest.raises(UsageError, match="repetition"):
        Peer(job(kind=PEERS["hf"][0], settings={"repetition_penalty": 1.2}))


@pytest.mark.parametrize("lanes", [1, 3])
def test_every_kind_of_generation_has_a_time_for_every_step(lanes: int) -> None:
    ours = Ours(job(lanes=lanes))
    for kind in (ASKED, FORWARD, OFF, RECORD, CHAIN):
        timing = ours.generate(kind)
        assert len(timing.steps) == 5, kind
        assert 0 < timing.prefill_s <= timing.first_s <= timing.wall_s
    assert ours.facts()["parameters"] == TINY.n_parameters()


def test_a_generation_computes_its_whole_prompt_anew() -> None:
    ours = Ours(job())
    ours.generate(ASKED)
    before = ours.engine(64).runner.forwards
    ours.generate(ASKED)
    # what leaves nothing behind, the prompt in a chunk and its last token, then a pass for each token but the last
    assert ours.engine(64).runner.forwards - before == 1 + 2 + 5


def test_memory_is_checked_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "available_bytes", lambda: 600_000_000)
    check_memory(TINY, "float32", CPU)
    large = ModelConfig(vocab_size=128_256, width=2048, layers=16, heads=32)
    with pytest.raises(OutOfMemoryError_, match=r"in bfloat16 need \d\.\d GB; 0\.6 GB of cpu are free"):
        check_memory(large, "bfloat16", CPU)


def test_divergence_of_the_same_type_is_nothing_and_of_a_smaller_one_is_little() -> None:
    from tinychat.bench.kl import divergence

    same = divergence(job(kind="kl"))
    assert same["kl_max"] == pytest.approx(0.0, abs=1e-12)
    assert same["perplexity"] == same["perplexity_float32"]
    assert same["same_argmax"] == 1.0
    assert (same["tokens"], same["text"]) == (TINY.context - 1, "own")
    assert same["perplexity"] < TINY.vocab_size / 2, "a network knows its own text"
    coarse = divergence(job(kind="kl", dtype="bfloat16", text=list(range(200))))
    assert 0 < coarse["kl_mean"] <= coarse["kl_max"] < 0.1
    assert (coarse["tokens"], coarse["text"]) == (199, "given")
    assert coarse["perplexity"] != coarse["perplexity_float32"]
