"""The checkpoint: what is written comes back bit by bit, and nothing else is ever opened."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from tinychat import files
from tinychat.errors import FileFormatError, NumbersError, StorageError
from tinychat.model import checkpoint, tensors
from tinychat.model.config import ModelConfig
from tinychat.model.tensors import Array
from tinychat.model.transformer import Transformer, load, to_arrays

CONFIG = ModelConfig(vocab_size=24, context=8, width=8, layers=1, heads=2, kv_heads=1)
TOKENIZER = '{"model": "é \\u202e", "vocab": {"a": 0}}'
FACTS = {"loss": 1.25, "nested": {"list": [1, None, "ü"]}}


def weights(config: ModelConfig = CONFIG, seed: int = 0) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    return {
        name: generator.standard_normal(shape).astype(np.float32)
        for name, shape in checkpoint.expected_tensors(config).items()
    }


def write(path: Path, arrays: dict[str, Array] | None = None, **changes: Any) -> checkpoint.CheckpointInfo:
    facts: dict[str, Any] = {
        "config": CONFIG,
        "tokenizer_json": TOKENIZER,
        "chat_template": "tinychat-roles-1",
        "step": 7,
        "training": FACTS,
    }
    return checkpoint.write(path, arrays=weights() if arrays is None else arrays, **{**facts, **changes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ckpt.safetensors"
    write(path)
    return path


def same(left: dict[str, Array], right: dict[str, Array]) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and left[name].tobytes() == right[name].tobytes() for name in left
    )


def refused(path: Path, *words: str, read: Callable[[Path], object] = checkpoint.read) -> FileFormatError:
    with pytest.raises(FileFormatError) as caught:
        read(path)
    assert caught.value.exit_code == 3
    assert caught.value.what.startswith(str(path))
    assert caught.value.hint
    for word in words:
        assert word in caught.value.what
    return caught.value


# --- what goes in comes out ---


def test_everything_comes_back_bit_by_bit(tmp_path: Path) -> None:
    path = tmp_path / "ckpt.safetensors"
    arrays = weights()
    written = write(path, arrays)
    info, back = checkpoint.read(path)
    assert same(back, arrays)
    assert info == written == checkpoint.inspect(path)
    assert (info.config, info.tokenizer_json, info.step, info.training) == (CONFIG, TOKENIZER, 7, FACTS)
    assert (info.chat_template, info.dtype, info.path) == ("tinychat-roles-1", "F32", path)
    assert info.tokenizer_digest == hashlib.sha256(TOKENIZER.encode()).hexdigest()
    assert info.file_bytes == path.stat().st_size
    assert {tensor.name: tensor.shape for tensor in info.tensors} == checkpoint.expected_tensors(CONFIG)


def test_the_same_content_gives_the_same_bytes_and_digest(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    assert first.digest == second.digest
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    other = weights()
    other["norm.weight"][0] += 1
    assert write(tmp_path / "c", other).digest != first.digest
    assert write(tmp_path / "c", step=8).digest != first.digest


def test_the_reference_library_reads_ours(path: Path) -> None:
    assert same(dict(safetensors.numpy.load_file(path)), weights())


def test_a_file_that_the_reference_library_copied_is_the_same_checkpoint(path: Path, tmp_path: Path) -> None:
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata()
    copy = tmp_path / "copy.safetensors"
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), copy, metadata=metadata)
    info, arrays = checkpoint.read(copy)
    assert same(arrays, weights())
    assert info.digest == checkpoint.inspect(path).digest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_network_comes_back_with_equal_logits(tmp_path: Path, config: ModelConfig, dtype: torch.dtype) -> None:
    path = tmp_path / "ckpt.safetensors"
    torch.manual_seed(0)
    model = Transformer(config).eval().to(dtype)
    write(path, to_arrays(model.state_dict()), config=config)
    loaded, info = load(path)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert info.dtype == {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}[dtype]
    state = loaded.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    tokens = torch.arange(12)[None]
    if dtype == torch.float32:
        assert torch.equal(loaded(tokens), model(tokens))
    wide, _ = load(path, dtype=torch.float32)
    assert next(wide.parameters()).dtype == torch.float32
    assert wide(tokens).isfinite().all()


def test_arrays_of_every_kind_and_texts_come_back(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    arrays: dict[str, Array] = {
        "bytes": np.arange(5, dtype=np.uint8),
        "step": np.array(3, dtype=np.int64),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "transposed": np.arange(6, dtype=np.float64).reshape(2, 3).T,
        "half": np.arange(3, dtype=np.float16),
        "brain": np.arange(3, dtype=np.uint16),
        "int": np.arange(3, dtype=np.int32),
        "name with ü and \n": np.ones(1, dtype=np.float32),
    }
    tensors.write_tensors(path, arrays, {"kind": "state", "text": "\x1b[31m é"})
    metadata, back = tensors.read_tensors(path)
    assert metadata == {"kind": "state", "text": "\x1b[31m é"}
    assert same(back, {name: np.require(array, requirements="C") for name, array in arrays.items()})
    assert {name: array.shape for name, array in back.items()} == {name: array.shape for name, array in arrays.items()}
    refused(path, "no checkpoint")
    assert all(array.flags.writeable and array.flags.aligned for array in back.values())


def test_a_writer_that_replaces_the_file_does_not_disturb_a_reader(path: Path) -> None:
    with tensors.TensorFile(path) as file:
        file.check_seal()
        write(path, weights(seed=1))
        assert same(file.arrays(), weights(seed=0))
    assert same(checkpoint.read(path)[1], weights(seed=1))


# --- what is never written ---


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_broken_numbers_never_reach_a_file(path: Path, value: float) -> None:
    arrays = weights(seed=1)
    arrays["norm.weight"][3] = value
    before = path.read_bytes()
    with pytest.raises(NumbersError, match=r"norm\.weight"):
        write(path, arrays)
    assert path.read_bytes() == before


def test_callers_nonsense_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "x"
    missing, extra, bent, mixed = weights(), weights(), weights(), weights()
    del missing["norm.weight"]
    extra["head.weight"] = np.zeros((24, 8), np.float32)
    bent["norm.weight"] = np.zeros(9, np.float32)
    mixed["norm.weight"] = mixed["norm.weight"].astype(np.float16)
    for arrays, word in ((missing, "missing"), (extra, "head.weight"), (bent, "shape"), (mixed, "mixes")):
        with pytest.raises(ValueError, match=word):
            write(path, arrays)
    for change in ({"step": -1}, {"training": {"x": float("nan")}}, {"training": [1]}, {"tokenizer_json": "\ud800"}):
        with pytest.raises(ValueError, match=r"\w"):
            write(path, **change)
    for name, array in (("x", np.zeros(1, bool)), ("x" * 1025, np.zeros(1)), ("__metadata__", np.zeros(1))):
        with pytest.raises(ValueError, match=r"\w"):
            tensors.write_tensors(path, {name: array}, {})
    for key in ("tinychat", "digest", "sha256:x"):
        with pytest.raises(ValueError, match="reserved"):
            tensors.write_tensors(path, {}, {key: ""})
    assert not path.exists()


# --- what is never read ---


def resealed(path: Path, *, keep_digest: bool = False, **changes: str | None) -> None:
    """Write the checkpoint again with other metadata, and with the digest that belongs to it."""
    arrays = weights()
    sealed = tensors.seal(arrays, {})
    with tensors.TensorFile(path) as file:
        metadata = {**file.header.metadata}
    for key, value in changes.items():
        if value is None:
            del metadata[key]
        else:
            metadata[key] = value
    header = dataclasses.replace(sealed.header, metadata=metadata)
    if not keep_digest:
        metadata["digest"] = tensors.digest_of(header)
    tensors.write_sealed(path, tensors.Sealed(header, sealed.arrays))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "other"}, ["no checkpoint"]),
        ({"tokenizer": None}, ["no tokenizer"]),
        ({"more": "x"}, ["unknown metadata more"]),
        ({"step": "-1"}, ["step"]),
        ({"step": "١٢"}, ["step"]),
        ({"step": "9" * 30}, ["step"]),
        ({"config": "{"}, ["JSON"]),
        ({"config": "[]"}, ["no object"]),
        ({"config": '{"vocab_size": 24, "auto_map": {"AutoModel": "evil.Model"}}'}, ["unknown model field 'auto_map'"]),
        ({"config": '{"vocab_size": "24"}'}, ["vocab_size has a wrong type"]),
        ({"config": "{}"}, ["vocab_size"]),
        ({"config": '{"vocab_size": 24, "vocab_size": 24}'}, ["twice"]),
        ({"config": '{"vocab_size": 24, "norm_eps": NaN}'}, ["NaN"]),
        ({"config": '{"vocab_size": 24, "norm_eps": 1e999}'}, ["too large"]),
        ({"config": '{"vocab_size": %s}' % ("9" * 5000)}, ["too large"]),
        ({"config": '{"vocab_size": 24, "layers": 999999999999}'}, ["999999999999 layers"]),
        ({"config": '{"vocab_size": 24, "context": 9999999999}'}, ["context"]),
        ({"config": '{"vocab_size": 24, "norm": "%s"}' % ("\\u001b[31m" * 900)}, ["norm must be"]),
        ({"config": "[" * 60_000}, ["JSON"]),
        ({"config": "[" * 70_000}, ["above 65536"]),
        ({"training": "[]"}, ["no object"]),
        ({"training": "[" * 500_000}, ["JSON"]),
        ({"training": '{"a": 1, "a": 2}'}, ["twice"]),
        ({"tinychat": "2"}, ["format 2"]),
        ({"tinychat": "1.0"}, ["no number"]),
        ({"tinychat": None}, ["not one that tinychat wrote"]),
        ({"sha256:norm.weight": None}, ["no digest for tensor norm.weight"]),
        ({"sha256:norm.weight": "0" * 64}, ["damaged", "norm.weight"]),
    ],
)
def test_a_header_that_lies_is_refused_by_name(path: Path, changes: dict[str, str | None], words: list[str]) -> None:
    resealed(path, **changes)
    error = refused(path, *words)
    assert error.what.isprintable()
    assert len(error.what) < 600
    if "damaged" not in words:
        refused(path, *words, read=checkpoint.inspect)


def test_changed_metadata_without_its_digest_is_refused(path: Path) -> None:
    resealed(path, keep_digest=True, step="8")
    refused(path, "changed or damaged", read=checkpoint.inspect)


@pytest.mark.parametrize("other", [{"shape": (3, 2)}, {"shape": (6,)}, {"dtype": "I32"}])
def test_the_header_digest_covers_shape_and_dtype(tmp_path: Path, other: dict[str, Any]) -> None:
    sealed = tensors.seal({"x": np.ones((2, 3), np.float32)}, {})
    tensor = dataclasses.replace(sealed.header.tensors[0], **other)
    header = dataclasses.replace(sealed.header, tensors=(tensor,))
    tensors.write_sealed(tmp_path / "x", tensors.Sealed(header, sealed.arrays))
    refused(tmp_path / "x", "changed or damaged", read=tensors.read_tensors)


def test_a_config_of_another_network_is_refused_by_tensor(path: Path) -> None:
    for change, word in (
        ({"width": 16}, "tensor embedding.weight has shape [24, 8], not [24, 16]"),
        ({"tie": False}, "tensor head.weight is missing"),
        ({"position": "learned"}, "tensor positions.weight is missing"),
        ({"bias": True}, "tensor blocks.0.attention.qkv.bias is missing"),
        ({"layers": 2}, "tensor blocks.1.attention_norm.weight is missing"),
    ):
        resealed(path, config=json.dumps({**CONFIG.to_dict(), **change}))
        refused(path, word, read=checkpoint.inspect)


def foreign(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Files that are no checkpoint: their bytes, and what must be said of them."""
    torch.save({"weight": torch.zeros(2)}, folder / "new.pt")
    torch.save({"weight": torch.zeros(2)}, folder / "old.pt", _use_new_zipfile_serialization=False)
    np.save(folder / "array.npy", np.zeros(3))
    safetensors.numpy.save_file({"x": np.zeros(2)}, folder / "plain")
    good = folder / "good"
    write(good)
    whole = good.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    return {
        "empty": (b"", "is empty"),
        "one byte": (b"\x01", "not a safetensors file"),
        "seven bytes": (b"\0" * 7, "not a safetensors file"),
        "length only": (struct.pack("<Q", 2), "cut short"),
        "zeros": (bytes(4096), "not a safetensors file"),
        "0xff": (b"\xff" * 4096, "not a safetensors file"),
        "torch.save": ((folder / "new.pt").read_bytes(), "zip archive"),
        "old torch.save": ((folder / "old.pt").read_bytes(), "pickle"),
        "pickle": (b"\x80\x04\x95" + b"cposix\nsystem\n" * 10, "pickle"),
        "numpy": ((folder / "array.npy").read_bytes(), "NumPy"),
        "GGUF": (b"GGUF\x03\0\0\0" + bytes(64), "GGUF"),
        "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        "web page": (b"<!DOCTYPE html><html>", "web page"),
        "JSON": (b'{"model_type": "llama"}', "JSON"),
        "text": (b"Once upon a time", "not a safetensors file"),
        "huge length": (struct.pack("<Q", 2**40) + b"{}" + bytes(100), "not a safetensors file"),
        "negative length": (struct.pack("<q", -1) + b"{}" + bytes(100), "not a safetensors file"),
        "length beyond the file": (struct.pack("<Q", 5000) + b"{" + bytes(100), "cut short"),
        "other program": ((folder / "plain").read_bytes(), "not one that tinychat wrote"),
        "cut in the header": (whole[: 8 + length // 2], "cut short"),
        "cut in the data": (whole[:-1], "cut short"),
        "a byte more": (whole + b"\0", "1 bytes after the last tensor"),
        "zeroed tail": (whole[:-512] + bytes(512), "damaged"),
        "bomb of brackets": (struct.pack("<Q", 2**24) + b'{"a":' + b"[" * (2**24 - 5), "no valid entry"),
        "bomb of lists": (struct.pack("<Q", 2**24) + b'{"__metadata__":{"a":[' + b"[]," * (2**22), "cut short"),
    }


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    for name, (content, word) in foreign(tmp_path).items():
        path = tmp_path / "file.safetensors"
        path.write_bytes(content)
        start = time.process_time()
        for read in (checkpoint.read, checkpoint.inspect, tensors.read_tensors):
            if word != "damaged" or read is not checkpoint.inspect:
                error = refused(path, word, read=read)
                assert error.what.isprintable(), name
        assert time.process_time() - start < 1.5, f"{name}: three readings, each within half a second"


def test_special_files_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        for name, word in (
            ("fifo", "is a pipe"),
            ("loop", "cannot be opened"),
            ("dangling", "does not exist"),
            ("missing", "does not exist"),
            ("folder", "is a folder"),
            ("s", "is a socket"),
            ("n" * 300, "cannot be opened"),
        ):
            refused(tmp_path / name, word)
    refused(Path("/dev/zero"), "is a device")
    refused(Path("/dev/null"), "is a device")
    with pytest.raises(FileFormatError, match="cannot be opened"):
        checkpoint.read(Path("a\0b"))


def test_names_are_shown_without_obeying_them(tmp_path: Path) -> None:
    path = tmp_path / "\x1b]0;title\x07\u202e\n"
    path.write_bytes(b"")
    with pytest.raises(FileFormatError) as caught:
        checkpoint.read(path)
    assert caught.value.what.isprintable()


def test_numbers_that_broke_are_refused_by_tensor(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = weights()
    arrays["blocks.0.feed_forward.up.weight"][1, 1] = np.nan
    with monkeypatch.context() as patch:
        patch.setattr(tensors, "is_finite", lambda array, dtype: True)
        write(path, arrays)
    refused(path, "NaN or Inf in tensor blocks.0.feed_forward.up.weight")
    checkpoint.inspect(path)


@pytest.mark.parametrize(("dtype", "name"), [("<f8", "F64"), ("<f4", "F32"), ("<f2", "F16")])
def test_finiteness_agrees_with_numpy_at_every_place(dtype: str, name: str) -> None:
    largest = np.finfo(dtype).max
    array = np.array([0, -0.0, 1, largest, -largest, np.finfo(dtype).tiny], dtype)
    assert tensors.is_finite(array, name)
    for value in (np.nan, np.inf, -np.inf):
        for at in range(len(array)):
            broken = array.copy()
            broken[at] = value
            assert not tensors.is_finite(broken, name)
    big = np.zeros(2 * tensors.CHUNK // array.itemsize + 1, dtype)
    assert tensors.is_finite(big, name)
    big[-1] = np.nan
    assert not tensors.is_finite(big, name)


def test_finiteness_of_bfloat16() -> None:
    for value, finite in ((1.0, True), (3e38, True), (float("inf"), False), (float("nan"), False), (0.0, True)):
        bits = torch.tensor([value], dtype=torch.bfloat16).view(torch.uint16).numpy()
        assert tensors.is_finite(bits, "BF16") is finite


def test_a_read_error_of_the_disk_is_no_format_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(StorageError, match="cannot be read"):
        checkpoint.read(path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(path: Path) -> None:
    with tensors.TensorFile(path) as file:
        file.check_seal()
        os.truncate(path, file.file_bytes - 100)
        with pytest.raises(FileFormatError, match="became shorter"):
            file.arrays()


def test_short_reads_are_put_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda handle, buffers, at: preadv(handle, [buffers[0][:13]], at))
    assert same(checkpoint.read(path)[1], weights())


def test_every_mutant_is_refused_or_the_same(path: Path) -> None:
    """Random damage to a small file: the declared error, or exactly the content that was written."""
    good, info = path.read_bytes(), checkpoint.inspect(path)
    dice = random.Random(11)
    header_end = 8 + int.from_bytes(good[:8], "little")
    counts = {"refused": 0, "same": 0}
    deadline = time.monotonic() + 10
    memory = os.memfd_create("mutant")  # a regular file without a disk
    path = Path(f"/proc/self/fd/{memory}")
    for _ in range(6000):
        if time.monotonic() > deadline:
            break
        mutant = bytearray(good)
        kind = dice.randrange(6)
        at = dice.randrange(header_end if dice.random() < 0.7 else len(mutant))
        if kind == 0:
            mutant[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            mutant[at] = dice.randrange(256)
        elif kind == 2:
            del mutant[at:]
        elif kind == 3:
            del mutant[at : at + dice.choice((1, 8, 100))]
        elif kind == 4:
            mutant[at:at] = bytes(dice.choice((1, 8, 100)))
        else:
            other = dice.randrange(len(mutant))
            mutant[at : at + 16] = good[other : other + 16]
        os.truncate(memory, len(mutant))
        os.pwrite(memory, mutant, 0)
        try:
            found, arrays = checkpoint.read(path)
        except FileFormatError as error:
            assert error.what.isprintable()  # noqa: PT017 - one of two good ends
            counts["refused"] += 1
            continue
        counts["same"] += 1
        assert same(arrays, weights())
        assert dataclasses.replace(found, path=info.path, file_bytes=info.file_bytes) == info
    os.close(memory)
    assert counts["refused"] > 500, counts


def test_reading_needs_no_torch_and_little_memory(tmp_path: Path) -> None:
    """All the bad files in one fresh process: torch never imported, and at most 200 MB in use."""
    names = []
    for number, (content, _) in enumerate(foreign(tmp_path).values()):
        names.append(tmp_path / f"{number}.safetensors")
        names[-1].write_bytes(content)
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from tinychat.errors import FileFormatError\n"
        "from tinychat.model import checkpoint\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        checkpoint.read(Path(name))\n"
        "        sys.exit(name)\n"
        "    except FileFormatError:\n"
        "        pass\n"
        "assert 'torch' not in sys.modules\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())\n"
        "assert int(peak[1]) < 200 * 1024, peak[0]\n"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, names)], check=True, timeout=60)


# --- killed while writing ---

NURSERY = r"""
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from tinychat import files
from tinychat.model import checkpoint
from tinychat.model.config import ModelConfig

how, path = sys.argv[1], Path(sys.argv[2])
config = ModelConfig(vocab_size=500, context=8, width=128, layers=1, heads=2)
shapes = checkpoint.expected_tensors(config)

def write(step):
    arrays = {name: np.full(shape, step, np.float32) for name, shape in shapes.items()}
    checkpoint.write(path, arrays=arrays, config=config, tokenizer_json="", chat_template="", step=step, training={})

def check(least):
    files.sweep_temps(path.parent)
    if least is None and not path.exists():
        return -1
    info, arrays = checkpoint.read(path)
    assert info.step >= (least or 0), (info.step, least)
    assert all((array == info.step).all() for array in arrays.values())
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    return info.step

def kill_at_line(last):
    # the n-th line that runs in the writer is the last one
    seen = 0
    def trace(frame, event, argument):
        nonlocal seen
        if frame.f_code.co_filename != files.__file__:
            return None
        if event == "line":
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)

def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid

if how == "lines":
    total = 0
    for step, before in ((0, None), (1, 0)):
        for line in range(1, 2000):
            if before is None:
                path.unlink(missing_ok=True)
            else:
                write(before)
            def work():
                kill_at_line(line)
                write(step)
            _, status = os.waitpid(child(work), 0)
            check(before if status else step)
            if status == 0:
                break
            total += 1
    assert total > 60, total
    print(total)
else:
    dice = random.Random(3)
    write(0)
    newest = 0
    for _ in range(40):
        reader, writer = os.pipe()
        def work():
            step = newest
            while True:
                step += 1
                write(step)
                os.write(writer, step.to_bytes(8, "little"))
        pid = child(work)
        time.sleep(dice.uniform(0.001, 0.06))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(writer)
        acknowledged = b""
        while part := os.read(reader, 65536):
            acknowledged += part
        os.close(reader)
        newest = check(int.from_bytes(acknowledged[-8:], "little") if acknowledged else newest)
    assert newest > 20, newest
    print(newest)
"""


@pytest.mark.parametrize("how", ["lines", "time"])
def test_killed_at_any_moment_the_newest_acknowledged_file_loads(tmp_path: Path, how: str) -> None:
    path = tmp_path / "run" / "ckpt.safetensors"
    path.parent.mkdir()
    subprocess.run([sys.executable, "-c", NURSERY, how, str(path)], check=True, timeout=120)


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_leaves_the_old_checkpoint(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    if call == "write":
        monkeypatch.setattr(files, "write_atomic", _full_disk(files.write_atomic, code))
    else:
        monkeypatch.setattr(os, call, broken)
    with pytest.raises(StorageError):
        write(path, weights(seed=1), step=8)
    monkeypatch.undo()
    info, arrays = checkpoint.read(path)
    assert info.step == 7
    assert same(arrays, weights())
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def _full_disk(write_atomic: Callable[..., None], code: int) -> Callable[..., None]:
    """A disk that takes some chunks and then no more."""

    def write(path: Path, chunks: Any) -> None:
        def some() -> Any:
            for number, chunk in enumerate(chunks):
                if number == 2:
                    raise OSError(code, os.strerror(code))
                yield chunk

        write_atomic(path, some())

    return write
