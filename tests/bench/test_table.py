"""The report: what each figure is made of, and a table that fits 80 columns whatever it holds."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tinychat.bench import report, table
from tinychat.bench.plan import ASKED, CHAIN, FORWARD, OFF, RECORD, Job
from tinychat.bench.traffic import Traffic


def timing(step: float, *, count: int = 4, prefill: float = 0.5, first: float = 0.6) -> dict[str, Any]:
    return {"prefill_s": prefill, "first_s": first, "steps": [step] * count, "rest_cores": 0.0, "wall_s": 1.0}


def test_speeds_are_tokens_of_all_lanes_without_the_first() -> None:
    found = report.decoding([timing(0.1), timing(0.2)], lanes=2, prompt=32)
    assert found["decode_tokens_per_s"]["values"] == pytest.approx([20.0, 10.0])
    assert found["prefill_tokens_per_s"]["median"] == 2 * 32 / 0.5
    assert found["first_token_s"]["median"] == 0.6
    assert found["step_s"] == {"p50": pytest.approx(0.15), "p95": 0.2, "p99": 0.2}


def test_the_record_is_measured_against_the_loop_that_is_quicker_on_the_whole() -> None:
    rounds = {
        FORWARD: [timing(0.8), timing(0.8), timing(0.8)],
        OFF: [timing(9.0), timing(9.0), timing(0.1)],  # luck, once
        RECORD: [timing(1.0), timing(1.0), timing(1.0)],
        CHAIN: [timing(2.0), timing(2.0), timing(2.0)],
    }
    found = report.costs(rounds)
    assert found["record_share"] == pytest.approx(0.2)
    assert found["chain_share"] == pytest.approx(0.5)


def test_the_floor_is_the_best_way_of_the_best_round() -> None:
    measured = [
        {"bytes_per_s": {"sum": 10.0, "copy": 11.0}, "cached_bytes_per_s": 30.0},
        {"bytes_per_s": {"sum": 12.0, "copy": 5.0}, "cached_bytes_per_s": 40.0},
    ]
    floor = report.floor_figures(measured, {"threads": 2})
    assert (floor["bytes_per_s"], floor["by"], floor["cached_bytes_per_s"], floor["threads"]) == (12.0, "sum", 40.0, 2)
    found = report.against_floor(3.0, Traffic(weights=2, cache=1), floor, 2)
    assert found["floor_tokens_per_s"] == 8.0
    assert found["floor_share"] == 3.0 / 8.0
    assert found["cached_share"] == pytest.approx(3.0 / (2 * 40.0 / 3))


def test_a_gpus_floor_has_launches_and_no_host_cache() -> None:
    measured = [{"bytes_per_s": {"copy": 4e12}, "launch_s": 5e-6, "graph_launch_s": 1e-6}] * 2
    floor = report.floor_figures(measured, {})
    assert (floor["launch_s"], floor["graph_launch_s"]) == (5e-6, 1e-6)
    assert report.against_floor(1.0, Traffic(weights=1, cache=1), floor, 1)["cached_share"] is None


def test_a_round_is_held_against_the_floor_it_had() -> None:
    measured = [{"bytes_per_s": {"sum": 10.0, "copy": 20.0}}, {"bytes_per_s": {"sum": 30.0, "copy": 4.0}}]
    shares = report.floor_shares([6.0, 6.0], Traffic(weights=3, cache=1), measured, 2)
    assert shares.values == pytest.approx(
        (0.6, 0.4)
    )  # two lanes: 10 tokens/s are possible in the first round, 15 in the second


def result(*, name: str = "15m", device: str = "cpu", dropped: int | None = 7) -> dict[str, Any]:
    """A report with every kind of line in it."""
    job = Job(kind="hf dynamic", device=device, dtype="float32", config={})
    speeds = report.decoding([timing(0.0123)] * 3, lanes=1, prompt=32)
    facts = {
        "parameters": 109_529_856,
        "vocab_size": 128_256,
        "device": device,
        "threads": 16,
        "forward": "native bfloat16",
    }
    memory = {"host_bytes": 16_123_456_789, "device_bytes": 15_123_456_789}
    counts = {"generations": 35, "dropped": dropped, "noisy": None if dropped is None else 12}
    ready = {
        "facts": {"dtype": "float32", "logits_difference": 1.2e-6}, "first_generation_s": 1.0, "warmups": 10,
        "settled": False, "memory": memory,
    }  # fmt: skip
    measured = {"bytes_per_s": {"matrix x vector": 4.3e12}, "launch_s": 5e-6, "graph_launch_s": 1.25e-6}
    if device == "cpu":
        measured = {"bytes_per_s": {"matrix x vector": 20.5e9}, "cached_bytes_per_s": 45e9}
    floor = report.floor_figures([measured], {})
    kinds = {kind: [timing(0.01)] for kind in (ASKED, FORWARD, OFF, RECORD, CHAIN)}
    run = {
        "name": name, "step_ready_s": 12.3, "lanes": 16,
        "dtype": "bfloat16", "facts": facts, "memory": memory, "warmups": 10,
        "settled": False, **speeds, **counts, "floor": floor,
        **report.against_floor(81.3, Traffic(weights=438_119_424, cache=11_796_480), floor, 16),
        "floor_share_of_rounds": {"median": 0.912, "min": 0.871, "max": 1.034},
        "costs": report.costs(kinds),
        "peers": [
            report.peer_figures(job, ready, [timing(0.02)] * 3, [timing(0.01)] * 3) | counts,
            {"name": "hf static+compile", "failed": "The process ended with 1. " * 9, "hint": "no g++"},
        ],
    }  # fmt: skip
    kl = {
        "name": name, "step": "native int8", "dtype": "int8",
        "tokens": 4096, "text": "given", "perplexity_float32": 12.3456,
        "perplexity": 12.3999, "kl_mean": 1.234e-4, "kl_max": 0.0123, "same_argmax": 0.987,
    }  # fmt: skip
    protocol = {"prompt": 32, "tokens": 512, "rounds": 100, "observe": "full", "settings": {"temperature": 0.0}}
    return {
        "runs": [run],
        "kl": [kl],
        "machine": {"cpu": "A very long name of a processor " * 4, "cpus": 256, "torch": "2.13.0+cpu"},
        "protocol": protocol,
    }


def printed(report: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(table.render(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize("dropped", [7, None])
def test_nothing_is_wider_than_eighty_columns_or_breaks_off(device: str, dropped: int | None) -> None:
    text = printed(result(device=device, dropped=dropped))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for part in ("81.3", "hf dynamic float32", "2.00x", "no g++", "KL 1.23e-04"):
        assert part in text
    assert ("never got quiet: 12" in text) is (dropped is not None)
    assert ("1.25 in a graph" in text) is (device != "cpu")


def test_a_models_name_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in printed(result(name="m\x1b[31m\nx[bold]"))
    assert "x[bold]" in printed(result(name="x[bold]")), "and is no markup"


def test_numbers_keep_three_digits_that_matter() -> None:
    assert [table.number(x) for x in (1234.5, 123.45, 12.345, 1.2345)] == ["1,234", "123", "12.3", "1.23"]
    assert [table.size(x) for x in (999, 61.4e6, 4.3e12)] == ["999 B", "61.4 MB", "4.30 TB"]
