"""Two processes that train together: they run the jobs of a file in turn and write what they saw. Not a test itself.

    python pair.py JOBS.json        each job: config text, folder, what to do to one rank; answers beside the file

torch is imported once; each of the two is a fork.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from pathlib import Path
from typing import Any

# what they would both import, in seconds
from tinychat.errors import StorageError, TinychatError
from tinychat.model.transformer import Transformer
from trainer import checkpoints
from trainer.config_file import parse
from trainer.events import Evaluated, Event, Stopped, TrainStep
from trainer.loop import train
from trainer.signals import StopFlag


def main(path: Path, rank: int) -> None:
    for number, job in enumerate(json.loads(path.read_text())):
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(job["port"]))
        answer = _run(job, rank)
        (path.parent / f"{path.stem}-{number}-{rank}.json").write_text(json.dumps(answer))


def _run(job: dict[str, Any], rank: int) -> dict[str, Any]:
    flag = StopFlag()
    mine = rank == job.get("victim")
    events: list[Event] = []
    forward, save = Transformer.forward, checkpoints.save
    if mine and job.get("break") == "loss":
        Transformer.forward = lambda *args, **given: forward(*args, **given) * math.nan
    if job.get("break") == "disk":

        def full(*_: Any, **__: Any) -> Any:
            raise StorageError("x: the disk is full.")

        checkpoints.save = full
    if mine and job.get("stop_at") == 0:
        flag.request("SIGTERM")
    error = None
    try:
        config = parse(job["config"], name="test", overrides=job["set"])
        for event in train(config, out=Path(job["out"]), resume=job.get("resume", False), stop=flag):
            events.append(event)
            if mine and isinstance(event, TrainStep) and event.step == job.get("stop_at"):
                flag.request("SIGTERM")
    except TinychatError as caught:
        error = [type(caught).__name__, caught.what]
    finally:
        Transformer.forward, checkpoints.save = forward, save
    stopped = [[event.step, event.reason] for event in events if isinstance(event, Stopped)]
    return {
        "error": error,
        "stopped": stopped,
        "losses": [[event.step, event.loss, event.grad_norm] for event in events if isinstance(event, TrainStep)],
        "held_out": [[event.step, event.loss, event.tokens] for event in events if isinstance(event, Evaluated)],
        "warned": [event.message for event in events if type(event).__name__ == "Warned"],
    }


def _forked(path: Path, rank: int) -> int:
    """A child that does the jobs of a rank; its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        main(path, rank)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    children = [_forked(Path(sys.argv[1]), rank) for rank in range(2)]
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
