"""Kill a training run at random moments, over and over, and see whether anything was lost. Not a test itself.

    python tests/trainer/kills.py 200 [SEED]        prints one JSON object; "lost" is what went wrong

torch is imported once; every sitting is a fork, which SIGKILL (one time in five SIGTERM) ends after a random delay.
When a run has come to its end it is compared, bit for bit, with one that nobody disturbed, and the next one begins.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from trainer import checkpoints
from trainer.config_file import parse
from trainer.loop import train
from trainer.run_folder import RunFolder
from trainer.signals import StopFlag, caught_signals

EVERY = 3  # steps between saves
CONFIG = f"""
[tokenizer]
vocab_size = 280
[data]
valid_fraction = 0.1
[model]
context = 16
width = 16
layers = 1
heads = 2
dropout = 0.1
[train]
steps = 18
tokens_per_step = 128
micro_rows = 4
ema = 0.9
threads = 1
device = "cpu"
compile = "off"
[eval]
every = 6
batches = 2
rows = 4
[sample]
every = 9
prompts = ["fox"]
max_tokens = 4
[save]
every = {EVERY}
"""
SLOWEST_S = 60.0


def main(count: int, seed: int) -> dict[str, object]:
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = folder / "text.jsonl"
        rows = [" ".join(dice.choices(["fox", "owl", "mill", "red", "ran"], k=dice.randint(4, 20))) for _ in range(60)]
        text.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
        torch.optim.AdamW([torch.zeros(1)], fused=True)  # what torch loads at first use: once here, not in every child
        _finish(_sitting(folder / "first", text))
        started = time.monotonic()
        _finish(_sitting(folder / "whole", text))
        whole_s = time.monotonic() - started
        expected = _facts(folder / "whole")
        lost: list[str] = []
        kills = terms = runs = 0
        while kills < count and not lost:
            out = folder / f"run-{runs}"
            best = -1
            while kills < count:
                child = _sitting(out, text)
                ended = _end_after(child, dice.uniform(0, whole_s), dice.random() < 0.2)
                if ended == 0:
                    break
                kills, terms = kills + 1, terms + (ended == 143)
                best = _check(out, best, ended, lost)
            _finish(_sitting(out, text))
            runs += 1
            lost += [f"run {runs}: {what} differs" for what, here in _facts(out).items() if here != expected[what]]
            lost += [f"run {runs}: {orphan} was left" for orphan in _orphans(out)]
            shutil.rmtree(out)
        return {"kills": kills, "of them by TERM": terms, "runs": runs, "lost": lost, "whole_s": round(whole_s, 2)}


def _sitting(out: Path, text: Path) -> int:
    """A child that trains until its end; its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        flag, reason = StopFlag(), ""
        with caught_signals(flag):
            resume = (out / "config.toml").exists()
            config = parse(CONFIG, name="kills", overrides=[f"data.text={text}"])
            for event in train(config, out=out, resume=resume, stop=flag):
                reason = getattr(event, "reason", reason)
        code = 143 if reason == "SIGTERM" else 0
    finally:
        os._exit(code)


def _finish(child: int) -> None:
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status


def _end_after(child: int, delay: float, gently: bool) -> int:
    """How the child ended: 0 by itself, 143 after TERM, -9 after KILL."""
    time.sleep(delay)
    os.kill(child, signal.SIGTERM if gently else signal.SIGKILL)
    until = time.monotonic() + SLOWEST_S
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    raise TimeoutError(f"{child} does not end")


def _check(out: Path, best: int, ended: int, lost: list[str]) -> int:
    """The step of the newest whole checkpoint, which never goes back and is never far behind the log."""
    if ended not in (-9, 143, -15):  # -15: before the handlers were there
        lost.append(f"a sitting ended with {ended}")
    found, broken = checkpoints.newest(RunFolder(out, locked=False).checkpoints)
    step = found.progress.step if found else -1
    if step < best:
        lost.append(f"the newest checkpoint went from step {best} to {step}")
    # a save that was cut off has no manifest yet, and goes at the next start
    lost += [each for each in broken if "manifest.json is missing" not in each]
    if ended == -9 and (logged := _steps(out)) and logged[-1] - max(step, 0) > EVERY:
        lost.append(f"step {logged[-1]} is in the log, {step} is saved")
    return max(step, best)


def _steps(out: Path) -> list[int]:
    steps = []
    try:
        lines = (out / "log.jsonl").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["event"] == "trainstep":
            steps.append(record["step"])
    return steps


def _facts(out: Path) -> dict[str, object]:
    """What must be the same after any number of kills."""
    found, _ = checkpoints.newest(out / "checkpoints")
    assert found is not None
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {
        "weights": {name: array.tobytes() for name, array in found.weights().items()},
        "state": {name: array.tobytes() for name, array in found.state().items()},
        "losses": [(each["step"], each["loss"]) for each in records if each["event"] == "trainstep"],
        "held out": [(each["step"], each["loss"]) for each in records if each["event"] == "evaluated"],
        "samples": [(each["step"], each["text"]) for each in records if each["event"] == "sampled"],
    }


def _orphans(out: Path) -> list[str]:
    kept = [folder for folder in (out / "checkpoints").iterdir() if not (folder / "manifest.json").exists()]
    return [str(path.relative_to(out)) for path in (*out.rglob(".tinychat-tmp-*"), *kept)]


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
