"""The twin that llama.cpp gets: a GGUF file that transformers, which reads such files too, finds to be our network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from tinychat.bench.peer_hf import logits_difference, twin
from tinychat.bench.peer_llama_cpp import Peer, gguf_name, write_gguf
from tinychat.bench.plan import ASKED, PEERS, Job
from tinychat.bench.weights import random_model
from tinychat.errors import UsageError
from tinychat.model.config import PRESETS, ModelConfig
from tinychat.model.transformer import Transformer

TINY = ModelConfig(vocab_size=320, context=64, width=64, layers=2, heads=4, kv_heads=2, hidden=96, rope_theta=5e5)


def model_of(**changes: object) -> Transformer:
    config = ModelConfig.from_dict({**TINY.to_dict(), **changes})
    model = random_model(config, device=torch.device("cpu"), dtype=torch.float32)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():  # norms too, so that nothing agrees by being 1
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and name != "norm.weight":
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("changes", [{}, {"kv_heads": None, "tie": False}], ids=["gqa, tied", "untied"])
def test_the_file_is_our_network_in_the_eyes_of_another_reader(tmp_path: Path, changes: dict[str, object]) -> None:
    ours = model_of(**changes)
    write_gguf(ours, tmp_path / "twin.gguf", "F32")
    theirs = twin(ours)
    wanted = {name: weight.clone() for name, weight in theirs.state_dict().items()}
    found: dict[str, Any] = load_gguf_checkpoint(tmp_path / "twin.gguf", return_tensors=True, model_to_load=theirs)
    assert set(wanted) - set(found["tensors"]) <= ({"lm_head.weight"} if ours.config.tie else set())
    for name, weight in found["tensors"].items():
        assert torch.equal(torch.as_tensor(weight), wanted[name]), name
    config = found["config"]
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (4, ours.config.n_kv_heads)
    assert config["rms_norm_eps"] == pytest.approx(1e-5)
    assert config["rope_theta"] == 5e5
    assert logits_difference(ours, theirs) < 1e-4


def test_matrices_take_the_type_that_is_asked_for_and_vectors_stay_whole(tmp_path: Path) -> None:
    ours = model_of()
    write_gguf(ours, tmp_path / "twin.gguf", "Q8_0")
    for tensor in gguf.GGUFReader(tmp_path / "twin.gguf").tensors:
        vector = tensor.name.endswith("norm.weight")
        assert tensor.tensor_type.name == ("F32" if vector else "Q8_0"), tensor.name
    up = next(t for t in gguf.GGUFReader(tmp_path / "twin.gguf").tensors if t.name == "blk.1.ffn_up.weight")
    exact = ours.state_dict()["blocks.1.feed_forward.up.weight"].chunk(2)[1]
    error = (torch.from_numpy(gguf.quants.dequantize(up.data, up.tensor_type)) - exact).abs().max()
    assert 0 < float(error) <= float(exact.abs().max()) / 127


def test_names_are_those_of_the_format() -> None:
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name in twin(model_of(tie=False)).state_dict():
        assert gguf_name(name) == known.get_name(name, try_suffixes=(".weight",))


def test_a_network_of_another_family_is_refused(tmp_path: Path) -> None:
    gpt2 = ModelConfig.from_dict({**PRESETS["gpt2"], "vocab_size": 320, "width": 64, "heads": 2})
    for config in (gpt2, ModelConfig.from_dict({**TINY.to_dict(), "bias": True})):
        with pytest.raises(UsageError, match="Llama-like"):
            write_gguf(random_model(config, device=torch.device("cpu"), dtype=torch.float32), tmp_path / "x", "F32")


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_peer_stamps_every_token_and_is_the_same_network(dtype: str) -> None:
    pytest.importorskip("llama_cpp", exc_type=(ImportError, RuntimeError))
    job = Job(kind=PEERS["llama.cpp"][0], device="cpu", dtype=dtype, config=TINY.to_dict(), threads=1)
    peer = Peer(Job.from_dict({**job.to_dict(), "prompt": 5, "tokens": 6, "lanes": 2}))
    timing = peer.generate(ASKED)
    assert len(timing.steps) == 5
    assert 0 < timing.first_s <= timing.wall_s
    assert peer.facts()["logits_difference"] < (1e-4 if dtype == "float32" else 0.5)
