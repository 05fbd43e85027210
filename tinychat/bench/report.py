"""From timings to what is reported: one plain dict a configuration, the same for the table and for JSON.

Nothing here measures. Speeds are tokens a second of all lanes together; the other times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinychat.bench.numbers import Summary, quantile, ratios
from tinychat.bench.plan import CHAIN, FORWARD, OFF, RECORD, Job
from tinychat.bench.traffic import Traffic

SCHEMA = "tinychat.bench/1"

Rounds = Mapping[str, Sequence[Mapping[str, Any]]]  # kind of generation -> its timing in every round


def speeds(timings: Sequence[Mapping[str, Any]], lanes: int) -> list[float]:
    """Tokens a second of each generation, first tokens left out."""
    return [lanes * len(timing["steps"]) / sum(timing["steps"]) for timing in timings]


def decoding(timings: Sequence[Mapping[str, Any]], *, lanes: int, prompt: int) -> dict[str, Any]:
    """Speeds and step times of one kind of generation."""
    steps = [step for timing in timings for step in timing["steps"]]
    return {
        "decode_tokens_per_s": Summary.of(speeds(timings, lanes)).to_dict(),
        "first_token_s": Summary.of([timing["first_s"] for timing in timings]).to_dict(),
        "prefill_tokens_per_s": Summary.of([lanes * prompt / timing["prefill_s"] for timing in timings]).to_dict(),
        "step_s": {"p50": quantile(steps, 0.5), "p95": quantile(steps, 0.95), "p99": quantile(steps, 0.99)},
    }


def costs(rounds: Rounds) -> dict[str, Any]:
    """What records and settings cost, as shares of the step that has them.

    The record against the quicker of two loops that record nothing: the pass with an argmax, and the engine without
    candidates. Which is quicker, all rounds say together: of two that were measured once, the smaller is mostly the one
    that had luck. The chain against the record. Medians of each round are compared, then the middle of the rounds is
    taken.
    """
    step = {kind: [quantile(timing["steps"], 0.5) for timing in timings] for kind, timings in rounds.items()}
    bare = min(step[FORWARD], step[OFF], key=lambda medians: quantile(medians, 0.5))
    return {
        "forward_step_s": quantile(step[FORWARD], 0.5),
        "off_step_s": quantile(step[OFF], 0.5),
        "record_step_s": quantile(step[RECORD], 0.5),
        "chain_step_s": quantile(step[CHAIN], 0.5),
        "record_share": quantile([1.0 - a / b for a, b in zip(bare, step[RECORD], strict=True)], 0.5),
        "chain_share": quantile([1.0 - a / b for a, b in zip(step[RECORD], step[CHAIN], strict=True)], 0.5),
    }


def floor_figures(measured: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The best that was seen in any round: a floor is what the machine can do, not what it did for others."""
    ways = {way: max(each["bytes_per_s"][way] for each in measured) for way in measured[0]["bytes_per_s"]}
    best = max(ways, key=lambda way: ways[way])
    floor: dict[str, Any] = {**facts, "bytes_per_s": ways[best], "by": best, "ways": ways}
    if "cached_bytes_per_s" in measured[0]:
        floor["cached_bytes_per_s"] = max(each["cached_bytes_per_s"] for each in measured)
    for name in ("launch_s", "graph_launch_s"):
        if name in measured[0]:
            floor[name] = min(each[name] for each in measured)
    return floor


def against_floor(tokens_per_s: float, traffic: Traffic, floor: Mapping[str, Any], lanes: int) -> dict[str, Any]:
    """Bytes of a step, the speed that memory allows, and the share of it that was reached.

    `cached_share` is against reading a buffer of the step's own size again and again: the nearer limit where the
    weights of a small network stay in the last-level cache.
    """
    ceiling = lanes / traffic.floor_s(floor["bytes_per_s"])
    cached = floor.get("cached_bytes_per_s")
    return {
        "bytes_per_step": {"weights": traffic.weights, "cache": traffic.cache, "total": traffic.total},
        "floor_tokens_per_s": ceiling,
        "floor_share": tokens_per_s / ceiling,
        "cached_share": None if cached is None else tokens_per_s * traffic.floor_s(cached) / lanes,
    }


def floor_shares(
    reached: Sequence[float], traffic: Traffic, measured: Sequence[Mapping[str, Any]], lanes: int
) -> Summary:
    """The share of the floor that every round reached, against what memory gave in that very round.

    Where neighbours take bandwidth, the best of all rounds is a floor that most rounds never had.
    """
    floors = [traffic.floor_s(max(each["bytes_per_s"].values())) for each in measured]
    return Summary.of([speed * floor / lanes for speed, floor in zip(reached, floors, strict=True)])


def peer_figures(
    job: Job, ready: Mapping[str, Any], timings: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A peer's speeds, and ours over its, round by round."""
    pairs = ratios(speeds(ours, job.lanes), speeds(timings, job.lanes))
    return {
        "name": job.kind,
        **ready["facts"],
        **decoding(timings, lanes=job.lanes, prompt=job.prompt),
        "ratio": Summary.of(pairs).to_dict(),
        "first_generation_s": ready["first_generation_s"],
        "warmups": ready["warmups"],
        "settled": ready["settled"],
        "memory": ready["memory"],
    }
