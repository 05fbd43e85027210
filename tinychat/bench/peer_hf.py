"""transformers' `generate` on our very weights: the network that everybody has, as a measure for ours.

Only a Llama-like network has a twin there. Dynamic cache, or static cache with the compiled forward pass. The peer
records nothing; a streamer stamps its tokens as they arrive on the host.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tinychat.bench.measure import Timing, open_model, prompts, timing_of
from tinychat.bench.plan import PEERS, Job
from tinychat.bench.quiet import Watch
from tinychat.engine.params import SamplingParams
from tinychat.engine.runner import DTYPES, choose_device
from tinychat.errors import NumbersError, UsageError
from tinychat.model.transformer import Transformer

TOLERANCE = 1e-4  # of logits in float32: more is another network
KNOWN = frozenset(("temperature", "top_k", "top_p", "min_p"))  # the stages that both sides define alike


class Stamps:
    """transformers' streamer protocol: `put` gets the prompt, then every token."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, _: Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is held back."""


class Peer:
    """The twin of the job's network, ready to generate."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.device = choose_device(job.device)
        # compared in float32, where a difference can only be a mistake; then cast
        ours = open_model(replace(job, dtype="float32"), self.device)
        self.model = twin(ours)
        self.difference = logits_difference(ours, self.model)
        refuse_another(self.difference, "The peer", version="your transformers version")
        vocab_size = ours.config.vocab_size
        del ours
        self.model.to(dtype=DTYPES[job.dtype])
        ids = torch.tensor(prompts(vocab_size, job.prompt, job.lanes), device=self.device)
        self.inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        self.options = {**_drawing(job.params), **self._cache_options()}

    def _cache_options(self) -> dict[str, Any]:
        if self.job.kind == PEERS["hf"][0]:
            return {}
        from transformers import CompileConfig

        compiled = CompileConfig()
        # generate compiles by itself on accelerators only
        compiled._compile_all_devices = True  # type: ignore[assignment]  # declared None, read as a truth
        return {"cache_implementation": "static", "compile_config": compiled}

    def facts(self) -> dict[str, Any]:
        from torch._dynamo.utils import counters

        return {
            "dtype": self.job.dtype,
            "threads": torch.get_num_threads(),
            "logits_difference": self.difference,
            "compiled_graphs": int(counters["stats"]["unique_graphs"]),
        }

    def generate(self, _: str) -> Timing:
        stamps = Stamps()
        count = self.job.tokens
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        watch = Watch()
        started = time.perf_counter()
        with torch.inference_mode():
            self.model.generate(
                **self.inputs, **self.options, max_new_tokens=count, eos_token_id=None, pad_token_id=0, streamer=stamps
            )
        times = stamps.times[1:]  # the first is the prompt
        assert len(times) == count, f"the peer made {len(times)} tokens of {count}"
        return timing_of(started, times[0], times, watch)


def refuse_another(difference: float, peer: str, *, version: str) -> None:
    """Raise NumbersError where logits in float32 differ so much that the peer is no twin."""
    if difference > TOLERANCE:
        raise NumbersError(
            f"{peer}'s logits differ from ours by {difference:.1e}: it is not the same network.",
            f"At most {TOLERANCE:.0e} may come from the order of sums; report this with {version}.",
        )


def twin(ours: Transformer) -> Any:
    """transformers' LlamaForCausalLM with our weights, on our device. UsageError where ours is no Llama."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = ours.config
    if (config.norm, config.position, config.activation) != ("rms", "rotary", "swiglu"):
        raise UsageError(
            "--peer hf needs a Llama-like model: RMS norm, rotary positions, SwiGLU.",
            "Leave --peer out, or use --shape.",
        )
    weight = ours.embedding.weight
    with torch.device("meta"):
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
                bos_token_id=None,
                eos_token_id=None,
                dtype=weight.dtype,
            )
        )
    theirs.to_empty(device=weight.device)
    theirs.tie_weights()
    # its tables are buffers, which copying the weights leaves empty
    theirs.model.rotary_emb = type(theirs.model.rotary_emb)(theirs.config).to(weight.device)
    with torch.no_grad():
        state = theirs.state_dict()
        copied = twin_weights(ours)
        for name, tensor in copied.items():
            state[name].copy_(tensor)
        missing = set(state) - set(copied) - ({"lm_head.weight"} if config.tie else set())
        assert not missing, f"nothing was copied into {sorted(missing)[:3]}"
    theirs.requires_grad_(False)
    theirs.train(False)
    return theirs


def twin_weights(ours: Transformer) -> dict[str, Tensor]:
    """Our weights under transformers' names: the fused matrices are cut, nothing is turned or permuted."""
    config, state = ours.config, ours.state_dict()
    kv = config.n_kv_heads * config.head_width
    theirs = {"model.embed_tokens.weight": state["embedding.weight"], "model.norm.weight": state["norm.weight"]}
    if not config.tie:
        theirs["lm_head.weight"] = state["head.weight"]
    for layer in range(config.layers):
        a, b = f"model.layers.{layer}", f"blocks.{layer}"
        for kind in ("weight", "bias") if config.bias else ("weight",):
            qkv = state[f"{b}.attention.qkv.{kind}"].split([config.width, kv, kv])
            for part, tensor in zip("qkv", qkv, strict=True):
                theirs[f"{a}.self_attn.{part}_proj.{kind}"] = tensor
            theirs[f"{a}.self_attn.o_proj.{kind}"] = state[f"{b}.attention.output.{kind}"]
            gate, up = state[f"{b}.feed_forward.up.{kind}"].chunk(2)
            theirs[f"{a}.mlp.gate_proj.{kind}"], theirs[f"{a}.mlp.up_proj.{kind}"] = gate, up
            theirs[f"{a}.mlp.down_proj.{kind}"] = state[f"{b}.feed_forward.down.{kind}"]
        theirs[f"{a}.input_layernorm.weight"] = state[f"{b}.attention_norm.weight"]
        theirs[f"{a}.post_attention_layernorm.weight"] = state[f"{b}.feed_forward_norm.weight"]
    return theirs


def logits_difference(ours: Transformer, theirs: Any) -> float:
    """The largest difference of any logit over a few pseudo-random tokens."""
    length = min(24, ours.config.context)
    ids = torch.tensor(prompts(ours.config.vocab_size, length, 2), device=ours.embedding.weight.device)
    with torch.inference_mode():
        return float((ours(ids) - theirs(input_ids=ids).logits).abs().max())


def _drawing(params: SamplingParams) -> dict[str, Any]:
    """Our settings as generate's arguments."""
    if params.is_greedy:
        return {"do_sample": False}
    strange = sorted(name for name in params.stages if params.is_on(name) and name not in KNOWN)
    if strange:
        raise UsageError(
            f"--peer hf cannot run {strange[0]}.", f"Peers know {', '.join(sorted(KNOWN))}; use another preset."
        )
    return {
        "do_sample": True,
        "temperature": params.temperature,
        "top_k": params.top_k or None,
        "top_p": params.top_p,
        "min_p": params.min_p or None,
    }
