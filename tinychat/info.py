"""What `tinychat info` says of a checkpoint, as facts and as a table."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from tinychat.text.terminal import one_line

if TYPE_CHECKING:
    from tinychat.model.checkpoint import CheckpointInfo

SCHEMA = "tinychat.info/1"
_NAMES = 22  # columns of the names


def describe(info: CheckpointInfo) -> dict[str, Any]:
    """Every fact of a checkpoint, plain values for JSON. Bytes are bytes."""
    from tinychat.model.checkpoint import tokenizer_of

    config = info.config
    count = config.n_parameters()
    tokenizer = tokenizer_of(info)
    # int8 keeps one fp32 scale for every output row of a matrix; vectors stay fp32
    matrices = [t for t in info.tensors if len(t.shape) == 2]
    scales = sum(t.shape[0] for t in matrices)
    in_matrices = sum(t.shape[0] * t.shape[1] for t in matrices)
    return {
        "schema": SCHEMA,
        "path": str(info.path),
        "file_bytes": info.file_bytes,
        "dtype": info.dtype,
        "model": config.to_dict(),
        "head_width": config.head_width,
        "hidden": config.n_hidden,
        "kv_heads": config.n_kv_heads,
        "parameters": count,
        "parameters_by_part": config.parameters(),
        "weight_bytes": {
            "fp32": 4 * count,
            "bf16": 2 * count,
            "int8": in_matrices + 4 * scales + 4 * (count - in_matrices),
        },
        "kv_bytes_per_token": {"fp32": config.cache_bytes_per_token(4), "bf16": config.cache_bytes_per_token(2)},
        "kv_bytes_full_context": {
            "fp32": config.context * config.cache_bytes_per_token(4),
            "bf16": config.context * config.cache_bytes_per_token(2),
        },
        "tokenizer": {
            "vocabulary": tokenizer.vocab_size,
            "specials": dict(tokenizer.specials),
            "digest": info.tokenizer_digest,
        },
        "chat_template": info.chat_template or None,
        "step": info.step,
        "training": info.training,
        "digest": info.digest,
        "tensors": [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in info.tensors],
    }


def print_table(facts: dict[str, Any]) -> None:
    """The facts for a person, on stdout: wrapped on a terminal, one line a fact in a pipe."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for name, value in _rows(facts):
        text = one_line(value)
        room = max(20, width - _NAMES - 1)
        lines = textwrap.wrap(text, room, break_on_hyphens=False) if width else [text]
        print(f"{name:<{_NAMES}}{lines[0]}")
        for line in lines[1:]:
            print(" " * _NAMES + line)


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    model, weights = facts["model"], facts["weight_bytes"]
    shape = (
        f"{model['layers']} layers, width {model['width']}, {model['heads']} heads"
        f" ({facts['kv_heads']} kv) of {facts['head_width']}, hidden {facts['hidden']}, context {model['context']}"
    )
    kind = (
        f"{model['norm']} norm, {model['position']} positions, {model['activation']}, "
        f"{'biases' if model['bias'] else 'no biases'}, {'tied' if model['tie'] else 'untied'} head"
    )
    parts = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in facts["parameters_by_part"].items() if n)
    rows = [
        ("file", f"{facts['path']} ({_bytes(facts['file_bytes'])}, {facts['dtype']})"),
        ("shape", shape),
        ("kind", kind),
        ("parameters", f"{facts['parameters']:,}"),
        ("  by part", parts),
        ("weights", ", ".join(f"{name} {_bytes(n)}" for name, n in weights.items())),
        ("KV cache", ", ".join(f"{name} {_bytes(n)} a token" for name, n in facts["kv_bytes_per_token"].items())),
        ("  full context", ", ".join(f"{name} {_bytes(n)}" for name, n in facts["kv_bytes_full_context"].items())),
        ("tokenizer", f"{facts['tokenizer']['vocabulary']} tokens, {len(facts['tokenizer']['specials'])} special"),
        ("chat", facts["chat_template"] or "no"),
        ("step", f"{facts['step']:,}"),
    ]
    rows += [(name.replace("_", " "), _value(value)) for name, value in facts["training"].items()]
    rows += [
        ("digest", facts["digest"]),
        ("tokenizer digest", facts["tokenizer"]["digest"]),
        ("verified", "every byte"),
    ]
    return rows


def _bytes(count: int) -> str:
    units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
    return next((f"{count / size:.1f} {unit}" for size, unit in units if count >= size), f"{count} B")


def _value(value: object) -> str:
    if isinstance(value, dict) and "path" in value:  # the checkpoint it was trained from
        return f"{value['path']} (step {value.get('step')}, digest {str(value.get('digest'))[:16]})"
    if isinstance(value, str) and "\n" in value:
        return f"{len(value.splitlines())} lines; --json has them"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
