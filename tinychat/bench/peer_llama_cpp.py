"""llama.cpp on our very weights: a GGUF file is made of them, and its own C interface decodes a token at a time.

Through the low-level part of llama-cpp-python, which keeps the C structures in step with the library. Nothing of it
samples or records: the next token is the argmax, which is less than its own sampler does. Only a Llama-like network has
a twin there. int8 is its Q8_0, the type that ours is measured against.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinychat.bench.measure import Timing, open_model, prompts, timing_of
from tinychat.bench.peer_hf import refuse_another, twin_weights
from tinychat.bench.plan import Job
from tinychat.bench.quiet import Watch
from tinychat.engine.runner import choose_device
from tinychat.errors import TinychatError, UsageError
from tinychat.model.config import ModelConfig
from tinychat.model.transformer import Transformer

TYPES = {"float32": "F32", "bfloat16": "BF16", "int8": "Q8_0"}  # ours -> GGUF's
_PROBE = 24  # tokens to compare logits over
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


class Peer:
    """The twin of the job's network, ready to generate."""

    def __init__(self, job: Job) -> None:
        from llama_cpp import llama_cpp as library

        self.job = job
        self.device = choose_device(job.device)
        if self.device.type != "cpu":
            raise UsageError("--peer llama.cpp is measured on the CPU.", "Add --device cpu.")
        if not job.params.is_greedy:
            raise UsageError("--peer llama.cpp is measured greedily.", "Leave the settings out.")
        ours = open_model(replace(job, dtype="float32"), self.device)
        self._c = library
        self._size = ours.config.vocab_size
        library.llama_backend_init()
        with TemporaryDirectory(prefix="tinychat-bench-") as folder:  # what is loaded stays when its name is gone
            path = Path(folder) / "twin.gguf"
            write_gguf(ours, path, TYPES[job.dtype])
            self._model = library.llama_model_load_from_file(str(path).encode(), library.llama_model_default_params())
        if not self._model:
            raise TinychatError("llama.cpp cannot load the twin of this network.", "Try another version of it.")
        self.difference = self._difference(ours)
        if job.dtype == "float32":
            refuse_another(self.difference, "llama.cpp", version="its version")
        del ours
        self.prompts = prompts(self._size, job.prompt, job.lanes)
        self._context = self._open(job.lanes, job.prompt + job.tokens)

    def facts(self) -> dict[str, Any]:
        return {
            "dtype": TYPES[self.job.dtype],
            "threads": torch.get_num_threads(),
            "logits_difference": self.difference,
            "system": self._c.llama_print_system_info().decode(errors="replace"),
        }

    def generate(self, _: str) -> Timing:
        c, lanes = self._c, range(self.job.lanes)
        c.llama_memory_clear(c.llama_get_memory(self._context), False)
        watch = Watch()
        started = time.perf_counter()
        last = self._decode(self._context, self.prompts, 0)
        stamps = [time.perf_counter()]
        for step in range(self.job.tokens - 1):
            rows = [[int(last[lane].argmax())] for lane in lanes]
            last = self._decode(self._context, rows, self.job.prompt + step)
            stamps.append(time.perf_counter())
        return timing_of(started, stamps[0], stamps, watch)

    def _open(self, lanes: int, length: int, *, exact: bool = False) -> Any:
        """A context with room for `length` tokens a lane; `exact` attends in float32, where its default is in half."""
        c = self._c
        params = c.llama_context_default_params()
        params.n_ctx, params.n_seq_max = lanes * length, lanes
        params.n_batch = params.n_ubatch = max(512, lanes * max(self.job.prompt, _PROBE))
        params.n_threads = params.n_threads_batch = torch.get_num_threads()
        if exact:
            params.type_k = params.type_v = c.GGML_TYPE_F32
            params.flash_attn_type = c.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = c.llama_init_from_model(self._model, params)
        if not context:
            raise TinychatError("llama.cpp cannot make a context for this network.", "Take a smaller shape.")
        return context

    def _decode(self, context: Any, rows: Sequence[Sequence[int]], start: int) -> list[np.ndarray[Any, Any]]:
        """Feed each lane's ids, which stand at `start` and on; per lane the logits (V,) after the last of them."""
        c = self._c
        batch = c.llama_batch_init(sum(map(len, rows)), 0, 1)
        try:
            n, ends = 0, []
            for lane, ids in enumerate(rows):
                for place, token in enumerate(ids):
                    batch.token[n], batch.pos[n] = token, start + place
                    batch.n_seq_id[n], batch.seq_id[n][0] = 1, lane
                    batch.logits[n] = place == len(ids) - 1
                    n += 1
                ends.append(n - 1)
            batch.n_tokens = n
            code = c.llama_decode(context, batch)
        finally:
            c.llama_batch_free(batch)
        if code:
            raise TinychatError(f"llama.cpp's decode ended with {code}.", "Try another version of it.")
        return [np.ctypeslib.as_array(c.llama_get_logits_ith(context, end), (self._size,)) for end in ends]

    def _difference(self, ours: Transformer) -> float:
        """The largest difference of any logit of ours, in float32, after a few pseudo-random tokens."""
        length = min(_PROBE, ours.config.context)
        ids = prompts(self._size, length, 1)
        context = self._open(1, length, exact=True)
        try:
            (theirs,) = self._decode(context, ids, 0)
            with torch.inference_mode():
                return float((ours(torch.tensor(ids))[0, -1] - torch.from_numpy(theirs)).abs().max())
        finally:
            self._c.llama_free(context)


def write_gguf(model: Transformer, path: Path, kind: str) -> None:
    """The network as a GGUF file without a vocabulary, matrices in the type `kind`. UsageError where it is no Llama."""
    import gguf

    config = model.config
    if (config.norm, config.position, config.activation, config.bias) != ("rms", "rotary", "swiglu", False):
        raise UsageError(
            "--peer llama.cpp needs a Llama-like model: RMS norm, rotary positions, SwiGLU, no biases.",
            "Leave --peer out, or use --shape.",
        )
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.n_hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.n_kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_dimension_count(config.head_width)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    wanted = gguf.GGMLQuantizationType[kind]
    for name, weight in twin_weights(model).items():
        numbers = _turned(name, weight, config).float().numpy()
        if numbers.ndim == 1 or kind == "F32":
            writer.add_tensor(gguf_name(name), numbers)
        else:
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(numbers, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    """`model.layers.0.mlp.up_proj.weight` is `blk.0.ffn_up.weight`."""
    stem, _, kind = name.rpartition(".")
    if stem.startswith("model.layers."):
        layer, _, part = stem.removeprefix("model.layers.").partition(".")
        return f"blk.{layer}.{_NAMES[part]}.{kind}"
    return f"{_NAMES[stem]}.{kind}"


def _turned(name: str, weight: Tensor, config: ModelConfig) -> Tensor:
    """Queries and keys as GGUF wants them: the two numbers that a rotation turns stand side by side, not half apart."""
    if "q_proj" not in name and "k_proj" not in name:
        return weight
    heads = config.heads if "q_proj" in name else config.n_kv_heads
    halves = weight.view(heads, 2, config.head_width // 2, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape)
