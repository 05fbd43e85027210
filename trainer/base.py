"""The checkpoint that a run starts from: weights, network, vocabulary and chat format come from it.

Nothing here knows torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinychat.errors import TinychatError
from tinychat.files import find_checkpoint
from tinychat.model.checkpoint import CheckpointInfo, inspect
from tinychat.model.config import ModelConfig
from trainer.config import SMALLEST_VOCABULARY, Lora, ModelTable, Table, TokenizerTable, Train

FREE = ("family", "dropout")  # no weight depends on them


def find(named: str) -> CheckpointInfo:
    """What the file says, or the best checkpoint of a run folder. FileFormatError where there is none."""
    return inspect(find_checkpoint(Path(named)))


def settle(tables: dict[str, Table], raw: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Put the base's network and vocabulary into `tables`; (table, key, reason) for what the file says otherwise.

    `raw` is what was written. Without `train.from` nothing changes.
    """
    train, lora = tables.get("train"), tables.get("lora")
    if not isinstance(train, Train):
        return
    if train.from_ is None:
        if isinstance(lora, Lora) and lora.rank:
            yield "lora", "rank", "adapters change a trained model: name it as train.from"
        return
    try:
        info = find(train.from_)
    except TinychatError as error:
        yield "train", "from", error.what.rstrip(".")
        return
    model, tokenizer = tables.get("model"), tables.get("tokenizer")
    if isinstance(model, ModelTable):
        yield from _other_network(model, info.config, _written(raw, "model"))
        tables["model"] = _as_table(info.config, model)
    if isinstance(tokenizer, TokenizerTable):
        size = max(info.config.vocab_size, SMALLEST_VOCABULARY)
        written = _written(raw, "tokenizer")
        if "path" in written:
            yield "tokenizer", "path", "leave it out: the vocabulary comes from train.from"
        if "vocab_size" in written and tokenizer.vocab_size != size:
            yield "tokenizer", "vocab_size", f"is {tokenizer.vocab_size}, in train.from {size}: leave it out"
        tables["tokenizer"] = tokenizer.model_copy(update={"vocab_size": size})


def _written(raw: Mapping[str, Any], table: str) -> Mapping[str, Any]:
    found = raw.get(table, {})
    return found if isinstance(found, Mapping) else {}


def _other_network(model: ModelTable, base: ModelConfig, written: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    spelled_out = {"kv_heads": base.n_kv_heads, "hidden": base.n_hidden}
    for key in written:
        if key in FREE or key not in ModelTable.model_fields:
            continue
        value, had = getattr(model, key), getattr(base, key)
        if value != had and value != spelled_out.get(key, had):
            yield "model", key, f"is {value!r}, in train.from {had!r}: leave it out"


def _as_table(base: ModelConfig, model: ModelTable) -> ModelTable:
    """The base's network with the dropout of this run."""
    values = {key: value for key, value in base.to_dict().items() if key in ModelTable.model_fields}
    family = "gpt2" if base.norm == "layer" and base.position == "learned" else "llama"
    return ModelTable(**{**values, "dropout": model.dropout, "family": family})
