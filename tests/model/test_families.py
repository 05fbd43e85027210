"""With the same weights our network gives the logits of `transformers`' Llama and GPT-2."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tinychat.model.config import PRESETS, ModelConfig
from tinychat.model.transformer import Transformer

ATOL = 1e-4


def ids(vocab_size: int, *, rows: int = 3, length: int = 24) -> Tensor:
    return torch.randint(0, vocab_size, (rows, length), generator=torch.Generator().manual_seed(1))


def scramble(model: torch.nn.Module) -> None:
    """Weights far from their first values, norms and biases too, so that nothing cancels by being 0 or 1."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            centre = 1.0 if parameter.ndim == 1 else 0.0
            parameter.copy_(centre + 0.15 * torch.randn(parameter.shape, generator=generator))


def llama_weights(theirs: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    ours = {"embedding.weight": theirs["model.embed_tokens.weight"], "norm.weight": theirs["model.norm.weight"]}
    if not config.tie:
        ours["head.weight"] = theirs["lm_head.weight"]
    for layer in range(config.layers):
        a, b = f"model.layers.{layer}", f"blocks.{layer}"
        for kind in ("weight", "bias") if config.bias else ("weight",):
            ours[f"{b}.attention.qkv.{kind}"] = torch.cat(
                [theirs[f"{a}.self_attn.{part}_proj.{kind}"] for part in ("q", "k", "v")]
            )
            ours[f"{b}.attention.output.{kind}"] = theirs[f"{a}.self_attn.o_proj.{kind}"]
            ours[f"{b}.feed_forward.up.{kind}"] = torch.cat(
                [theirs[f"{a}.mlp.gate_proj.{kind}"], theirs[f"{a}.mlp.up_proj.{kind}"]]
            )
            ours[f"{b}.feed_forward.down.{kind}"] = theirs[f"{a}.mlp.down_proj.{kind}"]
        ours[f"{b}.attention_norm.weight"] = theirs[f"{a}.input_layernorm.weight"]
        ours[f"{b}.feed_forward_norm.weight"] = theirs[f"{a}.post_attention_layernorm.weight"]
    return ours


def gpt2_weights(theirs: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    ours = {"embedding.weight": theirs["transformer.wte.weight"], "positions.weight": theirs["transformer.wpe.weight"]}
    names = {
        "attention_norm": "ln_1",
        "attention.qkv": "attn.c_attn",
        "attention.output": "attn.c_proj",
        "feed_forward_norm": "ln_2",
        "feed_forward.up": "mlp.c_fc",
        "feed_forward.down": "mlp.c_proj",
    }
    for kind in ("weight", "bias"):
        ours[f"norm.{kind}"] = theirs[f"transformer.ln_f.{kind}"]
        for layer in range(config.layers):
            for our, their in names.items():
                tensor = theirs[f"transformer.h.{layer}.{their}.{kind}"]
                ours[f"blocks.{layer}.{our}.{kind}"] = tensor.T if tensor.ndim == 2 else tensor  # they keep (in, out)
    return ours


def compared(theirs: torch.nn.Module, weights: dict[str, Tensor], config: ModelConfig) -> None:
    ours = Transformer(config)
    ours.load_state_dict(weights)
    ours.eval()
    tokens = ids(config.vocab_size)
    with torch.no_grad():
        expected = theirs(input_ids=tokens).logits
        logits = ours(tokens)
    assert expected.std() > 0.1, "the comparison must be about something"
    torch.testing.assert_close(logits, expected, atol=ATOL, rtol=0)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"kv_heads": 2},
        {"kv_heads": 1, "tie": False},
        {"kv_heads": 4, "rope_theta": 500_000.0},
        {"norm_eps": 1e-2},
        {"bias": True, "hidden": 80},
    ],
    ids=lambda shape: "-".join(shape) or "plain",
)
def test_logits_equal_llama(shape: dict[str, object]) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = ModelConfig.from_dict(
        {"vocab_size": 97, "context": 64, "width": 64, "layers": 3, "heads": 8, "norm_eps": 1e-6, **shape}
    )
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            intermediate_size=config.n_hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.n_kv_heads,
            max_position_embeddings=config.context,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=config.tie,
            attention_bias=config.bias,
            mlp_bias=config.bias,
        )
    ).eval()
    scramble(theirs)
    compared(theirs, llama_weights(theirs.state_dict(), config), config)


@pytest.mark.parametrize(
    ("activation", "theirs_name", "eps"),
    [("gelu_tanh", "gelu_new", 1e-5), ("gelu", "gelu", 1e-5), ("relu2", "relu2", 1e-3)],
)
def test_logits_equal_gpt2(activation: str, theirs_name: str, eps: float) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"vocab_size": 97, "context": 64, "width": 48, "layers": 3, "heads": 4, "norm_eps": eps}
    config = ModelConfig.from_dict({**PRESETS["gpt2"], **shape, "activation": activation})
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            activation_function=theirs_name,
            layer_norm_epsilon=eps,
        )
    ).eval()
    scramble(theirs)
    compared(theirs, gpt2_weights(theirs.state_dict(), config), config)
