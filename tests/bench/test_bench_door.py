"""`tinychat bench` as a person runs it, on a tiny model; no figure is judged, only that it is there and fits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinychat.bench import door
from tinychat.bench.crew import Measurer
from tinychat.bench.plan import GREEDY, OURS, Job, Request
from tinychat.bench.table import print_result
from tinychat.errors import TinychatError, UsageError
from tinychat.model.config import ModelConfig

SMALL = ("--prompt-length", "4", "--tokens", "6", "--rounds", "2", "--threads", "1", "--step", "eager", "--quick")


@pytest.fixture(scope="module")
def found(checkpoint: Path) -> dict[str, Any]:
    """What one run says as JSON."""
    args = ["-m", str(checkpoint), *SMALL, "--lanes", "2", "--kl", "own", "--json", "--preset", "story"]
    ended = subprocess.run(
        [sys.executable, "-m", "tinychat", "bench", *args],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "warms up" in ended.stderr
    (line,) = ended.stdout.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_run_ends_with_one_object_that_has_everything(found: dict[str, Any]) -> None:
    assert found["schema"] == "tinychat.bench/1"
    assert found["command"][:3] == ["tinychat", "bench", "-m"]
    assert found["machine"]["torch"]
    assert found["protocol"]["settings"]["top_p"] == 0.95
    assert [run["lanes"] for run in found["runs"]] == [2]
    for run in found["runs"]:
        assert run["facts"]["threads"] == 1
        assert run["facts"]["forward"] == "eager"
        assert run["generations"] == 2 * 5
        assert len(run["decode_tokens_per_s"]["values"]) == 2
        speed = run["decode_tokens_per_s"]
        assert 0 < speed["min"] <= speed["median"] <= speed["max"]
        assert 0 < run["step_s"]["p50"] <= run["step_s"]["p95"] <= run["step_s"]["p99"]
        assert run["floor_share"] == pytest.approx(speed["median"] / run["floor_tokens_per_s"])
        rounds = run["floor_share_of_rounds"]
        assert max(rounds["values"]) >= rounds["median"] > 0
        assert rounds["max"] >= 0.99 * speed["max"] / run["floor_tokens_per_s"], "no round had more than the best"
        assert run["bytes_per_step"]["weights"] == 4 * run["facts"]["parameters"]
        assert run["memory"]["host_bytes"] > 1e7
        assert run["costs"]["record_share"] < 1
        assert run["peers"] == []
    assert found["runs"][0]["bytes_per_step"]["cache"] == 2 * 7 * 2 * 2 * 32 * 4  # lanes, positions, k and v, layers
    assert found["kl"][0]["kl_max"] == pytest.approx(0.0, abs=1e-12)


def test_the_table_goes_to_stdout_and_fits(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    print_result(found)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("decode, tokens/s") for line in lines)
    assert any(line.startswith("floor") for line in lines)


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (("--shape", "7t"), "7t"),
        (("--shape", "15m", "-m", "x"), "--model and --shape"),
        (("--shape", "15m", "--tokens", "300"), "context of 256"),
        (("--shape", "15m", "--dtype", "float8"), "float8"),
        (("--shape", "15m", "--observe", "all"), "all"),
        (("--shape", "15m", "--step", "fast"), "fast"),
        (("--shape", "15m", "--peer", "vllm"), "vllm"),
        (("--shape", "15m", "--peer", "hf,vllm"), "vllm"),
        (("--shape", "15m", "--kl", "text.txt"), "--kl FILE needs a tokenizer"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(tinychat, args: tuple[str, ...], what: str) -> None:
    ended = tinychat("bench", *args)
    assert ended.code == 2
    assert what in ended.err.splitlines()[0]
    assert len(ended.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("peers", "absent", "package"),
    [
        (("hf",), "transformers", "transformers"),
        (("llama.cpp",), "llama_cpp", "llama-cpp-python"),
        (("hf", "llama.cpp"), "gguf", "gguf"),
    ],
)
def test_a_missing_peer_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, peers: tuple[str, ...], absent: str, package: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == absent else object())
    with pytest.raises(UsageError, match=f"needs {package}, which is not installed") as caught:
        door.run(Request(params=GREEDY, shapes=("15m",), peers=peers))
    assert caught.value.hint == f"pip install {package}"


def job(**changes: Any) -> Job:
    config = ModelConfig(vocab_size=50, context=32, width=16, layers=1, heads=2).to_dict()
    raw = Job(kind=OURS, device="cpu", dtype="float32", config=config, threads=1, step="eager").to_dict()
    return Job.from_dict({**raw, **changes})


def test_an_error_of_the_process_is_the_doors_error() -> None:
    with pytest.raises(TinychatError, match="no device") as caught:
        Measurer(job(device="tpu"))
    assert caught.value.exit_code == 2


def test_a_process_that_dies_says_its_last_words() -> None:
    with pytest.raises(TinychatError, match="ended with 1") as caught:
        Measurer(job(prompt=40))  # longer than the context: no door lets that pass
    assert "ValueError" in caught.value.hint
