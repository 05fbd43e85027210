"""The checkpoint: one safetensors file with weights, model config, tokenizer, chat template and training facts.

All of it is checked in plain Python and NumPy, before torch is imported and before anything is allocated: the config,
then that names, shapes and dtypes are those the config implies, then digests and finiteness. Weights are arrays here;
`transformer.load` makes a network of them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinychat.errors import FileFormatError
from tinychat.model.config import ModelConfig
from tinychat.model.header import Header, TensorInfo
from tinychat.model.tensors import DIGEST_KEY, HINT, Array, TensorFile, own_metadata, seal, write_sealed
from tinychat.text.terminal import one_line

if TYPE_CHECKING:
    from tinychat.text.tokenizer import Tokenizer

KIND = "checkpoint"
WEIGHT_DTYPES = ("F32", "F16", "BF16")
MAX_CONFIG = 2**16  # characters of JSON: small enough that no nesting can hurt
MAX_TRAINING = 2**20
KEYS = ("kind", "config", "tokenizer", "chat_template", "step", "training")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointInfo:
    """What a checkpoint says about itself; `digest` is its identity, weights included."""

    path: Path
    config: ModelConfig
    tokenizer_json: str
    tokenizer_digest: str  # SHA-256 of tokenizer_json
    chat_template: str
    step: int
    training: dict[str, Any]
    digest: str
    dtype: str
    tensors: tuple[TensorInfo, ...]
    file_bytes: int

    @property
    def pause_tokens(self) -> int:
        """How many pause tokens it was trained with before each reply."""
        count = self.training.get("pause_tokens", 0)
        return count if isinstance(count, int) and 0 < count <= self.config.context else 0


def inspect(path: Path) -> CheckpointInfo:
    """What a checkpoint holds, from its header alone. Raises FileFormatError or StorageError."""
    with TensorFile(path) as file:
        file.check_seal()
        return _info(path, file.header, file.file_bytes)


def read(path: Path) -> tuple[CheckpointInfo, dict[str, Array]]:
    """The checkpoint and its weights, every digest checked, every number finite; bfloat16 as uint16.

    Raises FileFormatError, StorageError or OutOfMemoryError_, naming file and tensor.
    """
    with TensorFile(path) as file:
        file.check_seal()
        return _info(path, file.header, file.file_bytes), file.arrays()


def write(
    path: Path,
    *,
    arrays: Mapping[str, Array],
    config: ModelConfig,
    tokenizer_json: str,
    chat_template: str,
    step: int,
    training: dict[str, Any],
) -> CheckpointInfo:
    """Write a checkpoint durably and atomically; what `inspect` says about it.

    Raises ValueError when the arrays are not those of the config or `training` is no JSON, NumbersError for NaN or
    Inf, StorageError from the disk; the old file is then untouched.
    """
    wrong = _mismatch(config, {name: array.shape for name, array in arrays.items()})
    if wrong:
        raise ValueError(wrong)
    texts = {
        "kind": KIND,
        "config": json.dumps(config.to_dict(), allow_nan=False),
        "tokenizer": tokenizer_json,
        "chat_template": chat_template,
        "step": str(step),
        "training": json.dumps(training, allow_nan=False),
    }
    if step < 0 or len(texts["training"]) > MAX_TRAINING:
        raise ValueError(f"step must be at least 0 and training facts below {MAX_TRAINING} characters")
    sealed = seal(arrays, texts)
    try:  # what we could not read again is not written
        info = _info(path, sealed.header, sealed.file_bytes)
    except FileFormatError as error:
        raise ValueError(error.what) from error
    write_sealed(path, sealed)
    return info


def expected_tensors(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights that a config implies, in the order of the network."""
    d, f = config.width, config.n_hidden
    inner = (config.heads + 2 * config.n_kv_heads) * config.head_width
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (config.vocab_size, d)}

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = (d,)
        if config.norm == "layer" and config.bias:
            shapes[f"{name}.bias"] = (d,)

    def linear(name: str, rows: int, columns: int) -> None:
        shapes[f"{name}.weight"] = (rows, columns)
        if config.bias:
            shapes[f"{name}.bias"] = (rows,)

    if config.position == "learned":
        shapes["positions.weight"] = (config.context, d)
    for layer in range(config.layers):
        block = f"blocks.{layer}"
        norm(f"{block}.attention_norm")
        linear(f"{block}.attention.qkv", inner, d)
        linear(f"{block}.attention.output", d, d)
        norm(f"{block}.feed_forward_norm")
        linear(f"{block}.feed_forward.up", 2 * f if config.activation == "swiglu" else f, d)
        linear(f"{block}.feed_forward.down", d, f)
    norm("norm")
    if not config.tie:
        shapes["head.weight"] = (config.vocab_size, d)
    return shapes


def _info(path: Path, header: Header, file_bytes: int) -> CheckpointInfo:
    """The facts in a sealed header. Raises FileFormatError."""

    def refused(reason: str) -> FileFormatError:
        return FileFormatError(one_line(f"{path} {reason}."), HINT)

    metadata = own_metadata(header)
    if metadata.get("kind") != KIND:
        raise refused("is a tensor file of tinychat, but no checkpoint (optimizer state, perhaps)")
    for key in KEYS:
        if key not in metadata:
            raise refused(f"has no {key} in its metadata")
    unknown = sorted(metadata.keys() - set(KEYS))
    if unknown:
        raise refused(f"has the unknown metadata {unknown[0][:80]}")
    step = metadata["step"]
    if not (step.isascii() and step.isdecimal() and len(step) <= 18):
        raise refused(f"has a step that is no number: {step[:40]}")
    try:
        config = ModelConfig.from_dict(_json(metadata["config"], MAX_CONFIG), origin=str(path))
        training = _json(metadata["training"], MAX_TRAINING)
    except ValueError as error:
        raise refused(f"has metadata that is no valid JSON ({error})") from None
    except FileFormatError as error:
        raise FileFormatError(one_line(error.what)[:300], error.hint or HINT) from None
    if not isinstance(training, dict):
        raise refused("has training facts that are no object")
    wrong = _mismatch(config, {tensor.name: tensor.shape for tensor in header.tensors})
    if wrong:
        raise refused(f"does not fit its own config: {wrong}")
    dtypes = {tensor.dtype for tensor in header.tensors}
    if len(dtypes) != 1 or not dtypes <= set(WEIGHT_DTYPES):
        raise refused(
            f"mixes weights of {' and '.join(sorted(dtypes))}; one of {', '.join(WEIGHT_DTYPES)} was expected"
        )
    return CheckpointInfo(
        path=path,
        config=config,
        tokenizer_json=metadata["tokenizer"],
        tokenizer_digest=hashlib.sha256(metadata["tokenizer"].encode()).hexdigest(),
        chat_template=metadata["chat_template"],
        step=int(step),
        training=training,
        digest=header.metadata[DIGEST_KEY],
        dtype=dtypes.pop(),
        tensors=header.tensors,
        file_bytes=file_bytes,
    )


def _mismatch(config: ModelConfig, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The first tensor that is not as the config says; empty when all are."""
    if config.layers > len(shapes):  # before a list is made for a billion layers
        return f"{config.layers} layers cannot be in {len(shapes)} tensors"
    expected = expected_tensors(config)
    for name, shape in expected.items():
        if name not in shapes:
            return f"tensor {name} is missing"
        if tuple(shapes[name]) != shape:
            return f"tensor {name} has shape {list(shapes[name])}, not {list(shape)}"
    extra = sorted(shapes.keys() - expected.keys())
    return f"tensor {extra[0]} does not belong there" if extra else ""


def _json(text: str, limit: int) -> object:
    """A JSON value without duplicate keys, NaN or Infinity. Raises ValueError."""
    if len(text) > limit:
        raise ValueError(f"above {limit} characters")
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no number")


def _whole(text: str) -> int:
    if len(text) > 40:  # and no number that cannot be printed or made a float
        raise ValueError(f"{text[:20]}… is too large")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def tokenizer_of(info: CheckpointInfo) -> Tokenizer:
    """The checkpoint's tokenizer. FileFormatError when it and the embedding disagree on the vocabulary."""
    from tinychat.text.tokenizer import Tokenizer  # here: header checks need no native code

    tokenizer = Tokenizer.from_json(info.tokenizer_json, origin=f"{info.path}: tokenizer")
    if tokenizer.vocab_size != info.config.vocab_size:
        raise FileFormatError(
            f"{info.path}: the tokenizer has {tokenizer.vocab_size} tokens, the model {info.config.vocab_size}.",
            "The file was put together from two models; take one as tinychat train wrote it.",
        )
    return tokenizer
