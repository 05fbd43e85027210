"""From sources to a library and back: the cache, its accidents, compilers that are not there or fail."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import torch
from twin import variant

from tinychat.engine import native, native_build
from tinychat.engine.engine import Engine
from tinychat.engine.presets import PRESETS
from tinychat.engine.runner import Runner
from tinychat.errors import UsageError

FLOATS = ("float", "float")


@pytest.fixture(autouse=True)
def _auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.VARIABLE, "auto")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tinychat"


def compiler_that(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that is a shell script; its last argument is the library to make."""
    path = tmp_path / "cc.sh"
    path.write_text(f"#!/bin/sh\necho x >> {tmp_path}/calls\nfor target; do :; done\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return tmp_path / "calls"


def built(libraries: Path) -> Path:
    """The real library for float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(libraries))
        patch.delenv("CXX", raising=False)
        path = native_build.find(*FLOATS)
    assert path is not None
    return path


def test_a_library_is_built_once_and_found_again(
    libraries: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = compiler_that(f'cp {built(libraries)} "$target"', tmp_path, monkeypatch)
    assert native_build.find(*FLOATS) is None
    path = native_build.build(*FLOATS)
    assert path == native_build.build(*FLOATS) == native_build.find(*FLOATS)
    assert calls.read_text() == "x\n"
    assert native_build.find("int8_t", "float") is None  # other types are another library
    monkeypatch.setattr(native_build, "FLAGS", (*native_build.FLAGS, "-g"))
    assert native_build.find(*FLOATS) is None  # and so are other flags


@pytest.mark.parametrize("damage", [b"", b"\x7fELF of somebody else", None])
def test_a_damaged_library_is_never_loaded_and_built_anew(
    damage: bytes | None, libraries: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler_that(f'cp {built(libraries)} "$target"', tmp_path, monkeypatch)
    path = native_build.build(*FLOATS)
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert native_build.find(*FLOATS) is None
    assert not path.exists()
    again = native_build.build(*FLOATS)
    assert again is not None
    assert again.read_bytes() == whole


def test_without_a_compiler_torch_decodes_and_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    model = variant()
    engine = Engine(model, step="auto")
    assert engine.facts()["forward"] == "eager (no C++ compiler)"
    engine.set_context([1, 2])
    assert engine.step(PRESETS["greedy"]).token >= 0
    with pytest.raises(UsageError, match="no C\\+\\+ compiler"):
        Runner(model, step="native")


def test_a_failed_build_is_told_and_not_tried_at_every_start(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = compiler_that('echo "step.cpp:7: error: no such luck" >&2; exit 1', tmp_path, monkeypatch)
    model = variant()
    engine = Engine(model, step="auto")
    assert not engine.runner.await_step()
    assert "cc.sh failed: step.cpp:7: error: no such luck)" in engine.facts()["forward"]
    assert engine.facts()["forward"].startswith("eager (")
    engine.set_context([1, 2])
    assert engine.step(PRESETS["greedy"]).token >= 0
    tried = calls.read_text()
    del engine
    assert "no such luck" in Runner(model, step="auto").step_state
    assert calls.read_text() == tried


def test_what_cannot_be_loaded_leaves_torch_decoding(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler_that('echo "no library" > "$target"', tmp_path, monkeypatch)
    runner = Runner(variant(), step="auto")
    assert not runner.await_step()
    assert "could not be loaded" in runner.step_state
    assert torch.isfinite(runner.feed({0: [1]})[0]).all()


def test_the_first_tokens_come_at_once_and_the_fast_step_takes_over_with_the_same_ones(
    libraries: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    script = f'while [ ! -e {gate} ]; do sleep 0.02; done; cp {built(libraries)} "$target"'
    compiler_that(script, tmp_path, monkeypatch)
    model = variant()
    engine, slow = Engine(model, step="auto"), Engine(model, step="eager")
    tokens = []
    for each in (engine, slow):
        each.set_context([1, 2, 3])
        tokens.append([each.step(PRESETS["greedy"]).token for _ in range(20)])
    assert engine.facts()["forward"] == "eager (the native step is being built)"
    gate.touch()
    ends = time.monotonic() + 60
    while not engine.facts()["forward"].startswith("native") and time.monotonic() < ends:
        time.sleep(0.1)
        engine.set_context(engine.tokens()[:-1])  # a pass now and then, as a person's next token
        engine.peek(PRESETS["greedy"])
    assert engine.facts()["forward"] == "native float32"
    engine.set_context([1, 2, 3, *tokens[0]], prompt_len=3)
    for each, found in zip((engine, slow), tokens, strict=True):
        found += [each.step(PRESETS["greedy"]).token for _ in range(20)]
    assert tokens[0] == tokens[1]


def test_other_number_types_and_devices_say_that_they_have_none(folder: Path) -> None:
    assert Runner(variant().double(), step="auto").step_state == "eager (float64 on cpu has no native step)"
    assert Runner(variant(), step="eager").step_state == "eager"
    with pytest.raises(UsageError, match="There is no step 'fast'"):
        Runner(variant(), step="fast")


def test_the_environment_decides_where_nothing_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.VARIABLE, "eager")
    assert Runner(variant(), step="auto").step_state == "eager"
    assert native.choose_step("native") == "native"
    monkeypatch.setenv(native.VARIABLE, "sideways")
    with pytest.raises(UsageError, match="sideways"):
        native.choose_step(None)


def test_the_sources_are_part_of_the_package() -> None:
    assert {"step.cpp", "team.h", "vectors.h"} <= {path.name for path in native_build.SOURCES.iterdir()}
    assert native_build.SOURCES.parent == Path(native.__file__).parent


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_a_compiler_with_arguments_and_without_native_flags_serves(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = compiler_that('case "$*" in *=native*) exit 1;; *) echo plain > "$target";; esac', tmp_path, monkeypatch)
    monkeypatch.setenv("CXX", f"{tmp_path}/cc.sh -DX")
    path = native_build.build(*FLOATS)
    assert path is not None
    assert path.read_bytes() == b"plain\n"
    assert len(calls.read_text().split()) == 3
