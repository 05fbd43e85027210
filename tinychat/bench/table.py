"""The result as a person reads it, within 80 columns: a block for each configuration, plain text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tinychat.text.terminal import one_line

WIDTH = 80


def print_result(result: Mapping[str, Any]) -> None:
    """On stdout."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH, highlight=False, soft_wrap=False)
    console.print(render(result))


def render(result: Mapping[str, Any]) -> RenderableType:
    """All blocks, and what was measured how."""
    machine, protocol = result["machine"], result["protocol"]
    blocks: list[RenderableType] = []
    for run in result["runs"]:
        blocks += [Text(_title(run), style="bold"), _speeds(run), _notes(run), *_peers(run), Text()]
    blocks += [_divergence(each) for each in result["kl"]]
    asked = "greedy" if not protocol["settings"].get("temperature", 1.0) else "drawn"
    blocks.append(
        _line(
            f"{protocol['rounds']} rounds in turns; prompt {protocol['prompt']}, then {protocol['tokens']} tokens,"
            f" {asked}, observe {protocol['observe']}"
        )
    )
    blocks.append(_line(f"{machine['cpu']}, {machine['cpus']} CPUs; torch {machine['torch']}"))
    return Group(*blocks)


def _title(run: Mapping[str, Any]) -> str:
    facts = run["facts"]
    lanes = f"{run['lanes']} lane{'s' * (run['lanes'] > 1)}"
    threads = f"{facts['threads']} thread{'s' * (facts['threads'] > 1)}"
    return one_line(
        f"{run['name']}: {count(facts['parameters'])} parameters, V {facts['vocab_size']:,},"
        f" {facts['device']} {run['dtype']}, {threads}, {lanes}"
    )


def _speeds(run: Mapping[str, Any]) -> Table:
    table = _table("", "median", "min", "max", "IQR")
    for name, key, scale in (
        ("decode, tokens/s", "decode_tokens_per_s", 1.0),
        ("prefill, tokens/s", "prefill_tokens_per_s", 1.0),
        ("first token, ms", "first_token_s", 1e3),
    ):
        each = run[key]
        table.add_row(name, *(number(each[part] * scale) for part in ("median", "min", "max", "iqr")))
    return table


def _notes(run: Mapping[str, Any]) -> Table:
    step, costs, moved, floor = run["step_s"], run["costs"], run["bytes_per_step"], run["floor"]
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")

    def ms(seconds: float) -> str:
        return number(seconds * 1e3)

    table.add_row("step, ms", f"p50 {ms(step['p50'])}, p95 {ms(step['p95'])}, p99 {ms(step['p99'])}")
    table.add_row(
        "read a step", f"{size(moved['total'])}: weights {size(moved['weights'])}, cache {size(moved['cache'])}"
    )
    table.add_row(
        "floor",
        f"{number(run['floor_tokens_per_s'])} tokens/s at {size(floor['bytes_per_s'])}/s ({floor['by']});"
        f" reached {share(run['floor_share'])}",
    )
    each = run["floor_share_of_rounds"]
    table.add_row(
        "", f"round by round, against that round's own: {share(each['median'])}"
        f" ({share(each['min'])} to {share(each['max'])})",
    )  # fmt: skip
    if run["cached_share"] is not None:
        table.add_row(
            "", f"reading the same {size(moved['total'])} again: {size(floor['cached_bytes_per_s'])}/s;"
            f" reached {share(run['cached_share'])}",
        )  # fmt: skip
    if "launch_s" in floor:
        table.add_row(
            "kernel to kernel",
            f"{floor['launch_s'] * 1e6:.2f} us from the host, {floor['graph_launch_s'] * 1e6:.2f} in a graph",
        )
    table.add_row(
        "record, N = 64",
        f"{share(costs['record_share'])} of a step ({ms(costs['record_step_s'])} ms;"
        f" pass alone {ms(costs['forward_step_s'])}, engine without {ms(costs['off_step_s'])})",
    )
    table.add_row("full chain", f"{share(costs['chain_share'])} of a step more ({ms(costs['chain_step_s'])} ms)")
    peak = run["memory"]
    device = f", device {size(peak['device_bytes'])}" if "device_bytes" in peak else ""
    table.add_row("peak memory", size(peak["host_bytes"]) + device)
    ahead = "" if run["facts"].get("ahead", "off") == "off" else f", ahead in graphs: {run['facts']['ahead']}"
    table.add_row("step", one_line(f"{run['facts']['forward']}{ahead}, ready after {run['step_ready_s']:.1f} s"))
    table.add_row("generations", _counted(run))
    return table


def _counted(run: Mapping[str, Any]) -> str:
    warm = f"{run['warmups']} warm-ups{'' if run['settled'] else ', not settled'}"
    if run["dropped"] is None:
        return f"{run['generations']} count; {warm}; nobody knows what else the machine did"
    text = f"{run['generations']} count, {run['dropped']} dropped as others were busy; {warm}"
    if run["noisy"]:
        text += f"; the machine never got quiet: {run['noisy']} count nevertheless"
    return text


def _peers(run: Mapping[str, Any]) -> list[RenderableType]:
    """A row for each peer, and a line for each that could not be measured."""
    table = _table("against", "tokens/s", "first, ms", "ratio", "min", "max")
    lines: list[RenderableType] = []
    for peer in run["peers"]:
        if "failed" in peer:
            lines.append(_line(f"{peer['name']} failed: {peer['failed']} {peer['hint']}"))
            continue
        ratio = peer["ratio"]
        table.add_row(
            f"{peer['name']} {peer['dtype']}",
            number(peer["decode_tokens_per_s"]["median"]),
            number(peer["first_token_s"]["median"] * 1e3),
            *(f"{ratio[part]:.2f}x" for part in ("median", "min", "max")),
        )
        lines.append(_line(f"{peer['name']}: logits within {peer['logits_difference']:.0e}; {_counted(peer)}"))
    return [table, *lines] if table.row_count else lines


def _divergence(each: Mapping[str, Any]) -> Text:
    return _line(
        f"{each['name']}: {each['dtype']} against float32 on {each['tokens']} tokens ({each['text']} text):"
        f" perplexity {each['perplexity']:.4g} for {each['perplexity_float32']:.4g},"
        f" KL {each['kl_mean']:.2e} nats (most {each['kl_max']:.2e}), same first choice {share(each['same_argmax'])}"
    )


def _line(text: str) -> Text:
    return Text(one_line(text), style="dim")


def _table(first: str, *names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, min_width=24, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def number(value: float) -> str:
    """Three digits that matter, or all of a whole part."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def share(value: float) -> str:
    return f"{value * 100:.1f} %"


def size(value: float) -> str:
    """Bytes in units of 1000, as bandwidths are given."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{number(value / scale)} {unit}"
    return f"{value:.0f} B"


def count(value: int) -> str:
    """Parameters: 15.2 M."""
    return f"{value / 1e9:.2f} B" if value >= 1e9 else f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value:,}"
