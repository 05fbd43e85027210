"""`tinychat bench train`: which config, what is said of it. stdout carries the table or the JSON and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tinychat.bench import machine
from tinychat.bench.progress import Progress

SCHEMA = "tinychat.bench.train/1"
ROUNDS, QUICK_ROUNDS = 7, 3
STEPS = 5
SMALL = """
[model]
context = 256
width = 128
layers = 3
heads = 4
kv_heads = 2
[tokenizer]
vocab_size = 1536
[train]
steps = 1
tokens_per_step = 2048
"""


def run(config_path: Path | None, *, as_json: bool, quick: bool) -> int:
    """Measure, then print; the exit code. Without a config it is the shape of assets/small.toml."""
    # as `tinychat train` has it: threads that spin while they wait are slower where others work too
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from trainer import config_file  # here: pydantic and torch take a second that the help of bench does not pay

    config = config_file.load(config_path) if config_path else config_file.parse(SMALL, name="small")
    from tinychat.bench.training import measure

    rounds = QUICK_ROUNDS if quick else ROUNDS
    with Progress(rounds + 1) as progress:
        found = measure(config, rounds=rounds, steps=STEPS, progress=progress)
    facts = machine.facts()
    if as_json:
        print(json.dumps({"schema": SCHEMA, "command": machine.command_line(), "machine": facts, "train": found}))
        return 0
    for line in lines(found, facts):
        print(line)
    return 0


def lines(found: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """The result for a person, 80 columns wide."""
    speed, plain, ratio = found["tokens_per_s"], found["plain_tokens_per_s"], found["ratio"]
    least, most = min(ratio["rounds"]), max(ratio["rounds"])
    where = facts["gpu"]["name"] if found["device"] != "cpu" and facts["gpu"] else facts["cpu"]
    threads = f"{found['threads']} thread{'s' * (found['threads'] != 1)}"
    said = [
        f"{found['parameters']:,} parameters, {found['tokens_per_step']} tokens a step, {found['precision']},"
        f" {found['optimizer']}{', compiled' * found['compiled']}",
        f"{where}, {threads}; {found['rounds']} rounds of {found['steps']} steps a side, in turns",
        "",
        f"trainer        {speed['median']:>10,.0f} tokens/s   ({speed['min']:,.0f} to {speed['max']:,.0f})",
        f"plain PyTorch  {plain['median']:>10,.0f} tokens/s   the same network, to {found['same_network_to']:.0e}",
        f"ratio          {ratio['median']:>10.2f} x          ({least:.2f} to {most:.2f})",
    ]
    if found["share_of_matrix_rate"] is not None:
        rate = found["matrix_flops"] / 1e9
        said.append(
            f"of the machine {found['share_of_matrix_rate']:>10.1%}            of {rate:,.0f} GFLOP/s,"
            " a large matrix product"
        )
    said += ["", "a step"]
    total = sum(found["step_parts_s"].values())
    for part, seconds in found["step_parts_s"].items():
        said.append(f"  {part:<12} {seconds * 1e3:>10.1f} ms   {seconds / total:>6.1%}")
    said.append(f"  {'all':<12} {total * 1e3:>10.1f} ms")
    said.append(f"a save         {found['save_s'] * 1e3:>10.1f} ms")
    if found["rest_cores"] is not None and found["rest_cores"] > 0.15:
        said.append(f"Others used {found['rest_cores']:.1f} cores meanwhile: only the ratio means something.")
    return said
