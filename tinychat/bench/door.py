"""`tinychat bench`: which processes measure what, in which order, and what is said of it.

stdout carries the table or the JSON and nothing else; stderr carries the progress.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tinychat.bench import machine, report
from tinychat.bench.crew import Measurer
from tinychat.bench.plan import ASKED, CHAIN, FORWARD, NEEDS, OFF, OURS, PEERS, RECORD, RECORDED, Job, Request
from tinychat.bench.progress import Progress
from tinychat.bench.rounds import Turns
from tinychat.bench.shapes import SHAPES
from tinychat.bench.table import print_result
from tinychat.bench.traffic import Traffic, step_traffic
from tinychat.errors import CorpusError, TinychatError, UsageError
from tinychat.model.config import ModelConfig

QUICK_ROUNDS, QUICK_TOKENS = 3, 32
WARMUPS, QUICK_WARMUPS = 10, 2
KINDS = (ASKED, FORWARD, OFF, RECORD, CHAIN)


def run(request: Request) -> int:
    """Measure, then print; the exit code. Errors are raised as TinychatError."""
    if request.quick:
        request = replace(request, rounds=min(request.rounds, QUICK_ROUNDS), tokens=min(request.tokens, QUICK_TOKENS))
    for peer in request.peers:
        for package in NEEDS[peer]:
            if importlib.util.find_spec(package.removesuffix("-python").replace("-", "_")) is None:
                raise UsageError(f"--peer {peer} needs {package}, which is not installed.", f"pip install {package}")
    jobs = list(plan(request))
    text = _ids(request)
    peers = [kind for peer in request.peers for kind in PEERS[peer]]
    with Progress(len(jobs) * request.rounds * (len(KINDS) + len(peers))) as progress:
        runs = [_configuration(name, job, peers, request.rounds, progress) for name, job in jobs]
        kls = [_divergence(name, replace(job, text=text), progress) for name, job in jobs] if request.kl else []
    result = {
        "schema": report.SCHEMA,
        "command": machine.command_line(),
        "machine": machine.facts(),
        "protocol": {
            "prompt": request.prompt, "tokens": request.tokens, "rounds": request.rounds, "observe": request.observe,
            "settings": request.params.to_dict(), "quick": request.quick,
        },
        "runs": runs,
        "kl": kls,
    }  # fmt: skip
    if request.json:
        print(json.dumps(result))
    else:
        print_result(result)
    return 0


def plan(request: Request) -> Iterator[tuple[str, Job]]:
    """The name and our own job of each configuration. UsageError for what does not fit together."""
    if request.model is not None:
        from tinychat.model import checkpoint as checkpoints

        subjects: dict[str, tuple[Path | None, ModelConfig]] = {
            request.model.name: (request.model, checkpoints.inspect(request.model).config)
        }
    else:
        subjects = {name: (None, SHAPES[name]) for name in request.shapes}
    for name, (path, config) in subjects.items():
        if request.prompt + request.tokens > config.context:
            raise UsageError(
                f"{request.prompt} tokens of prompt and {request.tokens} after it are more than a context"
                f" of {config.context}.",
                "Lower --prompt-length or --tokens.",
            )
        for lanes in request.lanes:
            yield (
                name,
                Job(
                    kind=OURS,
                    device=request.device,
                    dtype=request.dtype,
                    config=config.to_dict(),
                    threads=request.threads,
                    step=request.step,
                    path=None if path is None else str(path),
                    lanes=lanes,
                    prompt=request.prompt,
                    tokens=request.tokens,
                    record=RECORDED[request.observe],
                    settings=request.params.to_dict(),
                    warmups=QUICK_WARMUPS if request.quick else WARMUPS,
                ),
            )


def _configuration(name: str, job: Job, peers: list[str], rounds: int, progress: Progress) -> dict[str, Any]:
    """One configuration: a process each for the memory, for us and for every peer, in turns."""
    failed: list[dict[str, Any]] = []
    with ExitStack() as stack:

        def start(kind: str) -> Measurer:
            progress.say(f"{name}: {kind} warms up")
            # transformers has nothing like our int8, so it stays with the type that ours is measured against
            dtype = "float32" if kind in PEERS["hf"] and job.dtype == "int8" else job.dtype
            return stack.enter_context(Measurer(replace(job, kind=kind, dtype=dtype)))

        ours = start(OURS)
        floor = start("floor")
        others = []
        for kind in peers:
            try:
                others.append(start(kind))
            except TinychatError as error:  # one peer less is still a measurement
                failed.append({"name": kind, "failed": error.what, "hint": error.hint})
        traffic = _traffic(job, ours.ready["facts"])
        turns = [Turns(ours, KINDS, rounds * len(KINDS)), *(Turns(each, (ASKED,), rounds) for each in others)]
        floors = []
        for index in range(rounds):
            floors.append(floor.ask({"size": traffic.total}))
            for turn, label in zip(turns, [OURS, *(each.job.kind for each in others)], strict=True):
                turn.round(partial(progress.say, where=f"{name}: {label}: "), progress.step)
            progress.say(f"{name}: round {index + 1} of {rounds}")
        figures = report.floor_figures(floors, floor.ready["facts"])
        run = report.decoding(turns[0].timings[ASKED], lanes=job.lanes, prompt=job.prompt)
        return {
            "name": name,
            "model": dict(job.config),
            "lanes": job.lanes,
            "dtype": job.dtype,
            "facts": ours.ready["facts"],
            "open_s": ours.ready["open_s"],
            "step_ready_s": ours.ready["step_ready_s"],
            "first_generation_s": ours.ready["first_generation_s"],
            "warmups": ours.ready["warmups"],
            "settled": ours.ready["settled"],
            "memory": ours.ready["memory"],
            **run,
            **turns[0].counts(),
            "floor": figures,
            **report.against_floor(run["decode_tokens_per_s"]["median"], traffic, figures, job.lanes),
            "floor_share_of_rounds": report.floor_shares(
                run["decode_tokens_per_s"]["values"], traffic, floors, job.lanes
            ).to_dict(),
            "costs": report.costs(turns[0].timings),
            "peers": [
                report.peer_figures(each.job, each.ready, turn.timings[ASKED], turns[0].timings[ASKED]) | turn.counts()
                for each, turn in zip(others, turns[1:], strict=True)
            ]
            + failed,
        }


def _traffic(job: Job, facts: dict[str, Any]) -> Traffic:
    config = job.model_config
    numbers = config.cache_bytes_per_token(1) * job.lanes * (job.prompt + job.tokens)
    return step_traffic(
        config,
        dtype=job.dtype,
        cache_value=max(1, round(facts["cache_bytes"] / numbers)),
        prompt=job.prompt,
        tokens=job.tokens,
        lanes=job.lanes,
    )


def _divergence(name: str, job: Job, progress: Progress) -> dict[str, Any]:
    progress.say(f"{name}: {job.dtype} against float32, token by token")
    with Measurer(replace(job, kind="kl", lanes=1)) as measurer:
        return {"name": name, **measurer.ready}


def _ids(request: Request) -> tuple[int, ...]:
    """The ids of --kl's text; none where the network is to write its own."""
    if request.kl is None or request.kl == "own":
        return ()
    if request.model is None:
        raise UsageError("--kl FILE needs a tokenizer, which a shape has not.", "Add -m MODEL, or use --kl own.")
    from tinychat.model import checkpoint as checkpoints

    try:
        text = Path(request.kl).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{request.kl} is no UTF-8 text (byte {error.start}).", "Convert it first.") from error
    ids = tuple(checkpoints.tokenizer_of(checkpoints.inspect(request.model)).encode_document(text))
    if len(ids) < 2:
        raise CorpusError(f"{request.kl} holds no text to score.", "Give a file with some sentences.")
    return ids
