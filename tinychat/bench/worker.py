"""One fresh process that measures one thing: a job in, timings out, as lines of JSON on its standard streams.

`python -m tinychat.bench.worker` reads the job from the first line of stdin, answers when it is warm, and then once for
every further line, until stdin ends. Whatever libraries print goes to stderr. Threads are set and pinned before torch
is loaded.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from tinychat.bench.machine import pinned_cpus
from tinychat.bench.numbers import is_settled, quantile
from tinychat.bench.plan import ASKED, OURS, PEERS, Job
from tinychat.errors import OutOfMemoryError_, TinychatError


def main() -> int:
    """The process: its exit code says whether it could speak, not whether it succeeded."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a library's print must not stand between two answers
    try:
        job = Job.from_dict(json.loads(sys.stdin.readline()))
        settle_threads(job)
        for answer in _work(job, sys.stdin):
            _say(answers, answer)
    except TinychatError as error:
        _say(answers, {"error": error.what, "hint": error.hint, "exit_code": error.exit_code})
    except (KeyboardInterrupt, BrokenPipeError):
        return 1
    except Exception as error:
        from tinychat.engine.runner import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        what, code = "There is not enough memory for this.", OutOfMemoryError_.exit_code
        _say(answers, {"error": what, "hint": "Take a smaller shape.", "exit_code": code})
    return 0


def settle_threads(job: Job) -> None:
    """So many threads, and on the CPU so many cores of their own, where the system can pin."""
    import torch

    from tinychat.engine.runner import choose_device, default_threads

    threads = job.threads or default_threads(job.model_config.n_parameters())
    if choose_device(job.device).type == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, pinned_cpus(threads))  # torch makes its threads later, and they inherit this
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)


def _work(job: Job, commands: TextIO) -> Iterator[dict[str, Any]]:
    if job.kind == "kl":
        from tinychat.bench.kl import divergence

        yield divergence(job)
    elif job.kind == "floor":
        from tinychat.bench.floor import Floor

        floor = Floor(job)
        yield {"facts": floor.facts()}
        for line in commands:
            yield floor.measure(json.loads(line)["size"])
    else:
        yield from _generations(job, commands)


def _generations(job: Job, commands: TextIO) -> Iterator[dict[str, Any]]:
    from tinychat.bench.measure import Ours, memory

    started = time.perf_counter()
    subject: Any = Ours(job) if job.kind == OURS else _peer(job)
    opened = time.perf_counter()
    facts = subject.facts()  # makes the engine, and waits for whatever it compiles
    ready = time.perf_counter()
    medians: list[float] = []
    first_s = None
    while len(medians) < job.warmups and not is_settled(medians):
        timing = subject.generate(ASKED)
        first_s = timing.wall_s if first_s is None else first_s
        medians.append(quantile(timing.steps, 0.5))
    yield {
        "facts": facts | subject.facts(),
        "open_s": opened - started,
        "step_ready_s": ready - opened,
        "first_generation_s": first_s,  # with whatever is compiled on the way
        "warmups": len(medians),
        "settled": is_settled(medians),
        "memory": memory(subject.device),
    }
    for line in commands:
        yield subject.generate(json.loads(line)["kind"]).to_dict()


def _peer(job: Job) -> Any:
    if job.kind in PEERS["llama.cpp"]:
        from tinychat.bench import peer_llama_cpp

        return peer_llama_cpp.Peer(job)
    from tinychat.bench import peer_hf

    return peer_hf.Peer(job)


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
